import { type EncodedMessage, toColumns } from "../messages/_json.ts";
import { queryNamedStore } from "../read/_store_identity.ts";
import type { Sql } from "../types.ts";

/** A reference that an aggregate makes, and the stream of its partition. */
export interface EncodedReference extends EncodedMessage {
  readonly streamName: string;
}

/** The position of an aggregate as a message, and the stream that records it. */
export interface EncodedPosition extends Pick<EncodedMessage, "id" | "data"> {
  readonly streamName: string;
  readonly expectedVersion: number;
  /** The id of the message at that version; null for none. */
  readonly versionId: string | null;
}

/**
 * Writes the references of an aggregate and its position: all, or nothing if the store has another name than the
 * one whose messages they refer to, or another message at the expected version. See `writeRecorded`.
 *
 * @param store As `Mark.store`; null for any store.
 * @returns The position of the record in its stream; null if nothing is written.
 */
export async function writeReferences(
  sql: Sql,
  { id, streamName, data, expectedVersion, versionId }: EncodedPosition,
  references: readonly EncodedReference[],
  store: string | null,
): Promise<number | null> {
  // `locked` takes the locks in the order of all writes to several categories: otherwise two could wait for each
  // other. Every later step that needs the search path of `ours` comes after it.
  return await queryNamedStore<number | null>(sql)`
  reference as materialized (
    select stream_name, id::uuid, type, metadata, number
    from
      (select ${
    toColumns(references, { streamName: references.map((it) => it.streamName) })
  }::text::jsonb as list offset 0) as columns,
      rows from (
        jsonb_array_elements_text(list -> 'streamName'), jsonb_array_elements_text(list -> 'id'),
        jsonb_array_elements_text(list -> 'type'), jsonb_array_elements(list -> 'metadata')
      ) with ordinality as reference (stream_name, id, type, metadata, number)
  ),
  locked as materialized (
    select message_store.acquire_lock(name)
    from (
      select stream.name
      from ours, store, (
        select ${streamName}::text as name
        union all
        select min(stream_name) from reference
      ) as stream
      where store.name = coalesce(${store}::text, store.name)
        and stream.name is not null
        and not exists (
          select
          from message_store.messages
          where stream_name = ${streamName}::text
            and position = ${String(expectedVersion)}::text::bigint
            and id <> ${versionId}::text::uuid
        )
      order by message_store.hash_64(message_store.category(stream.name || ours.nothing))
    ) as ordered
  ),
  recorded as materialized (
    select
      message_store.write_message(
        ${id}::text, ${streamName}::text, 'Recorded', ${data}::text::jsonb, null,
        ${String(expectedVersion)}::text::bigint
      ) as position
    from (select count(*) as count from locked) as locks
    where count > 0
  ),
  current as materialized (
    select stream_name, coalesce(message_store.stream_version(stream_name), -1) as version
    from (select distinct stream_name from reference) as stream, recorded
  ),
  inserted as (
    insert into message_store.messages (id, stream_name, position, type, metadata)
    select
      id, reference.stream_name,
      version + row_number() over (partition by reference.stream_name order by number), type, metadata
    from reference join current on current.stream_name = reference.stream_name
    order by number
    returning position
  ),
  answer as materialized (
    select coalesce((select position::text from recorded), 'null') as json
    from (select count(*) from inserted) as references_written
  )`;
}
