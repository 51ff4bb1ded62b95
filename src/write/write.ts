import { storeFor } from "../handle/_store_for.ts";
import { ownOf } from "../handle/_statement.ts";
import { isPromise } from "../lib/promise.ts";
import { encodeMessages, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import { checkExpectedVersion, checkOptions, checkWritableStreamName } from "../names/_check.ts";
import type { MessageInput, Sql } from "../types.ts";
import { writeNew } from "./_write_new.ts";
import { writeOnce } from "./_write_once.ts";

/** The version of a stream that has no message: the `expectedVersion` of a stream's first message. */
export const NO_STREAM: number = -1;

/**
 * The `expectedVersion` of a stream that has a message, at whatever version: the write fails if the stream is
 * empty. As KurrentDB's `StreamExists`, and its number.
 */
export const STREAM_EXISTS: number = -4;

/** Options of `write`, `writeBatch` and `append`. */
export interface WriteOptions {
  /**
   * The position of the last message that you know the stream to have; `NO_STREAM` for a stream without
   * messages; `STREAM_EXISTS` for a stream that has some, whichever. The write fails if the stream is at
   * another version.
   *
   * @default the stream may be at any version
   */
  readonly expectedVersion?: number | undefined;
}

/**
 * Writes a message to a stream.
 *
 * A write locks the category until its transaction ends, as Message DB's `write_message` does. So the
 * messages of one category are written one transaction after another.
 *
 * A message with an id that you chose is written once. If you send the message again, at the same time or
 * later, with or without an expected version, nothing is written and the answer is the position of the first.
 *
 * @example Write to a stream that must not exist yet
 * ```ts
 * import { NO_STREAM, write } from "@messagedb/client";
 *
 * const opened = { type: "Opened", data: { owner: "Ada" } };
 * await write(sql, "account-123", opened, { expectedVersion: NO_STREAM });
 * ```
 *
 * @typeParam Input The messages of the catalogue in the option `messages`.
 * @param sql The handle; inside a transaction, the handle of the transaction.
 * @param streamName The stream: `"account-123"`.
 * @param message The message to write.
 * @param options The version that the stream must be at, and the catalogue of the messages.
 * @returns The message's position in the stream, from 0.
 * @throws {WrongExpectedVersionError} If the stream is not at the expected version.
 * @throws {DuplicateMessageError} If another stream has a message of this id.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {InvalidMessageError} If the message does not fit its catalogue.
 * @throws {TypeError} If the name is not a stream name, the type is empty, the id is not a UUID, or JSON
 * cannot hold the data.
 * @throws {RangeError} If the expected version is neither an integer from -1 up nor `STREAM_EXISTS`.
 */
export function write<Input extends MessageInput>(
  sql: Sql,
  streamName: string,
  message: NoInfer<Input>,
  options: WriteOptions & TypedInput<Input>,
): Promise<number>;
/** Writes a message of any type, with no catalogue in the options. */
export function write(
  sql: Sql,
  streamName: string,
  message: MessageInput,
  options?: WriteOptions,
): Promise<number>;
export async function write(
  sql: Sql,
  streamName: string,
  message: MessageInput,
  options: WriteOptions & MaybeTyped = {},
): Promise<number> {
  checkWritableStreamName(streamName);
  checkOptions(options, { expectedVersion: true, messages: true });
  const expectedVersion = checkExpectedVersion(options);
  const chosenId = message?.id;
  const encoding = encodeMessages([message], streamName, parserOf(options));
  const [encoded] = isPromise(encoding) ? await encoding : encoding;
  // A handle that retries may send the message twice, so even an id that is new has to be looked up.
  // STREAM_EXISTS has to be compared with the version, which `writeOnce` knows.
  const store = storeFor(sql, streamName);
  const mayBeKnown = chosenId || ownOf(store)?.retries || expectedVersion === "-4";
  return await (mayBeKnown ? writeOnce : writeNew)(store, streamName, encoded!, expectedVersion);
}
