import { checkCategory } from "./_check.ts";
import { ask } from "./_statement.ts";
import type { Sql } from "./types.ts";

/**
 * The streams of a category, sorted by code point.
 *
 * Reads every message of the category by its index.
 *
 * @example
 * ```ts
 * import { streamNames } from "@messagedb/client";
 *
 * await streamNames(sql, "account"); // ["account-123", "account-456"]
 * ```
 *
 * @param sql The handle.
 * @param category The category: `"account"`. A category with a type is another: `"account:command"`.
 * @returns The stream names; none where the category has none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no category's.
 */
export async function streamNames(sql: Sql, category: string): Promise<string[]> {
  checkCategory("category", category);
  return await ask<string[]>(sql)`
select coalesce(json_agg(stream_name order by stream_name collate "C"), '[]')::text as json
from (
  select distinct stream_name
  from message_store.messages
  where message_store.category(stream_name) = ${category}::text
) as streams`;
}

/**
 * The ids of a category's streams, sorted by code point.
 *
 * As message-db-py's `stream_identifiers`: snapshot and position streams are of categories of their
 * own (`account:snapshot`), so they are not among them. Reads every message of the category by its
 * index.
 *
 * @example
 * ```ts
 * import { entityIds } from "@messagedb/client";
 *
 * await entityIds(sql, "account"); // ["123", "456"]
 * ```
 *
 * @param sql The handle.
 * @param category The category: `"account"`.
 * @returns The ids, compound ones whole; none where the category has none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no category's.
 */
export async function entityIds(sql: Sql, category: string): Promise<string[]> {
  checkCategory("category", category);
  return await ask<string[]>(sql)`
select coalesce(json_agg(id order by id collate "C"), '[]')::text as json
from (
  select distinct message_store.id(stream_name) as id
  from message_store.messages
  where message_store.category(stream_name) = ${category}::text
    and strpos(stream_name, '-') > 0
) as streams`;
}

/**
 * The categories of the store, sorted by code point.
 *
 * Goes from one to the next by the index: it costs by the number of categories, not of messages.
 *
 * @example
 * ```ts
 * import { categories } from "@messagedb/client";
 *
 * await categories(sql); // ["account", "account:command", "transfer"]
 * ```
 *
 * @param sql The handle.
 * @returns The categories, types included; none where the store is empty.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 */
export async function categories(sql: Sql): Promise<string[]> {
  return await ask<string[]>(sql)`
with recursive found as (
  select min(message_store.category(stream_name)) as category from message_store.messages
  union all
  select (
    select min(message_store.category(stream_name))
    from message_store.messages
    where message_store.category(stream_name) > found.category
  )
  from found
  where found.category is not null
)
select coalesce(json_agg(category order by category collate "C"), '[]')::text as json
from found
where category is not null`;
}
