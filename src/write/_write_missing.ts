import { queryMessageStore } from "../handle/_statement.ts";
import { type EncodedMessage, toColumns } from "../messages/_json.ts";
import type { Sql } from "../types.ts";

/** A message with its stream and time, as parameters. */
export interface EncodedImport extends EncodedMessage {
  readonly streamName: string;
  /** When the message was written; null for now. */
  readonly time: string | null;
}

/**
 * Writes the messages that the store does not have, in order. If another stream has the id of a message,
 * nothing is written.
 *
 * @param messages The messages; no id twice.
 * @returns The index of the first message whose id another stream has; null if there is none.
 */
export async function writeMissing(
  sql: Sql,
  messages: readonly EncodedImport[],
): Promise<number | null> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `stream` selects from `ours`, and every later step that needs the
  // path comes after `stream`.
  //
  // - `columns` is as in `queryAppend`.
  // - `seen`, `current`, `added` and `known` are as in `writeOnce`, for many streams. `get_stream_messages`
  //   refuses a stream whose name is a category, so such a stream is read with its category.
  // - `answer` counts `inserted`, so all inserts are done before the search path is put back.
  const columns = {
    streamName: messages.map(({ streamName }) => streamName),
    time: messages.map(({ time }) => time),
  };
  return await queryMessageStore<number | null>(sql)`
  message as materialized (
    select
      stream_name, time::timestamp, id::uuid, type,
      case when data <> 'null' then data end as data,
      case when metadata <> 'null' then metadata end as metadata, number
    from
      (select ${toColumns(messages, columns)}::text::jsonb as list offset 0) as columns,
      rows from (
        jsonb_array_elements_text(list -> 'streamName'), jsonb_array_elements_text(list -> 'time'),
        jsonb_array_elements_text(list -> 'id'), jsonb_array_elements_text(list -> 'type'),
        jsonb_array_elements(list -> 'data'), jsonb_array_elements(list -> 'metadata')
      ) with ordinality as message (stream_name, time, id, type, data, metadata, number)
  ),
  stream as materialized (
    select
      stream_name, message_store.category(stream_name) as category,
      (
        select coalesce(max(stored.position), -1)
        from message_store.messages as stored
        where stored.stream_name = wanted.stream_name
      ) as seen
    from (select distinct stream_name from message) as wanted, ours
  ),
  locked as materialized (
    select category, message_store.acquire_lock(category)
    from (
      select category
      from stream
      group by category
      order by message_store.hash_64(category)
    ) as ordered
  ),
  current as materialized (
    select stream.*, coalesce(message_store.stream_version(stream_name), -1) as version
    from stream join locked on locked.category = stream.category
  ),
  added as materialized (
    select message_store.get_stream_messages(stream_name, seen + 1, -1) as stored
    from current
    where version > seen and not message_store.is_category(stream_name)
    union all
    select message_store.get_category_messages(stream_name, 1, -1)
    from current
    where version > seen and message_store.is_category(stream_name)
  ),
  known as materialized (
    select number, message.stream_name <> stored.stream_name as is_elsewhere
    from message, lateral (
      select * from message_store.messages where messages.id = message.id limit 1
    ) as stored
    union all
    select number, message.stream_name <> (stored).stream_name
    from message join added on (stored).id = message.id::text
  ),
  missing as materialized (
    select
      number,
      version + row_number() over (partition by current.stream_name order by number) as position
    from message join current on current.stream_name = message.stream_name
    where not (number = any (select number from known))
  ),
  inserted as (
    insert into message_store.messages (id, stream_name, position, type, data, metadata, time)
    select
      id, stream_name, position, type, data, metadata, coalesce(time, now() at time zone 'utc')
    from message join missing on missing.number = message.number
    where not exists (select from known where is_elsewhere)
    order by message.number
    returning global_position
  ),
  answer as materialized (
    select coalesce((min(number) - 1)::text, 'null') as json
    from (select count(*) from inserted) as complete left join known on is_elsewhere
  )`;
}
