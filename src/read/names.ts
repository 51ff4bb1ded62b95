import { askStores, storeFor } from "../handle/_store_for.ts";
import { checkCategory } from "../names/_check.ts";
import {
  queryJson,
  RESTORE_SETTINGS,
  type SendStatement,
  SET_SETTINGS,
} from "../handle/_statement.ts";
import type { Sql } from "../types.ts";
import { eachCategory } from "./_each_category.ts";

/**
 * Reads the names of a category's streams, sorted by code point.
 *
 * Looks at every message of the category, by an index. So it costs by their number: about a second
 * for a million. With the option `nameIndex` of `install` it looks at names alone, which takes less
 * than half of that.
 *
 * @example
 * ```ts
 * import { streamNames } from "@messagedb/client";
 *
 * await streamNames(sql, "account"); // ["account-123", "account-456"]
 * ```
 *
 * @param sql The handle.
 * @param category The category: `"account"`. A category with a type is another category:
 * `"account:command"`.
 * @returns The stream names; an empty array if the category has no streams.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not a category's.
 */
export async function streamNames(sql: Sql, category: string): Promise<string[]> {
  checkCategory("category", category);
  return await queryStreamNames(
    storeFor(sql, category),
    `coalesce(json_agg(stream_name order by stream_name collate pg_catalog."C"), '[]')::text as json
  from streams`,
  )`${category}::text`;
}

/**
 * Reads the ids of a category's streams, sorted by code point.
 *
 * As message-db-py's `stream_identifiers`. Snapshot and position streams belong to other categories
 * (`account:snapshot`), so their ids are not among these. It costs as much as `streamNames`.
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
 * @returns The ids. A compound id is not split. An empty array if the category has no streams.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not a category's.
 */
export async function entityIds(sql: Sql, category: string): Promise<string[]> {
  checkCategory("category", category);
  return await queryStreamNames(
    storeFor(sql, category),
    `coalesce(json_agg(id order by id collate pg_catalog."C"), '[]')::text as json
  from (
    select message_store.id(stream_name) as id from streams where strpos(stream_name, '-') > 0
  ) as named`,
  )`${category}::text`;
}

/**
 * Asks about the streams of a category, which are the rows of the step `streams`.
 *
 * The template is the category alone, and `about` is the rest of the last `select`. The step `streams`
 * reads by the index `messages_names` if `install` has made that, and else by the category of each
 * message. It is a union of both ways, and one of them finds nothing. `index_of_names` has a row, or none,
 * only after `ours` has set the search path in which `category` and `id` have to run.
 */
function queryStreamNames(sql: Sql, about: string): SendStatement<string[]> {
  return queryJson(
    sql,
    `${SET_SETTINGS},
  index_of_names as materialized (
    select
    from pg_catalog.pg_index
    where (select nothing from ours) is not null
      and indexrelid = to_regclass('message_store.messages_names') and indisvalid
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
  )${RESTORE_SETTINGS}(
  select ${about}
) as complete`,
  );
}

/**
 * Reads the categories of the store, sorted by code point.
 *
 * Goes from one category to the next by an index. So it costs by the number of categories, not of
 * messages: seven categories in a million messages take a millisecond.
 *
 * @example
 * ```ts
 * import { categories } from "@messagedb/client";
 *
 * await categories(sql); // ["account", "account:command", "transfer"]
 * ```
 *
 * @param sql The handle.
 * @returns The categories, with their types. An empty array if the store is empty.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 */
export async function categories(sql: Sql): Promise<string[]> {
  return (await askStores(sql, queryCategories)).flat().sort();
}

async function queryCategories(sql: Sql): Promise<string[]> {
  return await queryJson<string[]>(
    sql,
    `${SET_SETTINGS},`,
    `${eachCategory()}
  )${RESTORE_SETTINGS}(
  select coalesce(json_agg(category order by category collate pg_catalog."C"), '[]')::text as json
  from found
) as complete`,
  )`
  found as materialized (`;
}
