import { DuplicateMessageError } from "../errors.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { EncodedMessage } from "../messages/_json.ts";
import type { Sql } from "../types.ts";

/**
 * Writes a message. If the stream has its id already, nothing is written, and the answer is the position of
 * the message that has the id.
 */
export async function writeOnce(
  sql: Sql,
  streamName: string,
  { id, type, data, metadata }: EncodedMessage,
  expectedVersion: string | null,
): Promise<number> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `locked` selects from `ours`, and every later step that needs the
  // path comes after `locked`.
  //
  // The same message can be committed while the statement waits for the lock. The statement's own reads
  // show only what was committed when the statement began; Message DB's functions are volatile, and show
  // what was committed since.
  // - `seen` is the version of the stream when the statement began.
  // - `current` is the version under the lock, by a function of Message DB.
  // - `added` are the messages between the two, by a function too.
  // - `known` is the message that has the id already: one that was there when the statement began, or one of
  //   `added`. If another stream has got the id since, the unique index refuses the write.
  // - `written` expects -4 (STREAM_EXISTS) only of a stream without messages, which is at another version.
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
        ${data}::text::jsonb, ${metadata}::text::jsonb,
        case when version < 0 or ${expectedVersion}::text::bigint > -4 then ${expectedVersion}::text::bigint end
      ) as position
    from current
    where not exists (select from known)
  ),
  answer as materialized (
    select position::text as json from written
    union all
    select case when stream_name = ${streamName}::text then position::text else 'null' end from known
  )`;
  if (position === null) throw new DuplicateMessageError(id);
  return safeInteger(position);
}
