import { storeFor } from "../handle/_store_for.ts";
import { checkIdentity } from "../consume/_checked_consumer.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { invalid } from "../lib/invalid.ts";
import { checkId, checkName, checkOptions } from "../names/_check.ts";
import { parkedStream, replayStream } from "../names/_own_streams.ts";
import type { MessageInput, Sql } from "../types.ts";
import { writeStreams } from "../write/write_streams.ts";
import { readParkedEntries } from "./_parked_entries.ts";
import { asRefusal } from "./_refusal.ts";
import { retryConflicts } from "./_retry_conflicts.ts";
import { wordsFor } from "./_whole_consumer.ts";

/** Options of `discardParked`. */
export interface DiscardOptions {
  /** Why the messages need no more handling. It is kept, in the stream of parked messages. */
  readonly reason: string;
}

/**
 * Discards parked messages: `replayParked` passes them, and `parked` leaves them out.
 *
 * The messages themselves stay in their streams, and what was parked stays in its stream: the reason comes
 * behind it. All are discarded, or on any error none. A message that is discarded already is no error.
 *
 * The messages are looked for in the consumer's whole stream of parked messages: 50 ms for 100,000, 0.8 s for a million.
 *
 * @example Discard all that failed with a known error
 * ```ts
 * import { discardParked, parked } from "@messagedb/client/operate";
 *
 * const letters = { category: "account", consumerId: "letters" };
 * const known = (await parked(sql, letters)).filter(({ error }) => error?.message === "no address");
 * await discardParked(sql, letters, known.map(({ message }) => message.id), {
 *   reason: "the customer has moved",
 * });
 * ```
 *
 * @param sql The handle.
 * @param consumer The consumer's names.
 * @param messageIds The ids of the messages that were parked.
 * @param options The reason.
 * @returns How many parked messages were discarded.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer's names are invalid, an id is not a UUID, or the reason is empty.
 * @throws {Error} If a message is not parked, or is replayed already.
 */
export async function discardParked(
  sql: Sql,
  consumer: ConsumerIdentity,
  messageIds: readonly string[],
  options: DiscardOptions,
): Promise<number> {
  const identity = checkIdentity(consumer);
  const store = storeFor(sql, identity.category);
  if (!Array.isArray(messageIds)) throw invalid("messageIds", messageIds, "an array");
  messageIds.forEach(checkId);
  checkOptions(options, { reason: true });
  const { reason } = options;
  checkName("reason", reason);
  const ids = messageIds.map((id) => id.toLowerCase());
  if (ids.length === 0) return 0;
  return await retryConflicts(async () => {
    const { entries, version, replayVersion } = await readParkedEntries(store, identity, { ids });
    for (const id of ids) {
      const ofMessage = entries.filter(({ data }) => data.message.id === id);
      if (ofMessage.some(({ state }) => state !== "replayed")) continue;
      const what = ofMessage.length === 0 ? "not parked" : "replayed already";
      throw asRefusal(
        new Error(`Cannot discard message "${id}" of ${wordsFor(identity)}: it is ${what}`),
      );
    }
    const messages = entries
      .filter(({ state }) => state === "open")
      .map(({ position }): MessageInput => ({ type: "Discarded", data: { position, reason } }));
    if (messages.length === 0) return 0;
    await writeStreams(store, [
      { streamName: parkedStream(identity), messages, expectedVersion: version },
      // Nothing of it is replayed meanwhile.
      { streamName: replayStream(identity), messages: [], expectedVersion: replayVersion },
    ]);
    return messages.length;
  });
}
