import type { ComponentChildren, JSX } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { asFailure } from "../lib/call.ts";
import { viewUrl } from "../lib/place.ts";
import { ViewLink } from "./link.tsx";
import { Failed } from "./states.tsx";

/** Shows why a view failed, in its place. What is around the view goes on. */
export function Boundary({ children }: { readonly children: ComponentChildren }): JSX.Element {
  const [error, showAgain] = useErrorBoundary((error) => console.error(error));
  if (error === undefined) return <>{children}</>;
  const { detail } = asFailure(error);
  const title = "This view has failed: that is a mistake in the studio, and not in your store";
  return (
    <div class="page narrow">
      <Failed failure={{ status: 0, title, detail }} retry={showAgain} />
      <p>
        <ViewLink url={viewUrl([])} class="button">Go on at the overview</ViewLink>
      </p>
    </div>
  );
}
