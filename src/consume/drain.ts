import { invalid } from "../lib/invalid.ts";
import { checkInteger, checkOptions } from "../names/_check.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { drainGroup } from "./_group.ts";
import { openMember } from "./_member.ts";
import { unlessAborted } from "../lib/wait.ts";
import { checkConsumer } from "./_checked_consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";

/** Options of `drain`. */
export interface DrainOptions {
  /** Ends it as its deadline does. */
  readonly signal?: AbortSignal | undefined;
  /**
   * When to begin no more messages: a `Date`, or what `Date.now()` will be, not how long it may take.
   * What is in hand then goes on for `shutdownTimeout` at most.
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
  /** How many messages it has handled, passed over by its policy, or put aside. */
  readonly handled: number;
  /**
   * The global position up to which all is handled (of an aggregate, the reference's), of a group the
   * lowest; 0 for nothing.
   */
  readonly position: number;
  /** Whether there was no more; not while another process has a member of the group. */
  readonly caughtUp: boolean;
}

/**
 * Runs a consumer until there is no more to handle, or no more time: for a cron trigger, a queue or an
 * alarm.
 *
 * As `consume`, over any handle, and with nothing left behind but the stored position. A statement that
 * loses its connection is tried five times in all; the first ones, once.
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
export async function drain<Handle extends Sql, Handled extends Message = Message>(
  sql: Handle,
  consumer: Consumer<NoInfer<Handle>, Handled>,
  options: DrainOptions = {},
): Promise<Drained> {
  checkOptions(options);
  const { signal, deadline, limit = Infinity } = options;
  if (limit !== Infinity) checkInteger("limit", limit, 1);
  const checked = { ...checkConsumer(sql, consumer), attempts: 5 };
  const { group, shutdownTimeout } = checked;
  const shutdown = shutdownOn([signal], shutdownTimeout);
  const time = deadline === undefined ? Infinity : timeOf(deadline);
  const left = time - Date.now();
  if (left <= 0) shutdown.stop();
  // A timer that is set to more does not wait at all.
  const timer = left <= 2 ** 31 - 1 ? setTimeout(shutdown.stop, left) : undefined;
  const bounds = { untilCaughtUp: true, limit, deadline: time };
  try {
    if (group !== undefined && group.member === undefined) {
      return await drainGroup(checked, shutdown, bounds);
    }
    const opening = openMember(checked, group as ConsumerGroup | undefined);
    const member = await unlessAborted(opening, shutdown.givingUp);
    // The database has not answered in time: the position is not known.
    if (member === undefined) return { handled: 0, position: 0, caughtUp: false };
    return await member.run(shutdown, bounds);
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
  // In 1973, which is a duration that was mistaken for it.
  if (typeof deadline === "number" && time < 1e11) {
    throw invalid("deadline", deadline, "a time: Date.now() + 20_000", RangeError);
  }
  return time;
}
