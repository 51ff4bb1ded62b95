import type { ComponentChildren, JSX } from "preact";
import type { CallFailure } from "../lib/call.ts";
import type { Called } from "../lib/use_call.ts";
import { Foreign } from "./foreign.tsx";

export function Loading({ what = "Loading" }: { readonly what?: string }): JSX.Element {
  return <p class="state loading" role="status">{what}…</p>;
}

export function Empty({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <div class="state empty">{children}</div>;
}

/** A failure, with the server's sentence. */
export function Failed(
  { failure, retry }: { readonly failure: CallFailure; readonly retry?: () => void },
): JSX.Element {
  const isRefused = failure.status === 403;
  return (
    <div class={`state failed${isRefused ? " refused" : ""}`} role="alert">
      <strong>
        {isRefused ? "Not allowed" : <Foreign text={failure.title} />}
      </strong>
      {failure.detail !== "" && (
        <p>
          <Foreign text={failure.detail} most={2000} />
        </p>
      )}
      {retry && <button type="button" onClick={retry}>Try again</button>}
    </div>
  );
}

/** What a call has answered, or why there is nothing to show. */
export function CallOutcome<T>(
  { of, children, what }: {
    readonly of: Called<T>;
    readonly children: (answer: Exclude<T, undefined>) => ComponentChildren;
    readonly what?: string;
  },
): JSX.Element | null {
  const { answer, failure, isLoading, reload } = of;
  if (answer === undefined) {
    if (failure) return <Failed failure={failure} retry={reload} />;
    return isLoading ? <Loading {...what === undefined ? {} : { what }} /> : null;
  }
  return (
    <>
      {failure && <Failed failure={failure} retry={reload} />}
      {children(answer as Exclude<T, undefined>)}
    </>
  );
}
