import type { ComponentChildren, JSX } from "preact";
import { Fragment } from "preact";
import { heartbeat } from "../lib/pulse.ts";
import { useValue } from "../lib/store.ts";
import { ViewLink } from "./link.tsx";

/** The title of a view, what it is in, and which partitions do not answer. */
export function ViewHead(
  { title, trail = [], children }: {
    readonly title: ComponentChildren;
    readonly trail?: readonly { readonly url: string; readonly text: ComponentChildren }[];
    /** What one can do with it, or what is to say of it. */
    readonly children?: ComponentChildren;
  },
): JSX.Element {
  const silence = useValue(heartbeat).pulse?.silence;
  return (
    <>
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
      {silence && <p class="silence" role="status">{silence}: what is there is not shown.</p>}
    </>
  );
}
