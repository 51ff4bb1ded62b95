import { storeFor } from "../handle/_store_for.ts";
import { queryJson, RESTORE_SETTINGS, SET_SETTINGS } from "../handle/_statement.ts";
import { safeInteger } from "../messages/_columns.ts";
import { checkCategory, checkOptions } from "../names/_check.ts";
import type { Sql } from "../types.ts";

/** A type of messages, as `messageTypes` describes it. */
export interface TypeStatus {
  /** The type: `"Deposited"`. */
  readonly type: string;
  /** How many messages have it. */
  readonly count: number;
  /** The time of the first message of this type. */
  readonly firstAt: Date;
  /** The time of the last message of this type. */
  readonly lastAt: Date;
  /** The global position of the last message of this type. */
  readonly lastGlobalPosition: number;
}

/** Options of `messageTypes`. */
export interface MessageTypesOptions {
  /**
   * The category whose messages are counted.
   *
   * @default all messages
   */
  readonly category?: string | undefined;
}

/**
 * Reads the types of messages that a store or a category has, with the number of messages of each.
 *
 * It looks at all messages of the store, and at those of a category by an index: half a second for a million.
 *
 * @example
 * ```ts
 * import { messageTypes } from "@messagedb/client/operate";
 *
 * for (const { type, count, lastAt } of await messageTypes(sql, { category: "account" })) {
 *   console.log(type, count, lastAt);
 * }
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param options Which messages to count.
 * @returns The types, from the most frequent on; an empty array if there are no messages.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is not a category's.
 */
export async function messageTypes(
  sql: Sql,
  options: MessageTypesOptions = {},
): Promise<TypeStatus[]> {
  checkOptions(options, { category: true });
  const { category } = options;
  if (category !== undefined) checkCategory("category", category);
  const stored =
    await (category === undefined
      ? readTypes(sql)
      : readTypesOfCategory(storeFor(sql, category), category));
  return stored.map(({ lastGlobalPosition, firstAt, lastAt, ...type }) => ({
    ...type,
    firstAt: new Date(firstAt),
    lastAt: new Date(lastAt),
    lastGlobalPosition: safeInteger(lastGlobalPosition),
  }));
}

/** A type as the statement answers it. Times are in milliseconds. */
type StoredType = Omit<TypeStatus, "firstAt" | "lastAt"> & {
  readonly firstAt: number;
  readonly lastAt: number;
};

// The first and the last message of a type are those of the lowest and of the highest global position.
const TYPES_JSON = /* @__PURE__ */ `
  select
    coalesce(
      json_agg(
        json_build_object(
          'type', counted.type, 'count', count,
          'firstAt', date_part('epoch', first.time) * 1000,
          'lastAt', date_part('epoch', last.time) * 1000,
          'lastGlobalPosition', highest
        )
        order by count desc, counted.type collate pg_catalog."C"
      ),
      '[]'
    )::text as json
  from counted
  join message_store.messages as first on first.global_position = lowest
  join message_store.messages as last on last.global_position = highest`;

/** Counts the messages of the store by their types. Without settings to make, PostgreSQL may use several processes. */
async function readTypes(sql: Sql): Promise<StoredType[]> {
  return await queryJson<StoredType[]>(sql, "with", TYPES_JSON)`
  counted as materialized (
    select
      type, count(*) as count, min(global_position) as lowest, max(global_position) as highest
    from message_store.messages
    group by type
  )`;
}

/** Counts the messages of a category by their types. */
async function readTypesOfCategory(sql: Sql, category: string): Promise<StoredType[]> {
  return await queryJson<StoredType[]>(
    sql,
    `${SET_SETTINGS},`,
    `${RESTORE_SETTINGS}(${TYPES_JSON}
) as complete`,
  )`
  counted as materialized (
    select
      type, count(*) as count, min(global_position) as lowest, max(global_position) as highest
    from message_store.messages
    where (select nothing from ours) is not null
      and message_store.category(stream_name) = ${category}::text
    group by type
  )`;
}
