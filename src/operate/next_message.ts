import { storeFor } from "../handle/_store_for.ts";
import { checkIdentity } from "../consume/_checked_consumer.ts";
import { findPosition, streamOf } from "../consume/_find_position.ts";
import { readLastMessages } from "../consume/_read_last_messages.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { checkConsumerGroup, checkInteger, checkOptions, checkSignal } from "../names/_check.ts";
import { checkTypes } from "../subscribe/_reader.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";
import { firstAfter } from "./_first_after.ts";
import { typesIn } from "./_recorded_types.ts";
import { asRefusal } from "./_refusal.ts";
import { noPosition, wordsFor } from "./_whole_consumer.ts";

/** Options of `nextMessage`. */
export interface NextMessageOptions {
  /**
   * The types that the consumer handles, as they are stored.
   *
   * @default what the consumer recorded with its position; all types if it recorded none
   */
  readonly types?: readonly string[] | undefined;
  /**
   * How many messages to look at, at most, from 1.
   *
   * @default all
   */
  readonly scanLimit?: number | undefined;
  /** Ends the search: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the message that a consumer meets next: the first one after its position, of its types and of its member's
 * share. It is the message that `park` and `skip` take.
 *
 * A running consumer stores its position once a second or after 1,000 messages. So the message that it has in hand
 * may be a later one. A consumer that has ended, or that tries one message again and again, has stored its position.
 *
 * It looks at up to 2,000 messages a statement. Where none of a million is of the types, that takes some seconds.
 *
 * @example
 * ```ts
 * import { append, drain } from "@messagedb/client";
 * import { nextMessage } from "@messagedb/client/operate";
 *
 * await append(sql, "parcel-123", [{ type: "Packed" }, { type: "Sent" }]);
 * const letters = { category: "parcel", consumerId: "letters" };
 * await drain(sql, { ...letters, handle: () => {} }, { limit: 1 });
 * (await nextMessage(sql, letters))?.type; // "Sent"
 * ```
 *
 * @param sql The handle.
 * @param consumer The consumer's names. A group's `consumerGroup` names the member too.
 * @param options The types that the consumer handles, if it has not recorded them, and how far to look.
 * @returns The message; null if no message waits, or if a transaction that is open may still write an earlier one.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer's names are invalid, or the group's member is left out.
 * @throws {RangeError} If the group's size or member is out of range, or none of `scanLimit` messages is the next one.
 * @throws {Error} If the store has no position of the group's member.
 */
export async function nextMessage(
  sql: Sql,
  consumer: ConsumerIdentity,
  options: NextMessageOptions = {},
): Promise<Message | null> {
  const identity = checkIdentity(consumer);
  const store = storeFor(sql, identity.category);
  if (identity.group !== undefined) checkConsumerGroup(identity.group as ConsumerGroup);
  checkOptions(options, { types: true, scanLimit: true, signal: true });
  const { types, scanLimit, signal } = options;
  if (scanLimit !== undefined) checkInteger("scanLimit", scanLimit, 1);
  checkSignal(signal);
  if (types !== undefined) checkTypes(types);
  const member = identity.group as ConsumerGroup | undefined;
  const [last] = await readLastMessages(store, [streamOf(identity, member)]);
  // findPosition() records the size of a group that has never run: nothing is to be written here.
  if (last === undefined && member !== undefined) {
    throw noPosition("read the next message of", identity);
  }
  const { position } = await findPosition(store, identity, member, () => Promise.resolve(0));
  const first = await firstAfter(store, identity.source, {
    position,
    types: types ?? (last && typesIn(last)),
    consumerGroup: member,
    scanLimit,
    signal,
  });
  if (first !== "beyond") return first && first.message;
  throw asRefusal(
    new RangeError(
      `Cannot read the next message of ${
        wordsFor(identity)
      }: none of the ${scanLimit} messages after ` +
        `position ${position} is one that it handles`,
    ),
  );
}
