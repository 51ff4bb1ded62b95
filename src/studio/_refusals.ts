import {
  FetchSqlError,
  HandlerFailedError,
  InvalidMessageError,
  NotInstalledError,
  PartitionError,
} from "../errors.ts";
import { troubleOf } from "../handle/_driver_error.ts";
import { FAILED, Refusal, refusalOf, UNAVAILABLE } from "../http/gateway/_problem.ts";
import { isRefusal } from "../operate/_refusal.ts";
import { silenceText } from "./_ask_partitions.ts";

const CHOOSE = "Cannot do this with all partitions at once: each has an order of its own: " +
  "choose a category, a stream or a consumer";

const LATER = "what is there is not shown: try again later";

const OVER_GATEWAY = "Cannot ask this over a gateway, which does not run the statements of the " +
  "studio: give studio() a handle to the database";
const STUDIO_FAILED = "The studio failed: its log says why";

/**
 * The refusal that tells a page of an error. The sentences of this package that refuse something are for people, and they
 * are shown. What a database or a handler says else is not.
 */
export function refusalFor(error: unknown, partitions: number): Refusal {
  if (error instanceof NotInstalledError) return new Refusal(503, error.message, codeOf(error));
  if (error instanceof HandlerFailedError || error instanceof InvalidMessageError) {
    return new Refusal(422, error.message, codeOf(error));
  }
  if (error instanceof PartitionError && error.reason === "all") {
    return new Refusal(422, CHOOSE, { code: error.code, reason: error.reason });
  }
  if (error instanceof PartitionError && error.reason === "unanswered") {
    if (troubleOf(error.cause) === undefined) return refusalFor(error.cause, partitions);
    return silent(error.partitions, partitions);
  }
  const unreached = /^Cannot reach partition (\d+) of /.exec(
    (error as Error | null)?.message ?? "",
  );
  if (unreached) return silent([Number(unreached[1])], partitions);
  if (error instanceof FetchSqlError && error.problem === "UNKNOWN_STATEMENT") {
    return new Refusal(422, OVER_GATEWAY, { code: error.problem });
  }
  const known = refusalOf(error);
  if (known !== FAILED) return known;
  return isRefusal(error) ? new Refusal(422, error.message) : new Refusal(500, STUDIO_FAILED);
}

function silent(numbers: readonly number[], count: number): Refusal {
  const detail = `${silenceText(numbers, count)}: ${LATER}`;
  return new Refusal(503, detail, { code: "PARTITION", reason: "unanswered" }, UNAVAILABLE.headers);
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
