import { checkOptions } from "./_check.ts";
import type { MessageInput, Sql } from "./types.ts";
import type { WriteOptions } from "./write.ts";
import { writeStreams } from "./write_streams.ts";

/**
 * Writes messages to a stream, in order: all of them or, on any error, none.
 *
 * One statement and one round trip, so it is atomic without a transaction. Sending the same messages
 * with the same ids again writes nothing and answers the first position of the last.
 *
 * @example
 * ```ts
 * import { writeBatch } from "@messagedb/client";
 *
 * const last = await writeBatch(sql, "account-123", [
 *   { type: "Opened", data: { owner: "Ada" } },
 *   { type: "Deposited", data: { amount: 11 } },
 * ]);
 * ```
 *
 * @param sql The handle; inside a transaction, the transaction's.
 * @param streamName The stream: `"account-123"`.
 * @param messages What to write; at least one message.
 * @param options What the write expects.
 * @returns The position of the last message.
 * @throws {WrongExpectedVersionError} If the stream is at another version.
 * @throws {DuplicateMessageError} If some of the messages are in the store, or are there in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no stream's, a type is empty, an id is no UUID, or JSON cannot hold the data.
 * @throws {RangeError} If there is no message, or the expected version is no integer from -1.
 */
export async function writeBatch(
  sql: Sql,
  streamName: string,
  messages: readonly MessageInput[],
  options: WriteOptions = {},
): Promise<number> {
  checkOptions(options);
  const { expectedVersion } = options;
  const [position] = await writeStreams(sql, [{ streamName, messages, expectedVersion }]);
  return position!;
}
