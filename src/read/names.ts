import { checkCategory } from "../names/_check.ts";
import { queryJson, type SendStatement, surround } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * The streams of a category, sorted by code point.
 *
 * Looks at every message of the category, by its index: it costs by their number, about a second for a
 * million. The option `nameIndex` of `install` has it look at names alone, in less than half of that.
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
  return await queryStreamNames(
    sql,
    `
select coalesce(json_agg(stream_name order by stream_name collate "C"), '[]')::text as json
from streams`,
  )`${category}::text`;
}

/**
 * The ids of a category's streams, sorted by code point.
 *
 * As message-db-py's `stream_identifiers`: snapshot and position streams are of categories of their
 * own (`account:snapshot`), so they are not among them. It costs as much as `streamNames` does.
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
  return await queryStreamNames(
    sql,
    `
select coalesce(json_agg(id order by id collate "C"), '[]')::text as json
from (
  select message_store.id(stream_name) as id from streams where strpos(stream_name, '-') > 0
) as named`,
  )`${category}::text`;
}

/** Asks about the `streams` of a category, which is the only parameter. */
function queryStreamNames(sql: Sql, about: string): SendStatement<string[]> {
  // By the index of names where `install` has made it: of the two ways, one is never gone.
  return (strings, ...parameters) =>
    queryJson<string[]>(sql)(
      surround(
        strings,
        `
with
  index_of_names as materialized (
    select
    from pg_catalog.pg_index
    where indexrelid = to_regclass('message_store.messages_names') and indisvalid
  ),
  asked as materialized (
    select category, category || '-' as first, category || '.' as behind
    from (select `,
        ` as category) as given
  ),
  streams as (
    select stream_name
    from message_store.messages
    where message_store.category(stream_name) = (select category from asked)
      and not exists (select from index_of_names)
    union
    select stream_name
    from message_store.messages
    where stream_name ~>=~ (select first from asked)
      and stream_name ~<~ (select behind from asked)
      and exists (select from index_of_names)
    union
    select stream_name
    from message_store.messages
    where stream_name = (select category from asked)
      and exists (select from index_of_names)
  )${about}`,
      ),
      ...parameters,
    );
}

/**
 * The categories of the store, sorted by code point.
 *
 * Goes from one to the next by the index: it costs by the number of categories, not of messages; seven
 * of a million messages take a millisecond.
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
  return await queryJson<string[]>(sql)`
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
