import { queryJson } from "../handle/_statement.ts";
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
