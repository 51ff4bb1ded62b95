import { queryMessageFunction } from "../messages/_columns.ts";
import type { Parser } from "../messages/_parser.ts";
import type { Message, Sql } from "../types.ts";

/** Reads the last message of a stream that is of one of these types, or of any. */
export async function readLastOfTypes(
  sql: Sql,
  streamName: string,
  types: readonly string[] | null,
  parser?: Parser,
): Promise<Message | null> {
  const [message] = await queryMessageFunction(sql, parser)`
    select last.*
    from ours
    cross join json_array_elements_text(${
    JSON.stringify(types ?? [null])
  }::text::json) as asked(type)
    cross join lateral
      message_store.get_last_stream_message(${streamName}::text || ours.nothing, asked.type) as last
    order by last.position desc
    limit 1`;
  return message ?? null;
}
