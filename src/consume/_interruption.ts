import { sqlStateOf } from "../handle/_driver_error.ts";
import { isTemporarilyUnavailable, retryUntilAborted } from "../handle/_retry.ts";
import { backoff, sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { isConflict, isRecordFailure, reloadPosition, storeWith } from "./_kept_position.ts";
import { readLastMessages } from "./_read_last_messages.ts";
import type { Run, Task } from "./_task.ts";

/** How long to wait before the first retry of a message, in milliseconds. */
export const FIRST_DELAY = 100;
/** How long to wait at most before a retry of a message, in milliseconds. */
export const LONGEST_DELAY = 30_000;
/**
 * So many times, a lost connection in the handler is blamed on the consumer's database without a
 * question. After that, the consumer's database is asked: the handler may use another database, and
 * the error may come from there.
 */
const MOST_INTERRUPTIONS = 5;

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
  const { run: { consumer: { sql, begin }, kept, givingUp }, placed: { place } } = task;
  // If the position has reached the message, another process has handled it, or this one has and the
  // answer was lost.
  while (kept.position < place) {
    task.failure = task.isDone = undefined;
    try {
      await (begin ? storeWith(kept, place, begin, work) : work(sql));
      break;
    } catch (error) {
      if (givingUp.aborted) return false;
      if (!await isInterruption(task, error)) throw error;
      // An error of the recovery, a lost lease for instance, is not the handler's.
      task.failure = task.isDone = undefined;
      if (!await recover(task, error)) return false;
    }
  }
  return true;
}

/** Whether the handler is not to blame for the error, so that the work is done again. */
async function isInterruption(
  { run: { consumer: { sql, begin }, kept }, failure, interruptions }: Task,
  error: unknown,
): Promise<boolean> {
  if (isConflict(kept, error)) return true;
  const state = String(sqlStateOf(error));
  // A deadlock or a serialization failure: the transaction can be run again.
  if (begin && state.startsWith("40")) return true;
  // A lock or statement timeout in the record passes: all consumers of a category wait for one lock there.
  if (isRecordFailure(kept, error) && /^(55P03|57014)$/.test(state)) return true;
  if (!isTemporarilyUnavailable(error)) return false;
  if (failure === undefined) return true;
  const { code } = error as { code?: unknown };
  const isOfDatabase = /^(08|57P)|^53300$/.test(state) ||
    /^(CONNECTION_|ERR_POSTGRES_)/.test(String(code));
  if (isOfDatabase && interruptions < MOST_INTERRUPTIONS) return true;
  // The handler may have lost the connection to a service of its own. So the consumer's database is
  // asked whether it answers.
  try {
    await readLastMessages(sql, [kept.streamName]);
    return false;
  } catch (error) {
    return isTemporarilyUnavailable(error);
  }
}

/** Waits until the database answers again; false if the consumer stops before. */
async function recover(task: Task, error: unknown): Promise<boolean> {
  const { consumer, kept, stopping } = task.run;
  if (!isConflict(kept, error)) consumer.onRetry?.(error);
  await sleep(backoff(++task.interruptions, FIRST_DELAY, LONGEST_DELAY), stopping);
  return !stopping.aborted && await reload(task.run) !== undefined;
}

/**
 * Reloads the position, which other processes may have moved, as soon as the database answers.
 * Undefined if the consumer stops before.
 */
export function reload({ consumer, kept, stopping }: Run): Promise<number | undefined> {
  return retryUntilAborted(() => reloadPosition(kept), { ...consumer, signal: stopping });
}
