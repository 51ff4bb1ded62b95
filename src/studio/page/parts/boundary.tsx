import type { ComponentChildren, JSX } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { asFailure } from "../lib/call.ts";
import { viewUrl } from "../lib/place.ts";
import { ViewLink } from "./link.tsx";
import { Failed } from "./states.tsx";

/** Shows why a part of the page failed, in its place. What is around the part goes on. */
export function Boundary(
  { children, part = "view", retry }: {
    readonly children: ComponentChildren;
    readonly part?: "view" | "page";
    /** What to do before the part is shown again. */
    readonly retry?: () => void;
  },
): JSX.Element {
  const [error, showAgain] = useErrorBoundary((error) => console.error(error));
  if (error === undefined) return <>{children}</>;
  const { detail } = asFailure(error);
  const title = `This ${part} has failed: that is a mistake in the studio, and not in your store`;
  const again = () => {
    retry?.();
    showAgain();
  };
  return (
    <div class="page narrow">
      <Failed failure={{ status: 0, title, detail }} retry={again} />
      <p>
        <ViewLink url={viewUrl([])} class="button">Go on at the overview</ViewLink>
      </p>
    </div>
  );
}
