import { queryJson, RESTORE_SETTINGS, SET_SETTINGS } from "../handle/_statement.ts";
import { IS_OWN_MESSAGE } from "../names/_own_streams.ts";
import { isOfCategory } from "../names/_of_category.ts";
import type { Sql } from "../types.ts";

/** Which messages of a category to look at. */
export interface SupersededQuery {
  readonly category: string;
  /** The global position after which to begin. */
  readonly after: number;
  readonly batchSize: number;
  /** Before which time the messages were written: in milliseconds since 1970, or before now. */
  readonly before: { readonly time: number } | { readonly age: number };
}

/** What became of a batch. */
export interface SupersededBatch {
  /** How many messages were looked at. */
  readonly count: number;
  /** The last global position that was looked at; null for none. */
  readonly last: number | null;
  /** How many messages are, or were, superseded. */
  readonly superseded: number;
}

/** Counts the superseded messages of a batch. */
export function countSuperseded(
  sql: Sql,
  { category, after, batchSize, before }: SupersededQuery,
): Promise<SupersededBatch> {
  return queryJson<SupersededBatch>(sql, BEGIN, `${JUDGE}${RESTORE_SETTINGS}${END}`)`
    select
      ${category}::text as category, ${String(after)}::text::bigint as after,
      ${String(batchSize)}::text::bigint as most, ${JSON.stringify(before)}::text::json as before
    from ours`;
}

/** Deletes the superseded messages of a batch. */
export function deleteSuperseded(
  sql: Sql,
  { category, after, batchSize, before }: SupersededQuery,
): Promise<SupersededBatch> {
  return queryJson<SupersededBatch>(sql, BEGIN, `${JUDGE}${DELETE}${RESTORE_SETTINGS}${END}`)`
    select
      ${category}::text as category, ${String(after)}::text::bigint as after,
      ${String(batchSize)}::text::bigint as most, ${JSON.stringify(before)}::text::json as before
    from ours`;
}

const BEGIN = /* @__PURE__ */ `${SET_SETTINGS},
  asked as materialized (`;

// A message is superseded if its stream has a later one of the same type that is this library's own, too:
// nobody reads any but the last. There are exceptions:
// - The first position that a member has recorded says from where on it has handled its own share alone.
// - The first message with the last position, or with the last owner, says since when it is so.
// - A process that waits is counted until its lease is over.
//
// Nothing that is superseded becomes needed again. So neither a lock nor a second look is needed.
//
// The look-ups have a limit, so that PostgreSQL makes no join with the whole table of them. coalesce() hides
// their conditions from the planner. Otherwise it would fetch and sort all that is left of a long stream for
// each message, because it expects that few messages fit.
const JUDGE = /* @__PURE__ */ `
  ),
  now as materialized (
    select
      date_part('epoch', clock_timestamp()) * 1000 as time,
      coalesce(
        (before ->> 'time')::float8,
        date_part('epoch', clock_timestamp()) * 1000 - (before ->> 'age')::float8
      ) as before,
      substring(category, '[:+]([a-z]+)$') as kind
    from asked
  ),
  scanned as materialized (
    select
      global_position, stream_name, position, type,
      date_part('epoch', time) * 1000 as written,
      data ->> 'position' as place, metadata ->> 'owner' as owner,
      case
        when
          ${IS_OWN_MESSAGE}
        then coalesce((data ->> 'leaseDuration')::numeric, 0)
      end as lease
    from message_store.messages
    where (select nothing from ours) is not null
      and ${isOfCategory("(select category from asked)")}
      and global_position > (select after from asked)
    order by global_position
    limit (select most from asked)
  ),
  superseded as materialized (
    select global_position
    from scanned
    cross join now
    cross join lateral (
      select data ->> 'position' as last_place, metadata ->> 'owner' as last_owner
      from message_store.messages as later
      where later.stream_name = scanned.stream_name
        and later.position > scanned.position
        and coalesce(
          later.type = scanned.type and (
            ${IS_OWN_MESSAGE}
          ),
          false
        )
      order by later.position desc
      limit 1
    ) as last
    left join lateral (
      select
        true as is_there, data ->> 'position' as previous_place, metadata ->> 'owner' as previous_owner
      from message_store.messages as earlier
      where earlier.stream_name = scanned.stream_name
        and earlier.position < scanned.position
        and coalesce(
          earlier.type = scanned.type and (
            ${IS_OWN_MESSAGE}
          ),
          false
        )
      order by earlier.position desc
      limit 1
    ) as previous on kind = any ('{position,aggregate}'::text[])
    where lease is not null
      and written < before
      and type <> 'Sized'
      and (now.time - written)::numeric >= lease
      and (kind <> 'position' or is_there)
      and (place is null or place <> last_place or place = coalesce(previous_place, ''))
      and (owner is null or owner <> coalesce(last_owner, '') or owner = coalesce(previous_owner, ''))
  )`;

const DELETE = `,
  deleted as (
    delete from message_store.messages
    where global_position = any (array(select superseded.global_position from superseded))
    returning global_position
  )`;

const END = `(
  select
    json_build_object(
      'count', (select count(*) from scanned),
      'last', (select max(global_position) from scanned),
      'superseded', (select count(*) from superseded)
    )::text as json
) as complete`;
