import { askStores } from "../handle/_store_for.ts";
import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import { checkId, checkOptions } from "../names/_check.ts";
import { type MessageRow, messagesOf, queryMessages } from "../messages/_columns.ts";
import type { Message, Sql } from "../types.ts";
import { fitting } from "./_fitting.ts";

/**
 * Reads messages by their ids.
 *
 * @example
 * ```ts
 * import { readMessages } from "@messagedb/client";
 *
 * await readMessages(sql, [
 *   "6f5e0a5c-5d1a-4d0e-9d6c-2f3b8a1c7e90",
 *   "0b1d6f3e-8a4c-4f6b-b1a7-5c2e9d8f7a61",
 * ]);
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param ids UUIDs.
 * @param options The catalogue that parses the messages.
 * @returns The messages that exist, in the order of the ids.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If an id is not a UUID.
 */
export function readMessages<Output extends Message>(
  sql: Sql,
  ids: readonly string[],
  options: Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
export function readMessages<Data = unknown>(
  sql: Sql,
  ids: readonly string[],
): Promise<Message<Data>[]>;
export async function readMessages(
  sql: Sql,
  ids: readonly string[],
  options: MaybeTyped = {},
): Promise<Message[]> {
  checkOptions(options, { messages: true });
  const parser = parserOf(options);
  if (!Array.isArray(ids)) throw invalid("ids", ids, "an array of UUIDs");
  for (const id of ids) checkId(id);
  const found = await askStores(sql, (store) => readByIds(store, ids));
  return await fromStored(found.length === 1 ? found[0]! : inOrderOf(ids, found.flat()), parser);
}

function inOrderOf(ids: readonly string[], messages: readonly Message[]): Message[] {
  const known = new Map(messages.map((message) => [message.id, message]));
  return ids.flatMap((id) => known.get(id.toLowerCase()) ?? []);
}

async function readByIds(sql: Sql, ids: readonly string[]): Promise<Message[]> {
  let messages: Message[] = [];
  let next = 0;
  const readPart = fitting(
    "messages by their ids",
    () => ids.length - next,
    async (count, from: number) => {
      const rows = await queryByIds(sql, ids.slice(from, from + count));
      next = from + count;
      return messagesOf(rows);
    },
  );
  do messages = messages.concat(await readPart(next)); while (next < ids.length);
  return messages;
}

function queryByIds(sql: Sql, ids: readonly string[]): Promise<MessageRow[]> {
  // After the template, the rows get their columns. The limit makes each look-up an index scan, however small the table
  // was when the statement was planned.
  return queryMessages(sql)`
    select stored.*
    from json_array_elements_text(${
    JSON.stringify(ids)
  }::text::json) with ordinality as asked (id, number)
    cross join lateral (
      select * from message_store.messages where messages.id = asked.id::uuid limit 1
    ) as stored
    order by number`;
}

/**
 * Reads a message by its id.
 *
 * @example
 * ```ts
 * import { readMessage } from "@messagedb/client";
 *
 * await readMessage(sql, "6f5e0a5c-5d1a-4d0e-9d6c-2f3b8a1c7e90");
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param id A UUID.
 * @param options The catalogue that parses the messages.
 * @returns The message, or `null` if there is none.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the id is not a UUID.
 */
export function readMessage<Output extends Message>(
  sql: Sql,
  id: string,
  options: Typed<Output>,
): Promise<Output | null>;
/** Reads a message without a catalogue: nothing checks `data`. */
export function readMessage<Data = unknown>(
  sql: Sql,
  id: string,
): Promise<Message<Data> | null>;
export async function readMessage(
  sql: Sql,
  id: string,
  options: MaybeTyped = {},
): Promise<Message | null> {
  const [message] = await readMessages(sql, [id], options as Typed<Message>);
  return message ?? null;
}
