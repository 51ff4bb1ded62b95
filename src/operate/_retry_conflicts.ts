import { DuplicateMessageError, WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf, troubleOf } from "../handle/_driver_error.ts";

/** How many times an operator's change is tried against running consumers. */
const MOST_TRIES = 20;
/** The state of a statement in a transaction that has failed before. */
const IN_FAILED_TRANSACTION = "25P02";

/**
 * Does work, and does it again if somebody else has written meanwhile what it has read. A transaction of the
 * caller's ends with its first conflict: then the error is that conflict.
 *
 * @param work Reads, and then writes what expects that nothing has changed.
 */
export async function retryConflicts<T>(work: () => Promise<T>): Promise<T> {
  let conflict: unknown;
  for (let tries = 1;; tries++) {
    try {
      return await work();
    } catch (error) {
      if (conflict !== undefined && sqlStateOf(error) === IN_FAILED_TRANSACTION) throw conflict;
      const isConflict = error instanceof WrongExpectedVersionError ||
        error instanceof DuplicateMessageError || troubleOf(error) === "conflict";
      if (!isConflict || tries === MOST_TRIES) throw error;
      conflict = error;
    }
  }
}
