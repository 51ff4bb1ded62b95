import { queryMessageStore } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * Locks the categories of streams, as a write to them does: until the transaction ends, nobody else writes.
 *
 * PostgreSQL ends the transaction if it waits for its handler for five seconds: the handler may wait for a write,
 * by another connection, that waits for the lock.
 */
export async function lockCategories(sql: Sql, streamNames: ReadonlySet<string>): Promise<void> {
  if (streamNames.size === 0) return;
  // In the order in which a write to several streams takes its locks: otherwise the two could wait for each other.
  await queryMessageStore<number>(sql)`
  locked as materialized (
    select message_store.acquire_lock(name)
    from (
      select name
      from ours, jsonb_array_elements_text(${
    JSON.stringify([...streamNames])
  }::text::jsonb) as stream (name)
      order by message_store.hash_64(message_store.category(name || ours.nothing))
    ) as ordered
  ),
  answer as materialized (
    select
      left(set_config('idle_in_transaction_session_timeout', '5s', true), 0)
        || (select count(*)::text from locked) as json
  )`;
}
