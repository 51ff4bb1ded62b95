import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import { checkOptions } from "../names/_check.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { MessageInput, Sql } from "../types.ts";
import type { WriteOptions } from "./write.ts";
import { appendToStreams } from "./_append_to_streams.ts";

/** The places of the messages of an `append`. */
export interface Appended {
  /** The position of the last message in its stream, from 0. The others are right before it. */
  readonly position: number;
  /** The position of the last message in the store, from 1, with gaps. */
  readonly globalPosition: number;
  /** The positions of all messages in the store, in their order. */
  readonly globalPositions: readonly number[];
}

/**
 * Writes messages to a stream, as `writeBatch` does, and answers the global positions too.
 *
 * A consumer of the category that has handled the last of them, or a later one, has seen the messages.
 *
 * The batch is one statement and one round trip, so it is atomic without a transaction. If you send the
 * same messages with the same ids again, nothing is written and the answer is the same. As esdbclient's
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
 * @typeParam Input The messages of the catalogue in the option `messages`.
 * @param sql The handle; inside a transaction, the handle of the transaction.
 * @param streamName The stream: `"account-123"`.
 * @param messages The message to write, or a list of at least one message.
 * @param options The version that the stream must be at, and the catalogue of the messages.
 * @returns The last message's position in its stream, and the positions of all messages in the store.
 * @throws {WrongExpectedVersionError} If the stream is not at the expected version.
 * @throws {DuplicateMessageError} If the store has only some of the messages, or has them in another place.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {InvalidMessageError} If a message does not fit its catalogue.
 * @throws {TypeError} If the name is not a stream name, a type is empty, an id is not a UUID, or JSON
 * cannot hold the data.
 * @throws {RangeError} If there is no message, or the expected version is neither an integer from -1 up nor
 * `STREAM_EXISTS`.
 */
export function append<Input extends MessageInput>(
  sql: Sql,
  streamName: string,
  messages: NoInfer<Input> | readonly NoInfer<Input>[],
  options: WriteOptions & TypedInput<Input>,
): Promise<Appended>;
/** Writes messages of any type, with no catalogue in the options. */
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
  checkOptions(options, { expectedVersion: true, messages: true });
  const { expectedVersion } = options;
  const list = (Array.isArray(messages) ? messages : [messages]) as readonly MessageInput[];
  const streams = [{ streamName, messages: list, expectedVersion }];
  const places = await appendToStreams(sql, streams, parserOf(options));
  const globalPositions = places.globalPositions.map(safeInteger);
  const globalPosition = globalPositions.at(-1)!;
  return { position: safeInteger(places.positions[0]!), globalPosition, globalPositions };
}
