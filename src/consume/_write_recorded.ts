import { storeFor } from "../handle/_store_for.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { EncodedMessage } from "../messages/_json.ts";
import { queryNamedStore } from "../read/_store_identity.ts";
import type { Sql } from "../types.ts";

/**
 * Writes a message to a position stream, unless the store has another name than the one whose messages were
 * handled.
 *
 * After a failover the position stream can be at the same version on the new server, which lacks the messages. So
 * the version alone does not tell.
 *
 * @param store As `Mark.store`; null for any store.
 * @returns The message's position in its stream; null if the store has another name, and nothing is written.
 */
export async function writeRecorded(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  expectedVersion: number,
  store: string | null,
): Promise<number | null> {
  // A standby has a name of its own. There the write is tried, so that it is refused as every write.
  const position = await queryNamedStore<number | null>(storeFor(sql, streamName))`
  written as materialized (
    select
      message_store.write_message(
        ${id}::text, ${streamName}::text || ours.nothing, ${type}::text,
        ${data}::text::jsonb, ${metadata}::text::jsonb, ${String(expectedVersion)}::text::bigint
      ) as position
    from ours, store
    where store.name = coalesce(${store}::text, store.name) or pg_is_in_recovery()
  ),
  answer as materialized (
    select coalesce((select position::text from written), 'null') as json
  )`;
  return position === null ? null : safeInteger(position);
}
