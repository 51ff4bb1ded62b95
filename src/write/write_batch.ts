import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import { checkOptions } from "../names/_check.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { MessageInput, Sql } from "../types.ts";
import type { WriteOptions } from "./write.ts";
import { appendToStreams } from "./_append_to_streams.ts";

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
 * @typeParam Input The messages of the catalogue that is given as `messages`.
 * @param sql The handle; inside a transaction, the transaction's.
 * @param streamName The stream: `"account-123"`.
 * @param messages What to write; at least one message.
 * @param options What the write expects.
 * @returns The position of the last message.
 * @throws {WrongExpectedVersionError} If the stream is at another version.
 * @throws {DuplicateMessageError} If some of the messages are in the store, or are there in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {InvalidMessageError} If a message does not fit its catalogue.
 * @throws {TypeError} If the name is no stream's, a type is empty, an id is no UUID, or JSON cannot hold the data.
 * @throws {RangeError} If there is no message, or the expected version is no integer from -1.
 */
export function writeBatch<Input extends MessageInput>(
  sql: Sql,
  streamName: string,
  messages: readonly NoInfer<Input>[],
  options: WriteOptions & TypedInput<Input>,
): Promise<number>;
export function writeBatch(
  sql: Sql,
  streamName: string,
  messages: readonly MessageInput[],
  options?: WriteOptions,
): Promise<number>;
export async function writeBatch(
  sql: Sql,
  streamName: string,
  messages: readonly MessageInput[],
  options: WriteOptions & MaybeTyped = {},
): Promise<number> {
  checkOptions(options);
  const { expectedVersion } = options;
  const streams = [{ streamName, messages, expectedVersion }];
  const { positions } = await appendToStreams(sql, streams, parserOf(options));
  return safeInteger(positions[0]!);
}
