import type { Identity } from "./_whole_consumer.ts";
import type { Parked } from "../consume/parked.ts";
import { queryJson } from "../handle/_statement.ts";
import { WHOLE_MILLISECONDS } from "../messages/_columns.ts";
import { IS_OWN_MESSAGE, parkedStream, replayStream } from "../names/_own_streams.ts";
import type { Sql } from "../types.ts";

/** A message in a consumer's stream of parked messages, and what became of it. */
export interface ParkedEntry {
  /** Its position in that stream. */
  readonly position: number;
  readonly data: Parked;
  /** When it was parked, in milliseconds since 1970. */
  readonly time: number;
  readonly state: "open" | "replayed" | "discarded";
}

/** What is parked, and the versions of the two streams that say so. */
export interface ParkedEntries {
  readonly entries: readonly ParkedEntry[];
  readonly version: number;
  readonly replayVersion: number;
}

/** Which parked messages to read. */
export interface WantedEntries {
  /** The ids of the messages that were parked; all by default. */
  readonly ids?: readonly string[];
  /** Whether to leave out what is replayed or discarded. */
  readonly isOpen?: boolean;
  readonly position?: number;
  readonly batchSize?: number;
}

/** Reads what a consumer has parked, in order. */
export function readParkedEntries(
  sql: Sql,
  identity: Identity,
  { ids, isOpen, position = 0, batchSize }: WantedEntries,
): Promise<ParkedEntries> {
  return queryJson<ParkedEntries>(sql, "with", PARKED_ENTRIES)`
  asked as materialized (
    select
      ${parkedStream(identity)}::text as parked, ${replayStream(identity)}::text as replay,
      ${ids ? JSON.stringify(ids) : null}::text as ids, ${isOpen ? "open" : null}::text as state,
      ${String(position)}::text::bigint as first,
      ${batchSize === undefined ? null : String(batchSize)}::text::bigint as most
  )`;
}

// The stream and the position of replayParked may have messages of an application. What is open begins where the replay
// goes on: so nothing is read of all that was replayed in its turn. `dealt` has the single messages that were replayed or
// discarded out of turn, as an object: a join would compare each entry with each of them.
const PARKED_ENTRIES = /* @__PURE__ */ `,
  replay as materialized (
    select
      position as version,
      case when data ->> 'position' ~ '^[0-9]{1,18}$' then (data ->> 'position')::bigint else 0 end
        as next
    from message_store.messages
    where stream_name = (select replay from asked)
    order by position desc
    limit 1
  ),
  start as materialized (
    select case
      when state = 'open' and first < (select next from replay) then (select next from replay)
      else first
    end as first
    from asked
  ),
  dealt as materialized (
    select jsonb_object_agg(place, fate) as fates
    from (
      select data ->> 'position' as place, min(type) as fate
      from message_store.messages
      where stream_name = (select parked from asked)
        and position > (select first from start)
        and type = any ('{Replayed,Discarded}'::text[])
        and (
          ${IS_OWN_MESSAGE}
        )
      group by data ->> 'position'
    ) as single
  ),
  entry as (
    select
      position, data, time,
      case
        when position < (select next from replay) then 'replayed'
        else coalesce(lower((select fates from dealt) ->> position::text), 'open')
      end as state
    from (
      select *
      from message_store.messages
      where stream_name = (select parked from asked)
        and position >= (select first from start)
        and type = 'Parked'
        and (
          ${IS_OWN_MESSAGE}
        )
        and (
          (select ids from asked) is null
          or data -> 'message' ->> 'id' = any (
            array(select json_array_elements_text((select ids from asked)::json))
          )
        )
    ) as parked
  ),
  page as (
    select *
    from entry
    where (select state from asked) is null or state = (select state from asked)
    order by position
    limit (select most from asked)
  )
select
  json_build_object(
    'version', coalesce(
      (
        select max(position)
        from message_store.messages
        where stream_name = (select parked from asked)
      ),
      -1
    ),
    'replayVersion', coalesce((select version from replay), -1),
    'entries', coalesce(
      (
        select
          json_agg(
            json_build_object(
              'position', position, 'data', data, 'state', state,
              'time', ${WHOLE_MILLISECONDS}
            )
            order by position
          )
        from page
      ),
      '[]'
    )
  )::text as json`;
