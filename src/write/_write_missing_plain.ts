import { queryMessageStore } from "../handle/_statement.ts";
import { toColumns } from "../messages/_json.ts";
import type { Sql } from "../types.ts";
import type { EncodedImport, WrittenImport } from "./_write_missing.ts";

/**
 * Writes the messages that the store does not have, in order. If a message is refused, nothing is written.
 *
 * It does what `writeMissing` does, with half the steps, for messages that point to none and whose places
 * nobody asks for: `places` is empty.
 *
 * @param messages The messages; no id twice.
 */
export async function writeMissingPlain(
  sql: Sql,
  messages: readonly EncodedImport[],
): Promise<WrittenImport> {
  const columns = {
    streamName: messages.map(({ streamName }) => streamName),
    ...(messages.some(({ time }) => time !== null) && { time: messages.map(({ time }) => time) }),
  };
  // The steps that have names of `writeMissing` are as there.
  return await queryMessageStore<WrittenImport>(sql)`
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
    select stored
    from (
      select stream_name, seen, message_store.get_category_messages(stream_name, 1, -1) as stored
      from current
      where version > seen and message_store.is_category(stream_name)
    ) as named
    where (stored).stream_name = named.stream_name and (stored).position > seen
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
  refused as materialized (
    select min(number) as number from known where is_elsewhere
  ),
  inserted as (
    insert into message_store.messages (id, stream_name, position, type, data, metadata, time)
    select
      id, message.stream_name,
      version + row_number() over (partition by message.stream_name order by number),
      type, data, metadata, coalesce(time, now() at time zone 'utc')
    from message join current on current.stream_name = message.stream_name
    where not (number = any (select number from known)) and (select number from refused) is null
    order by number
    returning global_position
  ),
  answer as materialized (
    select concat(
      '{"written":', (select count(*) from inserted),
      ',"refusal":', (
        select coalesce('{"at":' || (number - 1)::text || ',"reason":"elsewhere"}', 'null')
        from refused
      ),
      ',"places":[]}'
    ) as json
  )`;
}
