import { queryJson } from "../handle/_statement.ts";
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
  // The settings are those of `SET_SETTINGS`. Each query takes the row of the query in its FROM clause: `ours`
  // sets the path that `write_message` needs, and the outermost query puts it back. Postgres does not merge
  // queries whose lists call volatile functions; `caller` calls none, so it has `offset 0`. Steps of a WITH
  // clause would do the same for a tenth more of the server's time.
  return safeInteger(
    await queryJson<number>(sql)`
select json, set_config('search_path', path, true), set_config('TimeZone', zone, true)
from (
  select
    path, zone,
    message_store.write_message(
      ${id}::text, ${streamName}::text, ${type}::text,
      ${data}::text::jsonb, ${metadata}::text::jsonb, ${expectedVersion}::text::bigint
    )::text as json
  from (
    select
      path, zone,
      set_config('search_path', 'message_store, pg_temp', true)
        || set_config('TimeZone', 'UTC', true)
    from (
      select current_setting('search_path') as path, current_setting('TimeZone') as zone
      offset 0
    ) as caller
  ) as ours
) as answer`,
  );
}
