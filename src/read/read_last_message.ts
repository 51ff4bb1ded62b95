import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkName, checkOptions, checkStreamName } from "../names/_check.ts";
import type { Message, Sql } from "../types.ts";
import { readLastOfTypes } from "./_read_last_of_types.ts";

/** Options of `readLastMessage`. */
export interface ReadLastMessageOptions {
  /**
   * The message type wanted.
   *
   * @default any
   */
  readonly type?: string | undefined;
}

/**
 * Reads the last message of a stream, or the last of a type.
 *
 * As Message DB's `get_last_stream_message`.
 *
 * @example
 * ```ts
 * import { readLastMessage } from "@messagedb/client";
 *
 * await readLastMessage(sql, "account-123", { type: "Deposited" });
 * ```
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @param options The type wanted.
 * @returns The message, or `null` where there is none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {InvalidMessageError} If the message does not fit the catalogue that is given as `messages`.
 * @throws {TypeError} If the name is no stream's, or the type is empty.
 */
export function readLastMessage<Output extends Message>(
  sql: Sql,
  streamName: string,
  options: ReadLastMessageOptions & Typed<Output>,
): Promise<Output | null>;
export function readLastMessage<Data = unknown>(
  sql: Sql,
  streamName: string,
  options?: ReadLastMessageOptions,
): Promise<Message<Data> | null>;
export async function readLastMessage(
  sql: Sql,
  streamName: string,
  options: ReadLastMessageOptions & MaybeTyped = {},
): Promise<Message | null> {
  checkStreamName(streamName);
  checkOptions(options);
  const { type = null } = options;
  if (type !== null) checkName("type", type);
  const parser = parserOf(options);
  const wanted = type === null ? null : [type];
  const types = parser ? parser.storedTypes(wanted) : wanted;
  return await readLastOfTypes(sql, streamName, types, parser);
}
