import { queryJson } from "../handle/_statement.ts";
import { sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import type { SettledQuery } from "./_read_settled_page.ts";
import { STORE } from "./_store_identity.ts";

interface WritersNow {
  /** As in `ScannedPage`. */
  readonly store: string;
  /** The highest global position, as it was before the locks were read. */
  readonly last: number;
  /** The id at that position; null if there is no message. */
  readonly lastId: string | null;
  /**
   * The open transactions that hold the lock of writers; null on a standby, which cannot see them.
   */
  readonly writers: string[] | null;
  /** The caller's own transaction, named as in `writers`. */
  readonly own: string;
}

/** In milliseconds. The pauses between looks at the writers double, from 1 up to this. */
export const LONGEST_PAUSE = 128;

/**
 * Waits until all transactions that write now have ended, except the caller's own, or until the signal
 * aborts. A standby cannot see them, so there is no wait.
 */
export async function untilWritersEnd(
  sql: Sql,
  wanted: Omit<SettledQuery, "pattern">,
  signal: AbortSignal | undefined,
): Promise<void> {
  let open: readonly string[] | undefined;
  for (let pause = 1; !signal?.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const { writers, own } = await lookAtWriters(sql, { ...wanted, pattern: null });
    const others = (writers ?? []).filter((it) => it !== own);
    open = open === undefined ? others : stillOpen(open, others);
    if (open.length === 0) return;
    await sleep(pause, signal);
  }
}

/** The writers that were open before and are open now. */
export function stillOpen(before: readonly string[], now: readonly string[]): string[] {
  // PREPARE TRANSACTION changes a writer's name to -1/… . So each such name may be one of them.
  return now.filter((it) => before.includes(it) || it.startsWith("-1/"));
}

/**
 * Tells which open transactions write or may write. Each writer holds a RowExclusiveLock on the
 * table, so each transaction that holds this lock counts as a writer.
 */
export async function lookAtWriters(
  sql: Sql,
  { pattern, position, batchSize }: SettledQuery,
): Promise<WritersNow> {
  // One statement sees two moments. `last` is from the statement's snapshot, and pg_locks shows the
  // locks of a later moment. So a writer that took a position up to `last` is in `writers`, or has
  // ended between the two moments.
  //
  // The member `for` is not used here. It is there because a gateway decides by these parameters
  // whether the caller may send the statement.
  //
  // After the template, the SQL goes on with the identity of the store and the end of the object.
  return await queryJson<WritersNow>(sql, "", `${STORE}::json)::text as json`)`
select
  json_build_object(
    'last', coalesce((select max(global_position) from message_store.messages), 0),
    'lastId', (
      select messages.id
      from message_store.messages
      order by messages.global_position desc
      limit 1
    ),
    'own', (
      select virtualtransaction
      from pg_catalog.pg_locks
      where locktype = 'virtualxid' and pid = pg_backend_pid()
    ),
    'writers', case
      when not pg_is_in_recovery() then coalesce((
        select json_agg(virtualtransaction)
        from pg_catalog.pg_locks
        where locktype = 'relation'
          and relation = 'message_store.messages'::regclass
          and database = (
            select oid from pg_catalog.pg_database where datname = current_database()
          )
          and mode = 'RowExclusiveLock'
          and granted
      ), '[]')
    end,
    'for', json_build_array(
      ${pattern}::text, ${String(position)}::text, ${String(batchSize)}::text
    ),
    'store', `;
}
