import { storeFor } from "../handle/_store_for.ts";
import {
  queryJson,
  RESTORE_SETTINGS,
  type SendStatement,
  SET_SETTINGS,
} from "../handle/_statement.ts";
import { safeInteger } from "../messages/_columns.ts";
import { invalid } from "../lib/invalid.ts";
import {
  checkCategory,
  checkInteger,
  checkName,
  checkObject,
  checkOptions,
} from "../names/_check.ts";
import type { Sql } from "../types.ts";

/** A stream, as `streams` describes it. */
export interface StreamStatus {
  /** The name of the stream: `"account-123"`. */
  readonly streamName: string;
  /** How many messages it has. */
  readonly count: number;
  /** The time of its first message. */
  readonly firstAt: Date;
  /** The time of its last message. */
  readonly lastAt: Date;
  /** The global position of its last message. */
  readonly lastGlobalPosition: number;
}

/** Options of `streams`. */
export interface StreamsOptions {
  /**
   * The order: by the last message from the latest on, by the number of messages from the longest stream on, or by
   * name (code points).
   *
   * @default "last"
   */
  readonly sort?: "last" | "count" | "name" | undefined;
  /**
   * How many streams to read at most, from 1.
   *
   * @default 100
   */
  readonly limit?: number | undefined;
  /**
   * The last stream of the page before. What the streams are sorted by is enough: `{ streamName: "account-5" }`.
   *
   * @default none: the first page
   */
  readonly after?: Partial<StreamStatus> | undefined;
}

/**
 * Reads the streams of a category, page by page: how many messages each has, and since when.
 *
 * By the last message, a page takes a few milliseconds, also where the category has a million streams. So does a page by
 * name with the option `nameIndex` of `install`. Any other page looks at all messages of the category, by an index: up
 * to a second for a million. The messages of the streams of a page are counted: 0.1 seconds for a million.
 *
 * Sorted by the last message, a stream that gets a message between two pages moves to the first page, and the later
 * pages do not have it. To read each stream once, sort by name.
 *
 * @example The latest streams, and the next page
 * ```ts
 * import { streams } from "@messagedb/client/operate";
 *
 * const page = await streams(sql, "account");
 * for (const { streamName, count, lastAt } of page) console.log(streamName, count, lastAt);
 * await streams(sql, "account", { after: page.at(-1) });
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param category The category: `"account"`. A category with a type is another category: `"account:command"`.
 * @param options The order, and which page.
 * @returns The streams; an empty array if there are none, or no more.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is not a category's, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export async function streams(
  sql: Sql,
  category: string,
  options: StreamsOptions = {},
): Promise<StreamStatus[]> {
  checkCategory("category", category);
  checkOptions(options, { sort: true, limit: true, after: true });
  const { sort = "last", limit = 100, after } = options;
  checkInteger("limit", limit, 1);
  if (after !== undefined) checkObject("after", after, "a stream of the page before");
  const stored = await readSorted(
    storeFor(sql, category),
    { category, limit: String(limit) },
    sort,
    after,
  );
  return stored.map(({ lastGlobalPosition, firstAt, lastAt, ...stream }) => ({
    ...stream,
    firstAt: new Date(firstAt),
    lastAt: new Date(lastAt),
    lastGlobalPosition: safeInteger(lastGlobalPosition),
  }));
}

function readSorted(
  sql: Sql,
  wanted: WantedStreams,
  sort: StreamsOptions["sort"],
  after: Partial<StreamStatus> | undefined,
): Promise<StoredStream[]> {
  if (sort === "name") {
    if (after !== undefined) checkName("after.streamName", after.streamName);
    return readStreamsByName(sql, wanted, after?.streamName);
  }
  if (sort === "last") {
    if (after === undefined) return readStreamsByLast(sql, wanted, undefined);
    checkInteger("after.lastGlobalPosition", after.lastGlobalPosition, 0);
    return readStreamsByLast(sql, wanted, String(after.lastGlobalPosition));
  }
  if (sort !== "count") throw invalid("sort", sort, '"last", "count" or "name"');
  if (after === undefined) return readStreamsByCount(sql, wanted, undefined);
  const { count, streamName } = after;
  checkInteger("after.count", count, 0);
  checkName("after.streamName", streamName);
  return readStreamsByCount(sql, wanted, { count: String(count), streamName });
}

/** A stream as the statement answers it. Times are in milliseconds. */
type StoredStream = Omit<StreamStatus, "firstAt" | "lastAt"> & {
  readonly firstAt: number;
  readonly lastAt: number;
};

/** Which streams to read. */
interface WantedStreams {
  readonly category: string;
  readonly limit: string;
}

/**
 * Reads the streams after a name, by name.
 *
 * With the index `messages_names`, `by_index` goes from one name to the next. Without it, `by_category` looks at all
 * messages of the category. One of the two finds nothing.
 */
async function readStreamsByName(
  sql: Sql,
  { category, limit }: WantedStreams,
  after: string | undefined,
): Promise<StoredStream[]> {
  return await queryStreams(sql)`
  asked as materialized (
    select
      category, category || '-' as first, category || '.' as behind, after, most,
      exists (
        select
        from pg_catalog.pg_index
        where indexrelid = to_regclass('message_store.messages_names') and indisvalid
      ) as has_names
    from (
      select
        ${category}::text as category, ${after ?? ""}::text as after, ${limit}::text::bigint as most
      from ours
    ) as given
  ),
  by_index as materialized (
    with recursive found as (
      (
        select stream_name
        from message_store.messages
        where stream_name ~>=~ (select first from asked)
          and stream_name ~>~ (select after from asked)
          and stream_name ~<~ (select behind from asked)
          and (select has_names from asked)
        order by stream_name using ~<~
        limit 1
      )
      union all
      select (
        select stream_name
        from message_store.messages
        where stream_name ~>~ found.stream_name
          and stream_name ~<~ (select behind from asked)
        order by stream_name using ~<~
        limit 1
      )
      from found
      where found.stream_name is not null
    )
    select stream_name
    from found
    where stream_name is not null
    limit (select most from asked)
  ),
  by_category as materialized (
    select stream_name
    from message_store.messages
    where message_store.category(stream_name) = (select category from asked)
      and stream_name ~>~ (select after from asked)
      and (select not has_names from asked)
    group by stream_name
  ),
  bare as materialized (
    select stream_name
    from message_store.messages
    where stream_name = (select category from asked)
      and stream_name ~>~ (select after from asked)
      and (select has_names from asked)
    limit 1
  ),
  page as (
    select stream_name
    from (
      select stream_name from by_index
      union all
      select stream_name from by_category
      union all
      select stream_name from bare
    ) as streams
    order by stream_name collate pg_catalog."C"
    limit (select most from asked)
  )`;
}

/**
 * Reads the streams whose last message is before a global position, from the last on.
 *
 * It goes back through the category until the page is full. A message is the last of its stream if no position of the
 * stream is higher. PostgreSQL keeps the last position of a stream that it has looked up, because the condition on it
 * stays outside of the subquery: a left join with a coalesce.
 */
async function readStreamsByLast(
  sql: Sql,
  { category, limit }: WantedStreams,
  before: string | undefined,
): Promise<StoredStream[]> {
  return await queryStreams(sql)`
  page as materialized (
    select messages.stream_name
    from message_store.messages
    left join lateral (
      select position
      from message_store.messages as stored
      where stored.stream_name = messages.stream_name
      order by position desc
      limit 1
    ) as last on true
    where (select nothing from ours) is not null
      and message_store.category(messages.stream_name) = ${category}::text
      and messages.global_position < ${before ?? "9223372036854775807"}::text::bigint
      and messages.position >= coalesce(last.position, 0)
    order by messages.global_position desc
    limit ${limit}::text::bigint
  )`;
}

/** Reads the streams with fewer messages than that, from the longest on. It looks at all messages of the category. */
async function readStreamsByCount(
  sql: Sql,
  { category, limit }: WantedStreams,
  after: { readonly count: string; readonly streamName: string } | undefined,
): Promise<StoredStream[]> {
  return await queryStreams(sql)`
  asked as materialized (
    select
      ${category}::text as category,
      ${after?.count ?? "9223372036854775807"}::text::bigint as count,
      ${after?.streamName ?? ""}::text as name
  ),
  page as materialized (
    select stream_name
    from (
      select stream_name, count(*) as count
      from message_store.messages
      where (select nothing from ours) is not null
        and message_store.category(stream_name) = (select category from asked)
      group by stream_name
    ) as counted
    where count < (select count from asked)
      or count = (select count from asked) and stream_name ~>~ (select name from asked)
    order by count desc, stream_name collate pg_catalog."C"
    limit ${limit}::text::bigint
  )`;
}

/** The template is a list of steps. The last step is `page`, with the names of the streams in their order. */
function queryStreams(sql: Sql): SendStatement<StoredStream[]> {
  return queryJson(sql, `${SET_SETTINGS},`, AFTER_PAGE);
}

const AFTER_PAGE = /* @__PURE__ */ `,
  numbered as materialized (
    select stream_name, row_number() over () as number from page
  )${RESTORE_SETTINGS}(
  select
    coalesce(
      json_agg(
        json_build_object(
          'streamName', stream_name, 'count', count,
          'firstAt', date_part('epoch', first.time) * 1000,
          'lastAt', date_part('epoch', last.time) * 1000,
          'lastGlobalPosition', last.global_position
        )
        order by number
      ),
      '[]'
    )::text as json
  from numbered
  cross join lateral (
    select count(*) as count
    from message_store.messages
    where messages.stream_name = numbered.stream_name
  ) as counted
  cross join lateral (
    select time
    from message_store.messages
    where messages.stream_name = numbered.stream_name
    order by position
    limit 1
  ) as first
  cross join lateral (
    select time, global_position
    from message_store.messages
    where messages.stream_name = numbered.stream_name
    order by position desc
    limit 1
  ) as last
) as complete`;
