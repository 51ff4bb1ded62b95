import type { ComponentChildren, JSX } from "preact";
import { visit } from "../lib/place.ts";

/** A link to a view. With a modifier key, the browser opens it as it opens any link. */
export function ViewLink(
  { url, children, label, isCurrent, ...rest }: {
    readonly url: string;
    readonly children: ComponentChildren;
    readonly class?: string;
    readonly title?: string;
    /** What a screen reader says. */
    readonly label?: string;
    readonly isCurrent?: boolean;
  },
): JSX.Element {
  const onClick = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
      return;
    }
    event.preventDefault();
    visit(url);
  };
  return (
    <a
      href={url}
      onClick={onClick}
      aria-label={label}
      aria-current={isCurrent ? "page" : undefined}
      {...rest}
    >
      {children}
    </a>
  );
}
