import { checkInteger, checkOptions, invalid } from "./_check.ts";
import { endingOf } from "./_ending.ts";
import { drainGroup } from "./_group.ts";
import { openMember } from "./_member.ts";
import { checkConsumer, type Consumer } from "./consumer.ts";
import type { ConsumerGroup, Sql } from "./types.ts";

/** Options of `drain`. */
export interface DrainOptions {
  /**
   * When to begin no more messages: a `Date`, or what `Date.now()` will be. What is in hand then goes
   * on for `shutdownTimeout` at most.
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

/** What `drain` has done. */
export interface Drained {
  /** How many messages it has handled, passed over or put aside. */
  readonly handled: number;
  /** The global position up to which all is handled, of a group the lowest; 0 for nothing. */
  readonly position: number;
  /** Whether there was no more; not while another process has a member of the group. */
  readonly caughtUp: boolean;
}

/**
 * Runs a consumer until there is no more to handle, or no more time: for a cron trigger, a queue or an
 * alarm.
 *
 * As `consume`, over any handle, and with nothing left behind but the stored position. A connection
 * that is lost is tried again five times.
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
 * @param consumer What it reads, what it does with it, and its name.
 * @param options When to end.
 * @returns How many messages were handled, how far it has come, and whether that was all.
 * @throws {HandlerFailedError} If a message was not handled and the consumer's policy is to stop.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer is none, or needs what the handle does not have.
 * @throws {RangeError} If an option is out of range.
 */
export async function drain<Handle extends Sql>(
  sql: Handle,
  consumer: Consumer<NoInfer<Handle>>,
  options: DrainOptions = {},
): Promise<Drained> {
  checkOptions(options);
  const { deadline, limit = Infinity } = options;
  if (limit !== Infinity) checkInteger("limit", limit, 1);
  const checked = { ...checkConsumer(sql, consumer), attempts: 5 };
  const { group, shutdownTimeout } = checked;
  const ending = endingOf([], shutdownTimeout);
  const time = deadline === undefined ? Infinity : timeUntil(deadline);
  if (time <= 0) ending.stop();
  // A timer takes no more than that.
  const timer = time <= 2 ** 31 - 1 ? setTimeout(ending.stop, time) : undefined;
  const bounds = { untilCaughtUp: true, limit };
  try {
    if (group !== undefined && group.member === undefined) {
      return await drainGroup(checked, ending, bounds);
    }
    const member = await openMember(checked, group as ConsumerGroup | undefined);
    return await member.run(ending, bounds);
  } finally {
    clearTimeout(timer);
    ending.dispose();
  }
}

function timeUntil(deadline: Date | number): number {
  const time = Number(deadline);
  if (typeof deadline !== "number" && !(deadline instanceof Date) || Number.isNaN(time)) {
    throw invalid("deadline", deadline, "a valid Date, or a number as Date.now() gives");
  }
  return time - Date.now();
}
