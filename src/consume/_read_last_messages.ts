import { storeFor } from "../handle/_store_for.ts";
import { queryJson } from "../handle/_statement.ts";
import type { Metadata, Sql } from "../types.ts";

/** The last message of a stream. */
export interface LastMessage {
  readonly streamName: string;
  /** The message's position, which is the stream's version. */
  readonly version: number;
  readonly data: unknown;
  readonly metadata: Metadata | null;
  /** How long ago the message was written, in milliseconds, by the server's clock. */
  readonly age: number;
}

/** The last message of a stream, and its id. */
export interface IdentifiedLast extends LastMessage {
  readonly id: string;
}

/** Reads the last message of each stream; a stream without a message is left out. */
export async function readLastMessages(
  sql: Sql,
  streamNames: readonly string[],
): Promise<IdentifiedLast[]> {
  return await queryJson<IdentifiedLast[]>(storeFor(sql, ...streamNames))`
select
  coalesce(
    json_agg(
      json_build_object(
        'streamName', last.stream_name, 'version', last.position,
        'id', last.id, 'data', last.data, 'metadata', last.metadata,
        'age', (date_part('epoch', clock_timestamp()) - date_part('epoch', last.time)) * 1000
      )
    ),
    '[]'
  )::text as json
from (
  select newest.*
  from json_array_elements_text(${JSON.stringify(streamNames)}::text::json) as asked (stream_name)
  cross join lateral (
    select *
    from message_store.messages
    where messages.stream_name = asked.stream_name
    order by position desc
    limit 1
  ) as newest
) as last`;
}

/** The position that the last message of a position stream records. */
export function recordedPosition(
  { streamName, data }: Pick<LastMessage, "streamName" | "data">,
): number {
  const { position } = (data ?? {}) as { readonly position?: unknown };
  if (typeof position === "number" && Number.isSafeInteger(position)) return position;
  throw new TypeError(
    `Cannot use the position stream "${streamName}": its last message has no position`,
  );
}
