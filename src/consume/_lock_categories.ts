import { queryMessageStore } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/** Locks the categories of streams, as a write to them does: until the transaction ends, nobody else writes. */
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
    select count(*)::text as json from locked
  )`;
}
