import { checkInteger, invalid } from "./_check.ts";
import { ask } from "./_statement.ts";
import type { Sql } from "./types.ts";

/**
 * Where to start: a position, which is included; `"beginning"`; `"end"`, behind what is there; or the
 * first message that was written at this time or later (one that is yet to come is the end).
 */
export type StartAt = number | "beginning" | "end" | Date;

export function checkStartAt(value: unknown): asserts value is StartAt {
  if (typeof value === "number") return checkInteger("startAt", value, 0);
  if (value === "beginning" || value === "end") return;
  if (Object.prototype.toString.call(value) !== "[object Date]" || isNaN(Number(value))) {
    throw invalid("startAt", value, 'a position, "beginning", "end" or a valid Date');
  }
}

/** Where the messages are: all of them where both are null. */
export interface Place {
  readonly streamName: string | null;
  readonly category: string | null;
}

/**
 * The position of the first message since a time: in its stream, or else global.
 *
 * Global, it is the one behind the message before: what is missing there may be yet to commit.
 */
export async function firstSince(
  sql: Sql,
  { streamName, category }: Place,
  time: Date,
): Promise<number | null> {
  return await ask<number | null>(sql)`
with
  first as (
    select min(case when ${streamName}::text is null then global_position else position end) as place
    from message_store.messages
    where time >= ${timestampOf(time)}::text::timestamptz at time zone 'utc'
      and (${streamName}::text is null or stream_name = ${streamName}::text)
      and (${category}::text is null or message_store.category(stream_name) = ${category}::text)
  )
select
  coalesce(
    case
      when ${streamName}::text is null and place is not null then (
        select coalesce(max(global_position), 0) + 1
        from message_store.messages
        where global_position < place
      )
      else place
    end::text,
    'null'
  ) as json
from first`;
}

/** Postgres writes the years before 1 and after 9999 in another way. */
export function timestampOf(time: Date): string {
  const year = time.getUTCFullYear();
  if (year < 1) return "0001-01-01T00:00:00.000Z";
  return year > 9999 ? "9999-12-31T23:59:59.999Z" : time.toISOString();
}
