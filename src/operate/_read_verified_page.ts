import {
  queryJson,
  RESTORE_SETTINGS,
  type SendStatement,
  SET_SETTINGS,
} from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/** Which messages to verify. */
export interface VerifiedQuery {
  readonly category: string | undefined;
  /** Undefined for the first message. */
  readonly position: number | undefined;
  readonly batchSize: number;
}

/** What is wrong with a message, and two values that the sentence about it needs. */
export type Found = readonly [
  kind: "gap" | "deleted" | "order" | "duplicate" | "position" | "name" | "reference" | "beyond",
  streamName: string,
  position: number,
  globalPosition: number,
  first: number | string | null,
  second: number | string | null,
];

/** The answer of the statement. */
export interface VerifiedColumns {
  /** How many messages were verified. */
  readonly count: number;
  /** The global position of the last of them; null if there is none. */
  readonly last: number | null;
  readonly head: number;
  /** The last global position that was taken; null if the role may not ask. */
  readonly sequence: number | null;
  /** The indexes that are missing, are not valid, or are not unique. */
  readonly missingIndexes: readonly string[];
  readonly found: readonly Found[];
}

/** Verifies messages, from a global position on. */
export async function readVerifiedPage(
  sql: Sql,
  { category, position, batchSize }: VerifiedQuery,
): Promise<VerifiedColumns> {
  // A superuser can write global positions below 1.
  const from = String(position ?? "-9223372036854775808");
  // `verifyPage` puts the beginning of `scanned` in front, and what is verified behind.
  if (category === undefined) {
    return await verifyPage(sql)`
      where (select nothing from ours) is not null
        and global_position >= ${from}::text::bigint
      order by global_position
      limit ${String(batchSize)}::text::bigint`;
  }
  return await verifyPage(sql)`
      cross join (select ${category}::text as category) as sought
      where (select nothing from ours) is not null
        and message_store.category(stream_name) = sought.category
        and message_store.category(stream_name) >= sought.category
        and message_store.category(stream_name) <= sought.category
        and global_position >= ${from}::text::bigint
      order by global_position
      limit ${String(batchSize)}::text::bigint`;
}

/** How far apart two messages are at most whose global positions are counted. */
const COUNTED_RANGE = 10_000;

/** SQL that tells whether an index of these columns is there. */
function hasIndex(columns: readonly string[], unique = ""): string {
  const attribute = (name: string) =>
    `(
            select attnum
            from pg_catalog.pg_attribute
            where attrelid = 'message_store.messages'::regclass::oid and attname = '${name}'
          )`;
  return `exists (
        select
        from pg_catalog.pg_index
        where indrelid = 'message_store.messages'::regclass::oid
          and indisvalid and indpred is null ${unique}
          ${
    columns.map((name, at) => `and indkey[${at}] = ${attribute(name)}`).join("\n          ")
  }
      )`;
}

const UNIQUE_OF_ONE = "and indisunique and indnkeyatts = 1";

/**
 * Verifies the messages that a `where` selects.
 *
 * - `scanned` holds of each message what is looked at.
 * - `placed` finds the message before each in its stream, by the index of streams. Without that index, each
 *   look would go through the whole table, so nothing is looked up.
 * - An index that is unique says that ids and positions are there once.
 */
function verifyPage(sql: Sql): SendStatement<VerifiedColumns> {
  return queryJson(sql, BEFORE, AFTER);
}

const BEFORE = /* @__PURE__ */ `${SET_SETTINGS}${RESTORE_SETTINGS}(
  with indexes as materialized (
    select
      ${hasIndex(["stream_name", "position"])} as has_streams,
      ${hasIndex(["stream_name", "position"], "and indisunique and indnkeyatts = 2")} as has_places,
      ${hasIndex(["id"])} as has_any_ids,
      ${hasIndex(["id"], UNIQUE_OF_ONE)} as has_ids,
      ${hasIndex(["global_position"], UNIQUE_OF_ONE)} as has_global_positions,
      exists (
        select
        from pg_catalog.pg_index
        where indrelid = 'message_store.messages'::regclass::oid
          and indisvalid
          and pg_get_indexdef(indexrelid, 1, true) ~~ '%category(%stream_name%'
      ) as has_categories
  ),
  scanned as materialized (
    select
      global_position, position, stream_name, type, id,
      case when metadata ->> 'referringAggregate' is not null then metadata end as metadata,
      case
        when type = 'Recorded' then case
          when stream_name ~ '^[^-]*[:+](position|aggregate)-' then case
            when (data -> 'position')::text ~ '^[0-9]+$' then case
              when (data - 'position')::text = '{}' then (data ->> 'position')::numeric
            end
          end
        end
      end as recorded
    from message_store.messages`;

const AFTER = /* @__PURE__ */ `
  ),
  placed as materialized (
    select
      scanned.global_position, scanned.position, scanned.stream_name,
      before.position as previous, before.global_position as previous_global
    from scanned
    left join lateral (
      select stored.position, stored.global_position
      from message_store.messages as stored
      where stored.stream_name = scanned.stream_name
        and stored.position <= scanned.position
        and stored.global_position <> scanned.global_position
      order by stored.position desc
      limit 1
    ) as before on true
    where (select has_streams from indexes)
  ),
  gap as materialized (
    select
      placed.*, coalesce(previous, -1) + 1 as missing,
      global_position - 1 - coalesce(previous_global, 0) as range
    from placed
    where position > (coalesce(previous, -1) + 1)
  ),
  recorded as materialized (
    select
      scanned.stream_name, scanned.position, scanned.global_position, recorded,
      case
        when stream_name ~ '^[^-]*[:+]position-.*[+]parked$' then (
          select coalesce(max(stored.position), -1) + 1
          from message_store.messages as stored
          where stored.stream_name = (
            left(split_part(scanned.stream_name, '-', 1), -8)
              || 'parked-'
              || left(
                substr(
                  scanned.stream_name, length(split_part(scanned.stream_name, '-', 1)) + 2
                ),
                -7
              )
          )
        )
        else scanned.global_position - 1
      end as most
    from scanned
    where recorded is not null
      and (select has_streams from indexes)
      and not exists (
        select
        from message_store.messages as later
        where later.stream_name = scanned.stream_name
          and later.position > scanned.position
      )
  ),
  reference as materialized (
    select
      scanned.stream_name, scanned.position, scanned.global_position,
      scanned.metadata ->> 'causationMessageGlobalPosition' as cause,
      origin.global_position is null as is_missing,
      origin.stream_name = (scanned.metadata ->> 'causationMessageStreamName')
        and origin.position::text = (scanned.metadata ->> 'causationMessagePosition')
        and origin.type = scanned.type as is_right
    from scanned
    left join lateral (
      select *
      from message_store.messages
      where messages.global_position = case
        when scanned.metadata ->> 'causationMessageGlobalPosition' ~ '^[0-9]{1,18}$'
        then (scanned.metadata ->> 'causationMessageGlobalPosition')::bigint
      end
      limit 1
    ) as origin on true
    where scanned.metadata is not null
      and (select has_global_positions from indexes)
      and scanned.metadata ->> 'referringAggregate' = message_store.category(scanned.stream_name)
  ),
  found as (
    select
      case
        when range < 0 then 'gap'
        when range > ${COUNTED_RANGE} then 'deleted'
        when range - (
          select count(*)
          from message_store.messages as between_them
          where between_them.global_position > coalesce(gap.previous_global, 0)
            and between_them.global_position < gap.global_position
        ) >= (position - missing) then 'deleted'
        else 'gap'
      end as kind,
      stream_name, position, global_position, to_json(missing) as first,
      to_json(position - 1) as second
    from gap
    union all
    select
      'order', stream_name, position, global_position, to_json(previous), to_json(previous_global)
    from placed
    where previous < position and previous_global > global_position
    union all
    select
      'duplicate', stream_name, position, global_position, to_json('position'::text),
      to_json(previous_global)
    from placed
    where previous = position
    union all
    select
      'duplicate', scanned.stream_name, scanned.position, scanned.global_position,
      to_json('id'::text), to_json(other.global_position)
    from scanned
    cross join lateral (
      select stored.global_position
      from message_store.messages as stored
      where stored.id = scanned.id and stored.global_position <> scanned.global_position
      limit 1
    ) as other
    where (select has_any_ids and not has_ids from indexes)
    union all
    select
      'duplicate', stream_name, position, global_position, to_json('global position'::text),
      to_json(global_position)
    from (
      select *, lag(global_position) over (order by global_position) as previous
      from scanned
      where (select not has_global_positions from indexes)
    ) as pairs
    where global_position = previous
    union all
    select 'position', stream_name, position, global_position, null, null
    from scanned
    where position < 0 or global_position < 1
    union all
    select 'name', stream_name, position, global_position, null, null
    from scanned
    where stream_name ~ '^-|^[$]all-|^[^-]*-$|^$' or stream_name = '$all'
    union all
    select
      'reference', stream_name, position, global_position, to_json(cause),
      to_json(case when is_missing then 'no' else 'another' end::text)
    from reference
    where is_missing or is_right is not true
    union all
    select 'beyond', stream_name, position, global_position, to_json(recorded), to_json(most)
    from recorded
    where recorded > most
  )
  select concat(
    '{"count":', (select count(*) from scanned),
    ',"last":', coalesce((select max(global_position) from scanned)::text, 'null'),
    ',"head":', coalesce((select max(global_position) from message_store.messages), 0),
    ',"sequence":', case
      when has_sequence_privilege('message_store.messages_global_position_seq', 'usage, select')
      then coalesce(
        pg_sequence_last_value('message_store.messages_global_position_seq'), 0
      )::text
      else 'null'
    end,
    ',"missingIndexes":', (
      select coalesce(json_agg(name), '[]')::text
      from (
        select 'messages_pkey' as name, has_global_positions as is_there from indexes
        union all
        select 'messages_stream', has_places from indexes
        union all
        select 'messages_id', has_ids from indexes
        union all
        select 'messages_category', has_categories from indexes
      ) as wanted
      where not is_there
    ),
    ',"found":', coalesce(
      (
        select
          json_agg(
            json_build_array(kind, stream_name, position, global_position, first, second)
            order by global_position, position, kind
          )::text
        from found
      ),
      '[]'
    ),
    '}'
  ) as json
) as complete`;
