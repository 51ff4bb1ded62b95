import { invalid } from "../lib/invalid.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { checkInteger, checkOptions, checkSignal } from "../names/_check.ts";
import type { Message, Sql } from "../types.ts";
import { type Beginning, checkConsumer } from "./_checked_consumer.ts";
import { drainMembers } from "./_drain_members.ts";
import type { ConsumerOf } from "./consumer.ts";

/** Options of `drain`. */
export interface DrainOptions {
  /** Ends it, as the deadline does. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The time after which no message is begun: a `Date`, or a time as `Date.now()` gives, not a duration.
   * The messages in hand then go on for `shutdownTimeout` at most.
   *
   * @default never
   */
  readonly deadline?: Date | number | undefined;
  /**
   * How many messages to handle at most, from 1.
   *
   * @default all
   */
  readonly limit?: number | undefined;
}

/** The result of `drain`. */
export interface Drained {
  /** How many messages were handled, skipped by the policy, or parked. */
  readonly handled: number;
  /**
   * The global position up to which all messages are handled; 0 for none. For an aggregate, it is the
   * position of a reference. For a group, it is the lowest position of the members.
   */
  readonly position: number;
  /** Whether no message was left. */
  readonly caughtUp: boolean;
  /**
   * Whether messages were left to another process, which has the consumer or a member of its group. That may be
   * an earlier `drain` that has not ended, or a `consume`.
   */
  readonly busy: boolean;
}

/**
 * Runs a consumer until it has caught up, or until its time is over: for a cron trigger, a queue or an
 * alarm.
 *
 * It works as `consume` does, over any handle, and leaves nothing behind but the stored position. If there is
 * nothing to handle, nothing is written. If another process has the consumer, and there are messages, it
 * returns at once and says `busy`. It takes over from a `drain` that was killed when that one's `leaseDuration`
 * is over. From a `consume` that was killed, the first `drain` after that asks, and one that comes
 * `leaseDuration` later takes over.
 *
 * A statement
 * that meets trouble that passes, such as a lost connection, is tried five times in all. The first statements
 * are tried once, unless the trouble is a conflict.
 *
 * @example
 * ```ts
 * import { drain } from "@messagedb/client";
 *
 * const { handled, caughtUp } = await drain(sql, {
 *   category: "account",
 *   consumerId: "letters",
 *   handle: (message) => console.log(message.type),
 * }, { deadline: Date.now() + 20_000 });
 * ```
 *
 * @param sql The handle; for `transactional`, one that has `begin`.
 * @param consumer What the consumer reads, its handlers, and its name.
 * @param options When to end.
 * @returns How many messages were handled, the position after that, and whether no message is left.
 * @throws {HandlerFailedError} If a message was not handled and the verdict is to stop.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer is invalid, or needs something that the handle does not have, or if a handler
 * answers an error, or what has not run: see `HandlerAnswer`.
 * @throws {RangeError} If an option is out of range.
 */
export async function drain<
  Handle extends Sql,
  Handled extends Message = Message,
  Transactional extends boolean = false,
>(
  sql: Handle & Beginning<Transactional>,
  consumer: ConsumerOf<NoInfer<Handle>, Handled, Transactional>,
  options: DrainOptions = {},
): Promise<Drained> {
  checkOptions(options, { signal: true, deadline: true, limit: true });
  const { signal, deadline, limit = Infinity } = options;
  checkSignal(signal);
  if (limit !== Infinity) checkInteger("limit", limit, 1);
  const time = deadline === undefined ? Infinity : timeOf(deadline);
  const checked = { ...checkConsumer(sql, consumer), tries: 5, isDrained: true };
  const shutdown = shutdownOn([signal], checked.shutdownTimeout);
  const left = time - Date.now();
  if (left <= 0) shutdown.stop();
  // A timer cannot wait longer than that.
  const timer = left <= 2 ** 31 - 1 ? setTimeout(shutdown.stop, left) : undefined;
  const bounds = { untilCaughtUp: true, limit, deadline: time };
  try {
    const { isBusy: busy, ...drained } = await drainMembers(checked, shutdown, bounds);
    return { ...drained, busy };
  } finally {
    clearTimeout(timer);
    shutdown.dispose();
  }
}

function timeOf(deadline: Date | number): number {
  const time = Number(deadline);
  if (typeof deadline !== "number" && !(deadline instanceof Date) || Number.isNaN(time)) {
    throw invalid("deadline", deadline, "a valid Date, or a number as Date.now() gives");
  }
  // A time before March 1973 is a duration that was given by mistake.
  if (typeof deadline === "number" && time < 1e11) {
    throw invalid("deadline", deadline, "a time: Date.now() + 20_000", RangeError);
  }
  return time;
}
