import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { messagesOf } from "../messages/_columns.ts";
import type { Message, Sql } from "../types.ts";
import { readStreamRows } from "./_read_stream_rows.ts";
import type { ReadStreamOptions } from "./read_options.ts";

/**
 * Reads messages of a stream, in the order of their positions.
 *
 * As Message DB's `get_stream_messages`, and also backward.
 *
 * @example The last ten, newest first
 * ```ts
 * import { readStream } from "@messagedb/client";
 *
 * await readStream(sql, "account-123", { direction: "backward", batchSize: 10 });
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @param options Where to start, in which direction, how many.
 * @returns The messages; an empty array if the stream has none.
 * @throws {ConditionNotActivatedError} If there is a condition and the server does not allow it.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not a stream's, or an option is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {RangeError} If the position or the batch size is out of range.
 */
export function readStream<Output extends Message>(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
export function readStream<Data = unknown>(
  sql: Sql,
  streamName: string,
  options?: ReadStreamOptions,
): Promise<Message<Data>[]>;
export async function readStream(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & MaybeTyped = {},
): Promise<Message[]> {
  const rows = await readStreamRows(sql, streamName, options);
  return await fromStored(messagesOf(rows), parserOf(options));
}
