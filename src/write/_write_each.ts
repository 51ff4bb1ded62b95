import type { ObservedWrite } from "../handle/_observe.ts";
import { queryMessageStore } from "../handle/_statement.ts";
import { type EncodedMessage, toColumns } from "../messages/_json.ts";
import type { Sql } from "../types.ts";

/** One of several writes, each of which has its own outcome. */
export interface EachWrite extends EncodedMessage, ObservedWrite {
  readonly streamName: string;
  readonly expectedVersion: string | null;
  /** Whether the store may have the id already, so that it has to be looked up. */
  readonly mayBeKnown: boolean;
}

/**
 * The outcome of a write:
 * - a number: the position of the message, which is written now or was written before,
 * - `[version]`: the version that the stream is at, which is not the expected version,
 * - `"duplicate"`: another stream has the id.
 */
export type WriteOutcome = number | readonly [version: number] | "duplicate";

/**
 * Writes messages in order, in one statement and one commit. Each has its own outcome: a message that finds
 * its stream at another version, or its id in the store, does not affect the others.
 *
 * A statement that waits for the lock of one category holds up everyone who writes to the categories that it
 * has locked already. So a statement with several categories does not wait. It leaves out the writes to a
 * category that another transaction has locked, and answers "busy" for them.
 *
 * @param writes The writes; no id twice.
 * @returns The outcomes, in the order of the writes.
 */
export async function writeEach(
  sql: Sql,
  writes: readonly EachWrite[],
): Promise<(WriteOutcome | "busy")[]> {
  const columns = {
    streamName: writes.map(({ streamName }) => streamName),
    expectedVersion: writes.map(({ expectedVersion }) => expectedVersion),
    mayBeKnown: writes.map(({ mayBeKnown }) => mayBeKnown),
  };
  // `queryMessageStore` puts the steps `caller` and `ours` in front of the template. `ours` sets the search
  // path that Message DB's functions need. `stream` selects from `ours`, and every later step that needs the
  // path comes after `stream`.
  //
  // - `columns` is as in `queryAppend`.
  // - `locked` waits for the lock if there is one category, and only tries the locks if there are several.
  // - `snapshot` says whether the statement's own reads show all that is committed in the locked categories.
  //   They do if this transaction gets its first id now, under the locks, and the id is the oldest that had
  //   not ended in the snapshot: nobody else had an id when the statement began, and nobody has got one since.
  // - `seen`, `current`, `added` and `known` are as in `writeOnce`, for many streams. If the snapshot is
  //   current, `seen` is the version: a function call for each stream costs twice as much. Else `seen` is
  //   null, and nothing is `added`, for a stream to which only new ids are written.
  // - `fresh` are the writes whose id is not known, with their rank in their stream.
  // - `expecting` are the fresh writes that expect a version. A write of rank 3 that expects version 6 needs
  //   the stream at version 4 before the statement, if the two writes before it succeed. `needed` is null for
  //   -4 (STREAM_EXISTS): then any version is right that puts the write behind another message.
  // - `judged` decides about these, one after another. Each write that fails moves the next ones down by one:
  //   `base` is the stream's version before the statement, less one for each failure so far.
  // - `place` is the position of a message that is written; of a write that fails, the version of its stream.
  // - `answer` counts `inserted`, so all inserts are done before the search path is put back.
  return await queryMessageStore<(WriteOutcome | "busy")[]>(sql)`
  message as materialized (
    select
      stream_name, expected_version::bigint, may_be_known::boolean, id::uuid, type,
      case when data <> 'null' then data end as data,
      case when metadata <> 'null' then metadata end as metadata, number
    from
      (select ${toColumns(writes, columns)}::text::jsonb as list offset 0) as columns,
      rows from (
        jsonb_array_elements_text(list -> 'streamName'),
        jsonb_array_elements_text(list -> 'expectedVersion'),
        jsonb_array_elements_text(list -> 'mayBeKnown'),
        jsonb_array_elements_text(list -> 'id'), jsonb_array_elements_text(list -> 'type'),
        jsonb_array_elements(list -> 'data'), jsonb_array_elements(list -> 'metadata')
      ) with ordinality as message (
        stream_name, expected_version, may_be_known, id, type, data, metadata, number
      )
  ),
  stream as materialized (
    select
      stream_name, message_store.category(stream_name) as category,
      bool_or(may_be_known) as may_be_known
    from message, ours
    group by stream_name
  ),
  locked as materialized (
    select
      category,
      case
        when is_only then message_store.acquire_lock(category) is not null
        else pg_try_advisory_xact_lock(message_store.hash_64(category))
      end as is_free
    from (
      select category, count(*) over () = 1 as is_only
      from stream
      group by category
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
  seen as materialized (
    select
      stream_name, is_current,
      case
        when is_current or may_be_known then (
          select coalesce(max(stored.position), -1)
          from message_store.messages as stored
          where stored.stream_name = stream.stream_name
        )
      end as seen
    from stream join locked on locked.category = stream.category, snapshot
    where is_free
  ),
  current as materialized (
    select
      stream_name, seen,
      case
        when is_current then seen
        else coalesce(message_store.stream_version(stream_name), -1)
      end as version
    from seen
  ),
  added as materialized (
    select message_store.get_stream_messages(stream_name, seen + 1, -1) as stored
    from current
    where version > seen
  ),
  known as materialized (
    select number, stored.stream_name, stored.position
    from message, lateral (
      select * from message_store.messages where messages.id = message.id limit 1
    ) as stored
    where may_be_known
    union all
    select number, (stored).stream_name, (stored).position
    from message join added on (stored).id = message.id::text
  ),
  fresh as materialized (
    select
      number, current.stream_name, version, expected_version,
      row_number() over (partition by current.stream_name order by number) as rank
    from message join current on current.stream_name = message.stream_name
    where not (number = any (select number from known))
  ),
  expecting as materialized (
    select
      number, stream_name, version,
      rank, case when expected_version > -4 then expected_version - rank + 1 end as needed,
      row_number() over (partition by stream_name order by number) as turn
    from fresh
    where expected_version is not null
  ),
  judged as materialized (
    with recursive judged as (
      select number, stream_name, turn, is_right, version - (not is_right)::int as base
      from expecting, lateral (
        select coalesce(needed = version, version + rank > 0) as is_right
      ) as found
      where turn = 1
      union all
      select
        expecting.number, expecting.stream_name, expecting.turn, found.is_right,
        base - (not found.is_right)::int
      from judged join expecting on expecting.stream_name = judged.stream_name, lateral (
        select coalesce(needed = base, base + rank > 0) as is_right
      ) as found
      where expecting.turn = (judged.turn + 1)
    )
    select number, is_right from judged
  ),
  outcome as materialized (
    select
      fresh.number, coalesce(is_right, true) as is_written,
      version + rank - count(*) filter (where not is_right) over (
        partition by stream_name order by fresh.number
      ) as place
    from fresh left join judged on judged.number = fresh.number
  ),
  inserted as (
    insert into message_store.messages (id, stream_name, position, type, data, metadata)
    select id, stream_name, place, type, data, metadata
    from message join outcome on outcome.number = message.number
    where is_written
    order by message.number
    returning global_position
  ),
  answer as materialized (
    select
      '[' || string_agg(
        case
          when known.stream_name = message.stream_name then known.position::text
          when known.stream_name is not null then '"duplicate"'
          when is_written then place::text
          when not is_written then '[' || place::text || ']'
          else '"busy"'
        end,
        ',' order by message.number
      ) || ']' as json
    from message
      left join known on known.number = message.number
      left join outcome on outcome.number = message.number,
      (select count(*) from inserted) as complete
  )`;
}
