import {
  queryJson,
  queryMessageStore,
  RESTORE_SETTINGS,
  type SendStatement,
  SET_SETTINGS,
} from "../handle/_statement.ts";
import { invalid } from "../lib/invalid.ts";
import { checkInteger } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import type { StartAt } from "./start_at.ts";

export function checkStartAt(value: unknown, name = "startAt"): asserts value is StartAt {
  if (typeof value === "number") return checkInteger(name, value, 0);
  if (value === "beginning" || value === "end") return;
  if (Object.prototype.toString.call(value) !== "[object Date]" || isNaN(Number(value))) {
    throw invalid(name, value, 'a position, "beginning", "end" or a valid Date');
  }
}

/** Which messages to search: a stream's, a category's or, if both are null, all. */
export interface SearchScope {
  readonly streamName: string | null;
  readonly category: string | null;
}

/**
 * Finds the position from which a reader gets all messages since a time; null if there are none.
 *
 * For a stream it is the position of the first such message. Otherwise it is a global position: if
 * the first such message is at 148 and the message before it in the store is at 140, it is 141,
 * because messages at 141 to 147 may still be committed.
 */
export async function firstSince(
  sql: Sql,
  { streamName, category }: SearchScope,
  time: Date,
): Promise<number | null> {
  const since = timestampOf(time);
  // There is no index of times: the statements go through the messages in order and end at the
  // first one. coalesce() hides the condition from the planner, so that the planner does not expect
  // that end to be far away.
  if (streamName !== null) {
    return await queryJson<number | null>(sql)`
select
  coalesce(
    (
      select position::text
      from message_store.messages
      where stream_name = ${streamName}::text
        and coalesce(time >= ${since}::text::timestamp, false)
      order by messages.position
      limit 1
    ),
    'null'
  ) as json`;
  }
  // `queryStartAfterPrevious` puts the SELECT from `messages as first` in front.
  // The conditions on the category are those of `isOfCategory`. They need `ours`, in whose search path `category` has to
  // run.
  if (category !== null) {
    return await queryStartAfterPrevious(sql)`
    cross join (select ${category}::text as category) as sought
    where (select nothing from ours) is not null
      and message_store.category(stream_name) = sought.category
      and message_store.category(stream_name) >= sought.category
      and message_store.category(stream_name) <= sought.category
      and coalesce(time >= ${since}::text::timestamp, false)`;
  }
  return await queryStartAfterPrevious(sql)`
    where coalesce(time >= ${since}::text::timestamp, false)`;
}

/**
 * Asks for the global position after the message before the first message of a scope.
 *
 * The template selects the scope from `messages as first`. The first
 * message is at 148, the message before it in the store at 140: then the answer is 141.
 */
function queryStartAfterPrevious(sql: Sql): SendStatement<number | null> {
  return queryJson(
    sql,
    `${SET_SETTINGS},
  found as materialized (
    select first.global_position as position
    from message_store.messages as first`,
    `
    order by first.global_position
    limit 1
  ),
  answer as (
    select
      coalesce(
        max((
          select coalesce(max(global_position), 0) + 1
          from message_store.messages
          where global_position < found.position
        ))::text,
        'null'
      ) as json
    from found
  )${RESTORE_SETTINGS}(select max(json) as json from answer) as complete`,
  );
}

/**
 * The time as text for PostgreSQL, which writes years before 1 and after 9999 in another way: such
 * a time becomes the nearest one within these years. Without a zone in the text: as a `timestamp` it is
 * the UTC of the column `time`, and no time zone has to be looked up.
 */
export function timestampOf(time: Date): string {
  const year = time.getUTCFullYear();
  if (year < 1) return "0001-01-01T00:00:00.000Z";
  return year > 9999 ? "9999-12-31T23:59:59.999Z" : time.toISOString();
}

/**
 * Finds the global position of an aggregate's first reference to a message that was written at a
 * time or later; null if there is none.
 */
export async function firstReferenceSince(
  sql: Sql,
  { category }: Pick<SearchScope, "category">,
  time: Date,
): Promise<number | null> {
  // The statement goes through the references in order and ends at the first one. The two limits
  // make PostgreSQL use an index for the references, and for each message that a reference is to.
  // The conditions on the category are those of `isOfCategory`. They need `ours`, in whose search path `category` has to
  // run.
  return await queryMessageStore<number | null>(sql)`
  found as materialized (
    select reference.global_position
    from message_store.messages as reference
    cross join (select ${category}::text as category) as sought
    cross join lateral (
      select time
      from message_store.messages
      where messages.global_position =
        (reference.metadata ->> 'causationMessageGlobalPosition')::bigint
      limit 1
    ) as origin
    where (select nothing from ours) is not null
      and message_store.category(reference.stream_name) = sought.category
      and message_store.category(reference.stream_name) >= sought.category
      and message_store.category(reference.stream_name) <= sought.category
      and coalesce(origin.time >= ${timestampOf(time)}::text::timestamp, false)
    order by reference.global_position
    limit 1
  ),
  answer as materialized (
    select coalesce(max(global_position)::text, 'null') as json from found
  )`;
}
