import { queryJson, RESTORE_SETTINGS, SET_SETTINGS } from "../handle/_statement.ts";
import { isOfCategory } from "../names/_of_category.ts";
import type { Sql } from "../types.ts";
import { FINITE_MILLISECONDS } from "./_date_or_null.ts";

/** A stream as the statements answer it. Times are in milliseconds; null if they are infinite. */
export interface StoredStream {
  readonly streamName: string;
  readonly count: number;
  readonly firstAt: number | null;
  readonly lastAt: number | null;
  readonly lastGlobalPosition: number;
}

/** What a statement has found. */
export interface StoredStreams {
  readonly streams: readonly StoredStream[];
  /** Whether streams come after the last of the page. */
  readonly hasMore: boolean;
  /** Where the statement stopped before the page was full: a name, or a global position; null if it did not. */
  readonly stoppedAt: string | number | null;
  readonly isComplete: boolean;
}

/** Which streams to read. */
export interface WantedStreams {
  readonly category: string;
  readonly limit: string;
}

/** How many names of streams a statement goes through. */
const MOST_WALKED = 2000;
/** How many messages a statement looks at for their streams, from the last on. */
const MOST_LOOKED_AT = 10_000;
/** At how many places of a category a statement looks for long streams. */
const MOST_PROBED = 1000;

/**
 * SQL of `asked`, which is `given` with two names: `first` is before all names of the category's streams with an id, and `behind`
 * is after them. In the order of the database, the next character after "-" is another in each locale. In a locale
 * without punctuation there is none: then `behind` is after all names.
 */
const WITH_ENDS = `
  asked as materialized (
    select
      *, category || '-' as first,
      coalesce(
        category || (
          select mark
          from regexp_split_to_table('_,;:!?./()[]{}@*&#%+<=>|~$0', '') as mark
          where 'a-z' < ('a' || mark)
          order by 'a' || mark
          limit 1
        ),
        (select max(stream_name) || ' ' from message_store.messages)
      ) as behind
    from given
  )`;

/**
 * SQL of `walked`: the names of the streams from the first to the one behind, in the order of the database. It goes from
 * one name to the next by the index of streams, however many messages each stream has. A step reads only as many names
 * as it wants. `named` are those of the category. `bare` has an order, so that PostgreSQL uses the index: where it knows
 * of few streams only, it expects to meet any of them soon in the table.
 */
const walked = (condition: string): string => `
  walked as materialized (
    with recursive walk as (
      (
        select stream_name
        from message_store.messages
        where ${condition}
          and stream_name >= (select first from asked)
          and stream_name < (select behind from asked)
        order by stream_name
        limit 1
      )
      union all
      select (
        select messages.stream_name
        from message_store.messages
        where messages.stream_name > walk.stream_name
          and messages.stream_name < (select behind from asked)
        order by messages.stream_name
        limit 1
      )
      from walk
      where walk.stream_name is not null
    )
    select stream_name
    from walk
    where stream_name is not null
    limit ${MOST_WALKED + 1}
  ),
  bare as materialized (
    select stream_name
    from message_store.messages
    where ${condition}
      and stream_name = (select category from asked)
    order by position
    limit 1
  ),
  named as (
    select stream_name from bare
    union all
    select stream_name
    from walked
    where (select nothing from ours) is not null
      and message_store.category(stream_name) = (select category from asked)
  )`;

const WALKED_ALL = `(select count(*) from walked) <= ${MOST_WALKED}`;

/**
 * Reads the streams after a name, in the order of the database.
 *
 * In some locales, streams of other categories are among those of the category. So the walk has an end.
 */
export async function readStreamsByName(
  sql: Sql,
  { category, limit }: WantedStreams,
  after: string | undefined,
): Promise<StoredStreams> {
  return await queryJson<StoredStreams>(sql, `${SET_SETTINGS},`, BY_NAME)`
  given as materialized (
    select
      ${category}::text as category, ${limit}::text::bigint as most, ${after ?? ""}::text as after
    from ours
  )`;
}

const BY_NAME = /* @__PURE__ */ `,
${WITH_ENDS},
  ${/* @__PURE__ */ walked("stream_name > (select after from asked)")},
  page as materialized (
    select stream_name from named limit (select most + 1 from asked)
  )${
  /* @__PURE__ */ answer(
    `(
      select case
        when (select count(*) from page) <= most and not (${WALKED_ALL})
          then to_json((select max(stream_name) from walked))
      end
      from asked
    )`,
  )
}`;

/**
 * Reads the streams whose last message is before a global position, from the last on.
 *
 * - `looked` has a limit that is a query, so that PostgreSQL does not know it: otherwise it may fetch and sort the whole
 *   category.
 * - `latest` are the streams of the messages before. A stream whose last message is among these is on this page.
 * - `few` are all streams, where many messages are of few streams.
 * - If there are many of both, the page ends where the look ended.
 */
export async function readStreamsByLast(
  sql: Sql,
  { category, limit }: WantedStreams,
  before: string | undefined,
): Promise<StoredStreams> {
  return await queryJson<StoredStreams>(sql, `${SET_SETTINGS},`, BY_LAST)`
  given as materialized (
    select
      ${category}::text as category, ${limit}::text::bigint as most,
      ${before ?? "9223372036854775807"}::text::bigint as before
    from ours
  )`;
}

const BY_LAST = /* @__PURE__ */ `,
${WITH_ENDS},
  looked as materialized (
    select stream_name, position, global_position
    from message_store.messages
    where (select nothing from ours) is not null
      and (message_store.category(stream_name), global_position) >= ((select category from asked), 0)
      and (message_store.category(stream_name), global_position)
        < ((select category from asked), (select before from asked))
    order by message_store.category(stream_name) desc, global_position desc
    limit (select ${MOST_LOOKED_AT + 1})
  ),
  latest as materialized (
    select seen.stream_name, last.global_position
    from (
      select stream_name, max(position) as position, max(global_position) as place
      from looked
      group by stream_name
      order by place desc
    ) as seen
    cross join lateral (
      select position, global_position
      from message_store.messages
      where messages.stream_name = seen.stream_name
      order by position desc
      limit 1
    ) as last
    where seen.position >= last.position
    limit (select most + 1 from asked)
  ),
  short as materialized (
    select
      (select count(*) from latest) <= most and (select count(*) from looked) > ${MOST_LOOKED_AT} as is_short
    from asked
  ),
  ${/* @__PURE__ */ walked("(select is_short from short)")},
  ending as materialized (
    select is_short and (${WALKED_ALL}) as is_few, is_short and not (${WALKED_ALL}) as is_cut
    from short
  ),
  few as (
    select named.stream_name, last.global_position
    from named
    cross join lateral (
      select global_position
      from message_store.messages
      where messages.stream_name = named.stream_name
      order by position desc
      limit 1
    ) as last
    where (select is_few from ending)
      and last.global_position < (select before from asked)
  ),
  page as materialized (
    select stream_name
    from (
      select * from latest where not (select is_few from ending)
      union all
      select * from few
    ) as streams
    order by global_position desc
    limit (select most + 1 from asked)
  )${
  /* @__PURE__ */ answer(
    "(select min(global_position) from looked where (select is_cut from ending))",
  )
}`;

/**
 * Reads the streams with fewer messages than that, from the longest on.
 *
 * If there are too many streams to count all, `sampled` finds the long ones: their messages are at many places.
 */
export async function readStreamsByCount(
  sql: Sql,
  { category, limit }: WantedStreams,
  after: { readonly count: string; readonly streamName: string } | undefined,
): Promise<StoredStreams> {
  return await queryJson<StoredStreams>(sql, `${SET_SETTINGS},`, BY_COUNT)`
  given as materialized (
    select
      ${category}::text as category, ${limit}::text::bigint as most,
      ${after?.count ?? "9223372036854775807"}::text::bigint as count,
      ${after?.streamName ?? ""}::text as name
    from ours
  )`;
}

const BY_COUNT = /* @__PURE__ */ `,
${WITH_ENDS},
  ${/* @__PURE__ */ walked("true")},
  extent as materialized (
    select min(place) as low, max(place) as high
    from (
      (
        select global_position as place
        from message_store.messages
        where (select nothing from ours) is not null
          and ${isOfCategory("(select category from asked)")}
        order by global_position
        limit 1
      )
      union all
      (
        select global_position
        from message_store.messages
        where (select nothing from ours) is not null
          and ${isOfCategory("(select category from asked)")}
        order by global_position desc
        limit 1
      )
    ) as ends
    where not (${WALKED_ALL})
  ),
  sampled as materialized (
    select probe.stream_name
    from extent, generate_series(0, ${MOST_PROBED - 1}) as number
    cross join lateral (
      select stream_name
      from message_store.messages
      where (select nothing from ours) is not null
        and ${isOfCategory("(select category from asked)")}
        and global_position >= (
          low + ((high - low) operator(pg_catalog./) ${MOST_PROBED} operator(pg_catalog.*) number)
        )
      order by global_position
      limit 1
    ) as probe
    where low is not null
  ),
  page as materialized (
    select stream_name
    from (
      select
        stream_name,
        1 + (
          select position
          from message_store.messages
          where messages.stream_name = candidate.stream_name
          order by position desc
          limit 1
        ) - (
          select position
          from message_store.messages
          where messages.stream_name = candidate.stream_name
          order by position
          limit 1
        ) as count
      from (select stream_name from named union select stream_name from sampled) as candidate
    ) as counted, asked
    where counted.count < asked.count or counted.count = asked.count and stream_name ~>~ name
    order by counted.count desc, stream_name collate pg_catalog."C"
    limit (select most + 1 from asked)
  )${/* @__PURE__ */ answer("null", WALKED_ALL)}`;

/** SQL after `page`, which has a name more than is wanted if there are more. */
function answer(stoppedAt: string, isComplete = "true"): string {
  return `,
  numbered as materialized (
    select stream_name, row_number() over () as number from page
  )${RESTORE_SETTINGS}(
  select
    json_build_object(
      'streams', coalesce(
        json_agg(
          json_build_object(
            'streamName', stream_name, 'count', last.position - first.position + 1,
            'firstAt', first.milliseconds, 'lastAt', last.milliseconds,
            'lastGlobalPosition', last.global_position
          )
          order by number
        ),
        '[]'
      ),
      'hasMore', (select count(*) from page) > (select most from asked),
      'stoppedAt', ${stoppedAt},
      'isComplete', ${isComplete}
    )::text as json
  from numbered
  cross join lateral (
    select position, ${FINITE_MILLISECONDS} as milliseconds
    from message_store.messages
    where messages.stream_name = numbered.stream_name
    order by position
    limit 1
  ) as first
  cross join lateral (
    select position, global_position, ${FINITE_MILLISECONDS} as milliseconds
    from message_store.messages
    where messages.stream_name = numbered.stream_name
    order by position desc
    limit 1
  ) as last
  where number <= (select most from asked)
) as complete`;
}
