import { askStores } from "../handle/_store_for.ts";
import { queryJson } from "../handle/_statement.ts";
import { invalid } from "../lib/invalid.ts";
import { checkInteger, checkMembers, checkTime } from "../names/_check.ts";
import { timestampOf } from "../read/_first_since.ts";
import type { Sql } from "../types.ts";
import { timeSearch } from "./_time_search.ts";

/** Options of `activity`. */
export interface ActivityOptions {
  /** The time of the first span. */
  readonly since: Date;
  /**
   * The end of the last span.
   *
   * @default now
   */
  readonly until?: Date | undefined;
  /**
   * Into how many spans of the same length to divide the time, from 1 to 1000.
   *
   * @default 60
   */
  readonly buckets?: number | undefined;
}

/** How many messages came in a span of time. */
export interface ActivityBucket {
  /** The beginning of the span, which is included. */
  readonly from: Date;
  /** The end of the span, which is not included. */
  readonly to: Date;
  /** How many global positions were given in this span. */
  readonly count: number;
}

/**
 * Tells how many messages came in each span of time, without counting them: it takes milliseconds in a store of any
 * size.
 *
 * `count` is the difference of two global positions: of the first message of the span, and of the first one after. So
 * positions that were rolled back count too, and so do messages that were deleted since. The positions are found by
 * halving the range of positions, as if times rose with them. They nearly do: the time of a message is that of the
 * beginning of its transaction. Where messages were imported with other times, the counts say little.
 *
 * It is one statement, which looks at about 20 messages for each span of a store of a million. Over partitions, it is
 * one for each, and the counts are added.
 *
 * @example The last hour, minute by minute
 * ```ts
 * import { activity } from "@messagedb/client/operate";
 *
 * for (const { from, count } of await activity(sql, { since: new Date(Date.now() - 3_600_000) })) {
 *   console.log(from, count);
 * }
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param options Which time, and how many spans.
 * @returns The spans, in their order.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If a time is no Date in the years 1 to 9999, or an option is of the wrong type.
 * @throws {RangeError} If `until` is not after `since`, or `buckets` is out of range.
 */
export async function activity(sql: Sql, options: ActivityOptions): Promise<ActivityBucket[]> {
  checkMembers("options", options, { since: true, until: true, buckets: true });
  const { since, until = new Date(), buckets = 60 } = options;
  if (since === undefined) throw invalid("since", since, "a Date");
  checkTime(since);
  checkTime(until);
  checkInteger("buckets", buckets, 1, 1000);
  const width = (Number(until) - Number(since)) / buckets;
  if (width <= 0) throw invalid("until", until, "after since", RangeError);
  const edges = Array.from(
    { length: buckets + 1 },
    (_, at) => new Date(Math.round(Number(since) + at * width)),
  );
  const found = await askStores(sql, (store) => readPlaces(store, edges));
  return edges.slice(1).map((to, at) => ({
    from: edges[at]!,
    to,
    count: found.reduce((sum, places) => sum + Math.max(places[at + 1]! - places[at]!, 0), 0),
  }));
}

const PLACES = /* @__PURE__ */ `::text::json) with ordinality as given (time, name)
  ),${/* @__PURE__ */ timeSearch({ place: "global_position", condition: "true" })}
select json_agg(place order by name)::text as json
from found_time`;

/** Reads the first global position since each of the times. */
async function readPlaces(sql: Sql, times: readonly Date[]): Promise<number[]> {
  return await queryJson<number[]>(
    sql,
    `with
  wanted_time as materialized (
    select name, given.time::timestamp as time
    from json_array_elements_text(`,
    PLACES,
  )`${JSON.stringify(times.map(timestampOf))}`;
}
