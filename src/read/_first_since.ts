import { queryJson, type SendStatement, surround } from "../handle/_statement.ts";
import { invalid } from "../lib/invalid.ts";
import { checkInteger } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import type { StartAt } from "./start_at.ts";

export function checkStartAt(value: unknown): asserts value is StartAt {
  if (typeof value === "number") return checkInteger("startAt", value, 0);
  if (value === "beginning" || value === "end") return;
  if (Object.prototype.toString.call(value) !== "[object Date]" || isNaN(Number(value))) {
    throw invalid("startAt", value, 'a position, "beginning", "end" or a valid Date');
  }
}

/** Where the messages are: all of them where both are null. */
export interface SearchScope {
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
  { streamName, category }: SearchScope,
  time: Date,
): Promise<number | null> {
  const since = timestampOf(time);
  // They go through the messages in order, up to the first: by coalesce() that never looks far off.
  if (streamName !== null) {
    return await queryJson<number | null>(sql)`
select
  coalesce(
    (
      select position::text
      from message_store.messages
      where stream_name = ${streamName}::text
        and coalesce(time >= ${since}::text::timestamptz at time zone 'utc', false)
      order by messages.position
      limit 1
    ),
    'null'
  ) as json`;
  }
  if (category !== null) {
    return await queryPositionBefore(sql)`
      where message_store.category(stream_name) = ${category}::text
        and coalesce(time >= ${since}::text::timestamptz at time zone 'utc', false)`;
  }
  return await queryPositionBefore(sql)`
      where coalesce(time >= ${since}::text::timestamptz at time zone 'utc', false)`;
}

/** The position behind the one before the first of these messages. */
function queryPositionBefore(sql: Sql): SendStatement<number | null> {
  return (strings, ...parameters) =>
    queryJson<number | null>(sql)(
      surround(
        strings,
        `
select
  coalesce(
    (
      select (
        select coalesce(max(global_position), 0) + 1
        from message_store.messages
        where global_position < first.global_position
      )::text
      from message_store.messages as first`,
        `
      order by first.global_position
      limit 1
    ),
    'null'
  ) as json`,
      ),
      ...parameters,
    );
}

/** Postgres writes the years before 1 and after 9999 in another way. */
export function timestampOf(time: Date): string {
  const year = time.getUTCFullYear();
  if (year < 1) return "0001-01-01T00:00:00.000Z";
  return year > 9999 ? "9999-12-31T23:59:59.999Z" : time.toISOString();
}

/** The global position of the first reference to a message that was written at a time or later. */
export async function firstReferenceSince(
  sql: Sql,
  { category }: Pick<SearchScope, "category">,
  time: Date,
): Promise<number | null> {
  // Goes through the references in their order, up to the first; the limits make both index scans.
  return await queryJson<number | null>(sql)`
select
  coalesce(
    (
      select reference.global_position::text
      from message_store.messages as reference
      cross join lateral (
        select time
        from message_store.messages
        where messages.global_position =
          (reference.metadata->>'causationMessageGlobalPosition')::bigint
        limit 1
      ) as origin
      where message_store.category(reference.stream_name) = ${category}::text
        and coalesce(
          origin.time >= ${timestampOf(time)}::text::timestamptz at time zone 'utc',
          false
        )
      order by reference.global_position
      limit 1
    ),
    'null'
  ) as json`;
}
