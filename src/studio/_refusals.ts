import {
  HandlerFailedError,
  InvalidMessageError,
  NotInstalledError,
  PartitionError,
} from "../errors.ts";
import { Refusal, refusalOf } from "../http/gateway/_problem.ts";
import { isRefusal } from "../operate/_refusal.ts";

const CHOOSE = "Cannot do this with all partitions at once: each has an order of its own: " +
  "choose a category, a stream or a consumer";

/**
 * The refusal that tells a page of an error. The sentences of this package that refuse something are for people, and they
 * are shown. What a database or a handler says else is not.
 */
export function refusalFor(error: unknown): Refusal {
  if (error instanceof NotInstalledError) return new Refusal(503, error.message, codeOf(error));
  if (error instanceof HandlerFailedError || error instanceof InvalidMessageError) {
    return new Refusal(422, error.message, codeOf(error));
  }
  if (error instanceof PartitionError && error.reason === "all") {
    return new Refusal(422, CHOOSE, { code: error.code, reason: error.reason });
  }
  const known = refusalOf(error);
  return known.status === 500 && isRefusal(error) ? new Refusal(422, error.message) : known;
}

function codeOf({ code }: { readonly code: string }): Refusal["members"] {
  return { code };
}

/** Checks what a page gives: what the check throws is about that, and is shown. No statement may be sent there. */
export function checkGiven<Given>(check: () => Given): Given {
  try {
    return check();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new Refusal(422, error.message);
    }
    throw error;
  }
}
