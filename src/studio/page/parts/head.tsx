import type { ComponentChildren, JSX } from "preact";
import { Fragment } from "preact";
import { ViewLink } from "./link.tsx";

/** The title of a view, and what it is in. */
export function ViewHead(
  { title, trail = [], children }: {
    readonly title: ComponentChildren;
    readonly trail?: readonly { readonly url: string; readonly text: ComponentChildren }[];
    /** What one can do with it, or what is to say of it. */
    readonly children?: ComponentChildren;
  },
): JSX.Element {
  return (
    <div class="view-head">
      <div class="titles">
        {trail.length > 0 && (
          <div class="trail">
            {trail.map(({ url, text }) => (
              <Fragment key={url}>
                <ViewLink url={url}>{text}</ViewLink>
                <span aria-hidden="true">/</span>
              </Fragment>
            ))}
          </div>
        )}
        <h1>{title}</h1>
      </div>
      <span class="grow" />
      {children}
    </div>
  );
}
