import { isRetrying } from "../handle/_statement.ts";
import { isPromise } from "../lib/promise.ts";
import { encodeMessage } from "../messages/_json.ts";
import { type MaybeTyped, parserOf, toStored } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import { checkExpectedVersion, checkWritableStreamName } from "../names/_check.ts";
import type { MessageInput, Sql } from "../types.ts";
import { writeNew } from "./_write_new.ts";
import { writeOnce } from "./_write_once.ts";

/** The version of a stream that has no message, for `expectedVersion`. */
export const NO_STREAM = -1;

/** Options of `write`, `writeBatch` and `append`. */
export interface WriteOptions {
  /**
   * The position of the stream's last message as you know it, `NO_STREAM` for none.
   *
   * @default any version will do
   */
  readonly expectedVersion?: number | undefined;
}

/**
 * Writes a message to a stream.
 *
 * Messages of one category are written one transaction after another, as Message DB's
 * `write_message` does under its lock, which is held until the transaction ends. A message with an
 * id of yours is written once: sending it again, at the same time or later, with or without an
 * expected version, writes nothing and answers the position of the first.
 *
 * @example Write to a stream that must not exist yet
 * ```ts
 * import { NO_STREAM, write } from "@messagedb/client";
 *
 * const opened = { type: "Opened", data: { owner: "Ada" } };
 * await write(sql, "account-123", opened, { expectedVersion: NO_STREAM });
 * ```
 *
 * @typeParam Input The messages of the catalogue that is given as `messages`.
 * @param sql The handle; inside a transaction, the transaction's.
 * @param streamName The stream: `"account-123"`.
 * @param message What to write.
 * @param options What the write expects.
 * @returns The message's position in the stream, from 0.
 * @throws {WrongExpectedVersionError} If the stream is at another version.
 * @throws {DuplicateMessageError} If another stream has a message of this id.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {InvalidMessageError} If the message does not fit its catalogue.
 * @throws {TypeError} If the name is no stream's, the type is empty, the id is no UUID, or JSON cannot hold the data.
 * @throws {RangeError} If the expected version is no integer from -1.
 */
export function write<Input extends MessageInput>(
  sql: Sql,
  streamName: string,
  message: NoInfer<Input>,
  options: WriteOptions & TypedInput<Input>,
): Promise<number>;
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
  const expectedVersion = checkExpectedVersion(options);
  const storing = toStored([message], streamName, parserOf(options));
  const [stored] = isPromise(storing) ? await storing : storing;
  const encoded = encodeMessage(stored!);
  // What is sent again when no answer came has to be looked for, whoever chose its id.
  const mayBeKnown = message.id !== undefined || isRetrying(sql);
  return await (mayBeKnown ? writeOnce : writeNew)(sql, streamName, encoded, expectedVersion);
}
