import type postgres from "postgres";
import type { Database } from "./database.ts";

/**
 * Runs statements that write to a stream's category so that all of them have begun, and wait for its
 * lock, before `meanwhile` has written and committed.
 *
 * @param count How many statements `start` sends.
 */
export async function whileLocked<T>(
  db: Database,
  streamName: string,
  count: number,
  start: (sql: postgres.Sql) => Promise<T>,
  meanwhile: (sql: postgres.TransactionSql) => Promise<unknown> = () => Promise.resolve(),
): Promise<T> {
  const sql = db.connect({ max: count });
  const watch = db.connect({ max: 1 });
  let started: Promise<T>;
  await db.sql.begin(async (holder) => {
    await holder`
      select pg_advisory_xact_lock(
        message_store.hash_64(message_store.category(${streamName}::text))
      )`;
    started = start(sql);
    started.catch(() => {});
    for (let waiting = 0; waiting < count;) {
      const [row] = await watch<{ waiting: number }[]>`
        select count(*)::int as waiting from pg_locks
        where locktype = 'advisory' and not granted
          and database = (select oid from pg_database where datname = current_database())`;
      waiting = row!.waiting;
    }
    await meanwhile(holder);
  });
  return await started!;
}
