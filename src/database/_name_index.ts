import type { TransactionSql } from "postgres";
import type { Step } from "./_notify.ts";

const INDEX =
  "CREATE INDEX messages_names ON message_store.messages USING btree (stream_name text_pattern_ops)";

/** What is left to do to have the index of names, or not to have it. */
export async function stepsToIndexNames(tx: TransactionSql, isWanted: boolean): Promise<Step[]> {
  // In an order of their own, names can be looked for by how they begin, whatever the collation.
  const rows = await tx.unsafe(`
    select pg_get_indexdef(indexrelid) || case when indisvalid then '' else ' invalid' end
    from pg_index
    join pg_class on pg_class.oid = indexrelid
    where relname = 'messages_names'
      and relnamespace = (select oid from pg_namespace where nspname = 'message_store')
  `).values();
  const definition = (rows[0] as [string] | undefined)?.[0];
  const steps: Step[] = [];
  if (definition !== undefined && !(isWanted && definition === INDEX)) {
    steps.push({
      sql: "drop index message_store.messages_names",
      right: 'drop the index "messages_names"',
    });
  }
  if (isWanted && definition !== INDEX) {
    steps.push({ sql: INDEX, right: 'create the index "messages_names"' });
  }
  return steps;
}
