import { checkInteger, checkOptions } from "../names/_check.ts";
import { keepPosition, positionOf, positionStream } from "./_cursor.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { handleMessage } from "./_attempt.ts";
import { parkedStream } from "./_park.ts";
import type { Parked } from "./parked.ts";
import { readLastMessages } from "./_stored_positions.ts";
import { retryWhileLost } from "../handle/_retry.ts";
import { checkConsumer } from "./_checked_consumer.ts";
import type { Consumer } from "./consumer.ts";

import { readStream } from "../read/read_stream.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Message, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";

/** Options of `replayParked`. */
export interface ReplayParkedOptions {
  /** Ends it before the next message. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many messages to take at most, from 1.
   *
   * @default all that were parked when it began
   */
  readonly limit?: number | undefined;
}

/** What `replayParked` has done. */
export interface Replayed {
  /** How many messages it has taken from those that were parked. */
  readonly replayed: number;
  /** How many of them were parked again. */
  readonly parked: number;
}

/**
 * Handles again the messages that a consumer has put aside, in the order in which it did.
 *
 * Its handlers and its policy are those of `consume`: what fails is tried again, passed over, parked
 * again, or stops it. How far it has come is stored in the stream
 * `{category}:position-{consumerId}+parked`, so that each message is taken once, and with
 * `transactional` handled exactly once. It can run beside the consumer: a message's effect can then
 * come after those of later messages of its stream, as parking it meant.
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
 * @param consumer The consumer that has parked them.
 * @param options When to end.
 * @returns How many it has taken, and how many of these are parked again.
 * @throws {HandlerFailedError} If a message was not handled and the consumer's policy is to stop.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer is none, or needs what the handle does not have.
 * @throws {RangeError} If an option is out of range.
 */
export async function replayParked<Handle extends Sql, Handled extends Message = Message>(
  sql: Handle,
  consumer: Consumer<NoInfer<Handle>, Handled>,
  options: ReplayParkedOptions = {},
): Promise<Replayed> {
  checkOptions(options);
  const { signal, limit = Infinity } = options;
  if (limit !== Infinity) checkInteger("limit", limit, 1);
  const checked = { ...checkConsumer(sql, consumer), attempts: 5 };
  const parkedName = parkedStream(checked);
  const name = positionStream(checked, "parked");
  const [last] = await readLastMessages(sql, [name]);
  // The stream's positions begin with 0, which stands for none where positions are global.
  const stored = last === undefined ? 0 : positionOf(last);
  const cursor = keepPosition(checked, name, {
    position: stored,
    stored,
    version: last?.version ?? NO_STREAM,
    holder: undefined,
  });
  const end = Math.min(await streamVersion(sql, parkedName) + 1, stored + limit);
  const ending = shutdownOn([signal], checked.shutdownTimeout);
  let replayed = 0;
  let parked = 0;
  try {
    while (cursor.position < end) {
      const from = { position: cursor.position, batchSize: Math.min(end - cursor.position, 100) };
      const page = await retryWhileLost(() => readStream<Parked>(sql, parkedName, from), checked);
      for (const { id, position, data } of page) {
        if (ending.stopping.aborted) return { replayed, parked };
        const { streamName, position: place } = data.message;
        const from = { position: place, batchSize: 1 };
        const [stored] = await retryWhileLost(() => readStream(sql, streamName, from), checked);
        const { reference } = data;
        const message = reference ? { ...stored!, reference } : stored;
        // One that was deleted by hand cannot be handled any more.
        const isThere = message?.id === data.message.id;
        const outcome = !isThere ? "skipped" : await handleMessage(
          checked,
          cursor,
          { message, place: position + 1, parkedAs: id },
          ending,
        );
        if (outcome === "ended") return { replayed, parked };
        cursor.pass(position + 1);
        await retryWhileLost(cursor.store, checked);
        replayed++;
        if (outcome === "parked") parked++;
      }
    }
    return { replayed, parked };
  } finally {
    ending.dispose();
  }
}
