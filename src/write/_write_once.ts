import { DuplicateMessageError } from "../errors.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { EncodedMessage } from "../messages/_json.ts";
import type { Sql } from "../types.ts";

/** Writes a message unless the store has its id. */
export async function writeOnce(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  expectedVersion: string | null,
): Promise<number> {
  // A statement sees what was committed when it began. Under the lock, what was committed while it
  // waited is above the version that it sees, and Message DB's volatile functions see that too.
  const position = await queryMessageStore<number | null>(sql)`
  seen as materialized (
    select coalesce(max(position), -1) as version
    from message_store.messages
    where stream_name = ${streamName}::text
  ),
  locked as materialized (
    select message_store.acquire_lock(${streamName}::text) from ours
  ),
  current as materialized (
    select coalesce(message_store.stream_version(${streamName}::text), -1) as version from locked
  ),
  added as materialized (
    select message_store.get_stream_messages(${streamName}::text, seen.version + 1, -1) as message
    from seen, current
    where current.version > seen.version
  ),
  known as materialized (
    select stream_name, position from message_store.messages where id = ${id}::text::uuid
    union all
    select (message).stream_name, (message).position from added where (message).id = ${id}::text
  ),
  written as materialized (
    select
      message_store.write_message(
        ${id}::text, ${streamName}::text, ${type}::text,
        ${data}::text::jsonb, ${metadata}::text::jsonb, ${expectedVersion}::text::bigint
      ) as position
    from current
    where not exists (select from known)
  ),
  answer as materialized (
    select position::text as json from written
    union all
    select case stream_name when ${streamName}::text then position::text else 'null' end from known
  )`;
  if (position === null) throw new DuplicateMessageError(id);
  return safeInteger(position);
}
