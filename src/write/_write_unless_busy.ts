import type { EncodedMessage } from "../messages/_json.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * Writes a message if the last one of its type is the one that was seen.
 *
 * Without waiting for the lock: who has another category's could wait for who waits for that. And only
 * where it cannot fail, since it would fail for what it is to be of use to: not in a transaction that
 * only reads, nor by a role that may only read, nor where what was written since cannot be seen, which
 * would be a conflict.
 *
 * @returns The id of the last message of the type, null for none; undefined where it could not be written.
 */
export async function writeUnlessBusy(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  seen: string | null,
): Promise<string | null | undefined> {
  const last = await queryMessageStore<{ readonly id: string | null } | null>(sql)`
  free as materialized (
    select pg_try_advisory_xact_lock(
      message_store.hash_64(message_store.category(${streamName}::text))
    ) as is_free
    from ours
    where current_setting('transaction_read_only') = 'off'
      and current_setting('transaction_isolation') in ('read committed', 'read uncommitted')
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
      and (select id from last) is not distinct from ${seen}::text
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
