import { checkOptions } from "../names/_check.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { consumeShare } from "./_group.ts";
import { openMember } from "./_member.ts";
import { UNBOUNDED } from "./_run_member.ts";
import { unlessAborted } from "../lib/wait.ts";
import { checkConsumer } from "./_checked_consumer.ts";
import type { Consumer } from "./consumer.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";

/** Options of `consume`. */
export interface ConsumeOptions {
  /** Ends the consumer: what is in hand is finished and its position stored. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs handlers for the messages of a category, of an aggregate or of all streams, until the signal
 * aborts, and goes on where it was when it is started again.
 *
 * The position is stored in the store itself, in the stream `{category}:position-{consumerId}` (or
 * `{category}+position-…`, where the category has a type), as Eventide's `Recorded` messages, so that a
 * Ruby consumer can be taken over. A message is handled at
 * least once: after a crash, those since the last stored position are handled again. With
 * `transactional`, the handler's work and the position are one transaction, and each message's effect
 * in the database is there exactly once, whatever is killed when.
 *
 * A consumer group shares the category by streams. Each member has a position of its own; where the
 * group's size changes, members go on at the lowest position of the old ones, so that some messages are
 * handled again, and none is passed over.
 *
 * A lost connection is tried again, and so is the message that was in hand. Where two processes run the
 * same consumer, both handle messages, and the position is that of the one that is ahead; with
 * `transactional`, each message still takes effect once in the database.
 *
 * @example
 * ```ts
 * import { consume, type Message } from "@messagedb/client";
 *
 * const balances = new Map<string, number>();
 * await consume(sql, {
 *   category: "account",
 *   consumerId: "balances",
 *   handlers: {
 *     Deposited: ({ streamName, data }: Message<{ amount: number }>) => {
 *       balances.set(streamName, (balances.get(streamName) ?? 0) + data.amount);
 *     },
 *   },
 * }, { signal: AbortSignal.timeout(500) });
 * ```
 *
 * @param sql The handle; for `transactional`, one that has `begin`.
 * @param consumer What it reads, what it does with it, and its name.
 * @param options What ends it.
 * @returns Nothing, when the signal has aborted and what was in hand is finished.
 * @throws {HandlerFailedError} If a message was not handled and the consumer's policy is to stop.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer is none, or needs what the handle does not have.
 * @throws {RangeError} If an option is out of range.
 */
export async function consume<Handle extends Sql, Handled extends Message = Message>(
  sql: Handle,
  consumer: Consumer<NoInfer<Handle>, Handled>,
  options: ConsumeOptions = {},
): Promise<void> {
  checkOptions(options);
  const checked = checkConsumer(sql, consumer);
  const { group, shutdownTimeout } = checked;
  const shutdown = shutdownOn([options.signal], shutdownTimeout);
  try {
    if (shutdown.stopping.aborted) return;
    if (group !== undefined && group.member === undefined) {
      return await consumeShare(checked, shutdown);
    }
    const opening = openMember(checked, group as ConsumerGroup | undefined);
    const member = await unlessAborted(opening, shutdown.givingUp);
    await member?.run(shutdown, UNBOUNDED);
  } finally {
    shutdown.dispose();
  }
}
