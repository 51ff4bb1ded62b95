import { queryMessageStore } from "../handle/_statement.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { EncodedMessage } from "../messages/_json.ts";
import type { Sql } from "../types.ts";

/** Writes a message with a new id, which the store cannot have. */
export async function writeNew(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  expectedVersion: string | null,
): Promise<number> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that `write_message` needs. `answer` selects from `ours` so that it runs after `ours`.
  return safeInteger(
    await queryMessageStore<number>(sql)`
  answer as materialized (
    select
      message_store.write_message(
        ${id}::text, ${streamName}::text, ${type}::text,
        ${data}::text::jsonb, ${metadata}::text::jsonb, ${expectedVersion}::text::bigint
      )::text as json
    from ours
  )`,
  );
}
