import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkName, checkOptions } from "../names/_check.ts";
import type { Message, Sql } from "../types.ts";
import { readLastOfTypes } from "./_read_last_of_types.ts";

/** Options of `readLastMessage`. */
export interface ReadLastMessageOptions {
  /**
   * The type of the message.
   *
   * @default any
   */
  readonly type?: string | undefined;
}

/**
 * Reads the last message of a stream, or its last message of one type.
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
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`. A category can be the name of a stream too, as Eventide's
 * `account:position`: then it is that stream alone.
 * @param options The type, and a catalogue.
 * @returns The message, or `null` if there is none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {InvalidMessageError} If the message does not fit the catalogue in `messages`.
 * @throws {TypeError} If the name or the type is empty or no text.
 */
export function readLastMessage<Output extends Message>(
  sql: Sql,
  streamName: string,
  options: ReadLastMessageOptions & Typed<Output>,
): Promise<Output | null>;
/** Reads the last message without a catalogue: nothing checks `data`. */
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
  checkName("streamName", streamName);
  checkOptions(options, { type: true, messages: true });
  const { type = null } = options;
  if (type !== null) checkName("type", type);
  const parser = parserOf(options);
  const wanted = type === null ? null : [type];
  const types = parser ? parser.storedTypes(wanted) : wanted;
  return await readLastOfTypes(sql, streamName, types, parser);
}
