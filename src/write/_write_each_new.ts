import { queryMessageStore } from "../handle/_statement.ts";
import { toColumns } from "../messages/_json.ts";
import { category } from "../names/stream_name.ts";
import type { Sql } from "../types.ts";
import type { EachWrite } from "./_write_each.ts";

/**
 * Writes messages with new ids in order, in one statement and one commit, whatever version their streams are at.
 *
 * It does what `writeEach` does, with half the steps: no message is known, and no write can conflict. So the
 * outcome of a write is its position, or "busy" as in `writeEach`.
 *
 * @param writes Writes that expect no version, and whose ids the store cannot have.
 * @returns The outcomes, in the order of the writes.
 */
export async function writeEachNew(
  sql: Sql,
  writes: readonly EachWrite[],
): Promise<(number | "busy")[]> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `locked` selects from `ours`, and every later step that needs the
  // path comes after `locked`.
  //
  // - `locked` waits for the lock if there is one category, and only tries the locks if there are several.
  // - `snapshot` is as in `writeEach`.
  // - `stream` has a row for each stream whose category is locked, with its version.
  // - `placed` are all messages with their positions, which are null if the category is busy. `inStream` and
  //   `turn` are left out if no stream has two writes, and `inCategory` if there is one category.
  // - `answer` counts `inserted`, so all inserts are done before the search path is put back.
  return await queryMessageStore<(number | "busy")[]>(sql)`
  columns as materialized (
    select ${numberedColumns(writes)}::text::jsonb as list
  ),
  locked as materialized (
    select
      number,
      case
        when is_only then message_store.acquire_lock(category) is not null
        else pg_try_advisory_xact_lock(message_store.hash_64(category))
      end as is_free
    from (
      select category, number, count(*) over () = 1 as is_only
      from
        ours, columns,
        jsonb_array_elements_text(list -> 'category') with ordinality as named (category, number)
      order by message_store.hash_64(category)
    ) as ordered
  ),
  snapshot as materialized (
    select
      case
        when txid_current_if_assigned() is null
          then txid_snapshot_xmin(txid_current_snapshot()) = txid_current()
        else false
      end as is_current
    from (select count(*) from locked) as done
  ),
  stream as materialized (
    select
      named.number, stream_name,
      case
        when is_current then (
          select coalesce(max(stored.position), -1)
          from message_store.messages as stored
          where stored.stream_name = named.stream_name
        )
        else coalesce(message_store.stream_version(stream_name), -1)
      end as version
    from
      snapshot, columns,
      rows from (
        jsonb_array_elements_text(list -> 'streamName'),
        jsonb_array_elements_text(list -> 'inCategory')
      ) with ordinality as named (stream_name, in_category, number)
      join locked on locked.number = coalesce(in_category::bigint, 1)
    where is_free
  ),
  placed as materialized (
    select
      message.number, stream_name, version + coalesce(turn::bigint, 1) as position, id::uuid, type,
      case when data <> 'null' then data end as data,
      case when metadata <> 'null' then metadata end as metadata
    from
      columns,
      rows from (
        jsonb_array_elements_text(list -> 'inStream'), jsonb_array_elements_text(list -> 'turn'),
        jsonb_array_elements_text(list -> 'id'), jsonb_array_elements_text(list -> 'type'),
        jsonb_array_elements(list -> 'data'), jsonb_array_elements(list -> 'metadata')
      ) with ordinality as message (in_stream, turn, id, type, data, metadata, number)
      left join stream on stream.number = coalesce(in_stream::bigint, message.number)
  ),
  inserted as (
    insert into message_store.messages (id, stream_name, position, type, data, metadata)
    select id, stream_name, position, type, data, metadata
    from placed
    where position is not null
    order by number
    returning global_position
  ),
  answer as materialized (
    select
      '[' || string_agg(coalesce(position::text, '"busy"'), ',' order by number) || ']' as json
    from placed, (select count(*) from inserted) as complete
  )`;
}

/**
 * The names of the streams and categories once each, and which of them a write is of, counted from 1. A write is
 * the `turn`th of its stream.
 */
function numberedColumns(writes: readonly EachWrite[]): string {
  const categories = new Map<string, number>();
  const streams = new Map<string, { readonly number: number; count: number }>();
  const inCategory: number[] = [];
  const inStream: number[] = [];
  const turn: number[] = [];
  for (const { streamName } of writes) {
    let stream = streams.get(streamName);
    if (stream === undefined) {
      streams.set(streamName, stream = { number: streams.size + 1, count: 0 });
      const name = category(streamName);
      if (!categories.has(name)) categories.set(name, categories.size + 1);
      inCategory.push(categories.get(name)!);
    }
    inStream.push(stream.number);
    turn.push(++stream.count);
  }
  return toColumns(writes, {
    category: [...categories.keys()],
    streamName: [...streams.keys()],
    ...(categories.size > 1 && { inCategory }),
    ...(streams.size < writes.length && { inStream, turn }),
  });
}
