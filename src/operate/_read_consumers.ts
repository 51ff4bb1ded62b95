import { queryJson, RESTORE_SETTINGS, SET_SETTINGS } from "../handle/_statement.ts";
import type { LastMessage } from "../consume/_read_last_messages.ts";
import { IS_OWN_MESSAGE, positionStream } from "../names/_own_streams.ts";
import { category as categoryOf, streamName } from "../names/stream_name.ts";
import { eachCategory } from "../read/_each_category.ts";
import { isOfCategory } from "../names/_of_category.ts";
import { shareNumber } from "../read/_share.ts";
import type { Sql } from "../types.ts";

/** What the store has of a position. Times are in milliseconds, by the server's clock. */
export interface StoredConsumer {
  readonly streamName: string;
  /** What the consumer reads: a category, `$all`, or an aggregate. For an aggregate itself, its name. */
  readonly category: string;
  /** Whether the position is an aggregate's own. */
  readonly isAggregate: boolean;
  /** Whether `category` is an aggregate's. */
  readonly isOfAggregate: boolean;
  readonly consumerId: string;
  readonly member: number | null;
  readonly size: number | null;
  readonly position: number;
  /** The last message of the position stream. */
  readonly last: LastMessage;
  /** The last message of the stream in which other processes ask for the position. */
  readonly question: LastMessage | null;
  readonly head: number;
  readonly behind: number;
  readonly isBehindMore: boolean;
  /** The oldest time of the messages that are counted as behind; null for none. */
  readonly oldestAt: number | null;
  readonly parked: number;
  readonly isParkedMore: boolean;
}

/** The times of the first messages of two unbroken runs: of this position, and of this owner if there is one. */
export type Runs = readonly [movedAt: number, heldAt: number | null];

export interface StoredConsumers {
  /** The server's time; null if there is no position. */
  readonly now: number | null;
  readonly positions: readonly StoredConsumer[];
  /** By the names of the position streams; null if there is no position. */
  readonly runs: Readonly<Record<string, Runs>> | null;
}

/** Which positions to read, and how to count what is after them. */
export interface WantedConsumers {
  /** @default all */
  readonly category?: string | undefined;
  /** @default all */
  readonly consumerId?: string | undefined;
  /** See `ConsumersOptions`. */
  readonly upTo?: number | undefined;
  /** The position up to which to count from the stored one, or down to which. @default the end */
  readonly at?: number | undefined;
  /** How many messages of a position to look at. @default 1,000, and 5,000 of all */
  readonly scanLimit?: number | undefined;
}

/** SQL of a message as `LastMessage`. */
const LAST_MESSAGE_JSON = `json_build_object(
        'streamName', stream_name, 'version', version, 'data', data, 'metadata', metadata,
        'age', now - (date_part('epoch', time) * 1000)
      )`;

const CONSUMERS_JSON = `
  select json_build_object(
    'now', max(now),
    'positions', coalesce(json_agg(json_build_object(
      'streamName', stream_name, 'category', source, 'isAggregate', is_aggregate,
      'isOfAggregate', is_of_aggregate, 'consumerId', consumer_id, 'member', member, 'size', size,
      'position', position, 'last', ${LAST_MESSAGE_JSON},
      'head', head, 'behind', behind, 'isBehindMore', coalesce(is_behind_more, false),
      'oldestAt', oldest_at, 'question', question, 'parked', parked, 'isParkedMore', is_parked_more
    ) order by stream_name collate pg_catalog."C"), '[]'),
    'runs', (select json_object_agg(stream_name, json_build_array(moved_at, held_at)) from runs)
  )::text as json
  from consumers, clock`;

/** SQL of a message's time, in milliseconds. */
const MILLISECONDS = "(date_part('epoch', time) * 1000)";

/** SQL of the id of a message's stream; null if the stream's name is a category. */
const ENTITY = `case
            when strpos(stream_name, '-') > 0 then substr(stream_name, strpos(stream_name, '-') + 1)
          end`;

/** SQL: whether a message of a category is in the member's share. As Message DB's hash_64 and cardinal_id. */
const IS_OF_SHARE = `recorded.size is null or recorded.size = 1 or (
          select case
            when is_of_aggregate and entity ~ '^[0-9]{1,15}$'
              then mod(entity::bigint, recorded.size)
            else mod(${
  shareNumber("case when is_of_aggregate then entity else split_part(entity, '+', 1) end")
}, recorded.size)
          end = recorded.member
          from (select ${ENTITY} as entity) as named
        )`;

/**
 * Reads every position of consumers and aggregates, and what stands around it.
 *
 * The steps find the streams by two indexes, and read no message that they do not need:
 *
 * - `categories` goes from one category to the next by the index of categories.
 * - `streams` goes from one stream of such a category to the next by the index of streams. Where the database's
 *   collation compares punctuation first, as most do, `account:position-…` comes before `account:position.`.
 *   Otherwise every stream behind the first is looked at.
 * - `recorded` is the last message of each stream, if that is a stored position. `is_of_aggregate` has an order, so that
 *   PostgreSQL uses the index: where it knows of few streams only, it expects to meet any of them soon in the table.
 * - `runs` searches the first message that has the same position, and the first that has the same owner: by steps
 *   backwards that double, and then by halves.
 * - `consumers` counts the messages after the position, or between it and another one. It looks at 1,000 messages of a
 *   category at most, and at 5,000 of all (the library's own are among those), or at as many as it is told. With `upTo`, it looks on until one more is counted. Each limit
 *   is a query of its own, so that PostgreSQL does not know it: without statistics it would expect fewer messages,
 *   and fetch and sort all that there are.
 */
export async function readConsumers(
  sql: Sql,
  { category, consumerId, upTo, at, scanLimit }: WantedConsumers,
): Promise<StoredConsumers> {
  const asked = category === undefined ? null : JSON.stringify(
    [positionStream({ category, consumerId: "1" }), streamName(category, "1", ["aggregate"])]
      .map(categoryOf),
  );
  return await queryJson<StoredConsumers>(
    sql,
    `${SET_SETTINGS},
  clock as materialized (
    select date_part('epoch', clock_timestamp()) * 1000 as now
  ),`,
    `${COUNT_STEPS}${RESTORE_SETTINGS}(${CONSUMERS_JSON}
) as complete`,
  )`
  asked as materialized (
    select
      ${asked}::text as categories,
      ${consumerId ?? null}::text as consumer_id,
      ${integerText(upTo)}::text::bigint as up_to,
      ${integerText(at)}::text::bigint as place,
      ${integerText(scanLimit)}::text::bigint as scan
  ),`;
}

function integerText(value: number | undefined): string | null {
  return value === undefined ? null : String(value);
}

const COUNT_STEPS = `
  categories as materialized (
    select category
    from (${/* @__PURE__ */ eachCategory("(select categories from asked) is null")}) as named
    where category ~ '[:+](position|aggregate)$'
    union all
    select json_array_elements_text(categories::json) from asked, ours
  ),
  streams as materialized (
    with recursive walk as (
      select
        category,
        substring(category, '^(.*[:+])') as stem,
        category || '-' as stream_name,
        case
          when 'a-z' < 'a.' then category || '.'
          else (select max(stream_name) || ' ' from message_store.messages)
        end as behind
      from categories
      union all
      select
        category,
        stem,
        (
          select min(messages.stream_name)
          from message_store.messages
          where messages.stream_name > walk.stream_name
            and messages.stream_name < walk.behind
        ),
        behind
      from walk
      where stream_name is not null
    )
    select
      stream_name, stem, left(stem, -1) as source, category = (stem || 'aggregate') as is_aggregate,
      id, split_part(id, '+', 1) as consumer_id,
      case when strpos(id, '+') > 0 then split_part(id, '+', 2)::int end as member,
      case when strpos(id, '+') > 0 then split_part(id, '+', 3)::int end as size
    from (
      select *, substr(stream_name, length(category) + 2) as id
      from walk
      where split_part(stream_name, '-', 1) = category
    ) as named
    where id ~ '^[^+]+([+](0|[1-9][0-9]{0,4})[+][1-9][0-9]{0,4})?$'
      and (category <> (stem || 'aggregate') or id = left(stem, -1))
      and split_part(id, '+', 1) = coalesce((select asked.consumer_id from asked), split_part(id, '+', 1))
  ),
  recorded as materialized (
    select
      streams.*, last.position as version, (last.data ->> 'position')::bigint as position,
      last.data, last.metadata, last.metadata ->> 'owner' as owner, last.metadata -> 'types' as types, last.time,
      source = '$all' or is_aggregate as is_of_all,
      (
        select position
        from message_store.messages
        where stream_name = (source || ':aggregate-' || source)
        order by position
        limit 1
      ) is not null as is_of_aggregate
    from streams
    cross join lateral (
      select *
      from (
        select *
        from message_store.messages
        where messages.stream_name = streams.stream_name
        order by messages.position desc
        limit 1
      ) as newest
      where (${IS_OWN_MESSAGE})
        and (data ->> 'position') ~ '^[0-9]{1,15}$'
    ) as last
    where size is null or member < size
  ),
  runs as materialized (
    with recursive run as (
      select
        stream_name, version as high, null::bigint as low, 1::bigint as step,
        'position' as key, position::text as value
      from recorded
      union all
      select
        stream_name, version, null::bigint, 1::bigint, 'owner', owner
      from recorded
      where owner is not null
      union all
      select
        run.stream_name,
        case when is_same then probe.position else high end,
        case when is_same then low else middle end,
        step << 3, key, value
      from run
      cross join lateral (
        select case
          when low is not null then (low + high) >> 1
          when step < high then high - step
          else 0
        end as middle
      ) as chosen
      left join lateral (
        select
          messages.position,
          coalesce(
            case when key = 'owner' then metadata ->> 'owner' else data ->> 'position' end = value,
            false
          ) as is_same
        from message_store.messages
        where messages.stream_name = run.stream_name
          and messages.position <= middle
        order by messages.position desc
        limit 1
      ) as probe on true
      where high > (coalesce(low, -1) + 1)
    )
    select
      stream_name,
      min(case when key = 'position' then ${MILLISECONDS} end) as moved_at,
      min(case when key = 'owner' then ${MILLISECONDS} end) as held_at
    from (
      select stream_name as name, key, min(high) as first from run group by stream_name, key
    ) as found
    join message_store.messages on stream_name = name and position = first
    group by stream_name
  ),
  consumers as (
    select
      recorded.*, head, behind, oldest_at, is_behind_more, question,
      coalesce(parked, 0) as parked, coalesce(is_parked_more, false) as is_parked_more
    from recorded
    cross join lateral (
      select coalesce(
        case
          when is_of_all then (select max(global_position) from message_store.messages)
          else (
            select max(global_position)
            from message_store.messages
            where ${isOfCategory("source")}
          )
        end,
        0
      ) as head
    ) as newest
    cross join lateral (
      select
        case when place < recorded.position then place else recorded.position end as position,
        case
          when place is null then 9223372036854775807
          when place < recorded.position then recorded.position
          else place
        end as last
      from asked
    ) as after
    cross join lateral (
      select
        case
          when count(*) > (select up_to from asked) then (select up_to from asked)
          else count(*) filter (where is_wanted)
        end as behind,
        date_part('epoch', min(time) filter (where is_wanted)) * 1000 as oldest_at,
        coalesce(
          count(*) > (select coalesce(up_to, scan) from asked),
          max(global_position) < head
        ) as is_behind_more
      from (
        select *
        from (
          select
            global_position, time,
            (${IS_OF_SHARE})
            and coalesce(jsonb_exists(types, type), true) as is_wanted
          from (
            select
              global_position, time, stream_name, type
            from message_store.messages
            where not is_of_all
              and ${isOfCategory("source")}
              and global_position > after.position
              and global_position <= after.last
            order by global_position
            limit (select case when up_to is null then coalesce(scan + 1, 1000) end from asked)
          ) as of_category
          union all
          select
            global_position, time,
            not (${IS_OWN_MESSAGE}) and coalesce(jsonb_exists(types, type), true) and not (
              is_aggregate
              and coalesce(metadata ->> 'referringAggregate' = split_part(stream_name, '-', 1), false)
            )
          from (
            select *
            from message_store.messages
            where is_of_all
              and global_position > after.position
              and global_position <= after.last
            order by global_position
            limit (select case when up_to is null then coalesce(scan + 1, 5000) end from asked)
          ) as of_all
        ) as looked_at
        where is_wanted or (select up_to from asked) is null
        limit (select up_to + 1 from asked)
      ) as counted
    ) as ahead
    left join lateral (
      select ${LAST_MESSAGE_JSON} as question
      from (
        select *, messages.position as version
        from message_store.messages
        where messages.stream_name = (stem || 'claim-' || recorded.id)
        order by messages.position desc
        limit 1
      ) as asked, clock
      where (${IS_OWN_MESSAGE})
    ) as asked on true
    left join lateral (
      select
        count(*) filter (where is_open) as parked,
        case
          when count(*) = 1000 then max(position) < (
            select max(messages.position)
            from message_store.messages
            where messages.stream_name = (stem || 'parked-' || consumer_id)
          )
        end as is_parked_more
      from (
        select
          position,
          is_own and type = 'Parked' and not coalesce(
            position::text = any (
              pg_catalog.array_agg(data ->> 'position') filter (where is_own and type <> 'Parked') over ()
            ),
            false
          ) as is_open
        from (
          select *, (${IS_OWN_MESSAGE}) as is_own
          from (
            select *
            from message_store.messages
            where messages.stream_name = (stem || 'parked-' || consumer_id)
              and messages.position >= coalesce((
                select case
                  when (data ->> 'position') ~ '^[0-9]{1,15}$' then (data ->> 'position')::bigint
                end
                from message_store.messages
                where messages.stream_name = (stem || 'position-' || consumer_id || '+parked')
                order by messages.position desc
                limit 1
              ), 0)
            order by messages.position
            limit (select 1000)
          ) as after_replay
        ) as judged
      ) as listed
    ) as listed on not is_aggregate
  )`;
