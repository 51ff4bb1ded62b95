import { queryMessages } from "../messages/_columns.ts";
import { fromStored } from "../messages/_typed.ts";
import type { Parser } from "../messages/_parser.ts";
import type { Message, Sql } from "../types.ts";
import { listParameter } from "./_list_parameter.ts";

/**
 * Reads the last message of a stream that has one of these types, or any type if `types` is null.
 */
export async function readLastOfTypes(
  sql: Sql,
  streamName: string,
  types: readonly string[] | null,
  parser?: Parser,
): Promise<Message | null> {
  // Not by get_last_stream_message for each of the types: it goes back through the whole stream for a type that
  // the stream does not have. After the template, queryMessages turns the rows into JSON.
  const wanted = listParameter(types ?? undefined);
  const last = await queryMessages(sql)`
    select messages.*
    from message_store.messages
    where stream_name = ${streamName}::text
      and (
        ${wanted}::text is null
        or type = any (select json_array_elements_text(${wanted}::text::json))
      )
    order by position desc
    limit 1`;
  const [message] = await fromStored(last, parser);
  return message ?? null;
}
