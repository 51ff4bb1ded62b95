import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { messagesOf } from "../messages/_columns.ts";
import type { ReadCategoryOptions } from "./read_options.ts";
import type { Message, Sql } from "../types.ts";
import { readCategoryRows } from "./_read_category_rows.ts";

/**
 * Reads messages of all streams of a category, in the order of their global positions.
 *
 * As Message DB's `get_category_messages`, and also backward. Writers of one category take turns,
 * so a message that was written by `write` never appears before messages that were read already.
 *
 * @example This process's half of the category
 * ```ts
 * import { readCategory } from "@messagedb/client";
 *
 * await readCategory(sql, "account", { position: 1, consumerGroup: { member: 0, size: 2 } });
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param category The category: `"account"`.
 * @param options Where to start (a global position, from 1), in which direction, how many, for
 * which member.
 * @returns The messages; an empty array if there are none.
 * @throws {ConditionNotActivatedError} If there is a condition and the server does not allow it.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not a category's, or an option is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {RangeError} If the position, the batch size, the member or the group's size is out of
 * range.
 */
export function readCategory<Output extends Message>(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
export function readCategory<Data = unknown>(
  sql: Sql,
  category: string,
  options?: ReadCategoryOptions,
): Promise<Message<Data>[]>;
export async function readCategory(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & MaybeTyped = {},
): Promise<Message[]> {
  const rows = await readCategoryRows(sql, category, options);
  return await fromStored(messagesOf(rows), parserOf(options));
}
