import { headOf, type MessageRow, queryMessages } from "../messages/_columns.ts";
import type { Sql } from "../types.ts";
import { readWhole } from "./_fitting.ts";

/** Reads messages of all streams backward, and leaves them as the database has answered them. */
export function readBackwardRows(
  sql: Sql,
  position: string | null,
  batchSize: string,
): Promise<MessageRow[]> {
  return readWhole(
    "all messages",
    Number(batchSize),
    position,
    // After the template, the rows get their columns. The limit is as in `readStreamRows`.
    (count, from) =>
      queryMessages(sql)`
    select *
    from message_store.messages
    where global_position <= coalesce(${from}::text::bigint, 9223372036854775807)
    order by global_position desc
    limit (select ${count}::text::bigint)`,
    (row) => headOf(row).globalPosition - 1,
  );
}
