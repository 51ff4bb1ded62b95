import { retryWhileUnavailable } from "../handle/_retry.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { checkInteger, checkOptions, checkSignal } from "../names/_check.ts";
import { parkedStream, replayStream } from "../names/_own_streams.ts";
import { isCategory } from "../names/stream_name.ts";
import { readMessages } from "../read/read_messages.ts";
import { readStream } from "../read/read_stream.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Message, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { checkConsumer } from "./_checked_consumer.ts";
import { type HandledOutcome, handleMessage } from "./_handle_message.ts";
import { keepPosition, passTo, storePosition } from "./_kept_position.ts";
import { readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import type { Run } from "./_task.ts";
import type { Consumer } from "./consumer.ts";
import type { Parked } from "./parked.ts";

/** Options of `replayParked`. */
export interface ReplayParkedOptions {
  /** Ends the replay before the next message. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many parked messages to take at most, from 1.
   *
   * @default all messages that are parked when the replay begins
   */
  readonly limit?: number | undefined;
}

/** The result of `replayParked`. */
export interface Replayed {
  /** How many parked messages were taken. */
  readonly replayed: number;
  /** How many of them were parked again. */
  readonly parked: number;
}

/**
 * Handles the parked messages of a consumer once more, in the order in which they were parked.
 *
 * The handlers and the policy are those of `consume`: a message that fails is retried, skipped, parked
 * again, or stops the replay. The position of the replay is stored in the stream
 * `{category}:position-{consumerId}+parked`. So each parked message is taken once, and with
 * `transactional` it is handled exactly once.
 *
 * The replay can run beside the consumer. A parked message can then take effect after later messages of
 * its stream: to park a message means to let later messages go first.
 *
 * @example
 * ```ts
 * import { replayParked } from "@messagedb/client";
 *
 * const { replayed, parked } = await replayParked(sql, {
 *   category: "account",
 *   consumerId: "letters",
 *   handle: (message) => console.log(message.type),
 *   onError: "park",
 * });
 * ```
 *
 * @param sql The handle; for `transactional`, one that has `begin`.
 * @param consumer The consumer that has parked the messages.
 * @param options When to end.
 * @returns How many parked messages were taken, and how many of them were parked again.
 * @throws {HandlerFailedError} If a message was not handled and the verdict is to stop.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer is invalid, or needs something that the handle does not have.
 * @throws {RangeError} If an option is out of range.
 */
export async function replayParked<Handle extends Sql, Handled extends Message = Message>(
  sql: Handle,
  consumer: Consumer<NoInfer<Handle>, Handled>,
  options: ReplayParkedOptions = {},
): Promise<Replayed> {
  checkOptions(options);
  const { signal, limit = Infinity } = options;
  checkSignal(signal);
  if (limit !== Infinity) checkInteger("limit", limit, 1);
  const checked = { ...checkConsumer(sql, consumer), tries: 5 };
  const name = replayStream(checked);
  const first = { ...checked, isFirst: true };
  const [last] = await retryWhileUnavailable(() => readLastMessages(sql, [name]), first);
  // This position is the number of messages that were taken: 0 means none, as for a global position.
  const next = last === undefined ? 0 : recordedPosition(last);
  const version = last?.version ?? NO_STREAM;
  const kept = keepPosition(checked, name, { position: next, stored: next, version });
  const findEnd = () => streamVersion(sql, parkedStream(checked));
  const end = Math.min(await retryWhileUnavailable(findEnd, checked) + 1, next + limit);
  const shutdown = shutdownOn([signal], checked.shutdownTimeout);
  let replayed = 0;
  let parked = 0;
  try {
    const run = { ...shutdown, consumer: checked, kept };
    for await (const message of parkedMessages(run, end)) {
      if (run.stopping.aborted) break;
      const outcome = await replay(run, message);
      if (outcome === "ended") break;
      passTo(kept, message.position + 1);
      await retryWhileUnavailable(() => storePosition(kept), checked);
      replayed++;
      if (outcome === "parked") parked++;
    }
    return { replayed, parked };
  } finally {
    shutdown.dispose();
  }
}

/** The parked messages from the position that is kept up to the end, page by page. */
async function* parkedMessages(
  { consumer, kept }: Run,
  end: number,
): AsyncGenerator<Message<Parked>, void, undefined> {
  const name = parkedStream(consumer);
  while (kept.position < end) {
    const from = { position: kept.position, batchSize: Math.min(end - kept.position, 100) };
    yield* await retryWhileUnavailable(
      () => readStream<Parked>(consumer.sql, name, from),
      consumer,
    );
  }
}

/** Handles the message that a parked message refers to; it is skipped if it was deleted by hand. */
async function replay(
  run: Run,
  { id: parkedAs, position, data: { message: { id, ...origin }, reference } }: Message<Parked>,
): Promise<HandledOutcome> {
  const { consumer } = run;
  const { streamName, position: originAt } = origin;
  const [stored] = await retryWhileUnavailable(
    // A stream whose name is a category cannot be read as a stream.
    () =>
      isCategory(streamName)
        ? readMessages(consumer.sql, [id])
        : readStream(consumer.sql, streamName, { position: originAt, batchSize: 1 }),
    consumer,
  );
  if (stored?.id !== id) return "skipped";
  const message = reference ? { ...stored, reference } : stored;
  return await handleMessage(run, { message, place: position + 1, parkedAs });
}
