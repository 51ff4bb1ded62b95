import { DuplicateMessageError, WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf, translateDriverError, troubleOf } from "../handle/_driver_error.ts";
import { isPassing, retryUntilAborted } from "../handle/_retry.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { backoff, sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { ClaimLostError } from "./_claim.ts";
import { lockCategories } from "./_lock_categories.ts";
import { pauseBefore } from "./_pause.ts";
import { readLastMessages } from "./_read_last_messages.ts";
import { isConflict, isRecordFailure } from "./_record_position.ts";
import { reloadPosition } from "./_reload_position.ts";
import { storeWith } from "./_store_position.ts";
import type { Run, Task } from "./_task.ts";

/** How long to wait before the first retry of a message, in milliseconds. */
export const FIRST_DELAY = 100;
/** How long to wait at most before a retry of a message, in milliseconds. */
export const LONGEST_DELAY = 30_000;
/**
 * So many times in a row, a connection that is lost while the handler has the message is blamed on the
 * database without a question. After that, the consumer's database is asked. If it answers, the handler is to
 * blame: it uses another database, or it takes longer than `idle_in_transaction_session_timeout`.
 */
const MOST_LOSSES = 5;
/** So many times, a transaction is run again after a conflict of the handler's work, as `decide` does. */
const MOST_CONFLICTS = 20;
/**
 * After so many of them, the category is locked before the handler runs: where others write all the time, a slow
 * handler would never be first. Not sooner, because all writers of the category then wait for the handler.
 */
const CONFLICTS_BEFORE_LOCK = 3;

/**
 * Does the work for a message. If the consumer is transactional, the work and the record of the
 * position are one transaction; if not, the position is stored later. When the database fails, the
 * work is done again after the database has come back.
 *
 * @param work Sets `task.failure` if the handler throws, and `task.isDone` if the handler is done.
 * @returns Whether the message is done, by this process or another; false if the consumer stops before.
 */
export async function workUntilDone(
  task: Task,
  work: (sql: Sql) => Promise<void>,
): Promise<boolean> {
  const { run: { consumer, kept, givingUp, moved }, placed: { place, isOutOfTurn } } = task;
  const { sql, begin, answerTimeout } = consumer;
  const workInTransaction = async (sql: Sql) => {
    await lockCategories(withTimeLimit(sql, answerTimeout), task.contested);
    await work(sql);
    return isOutOfTurn ? kept.position : place;
  };
  // If the position has reached the message, another process has handled it, or this one has and the
  // answer was lost.
  while (kept.position < place) {
    task.failure = task.isDone = task.isCalled = undefined;
    try {
      await (begin ? storeWith(kept, begin, workInTransaction) : work(sql));
      break;
    } catch (error) {
      if (givingUp.aborted || moved.aborted) return false;
      if (error instanceof ClaimLostError || !await isInterruption(task, error)) throw error;
      // An error of the recovery, a lost claim for instance, is not the handler's.
      task.failure = task.isDone = task.isCalled = undefined;
      if (!await recover(task, error) || moved.aborted) return false;
    }
  }
  return true;
}

/** Whether the handler is not to blame for the error, so that the work is done again. */
async function isInterruption(task: Task, error: unknown): Promise<boolean> {
  const { run: { consumer: { begin }, kept }, failure, isCalled } = task;
  if (isConflict(kept, error)) return true;
  // The statement was of the consumer itself: BEGIN, the record of the position, or a message to park.
  if (!isCalled || isRecordFailure(kept, error)) return isPassing(error);
  if (begin && isHandlerConflict(error)) return mayRunAgain(task, error);
  if (troubleOf(error) !== "lost") return failure === undefined && isPassing(error);
  if ((failure === undefined || isOfDatabase(error)) && ++task.losses <= MOST_LOSSES) return true;
  return await isDatabaseAway(task);
}

/** Whether the error is a conflict with another transaction, which the transaction cannot go on after. */
function isHandlerConflict(error: unknown): boolean {
  return troubleOf(error) === "conflict" || refusalIn(error) !== undefined;
}

/**
 * The refusal of a write, as `write` throws it: because of what others have written since the handler has read, or
 * since the transaction's snapshot. A driver may throw its own error at the end of the transaction.
 */
function refusalIn(error: unknown): WrongExpectedVersionError | DuplicateMessageError | undefined {
  const translated = translateDriverError(error);
  return translated instanceof WrongExpectedVersionError ||
      translated instanceof DuplicateMessageError
    ? translated
    : undefined;
}

/**
 * Whether a transaction that was in a conflict is run again. It is not if the same write was refused twice, in the
 * same words, so at the same version: then nobody else is to blame.
 */
function mayRunAgain(task: Task, error: unknown): boolean {
  const [last, now] = [task.lastConflict, error].map(refusalIn);
  task.lastConflict = error;
  if (now !== undefined && now.message === last?.message) return false;
  if (++task.conflicts > CONFLICTS_BEFORE_LOCK && now instanceof WrongExpectedVersionError) {
    task.contested.add(now.streamName);
  }
  return task.conflicts <= MOST_CONFLICTS;
}

/** Whether the error tells of a database, and not of any other service that a handler uses. */
function isOfDatabase(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return /^(08|25|55000|57P|53300|XX|CONNECT|ERR_POSTGRES_)/.test(
    String(sqlStateOf(error) ?? code),
  );
}

/** Asks the consumer's database whether it answers. */
async function isDatabaseAway({ run: { consumer: { sql }, kept } }: Task): Promise<boolean> {
  try {
    await readLastMessages(sql, [kept.streamName]);
    return false;
  } catch (error) {
    return isPassing(error);
  }
}

/** Waits until the database answers again; false if the consumer stops before. */
async function recover(task: Task, error: unknown): Promise<boolean> {
  const { consumer, kept, stopping } = task.run;
  if (!isConflict(kept, error)) consumer.onRetry?.(error);
  await (error === task.lastConflict
    ? pauseBefore(task.conflicts, stopping)
    : sleep(backoff(++task.interruptions, FIRST_DELAY, LONGEST_DELAY), stopping));
  return !stopping.aborted && await reload(task.run) !== undefined;
}

/**
 * Reloads the position, which other processes may have moved, as soon as the database answers.
 * Undefined if the consumer stops before.
 */
export function reload({ consumer, kept, stopping }: Run): Promise<number | undefined> {
  return retryUntilAborted(() => reloadPosition(kept), { ...consumer, signal: stopping });
}
