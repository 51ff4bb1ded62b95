import { queryJson, type SendStatement, surround } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";
import { STORE } from "./_store_identity.ts";
import type { SettledQuery } from "./_read_settled_page.ts";

interface Writers {
  readonly store: string;
  readonly last: number;
  /** The transactions that hold the lock; null where they are out of sight. */
  readonly writers: string[] | null;
  readonly own: string;
}

/** Who holds the lock that writers hold, and the last position that was there before we looked. */
export async function lookAtWriters(
  sql: Sql,
  { pattern, position, batchSize }: SettledQuery,
): Promise<Writers> {
  // A statement's snapshot is older than what it reads of pg_locks, which shows locks as they are.
  // On a standby the writers are out of sight: there, what is missing stays unsettled.
  // What it is for changes nothing: it is there for a gateway, which decides by it.
  return await queryWriters(sql)`
select
  json_build_object(
    'last', coalesce((select max(global_position) from message_store.messages), 0),
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

function queryWriters(sql: Sql): SendStatement<Writers> {
  return (strings, ...parameters) =>
    queryJson<Writers>(sql)(surround(strings, "", `${STORE}::json)::text as json`), ...parameters);
}
