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
 * The batch is one statement and one round trip, so it is atomic without a transaction. If you send the
 * same messages with the same ids again, nothing is written and the answer is the same.
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
 * @typeParam Input The messages of the catalogue in the option `messages`.
 * @param sql The handle; inside a transaction, the handle of the transaction.
 * @param streamName The stream: `"account-123"`.
 * @param messages The messages to write, at least one.
 * @param options The version that the stream must be at, and the catalogue of the messages.
 * @returns The position of the last message.
 * @throws {WrongExpectedVersionError} If the stream is not at the expected version.
 * @throws {DuplicateMessageError} If the store has only some of the messages, or has them in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {InvalidMessageError} If a message does not fit its catalogue.
 * @throws {TypeError} If the name is not a stream name, a type is empty, an id is not a UUID, or JSON
 * cannot hold the data.
 * @throws {RangeError} If there is no message, or the expected version is neither an integer from -1 up nor
 * `STREAM_EXISTS`.
 */
export function writeBatch<Input extends MessageInput>(
  sql: Sql,
  streamName: string,
  messages: readonly NoInfer<Input>[],
  options: WriteOptions & TypedInput<Input>,
): Promise<number>;
/** Writes messages of any type, with no catalogue in the options. */
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
  checkOptions(options, { expectedVersion: true, messages: true });
  const { expectedVersion } = options;
  const streams = [{ streamName, messages, expectedVersion }];
  const { positions } = await appendToStreams(sql, streams, parserOf(options));
  return safeInteger(positions[0]!);
}
