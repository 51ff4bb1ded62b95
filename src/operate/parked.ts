import { storeFor } from "../handle/_store_for.ts";
import { checkIdentity } from "../consume/_checked_consumer.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import type { Parked } from "../consume/parked.ts";
import { checkInteger, checkOptions } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { readParkedEntries } from "./_parked_entries.ts";

/** Which of the parked messages to read. */
export interface ParkedOptions {
  /**
   * The first position to read, in the consumer's stream of parked messages.
   *
   * @default 0
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at most, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}

/** A message that a consumer has parked. */
export interface ParkedMessage extends Parked {
  /** Its position in the consumer's stream of parked messages. */
  readonly position: number;
  /** When it was parked. */
  readonly time: Date;
}

/**
 * Reads which messages of a consumer are parked, and neither replayed nor discarded, in the order in which
 * they were parked.
 *
 * The statement begins where `replayParked` goes on, or at `position` if that is later. It goes through the consumer's
 * stream of parked messages to its end, even for a small page: a message may have been replayed or discarded out of turn,
 * and no index says so. 100,000 messages take 40 ms, a million 0.3 s.
 *
 * @example The errors of all parked messages
 * ```ts
 * import { parked } from "@messagedb/client/operate";
 *
 * const letters = { category: "account", consumerId: "letters" };
 * for (const { message, error, time } of await parked(sql, letters)) {
 *   console.log(time, message.type, message.id, error?.message);
 * }
 * ```
 *
 * @param sql The handle.
 * @param consumer The consumer's names. The members of a group have parked in one stream.
 * @param options Which of the messages to read: after a page, read on at the last `position` + 1.
 * @returns The parked messages; an empty array if there are none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer's names are invalid, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export async function parked(
  sql: Sql,
  consumer: ConsumerIdentity,
  options: ParkedOptions = {},
): Promise<ParkedMessage[]> {
  const identity = checkIdentity(consumer);
  checkOptions(options, { position: true, batchSize: true });
  const { position = 0, batchSize = 1000 } = options;
  checkInteger("position", position, 0);
  checkInteger("batchSize", batchSize, 1);
  const wanted = { isOpen: true, position, batchSize };
  const { entries } = await readParkedEntries(storeFor(sql, identity.category), identity, wanted);
  return entries.map(({ position, data, time }) => ({ ...data, position, time: new Date(time) }));
}
