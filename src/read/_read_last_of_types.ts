import { storeFor } from "../handle/_store_for.ts";
import { messagesOf, queryMessages } from "../messages/_columns.ts";
import { fromStored } from "../messages/_typed.ts";
import type { Parser } from "../messages/_parser.ts";
import type { Message, Sql } from "../types.ts";
import { isCategory } from "../names/stream_name.ts";
import { listParameter } from "./_list_parameter.ts";
import { readStream } from "./read_stream.ts";

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
  // the stream does not have. After the template, the rows get their columns.
  const wanted = listParameter(types ?? undefined);
  const rows = await queryMessages(storeFor(sql, streamName))`
    select messages.*
    from message_store.messages
    where stream_name = ${streamName}::text
      and (
        ${wanted}::text is null
        or type = any (select json_array_elements_text(${wanted}::text::json))
      )
    order by position desc
    limit 1`;
  const last = messagesOf(rows);
  const [message] = await fromStored(last, parser);
  if (message !== undefined) return message;
  return last.length === 0 ? null : await readLastBefore(sql, last[0]!, types, parser);
}

/** Reads the last message before one that the catalogue skips, because it is forgotten. */
async function readLastBefore(
  sql: Sql,
  { streamName, position }: Message,
  types: readonly string[] | null,
  parser: Parser | undefined,
): Promise<Message | null> {
  // A stream whose name is a category cannot be read as a stream.
  while (position > 0 && !isCategory(streamName)) {
    const before = { position: position - 1, direction: "backward", batchSize: 100 } as const;
    const page = await readStream(sql, streamName, before);
    for (const message of page) {
      if (types !== null && !types.includes(message.type)) continue;
      const [parsed] = await fromStored([message], parser);
      if (parsed !== undefined) return parsed;
    }
    if (page.length === 0) break;
    position = page.at(-1)!.position;
  }
  return null;
}
