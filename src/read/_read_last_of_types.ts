import { queryMessageFunction } from "../messages/_columns.ts";
import { fromStored } from "../messages/_typed.ts";
import type { Parser } from "../messages/_parser.ts";
import type { Message, Sql } from "../types.ts";

/**
 * Reads the last message of a stream that has one of these types, or any type if `types` is null.
 */
export async function readLastOfTypes(
  sql: Sql,
  streamName: string,
  types: readonly string[] | null,
  parser?: Parser,
): Promise<Message | null> {
  // queryMessageFunction puts the steps `caller` and `ours` before the template. The function must
  // run after `ours` has set the search path: so the query selects from `ours`, and an argument
  // contains `ours.nothing`, which is empty. After the template, the rows are turned into JSON.
  const last = await queryMessageFunction(sql)`
    select last.*
    from ours
    cross join json_array_elements_text(${
    JSON.stringify(types ?? [null])
  }::text::json) as asked (type)
    cross join lateral
      message_store.get_last_stream_message(${streamName}::text || ours.nothing, asked.type) as last
    order by last.position desc
    limit 1`;
  const [message] = await fromStored(last, parser);
  return message ?? null;
}
