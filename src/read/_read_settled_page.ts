import { lastRow, type MessageRow, queryMessagePage, selectPage } from "../messages/_columns.ts";
import { IS_OWN_MESSAGE } from "../names/_own_streams.ts";
import type { Sql } from "../types.ts";
import { listParameter } from "./_list_parameter.ts";
import {
  type Mark,
  type MarkOnReplica,
  markParameter,
  type Standing,
  standingJson,
} from "./_mark.ts";
import type { WantedPage } from "./_page.ts";
import { STORE } from "./_store_identity.ts";

/** Which page to read. */
export interface SettledQuery extends WantedPage {
  /** The LIKE pattern of the streams to read; null for all streams. */
  readonly pattern: string | null;
  /**
   * Selects which of the messages that were read are returned: messages of these types, in streams
   * that match one of these patterns.
   */
  readonly filter?: {
    readonly types?: readonly string[] | undefined;
    readonly patterns?: readonly string[] | undefined;
  };
}

/** A page as one statement sees it, and its first gap: see `readSettled`. */
export interface ScannedPage extends Standing {
  readonly rows: readonly MessageRow[];
  /** How many messages were read, those that the filter left out included. */
  readonly count: number;
  /** The global position of the last message that was read; null if none was. */
  readonly last: number | null;
  /** Whether all messages that were read are bookkeeping of consumers, aggregates or snapshots. */
  readonly isQuiet: boolean;
  /**
   * The first position without a message, after the settled positions and before `last`; null for
   * none.
   */
  readonly gap: number | null;
  /**
   * Names the snapshot, if the transaction has one for all its statements (REPEATABLE READ,
   * SERIALIZABLE): the later statements of that transaction see no newer messages. Null if each
   * statement has its own.
   */
  readonly snapshot: string | null;
  /** The last message that was read before the gap; null if none was. */
  readonly passed: readonly [position: number, id: string] | null;
  /** The standing of the mark of what is known about gaps. */
  readonly known: Standing["standing"];
  /**
   * Why the server itself cannot tell whether a message is missing. `"standby"`: it is in recovery.
   * `"subscriber"`: a subscription writes the messages. Null for a primary.
   */
  readonly replica: "standby" | "subscriber" | null;
  /** On a replica, what the primary has recorded as settled. The page ends there. Null for nothing. */
  readonly record: SettledRecord | null;
  /**
   * Whether the server has messages of applications after that, of any stream, which are still to be
   * settled.
   */
  readonly isWaiting: boolean;
}

/** The last message of `SETTLED_STREAM`: its position there, its id, what it records, its global position. */
export type SettledRecord = readonly [
  position: number,
  id: string,
  settled: number,
  globalPosition: number,
];

/** Up to which position all gaps are known to be settled, in the store that has the mark. */
export interface KnownGaps {
  readonly settled: number;
  readonly mark: Mark | null;
}

/** Reads a page, and looks for its first gap after the position that is known to be settled. */
export async function readScannedPage(
  sql: Sql,
  { position, batchSize, pattern, filter = {}, mark }: SettledQuery,
  known: KnownGaps,
): Promise<ScannedPage> {
  const from = String(Math.max(position, known.settled + 1, 1));
  const types = listParameter(filter.types);
  const patterns = listParameter(filter.patterns);
  // On a replica, the page ends at the last position that is recorded as settled. The record was
  // committed after all messages up to there, and a replica shows commits in their order. So a snapshot
  // that has the record has these messages:
  // - A standby replays the WAL of the primary, or that of a standby which was promoted. A promoted
  //   standby has the records that it has replayed, and all that was committed before them. It gives
  //   positions after those.
  // - A subscriber applies the transactions of one subscription in the order of their commits, and its
  //   first copy as one. While the copy is made, and where several subscriptions write the messages,
  //   there is no such order, and no record counts.
  // The rows are read first and cut off then: so the planner does not expect the range to be small. And coalesce()
  // hides that there may be a pattern, of which the planner would expect hardly a match: planned while the table is small,
  // the statement would scan and sort the table for each page, until PostgreSQL has new statistics.
  //
  // The step `gap` first compares the number of positions with their range, which is cheap. Only if
  // a position is missing, the step goes through the positions one by one and finds the first gap.
  // A gap is a position that is missing from the whole store, whatever the pattern and the filter.
  // Up to a record, there is none.
  //
  // After the template come the rows of the step `page`, and what is known of all that was scanned.
  const { rows, extent } = await queryMessagePage<Omit<ScannedPage, "rows">>(
    sql,
    "with",
    SELECT_SCANNED_PAGE,
  )`
  marks as (
    select ${markParameter(mark)}::text as mark, ${markParameter(known.mark)}::text as known
  ),
  server as materialized (
    select
      case
        when pg_is_in_recovery() then 'standby'
        when number > 0 then 'subscriber'
      end as replica,
      number = 0 or (number = 1 and state = 'r') as is_ordered
    from (
      select count(*) as number, max(srsubstate::text) as state
      from pg_catalog.pg_subscription_rel
      where srrelid = 'message_store.messages'::regclass::oid
    ) as subscriptions
  ),
  record as materialized (
    select position, id, settled, global_position
    from (
      select
        position, id, global_position,
        case
          when type = 'Settled' and (data ->> 'position') ~ '^[0-9]{1,18}$'
            then (data ->> 'position')::bigint
        end as settled
      from message_store.messages
      where stream_name = '$all:settled-all'
        and (select replica from server where is_ordered) is not null
      order by position desc
      limit 1
    ) as last
    where settled < global_position
  ),
  bound as materialized (
    select coalesce(max(settled), 9223372036854775807) as position from record
  ),
  ahead as materialized (
    select *
    from message_store.messages
    where global_position >= ${String(position)}::text::bigint
      and (coalesce(${pattern}::text is null, false) or stream_name ~~ ${pattern}::text)
    order by global_position
    limit ${String(batchSize)}::text::bigint
  ),
  scanned as not materialized (
    select *
    from ahead
    where global_position <= (select position from bound)
  ),
  page as (
    select *
    from scanned
    where (
        ${types}::text is null
        or type = any (select json_array_elements_text(${types}::text::json))
      )
      and (
        ${patterns}::text is null
        or stream_name ~~ any (array(select json_array_elements_text(${patterns}::text::json)))
      )
  ),
  positions as not materialized (
    select global_position
    from message_store.messages
    where global_position >= ${from}::text::bigint
      and global_position <= (select max(global_position) from scanned)
  ),
  gap as (
    select min(previous) + 1 as position
    from (
      select
        global_position,
        lag(global_position, 1, ${from}::text::bigint - 1) over (order by global_position) as previous
      from positions
    ) as pairs
    where global_position > (previous + 1)
      and not exists (select from record)
      and (select max(global_position) - count(*) >= ${from}::text::bigint from positions)
  )`;
  return { ...extent, rows };
}

/** What a replica knows of a mark: what it lacks up to its record is gone, and what is after that may come. */
const ON_REPLICA: MarkOnReplica = {
  isBehind: `(select replica from server) is not null
          and not exists (select from record where settled >= place)`,
  isErased: "(select replica from server) is not null",
};

const SELECT_SCANNED_PAGE = /* @__PURE__ */ selectScannedPage();

function selectScannedPage(): string {
  const json = `concat(
    '{', '"gap":', coalesce((select position::text from gap), 'null'),
    ',"count":', (select count(*) from scanned),
    ',"last":', coalesce((select max(global_position)::text from scanned), 'null'),
    ',"isQuiet":', (
      not exists (
        select
        from scanned
        where not (
          ${IS_OWN_MESSAGE}
        )
      )
    )::text,
    ',"isWaiting":', coalesce(
      (
        select exists (
          select
          from message_store.messages
          where global_position > settled
            and not (
              ${IS_OWN_MESSAGE}
            )
        )::text
        from record
      ),
      'false'
    ),
    ',"snapshot":', case
      when current_setting('transaction_isolation') ~~ 'read %' then 'null'
      else to_json(now()::text)::text
    end,
    ',"passed":', coalesce(
      (
        select json_build_array(scanned.global_position, scanned.id)::text
        from scanned, gap
        where gap.position is null
          or scanned.global_position < gap.position
        order by scanned.global_position desc
        limit 1
      ),
      'null'
    ),
    ',"standing":', ${standingJson("mark", ON_REPLICA)},
    ',"known":', ${standingJson("known", ON_REPLICA)},
    ',"replica":', coalesce((select to_json(replica)::text from server), 'null'),
    ',"record":', coalesce(
      (select json_build_array(position, id, settled, global_position)::text from record), 'null'
    ),
    ',"store":', ${STORE}, '}'
  )`;
  return selectPage(lastRow(json, "marks"));
}
