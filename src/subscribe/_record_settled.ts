import { randomUuid } from "../lib/random_uuid.ts";
import { queryNamedStore } from "../read/_store_identity.ts";
import type { Sql } from "../types.ts";

/** What is recorded as settled, in which store. */
export interface Settled {
  /** As in `Standing`. */
  readonly store: string;
  /** The position that the last record says; 0 for no record. */
  readonly settled: number;
  /** The position of the last record in its stream; -1 for no record. */
  readonly version: number;
  /** As in `ScannedPage`. */
  readonly replica: "standby" | "subscriber" | null;
  /** The position of the new record in its stream; null if none was written. */
  readonly recorded: number | null;
}

/** What to record. */
export interface NewRecord {
  /** Up to this global position all messages are settled. */
  readonly position: number;
  /** Only in this store. */
  readonly store: string;
  /** Only if the last record is still this one. */
  readonly version: number;
}

/**
 * Records up to which global position all messages are settled, unless another process has recorded since.
 *
 * @param record Null to ask only what is recorded.
 * @returns What was recorded before.
 */
export async function recordSettled(sql: Sql, record: NewRecord | null): Promise<Settled> {
  const data = record && JSON.stringify({ position: record.position });
  // What was settled in one store, by one run of its server, stays settled there: `write_message` runs
  // in the same statement that compares the names. Another store may be a standby that was promoted and
  // lacks what was read. So the position is not recorded there.
  // A position that is not below its own record was not written by this function in this store.
  // Two processes may record at the same time, and the lower position last: each record is true.
  return await queryNamedStore<Settled>(sql)`
  last as materialized (
    select
      coalesce(max(position), -1) as version,
      coalesce(max(settled) filter (where settled < global_position), 0) as settled
    from (
      select
        position, global_position,
        case
          when type = 'Settled' and (data ->> 'position') ~ '^[0-9]{1,18}$'
            then (data ->> 'position')::bigint
        end as settled
      from message_store.messages
      where stream_name = '$all:settled-all'
      order by position desc
      limit 1
    ) as last
  ),
  recorded as materialized (
    select
      message_store.write_message(
        ${randomUuid()}::text, '$all:settled-all' || ours.nothing, 'Settled', ${data}::text::jsonb
      ) as position
    from ours, store, last
    where store.name = ${record && record.store}::text
      and last.version = ${record && String(record.version)}::text::bigint
  ),
  answer as materialized (
    select
      json_build_object(
        'store', store.name,
        'settled', last.settled,
        'version', last.version,
        'replica', case
          when pg_is_in_recovery() then 'standby'
          when exists (
            select
            from pg_catalog.pg_subscription_rel
            where srrelid = 'message_store.messages'::regclass::oid
          ) then 'subscriber'
        end,
        'recorded', (select max(position) from recorded)
      )::text as json
    from store, last
  )`;
}
