import {
  queryJson,
  RESTORE_SETTINGS,
  type SendStatement,
  SET_SETTINGS,
} from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * SQL that names the store for which remembered positions are valid: one run of the server, one
 * database, one table and its sequence. After a TRUNCATE the table has another file, and so the
 * store has another name. It is a hash, because a gateway's callers need not know when the server
 * was started. The start is a whole number of microseconds, so that no setting of the session changes its text.
 *
 * When a backend crashes, PostgreSQL recovers, and the start of the server stays the same. All that was committed
 * is there again, unless `synchronous_commit` is off: then the last commits can be gone, under the same name.
 */
export const STORE_NAME = `md5(concat_ws(' ',
  (date_part('epoch', pg_postmaster_start_time()) * 1000000)::bigint,
  (
    select oid
    from pg_catalog.pg_database
    where datname = current_database()
  ),
  pg_relation_filenode('message_store.messages'),
  pg_relation_filenode('message_store.messages_global_position_seq')
))`;

/** The name of the store, as JSON. */
export const STORE = `to_json(${STORE_NAME})::text`;

/** Sends a statement as `queryMessageStore` does. It has a step `store` more, with the `name` of the store. */
export function queryNamedStore<T>(sql: Sql): SendStatement<T> {
  return queryJson(
    sql,
    `${SET_SETTINGS},
  store as materialized (
    select ${STORE_NAME} as name
  ),`,
    `${RESTORE_SETTINGS}(select max(json) as json from answer) as complete`,
  );
}
