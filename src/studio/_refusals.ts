import { HandlerFailedError, InvalidMessageError, NotInstalledError } from "../errors.ts";
import { Refusal, refusalOf } from "../http/gateway/_problem.ts";

/**
 * The refusal that tells a page of an error. The sentences of this package are for people, and begin with "Cannot":
 * they are shown. What a database or a handler says else is not.
 */
export function refusalFor(error: unknown): Refusal {
  if (error instanceof NotInstalledError) return new Refusal(503, error.message, codeOf(error));
  if (error instanceof HandlerFailedError || error instanceof InvalidMessageError) {
    return new Refusal(422, error.message, codeOf(error));
  }
  const known = refusalOf(error);
  if (known.status !== 500 || !isOurs(error)) return known;
  return new Refusal(422, error.message);
}

function codeOf({ code }: { readonly code: string }): Refusal["members"] {
  return { code };
}

function isOurs(error: unknown): error is Error {
  const isPlain = error instanceof TypeError || error instanceof RangeError ||
    (error as Error | null)?.constructor === Error;
  // V8 says "Cannot read properties of undefined".
  return isPlain && /^Cannot (?!read prop|set prop|destructure|access|convert|mix)/.test(
    (error as Error).message,
  );
}
