import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import { checkOptions } from "../names/_check.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { MessageInput, Sql } from "../types.ts";
import type { WriteOptions } from "./write.ts";
import { appendToStreams } from "./_append_to_streams.ts";

/** Where the last message of an `append` is. */
export interface Appended {
  /** The position in the stream, from 0. */
  readonly position: number;
  /** The position in the store, from 1, with gaps. */
  readonly globalPosition: number;
}

/**
 * Writes messages to a stream, as `writeBatch` does, and answers the global position too.
 *
 * A consumer of the category that has handled that position, or a later one, has seen the messages.
 * One statement and one round trip, so it is atomic without a transaction. Sending the same messages
 * with the same ids again writes nothing and answers the first positions of the last. As esdbclient's
 * `append_to_stream`, which answers the commit position.
 *
 * @example Write, and read all from there on
 * ```ts
 * import { append, readAll } from "@messagedb/client";
 *
 * const { globalPosition } = await append(sql, "account-123", { type: "Opened" });
 * const [opened] = await readAll(sql, { position: globalPosition });
 * opened?.type; // "Opened"
 * ```
 *
 * @typeParam Input The messages of the catalogue that is given as `messages`.
 * @param sql The handle; inside a transaction, the transaction's.
 * @param streamName The stream: `"account-123"`.
 * @param messages What to write: a message, or a list of at least one.
 * @param options What the write expects.
 * @returns The position of the last message in the stream, and that in the store.
 * @throws {WrongExpectedVersionError} If the stream is at another version.
 * @throws {DuplicateMessageError} If some of the messages are in the store, or are there in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {InvalidMessageError} If a message does not fit its catalogue.
 * @throws {TypeError} If the name is no stream's, a type is empty, an id is no UUID, or JSON cannot hold the data.
 * @throws {RangeError} If there is no message, or the expected version is no integer from -1.
 */
export function append<Input extends MessageInput>(
  sql: Sql,
  streamName: string,
  messages: NoInfer<Input> | readonly NoInfer<Input>[],
  options: WriteOptions & TypedInput<Input>,
): Promise<Appended>;
export function append(
  sql: Sql,
  streamName: string,
  messages: MessageInput | readonly MessageInput[],
  options?: WriteOptions,
): Promise<Appended>;
export async function append(
  sql: Sql,
  streamName: string,
  messages: MessageInput | readonly MessageInput[],
  options: WriteOptions & MaybeTyped = {},
): Promise<Appended> {
  checkOptions(options);
  const { expectedVersion } = options;
  const list = (Array.isArray(messages) ? messages : [messages]) as readonly MessageInput[];
  const streams = [{ streamName, messages: list, expectedVersion }];
  const { positions, globalPosition } = await appendToStreams(sql, streams, parserOf(options));
  return { position: safeInteger(positions[0]!), globalPosition: safeInteger(globalPosition) };
}
