import { storeFor } from "../handle/_store_for.ts";
import { queryJson, RESTORE_SETTINGS, SET_SETTINGS } from "../handle/_statement.ts";
import { safeInteger } from "../messages/_columns.ts";
import { checkCategory, checkInteger, checkOptions } from "../names/_check.ts";
import { isOfCategory } from "../names/_of_category.ts";
import type { Sql } from "../types.ts";
import { dateOrNull, FINITE_MILLISECONDS } from "./_date_or_null.ts";
import { SHORT_TYPE } from "./_short_type.ts";

/** A type of messages, as `messageTypes` describes it. */
export interface TypeStatus {
  /**
   * The type: `"Deposited"`; if it is longer than 1,000 characters, the first 1,000 and `...`. Long types that begin
   * alike are counted as one.
   */
  readonly type: string;
  /** How many of the messages have it. */
  readonly count: number;
  /** The time of the first message of this type; null if no Date can be so early or late. */
  readonly firstAt: Date | null;
  /** The time of the last message of this type; null if no Date can be so early or late. */
  readonly lastAt: Date | null;
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
  /**
   * How many messages to look at, at most, from the last one back: from 1.
   *
   * @default 1000000
   */
  readonly scanLimit?: number | undefined;
}

/** What `messageTypes` has counted. */
export interface MessageTypes {
  /** The types, from the most frequent on. */
  readonly types: readonly TypeStatus[];
  /** How many messages were looked at. */
  readonly scanned: number;
  /** Whether these were all. If not, the counts and the first times are of the messages that were looked at. */
  readonly isComplete: boolean;
}

/**
 * Reads the types of messages that a store or a category has, with the number of messages of each.
 *
 * It looks at the last messages, at `scanLimit` of them: half a second for a million.
 *
 * @example
 * ```ts
 * import { messageTypes } from "@messagedb/client/operate";
 *
 * const { types, scanned, isComplete } = await messageTypes(sql, { category: "account" });
 * for (const { type, count, lastAt } of types) console.log(type, count, lastAt);
 * if (!isComplete) console.log(`of the last ${scanned} messages`);
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param options Which messages to count.
 * @returns The types; none if there are no messages.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is not a category's, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export async function messageTypes(
  sql: Sql,
  options: MessageTypesOptions = {},
): Promise<MessageTypes> {
  checkOptions(options, { category: true, scanLimit: true });
  const { category, scanLimit = 1_000_000 } = options;
  if (category !== undefined) checkCategory("category", category);
  checkInteger("scanLimit", scanLimit, 1);
  const limit = String(scanLimit);
  const { types, ...counted } =
    await (category === undefined
      ? countTypes(sql, limit)
      : countTypesOfCategory(storeFor(sql, category), category, limit));
  return {
    ...counted,
    types: types.map(({ lastGlobalPosition, firstAt, lastAt, ...type }) => ({
      ...type,
      firstAt: dateOrNull(firstAt),
      lastAt: dateOrNull(lastAt),
      lastGlobalPosition: safeInteger(lastGlobalPosition),
    })),
  };
}

/** What a statement answers. Times are in milliseconds; null if they are infinite. */
interface StoredTypes extends Omit<MessageTypes, "types"> {
  readonly types: readonly (Omit<TypeStatus, "firstAt" | "lastAt"> & {
    readonly firstAt: number | null;
    readonly lastAt: number | null;
  })[];
}

/**
 * SQL behind a template with the columns `name` and `size`: the category, and how many messages to look at.
 *
 * The first and the last message of a type are those of the lowest and of the highest global position.
 */
const countSteps = (condition: string): string => `
    from ours
  ),
  counted as materialized (
    select
      type, count(*) as count, min(global_position) as lowest, max(global_position) as highest
    from (
      select ${SHORT_TYPE} as type, global_position
      from message_store.messages
      where (select nothing from ours) is not null
        and ${condition}
      order by global_position desc
      limit (select size from asked)
    ) as looked
    group by type
  )${RESTORE_SETTINGS}(
  select
    json_build_object(
      'types', coalesce(
        json_agg(
          json_build_object(
            'type', counted.type, 'count', count,
            'firstAt', first.milliseconds, 'lastAt', last.milliseconds, 'lastGlobalPosition', highest
          )
          order by count desc, counted.type collate pg_catalog."C"
        ),
        '[]'
      ),
      'scanned', coalesce(sum(count), 0),
      'isComplete', coalesce(
        min(lowest) = (
          select global_position
          from message_store.messages
          where ${condition}
          order by global_position
          limit 1
        ),
        true
      )
    )::text as json
  from counted
  cross join lateral (
    select ${FINITE_MILLISECONDS} as milliseconds
    from message_store.messages
    where global_position = lowest
  ) as first
  cross join lateral (
    select ${FINITE_MILLISECONDS} as milliseconds
    from message_store.messages
    where global_position = highest
  ) as last
) as complete`;

const COUNT_ALL = /* @__PURE__ */ countSteps("true");

async function countTypes(sql: Sql, limit: string): Promise<StoredTypes> {
  return await queryJson<StoredTypes>(sql, `${SET_SETTINGS},`, COUNT_ALL)`
  asked as materialized (
    select ${limit}::text::bigint as size`;
}

const COUNT_OF_CATEGORY = /* @__PURE__ */ countSteps(
  isOfCategory("(select name from asked)"),
);

async function countTypesOfCategory(
  sql: Sql,
  category: string,
  limit: string,
): Promise<StoredTypes> {
  return await queryJson<StoredTypes>(sql, `${SET_SETTINGS},`, COUNT_OF_CATEGORY)`
  asked as materialized (
    select ${category}::text as name, ${limit}::text::bigint as size`;
}
