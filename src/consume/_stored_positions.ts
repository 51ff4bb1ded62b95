import { queryJson } from "../handle/_statement.ts";
import type { Metadata, Sql } from "../types.ts";

/** The last message of a stream, with its age in milliseconds by the server's clock. */
export interface LastMessage {
  readonly streamName: string;
  /** Its position, which is the stream's version. */
  readonly version: number;
  readonly data: unknown;
  readonly metadata: Metadata | null;
  readonly age: number;
}

/** Reads the last messages of streams, of those that have any. */
export async function readLastMessages(
  sql: Sql,
  streamNames: readonly string[],
): Promise<LastMessage[]> {
  return await queryJson<LastMessage[]>(sql)`
select
  coalesce(
    json_agg(
      json_build_object(
        'streamName', last.stream_name, 'version', last.position,
        'data', last.data, 'metadata', last.metadata,
        'age', date_part('epoch', clock_timestamp() at time zone 'utc' - last.time) * 1000
      )
    ),
    '[]'
  )::text as json
from json_array_elements_text(${JSON.stringify(streamNames)}::text::json) as asked(stream_name)
cross join lateral (
  select *
  from message_store.messages
  where messages.stream_name = asked.stream_name
  order by position desc
  limit 1
) as last`;
}
