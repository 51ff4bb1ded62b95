import { safeInteger } from "../messages/_columns.ts";
import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import { checkOptions } from "../names/_check.ts";
import type { MessageInput, Sql } from "../types.ts";
import { appendToStreams } from "./_append_to_streams.ts";
import type { StreamInput } from "./stream_input.ts";

/**
 * Writes messages to several streams: all of them or, on any error, none.
 *
 * One statement, so it is atomic without a transaction. The locks of the categories are taken in one
 * order whatever the order of the streams, so that two calls cannot wait for each other. Sending the
 * same messages with the same ids again writes nothing and answers the first positions.
 *
 * @example Move money, both streams or neither
 * ```ts
 * import { writeStreams } from "@messagedb/client";
 *
 * await writeStreams(sql, [
 *   { streamName: "account-123", messages: [{ type: "Withdrawn", data: { amount: 5 } }] },
 *   { streamName: "account-456", messages: [{ type: "Deposited", data: { amount: 5 } }] },
 * ]);
 * ```
 *
 * @typeParam Input The messages of the catalogue that is given as `messages`.
 * @param sql The handle; inside a transaction, the transaction's.
 * @param streams Which messages to write where, each stream once.
 * @param options The catalogue that all messages have to be of.
 * @returns The position of each stream's last message, in the order of the streams; of one that nothing
 * is written to, its version.
 * @throws {WrongExpectedVersionError} If a stream is at another version.
 * @throws {DuplicateMessageError} If some of the messages are in the store, or are there in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If a stream is named twice, or a name, type, id or data is none.
 * @throws {InvalidMessageError} If a message does not fit its catalogue.
 * @throws {RangeError} If there is no message, a stream has none and no expected version, or that is no integer from -1.
 */
export function writeStreams<Input extends MessageInput>(
  sql: Sql,
  streams: readonly StreamInput<NoInfer<Input>>[],
  options: TypedInput<Input>,
): Promise<number[]>;
export function writeStreams(sql: Sql, streams: readonly StreamInput[]): Promise<number[]>;
export async function writeStreams(
  sql: Sql,
  streams: readonly StreamInput[],
  options: MaybeTyped = {},
): Promise<number[]> {
  checkOptions(options);
  return (await appendToStreams(sql, streams, parserOf(options))).positions.map(safeInteger);
}
