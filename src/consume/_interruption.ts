import { sqlStateOf } from "../handle/_driver_error.ts";
import { isTemporarilyUnavailable, retryUntilAborted } from "../handle/_retry.ts";
import { backoff, sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { isConflict, isRecordFailure, reloadPosition, storeWith } from "./_kept_position.ts";
import { readLastMessages } from "./_read_last_messages.ts";
import type { Run, Task } from "./_task.ts";

/** How long to wait before a message is handled again, in milliseconds: at first, and at most. */
export const FIRST_DELAY = 100;
export const LONGEST_DELAY = 30_000;
/**
 * How many times an error that any database could cause is blamed on ours although ours answers: the
 * handler may use another database.
 */
const MOST_INTERRUPTIONS = 5;

/**
 * Does work for a message: in one transaction with the position, if the consumer is transactional. The
 * work is done again when the database fails, until the database is well.
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

/** Whether the database has failed, so that the handler is not to blame. */
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
  // The handler may have lost the connection to a service of its own: ours is asked.
  try {
    await readLastMessages(sql, [kept.streamName]);
    return false;
  } catch (error) {
    return isTemporarilyUnavailable(error);
  }
}

/** Waits until the database is well again; false if the consumer stops before. */
async function recover(task: Task, error: unknown): Promise<boolean> {
  const { consumer, kept, stopping } = task.run;
  if (!isConflict(kept, error)) consumer.onRetry?.(error);
  await sleep(backoff(++task.interruptions, FIRST_DELAY, LONGEST_DELAY), stopping);
  return !stopping.aborted && await reload(task.run) !== undefined;
}

/** Learns what other processes have done; undefined if the consumer stops before. */
export function reload({ consumer, kept, stopping }: Run): Promise<number | undefined> {
  return retryUntilAborted(() => reloadPosition(kept), { ...consumer, signal: stopping });
}
