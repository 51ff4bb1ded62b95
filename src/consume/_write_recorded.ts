import { storeFor } from "../handle/_store_for.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { EncodedMessage } from "../messages/_json.ts";
import { queryNamedStore } from "../read/_store_identity.ts";
import type { Sql } from "../types.ts";

/** What is expected of the store besides the version of the position stream. */
export interface ExpectedStore {
  /** As `Mark.store`; null for any store. */
  readonly store: string | null;
  /** The id of the message at the expected version; null for none, or for any. */
  readonly versionId: string | null;
}

/**
 * Writes a message to a position stream, unless the store has another name than the one whose messages were
 * handled, or another message at the expected version.
 *
 * After a failover the position stream can be at the same version on the new server, which lacks the messages, or
 * where another process has written that version. So the version alone does not tell.
 *
 * @returns The message's position in its stream, if it is written.
 */
export async function writeRecorded(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  expectedVersion: number,
  { store, versionId }: ExpectedStore,
): Promise<number | "renamed" | "overwritten"> {
  // A standby has a name of its own. There the write is tried, so that it is refused as every write.
  const position = await queryNamedStore<number | "renamed" | "overwritten">(
    storeFor(sql, streamName),
  )`
  overwritten as materialized (
    select
    from message_store.messages
    where stream_name = ${streamName}::text
      and position = ${String(expectedVersion)}::text::bigint
      and id <> ${versionId}::text::uuid
  ),
  named as materialized (
    select
    from store
    where store.name = coalesce(${store}::text, store.name) or pg_is_in_recovery()
  ),
  written as materialized (
    select
      message_store.write_message(
        ${id}::text, ${streamName}::text || ours.nothing, ${type}::text,
        ${data}::text::jsonb, ${metadata}::text::jsonb, ${String(expectedVersion)}::text::bigint
      ) as position
    from ours, named
    where not exists (select from overwritten)
  ),
  answer as materialized (
    select
      case
        when exists (select from overwritten) then '"overwritten"'
        when not exists (select from named) then '"renamed"'
        else (select position::text from written)
      end as json
  )`;
  return typeof position === "string" ? position : safeInteger(position);
}
