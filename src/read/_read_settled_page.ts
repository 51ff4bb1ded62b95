import { OWN_STREAMS, OWN_TYPES } from "../names/_own_streams.ts";
import { queryJson, type SendStatement, surround } from "../handle/_statement.ts";
import { type Columns, columnsJson, messagesOfColumns } from "../messages/_columns.ts";
import type { Message, Sql } from "../types.ts";
import { STORE } from "./_store_identity.ts";

/** Which page to read. */
export interface SettledQuery {
  readonly position: number;
  readonly batchSize: number;
  /** The LIKE pattern, or null for all streams. */
  readonly pattern: string | null;
  /** What to leave out of the page: messages of other types, of streams that match no pattern. */
  readonly filter?: {
    readonly types?: readonly string[] | undefined;
    readonly patterns?: readonly string[] | undefined;
  };
  /** How many milliseconds to wait, at least, where there is nothing before a missing position. */
  readonly patience?: number;
}

export interface ScannedPage<Data> {
  readonly messages: Message<Data>[];
  /** How many messages were read, with those that were left out, and the last one's position. */
  readonly count: number;
  readonly last: number | null;
  readonly isQuiet: boolean;
  /** The first position that is missing before the last of the page and not settled. */
  readonly gap: number | null;
  /** Names the snapshot where it is the transaction's, not the statement's: nothing settles in one. */
  readonly snapshot: string | null;
  readonly store: string;
}

export async function readScannedPage<Data>(
  sql: Sql,
  { position, batchSize, pattern, filter = {} }: SettledQuery,
  settled: number,
): Promise<ScannedPage<Data>> {
  const from = String(Math.max(position, settled + 1, 1));
  const types = filter.types === undefined ? null : JSON.stringify(filter.types);
  const patterns = filter.patterns === undefined ? null : JSON.stringify(filter.patterns);
  // Positions are counted, and only where some are missing are they gone through one by one.
  const page = await querySettledPage(sql)`
  scanned as materialized (
    select *
    from message_store.messages
    where global_position >= ${String(position)}::text::bigint
      and (${pattern}::text is null or stream_name like ${pattern}::text)
    order by global_position
    limit ${String(batchSize)}::text::bigint
  ),
  page as (
    select *
    from scanned
    where (
        ${types}::text is null
        or type in (select json_array_elements_text(${types}::text::json))
      )
      and (
        ${patterns}::text is null
        or stream_name like any (array(select json_array_elements_text(${patterns}::text::json)))
      )
  ),
  positions as not materialized (
    select global_position
    from message_store.messages
    where global_position between
      ${from}::text::bigint and (select max(global_position) from scanned)
  ),
  gap as (
    select min(previous) + 1 as position
    from (
      select
        global_position,
        lag(global_position, 1, ${from}::text::bigint - 1) over (order by global_position) as previous
      from positions
    ) as pairs
    where global_position > previous + 1
      and (select max(global_position) - count(*) >= ${from}::text::bigint from positions)
  )`;
  return { ...page, messages: messagesOfColumns<Data>(page) };
}

type ScannedColumns = Omit<ScannedPage<unknown>, "messages"> & Columns;

const SETTLED_PAGE_JSON = /* @__PURE__ */ columnsJson(`
    '"gap":', coalesce((select position::text from gap), 'null'),
    ',"count":', (select count(*) from scanned),
    ',"last":', coalesce((select max(global_position)::text from scanned), 'null'),
    ',"isQuiet":', (
      select (not exists (
        select
        from scanned
        where not (
          type ~ '${OWN_TYPES}'
          and stream_name ~ '${OWN_STREAMS}'
        )
      ))::text
    ),
    ',"snapshot":', case
      when current_setting('transaction_isolation') like 'read %' then 'null'
      else to_json(now()::text)::text
    end,
    ',"store":', ${STORE}, ','`);

function querySettledPage(sql: Sql): SendStatement<ScannedColumns> {
  return (strings, ...parameters) =>
    queryJson<ScannedColumns>(sql)(
      surround(strings, "with", `\nselect ${SETTLED_PAGE_JSON} as json from page`),
      ...parameters,
    );
}
