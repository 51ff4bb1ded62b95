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
 * All is one statement, so it is atomic without a transaction. The categories are locked in one order,
 * whatever the order of the streams, so that two calls cannot deadlock. If you send the same messages with
 * the same ids again, nothing is written and the answer is the same.
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
 * @typeParam Input The messages of the catalogue in the option `messages`.
 * @param sql The handle; inside a transaction, the handle of the transaction.
 * @param streams The messages to write to each stream; each stream once.
 * @param options The catalogue of all messages.
 * @returns The position of each stream's last message, in the order of the streams. For a stream that is only
 * checked, the stream's version.
 * @throws {WrongExpectedVersionError} If a stream is not at its expected version.
 * @throws {DuplicateMessageError} If the store has only some of the messages, or has them in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {TypeError} If a stream is named twice, a name is not a stream name, a type is empty, an id is
 * not a UUID, or JSON cannot hold the data.
 * @throws {InvalidMessageError} If a message does not fit its catalogue.
 * @throws {RangeError} If there is no message, a stream has neither a message nor an expected version, or
 * an expected version is neither an integer from -1 up nor `STREAM_EXISTS`.
 */
export function writeStreams<Input extends MessageInput>(
  sql: Sql,
  streams: readonly StreamInput<NoInfer<Input>>[],
  options: TypedInput<Input>,
): Promise<number[]>;
/** Writes messages of any type, with no catalogue in the options. */
export function writeStreams(sql: Sql, streams: readonly StreamInput[]): Promise<number[]>;
export async function writeStreams(
  sql: Sql,
  streams: readonly StreamInput[],
  options: MaybeTyped = {},
): Promise<number[]> {
  checkOptions(options, { messages: true });
  return (await appendToStreams(sql, streams, parserOf(options))).positions.map(safeInteger);
}
