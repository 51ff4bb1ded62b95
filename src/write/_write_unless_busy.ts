import type { EncodedMessage } from "../messages/_json.ts";
import { storeFor } from "../handle/_store_for.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * Writes a message if the last message of its type in the stream is the one that was seen.
 *
 * The message is a snapshot, which only makes other operations faster. So it must not make them wait or fail:
 * - It does not wait for the category's lock. The transaction may have locked another category, so waiting
 *   could end in a deadlock.
 * - It writes nothing if the transaction only reads, or if the role may only read.
 * - It writes nothing if the isolation level hides what was written since the transaction began: such a
 *   write could conflict.
 *
 * @param seen The id of the last message of the type that the caller has seen; null for none.
 * @returns The id of the last message of the type by now, null for none; undefined if the write was not
 * tried.
 */
export async function writeUnlessBusy(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  seen: string | null,
): Promise<string | null | undefined> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `free` selects from `ours`, and `last` and `written` from `free`.
  const last = await queryMessageStore<{ readonly id: string | null } | null>(
    storeFor(sql, streamName),
  )`
  free as materialized (
    select pg_try_advisory_xact_lock(
      message_store.hash_64(message_store.category(${streamName}::text || ours.nothing))
    ) as is_free
    from ours
    where current_setting('transaction_read_only') = 'off'
      and current_setting('transaction_isolation') ~~ 'read %'
      and has_table_privilege('message_store.messages', 'insert')
  ),
  last as materialized (
    select (message_store.get_last_stream_message(${streamName}::text, ${type}::text)).id as id
    from free
    where is_free
  ),
  written as materialized (
    select
      message_store.write_message(
        ${id}::text, ${streamName}::text, ${type}::text, ${data}::text::jsonb, ${metadata}::text::jsonb
      ) as position
    from free
    where is_free
      and coalesce((select id from last), '') = coalesce(${seen}::text, '')
  ),
  answer as materialized (
    select
      case
        when exists (select from written) then json_build_object('id', ${id}::text)::text
        when exists (select from free where is_free)
          then json_build_object('id', (select id from last))::text
        else 'null'
      end as json
  )`;
  return last?.id;
}
