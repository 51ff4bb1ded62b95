import { checkFunction, checkOptions, checkSignal } from "../names/_check.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import type { Message, Sql } from "../types.ts";
import { type Beginning, checkConsumer } from "./_checked_consumer.ts";
import { consumeShare } from "./_share_members.ts";
import type { ConsumerOf } from "./consumer.ts";

/** Options of `consume`. */
export interface ConsumeOptions {
  /** Ends the consumer. The messages in hand are finished first, and the position is stored. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called when all messages that were there are handled: the first time, and again each time that more
   * messages have come and been handled. A process that has several members calls when it has caught up with
   * all of them.
   */
  readonly onCaughtUp?: (() => void) | undefined;
}

/**
 * Runs handlers for the messages of a category, of an aggregate or of all streams, until the signal
 * aborts. When the consumer is started again, it goes on at its stored position.
 *
 * The position is stored in the message store itself, in the stream `{category}:position-{consumerId}` (or
 * `{category}+position-{consumerId}`, if the category has a type). It is stored as Eventide's `Recorded`
 * messages, so that a Ruby consumer can be taken over.
 *
 * A message is handled at least once: after a crash, the messages since the last stored position are
 * handled again. With `transactional`, the handlers' work and the position are one transaction. Then each
 * message takes effect in the database exactly once, whatever is killed when.
 *
 * One process at a time has the consumer: a second one waits, and takes over within a second after the first has
 * ended, or within `leaseDuration` if the first was killed and there are messages to handle. While nothing
 * happens, nothing is written.
 *
 * The members of a consumer group share the streams of the category. Each member has a position of its
 * own, and one process at a time. If the size of the group changes, the members go on at the lowest position of the old members:
 * some messages are handled again, and no message is skipped.
 *
 * A lost connection is retried, and the message in hand is handled again. After five connections that were
 * lost while the handler had the same message, the policy decides. With `transactional`, the transaction is
 * run again after a conflict of the handler's own writes, those of `decide` too, up to 20 times: each wait is
 * longer than the one before, and from the fourth time on, the category is locked before the handler is called.
 *
 * An operator may set the position, skip a message or park it, beside the running consumer: it notices that
 * within `pollInterval`, and goes on from there. The message in hand is finished first.
 *
 * If the store goes back, because a standby that was behind is promoted or a backup is restored, the
 * consumer goes on from the position that is stored then. `onRetry` gets a `StoreWentBackError`.
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
 * @param consumer What the consumer reads, its handlers, and its name.
 * @param options When to end.
 * @returns Nothing, when the signal has aborted and the messages in hand are finished.
 * @throws {HandlerFailedError} If a message was not handled and the verdict is to stop.
 * @throws {StoreWentBackError} If the store went back, nothing is stored, and `startAt` is `"end"` or a time.
 * @throws {ReplicaReadError} If `"$all"` is read from a replica, and `settle` does not run on the primary.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer is invalid, or needs something that the handle does not have, or if a handler
 * answers an error, or what has not run: see `HandlerAnswer`.
 * @throws {RangeError} If an option is out of range.
 */
export async function consume<
  Handle extends Sql,
  Handled extends Message = Message,
  Transactional extends boolean = false,
>(
  sql: Handle & Beginning<Transactional>,
  consumer: ConsumerOf<NoInfer<Handle>, Handled, Transactional>,
  options: ConsumeOptions = {},
): Promise<void> {
  checkOptions(options, { signal: true, onCaughtUp: true });
  checkSignal(options.signal);
  if (options.onCaughtUp !== undefined) checkFunction("onCaughtUp", options.onCaughtUp);
  const checked = checkConsumer(sql, consumer);
  const shutdown = shutdownOn([options.signal], checked.shutdownTimeout);
  try {
    if (!shutdown.stopping.aborted) await consumeShare(checked, shutdown, options.onCaughtUp);
  } finally {
    shutdown.dispose();
  }
}
