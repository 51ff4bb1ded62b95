import { queryMessageStore } from "../handle/_statement.ts";
import { safeInteger } from "../messages/_columns.ts";
import { type EncodedMessage, toColumns } from "../messages/_json.ts";
import type { Sql } from "../types.ts";

/** Where a message of another store has a global position that is to be one of this store. */
export interface Pointers {
  /** The row, from 1, of the message that caused this one: its place goes into the metadata. */
  readonly cause: number | null;
  /** The row, from 1, of the message whose place goes into the data. */
  readonly upTo: number | null;
  /** The member of the data that gets that place. */
  readonly path: PointerPath | null;
  /** The category that must have no message before the first of the source; `"$all"` for all of them. */
  readonly apart: string | null;
  /** The lowest position that the message may get in its stream. */
  readonly lowest: number | null;
  /** The highest position that the message may get in its stream. */
  readonly highest: number | null;
}

export type PointerPath = "position" | "messageGlobalPosition" | "message.globalPosition";

export const NO_POINTERS: Pointers = {
  cause: null,
  upTo: null,
  path: null,
  apart: null,
  lowest: null,
  highest: null,
};

/** A message with its stream and time, as parameters. */
export interface EncodedImport extends EncodedMessage {
  readonly streamName: string;
  /** When the message was written; null for now. */
  readonly time: string | null;
  /** Undefined for a message that points to none. */
  readonly pointers?: Pointers | undefined;
}

/** What is known of the messages that the source had before. */
export interface ImportBounds {
  /** The global position of the first of them; null if there are none. */
  readonly first: number | null;
  /** The highest global position of them; null if there are none. */
  readonly last: number | null;
}

/** Why nothing was written. */
export interface ImportRefusal {
  /** The index of the message. */
  readonly at: number;
  /**
   * - `"elsewhere"`: another stream has its id.
   * - `"misplaced"`: its stream has other messages.
   * - `"foreign"`: the category has messages before the first of the source.
   * - `"disordered"`: the store has the messages in another order.
   */
  readonly reason: "elsewhere" | "misplaced" | "foreign" | "disordered";
}

/** What was written, and where all messages are. */
export interface WrittenImport {
  readonly refusal: ImportRefusal | null;
  readonly written: number;
  /** The global position of each message, and its position in its stream. */
  readonly places: readonly (readonly [globalPosition: number, position: number])[];
}

/**
 * Writes the messages that the store does not have, in order. If a message is refused, nothing is written.
 *
 * @param messages The messages; no id twice.
 */
export async function writeMissing(
  sql: Sql,
  messages: readonly EncodedImport[],
  bounds: ImportBounds = { first: null, last: null },
): Promise<WrittenImport> {
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `stream` selects from `ours`, and every later step that needs the
  // path comes after `stream`.
  //
  // - `columns` is as in `queryAppend`. Lists that are left out make nulls.
  // - `seen`, `current`, `added` and `known` are as in `writeOnce`, for many streams. `get_stream_messages`
  //   refuses a stream whose name is a category, so such a stream is read with its category.
  // - `numbered` takes global positions, because messages may point to others of the same statement. The
  //   statement holds its lock on the table by then, as readers of all messages expect.
  // - `answer` counts `inserted`, so all inserts are done before the search path is put back.
  const answer = await queryMessageStore<WrittenImport>(sql)`
  columns as materialized (
    select ${columnsOf(messages, bounds)}::text::jsonb as list
  ),
  message as materialized (
    select
      stream_name, time::timestamp, id::uuid, type,
      case when data <> 'null' then data end as data,
      case when metadata <> 'null' then metadata end as metadata, number,
      cause::bigint, up_to::bigint, path, apart, lowest::bigint, highest::bigint
    from
      columns,
      rows from (
        jsonb_array_elements_text(list -> 'streamName'), jsonb_array_elements_text(list -> 'time'),
        jsonb_array_elements_text(list -> 'id'), jsonb_array_elements_text(list -> 'type'),
        jsonb_array_elements(list -> 'data'), jsonb_array_elements(list -> 'metadata'),
        jsonb_array_elements_text(list -> 'cause'), jsonb_array_elements_text(list -> 'upTo'),
        jsonb_array_elements_text(list -> 'path'), jsonb_array_elements_text(list -> 'apart'),
        jsonb_array_elements_text(list -> 'lowest'), jsonb_array_elements_text(list -> 'highest')
      ) with ordinality as message (
        stream_name, time, id, type, data, metadata, cause, up_to, path, apart, lowest, highest, number
      )
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
    select
      number, message.stream_name <> stored.stream_name as is_elsewhere, stored.global_position,
      stored.position
    from message, lateral (
      select * from message_store.messages where messages.id = message.id limit 1
    ) as stored
    union all
    select
      number, message.stream_name <> (stored).stream_name, (stored).global_position,
      (stored).position
    from message join added on (stored).id = message.id::text
  ),
  missing as materialized (
    select
      number, apart, lowest, highest,
      version + row_number() over (partition by current.stream_name order by number) as position
    from message join current on current.stream_name = message.stream_name
    where not (number = any (select number from known))
  ),
  bound as materialized (
    select
      coalesce(
        (list ->> 'first')::bigint,
        (select global_position from known where number = 1 limit 1),
        9223372036854775807
      ) as first,
      coalesce((list ->> 'last')::bigint, 0) as last
    from columns
  ),
  apart as materialized (
    select
      asked.apart,
      exists (
        select
        from message_store.messages
        where message_store.category(stream_name) = asked.apart
          and message_store.category(stream_name) >= asked.apart
          and message_store.category(stream_name) <= asked.apart
          and global_position < (select first from bound)
      ) or (
        asked.apart = '$all'
        and (select min(global_position) from message_store.messages) < (select first from bound)
      ) as is_foreign
    from (select distinct missing.apart from missing where missing.apart is not null) as asked
  ),
  disorder as materialized (
    select exists (
      select
      from (
        select
          global_position,
          lag(global_position, 1, (select last from bound)) over (order by number) as previous
        from (
          select number, global_position from known
          union all
          select number, 9223372036854775807 from missing
        ) as every
      ) as pairs
      where global_position < previous
    ) as is_there
    from (select count(*) from apart) as asked (count)
    where asked.count > 0
  ),
  refusal as materialized (
    select number, reason
    from (
      select number, 'elsewhere' as reason from known where is_elsewhere
      union all
      select number, 'misplaced' from missing where position < lowest or position > highest
      union all
      select number, 'foreign' from missing join apart on apart.apart = missing.apart where is_foreign
      union all
      select number, 'disordered' from missing, disorder where missing.apart is not null and is_there
    ) as refused
    order by number
    limit 1
  ),
  numbered as materialized (
    select
      number, position,
      nextval('message_store.messages_global_position_seq') as global_position
    from (
      select number, position
      from missing
      where not exists (select from refusal)
      order by number
      offset 0
    ) as ordered
  ),
  place as materialized (
    select number, position, global_position from numbered
    union all
    select number, position, global_position from known
  ),
  inserted as (
    insert into message_store.messages
      (global_position, id, stream_name, position, type, data, metadata, time)
    select
      numbered.global_position, id, stream_name, numbered.position, type,
      case
        when goal.number is null then data
        when path = 'message.globalPosition' then jsonb_set(
          jsonb_set(data, '{message,globalPosition}', to_jsonb(goal.global_position)),
          '{message,position}',
          to_jsonb(goal.position)
        )
        else jsonb_set(data, array[path], to_jsonb(goal.global_position))
      end,
      case
        when origin.number is null then metadata
        else jsonb_set(
          jsonb_set(
            metadata, '{causationMessageGlobalPosition}', to_jsonb(origin.global_position)
          ),
          '{causationMessagePosition}', to_jsonb(origin.position), false
        )
      end,
      coalesce(time, now() at time zone 'utc')
    from
      message
      join numbered on numbered.number = message.number
      left join place as goal on goal.number = message.up_to
      left join place as origin on origin.number = message.cause
    order by message.number
    returning global_position
  ),
  answer as materialized (
    select concat(
      '{"written":', (select count(*) from inserted),
      ',"refusal":', coalesce(
        (select json_build_object('at', number - 1, 'reason', reason)::text from refusal), 'null'
      ),
      ',"places":', coalesce(
        (
          select json_agg(json_build_array(global_position, position) order by number)::text
          from place
        ),
        '[]'
      ),
      '}'
    ) as json
  )`;
  for (const [globalPosition] of answer.places) safeInteger(globalPosition);
  return answer;
}

function columnsOf(messages: readonly EncodedImport[], { first, last }: ImportBounds): string {
  const columns: Record<string, unknown> = {
    streamName: messages.map(({ streamName }) => streamName),
    time: messages.map(({ time }) => time),
  };
  const pointers = messages.map(({ pointers = NO_POINTERS }) => pointers);
  for (const name of Object.keys(NO_POINTERS) as (keyof Pointers)[]) {
    const column = pointers.map((it) => it[name]);
    if (column.some((it) => it !== null)) columns[name] = column;
  }
  if (columns["apart"] !== undefined) Object.assign(columns, { first, last });
  return toColumns(messages, columns as Record<string, readonly unknown[]>);
}
