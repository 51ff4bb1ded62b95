import {
  queryJson,
  RESTORE_SETTINGS,
  type SendStatement,
  SET_SETTINGS,
} from "../handle/_statement.ts";
import { safeInteger, WHOLE_MILLISECONDS } from "../messages/_columns.ts";
import { IS_OWN_MESSAGE } from "../names/_own_streams.ts";
import type { Direction, Sql } from "../types.ts";
import type { FoundMessage } from "./found_message.ts";
import { type TimeScope, timeSearch } from "./_time_search.ts";

/** A message as the statements answer it. The time is in milliseconds; null if it is infinite. */
export interface StoredFound {
  readonly id: string;
  readonly streamName: string;
  readonly type: string;
  readonly position: number;
  readonly globalPosition: number;
  readonly time: number | null;
  readonly data: string | null;
  readonly metadata: string | null;
  readonly isCut: boolean;
  readonly size: number;
}

/** What a search has found. */
export interface FoundPage {
  readonly messages: readonly StoredFound[];
  /** Where to go on; null at the end. */
  readonly next: number | null;
  readonly scanned: number;
}

/** What a statement is to find, as JSON. Times are text for PostgreSQL. */
export interface WantedFound {
  /** The category or the stream; null for all messages. */
  readonly name: string | null;
  /** The first position; null for the first one in this direction, or if `startTime` is given. */
  readonly start: number | null;
  readonly startTime: string | null;
  readonly since: string | null;
  readonly until: string | null;
  readonly limit: number;
  readonly scanLimit: number;
  readonly types: readonly string[] | null;
  readonly text: string | null;
  readonly ownMessages: boolean;
  readonly textLength: number;
}

/** How many stored bytes of data and metadata a statement looks at, besides the last message. */
const MOST_BYTES = 16_000_000;

/** SQL of a message with texts of a length, from the columns of a message. */
export const foundJson = (textLength: string): string =>
  `json_build_object(
          'id', id, 'streamName', stream_name, 'type', type, 'position', position,
          'globalPosition', global_position,
          'time', case when isfinite(time) then ${WHOLE_MILLISECONDS} end,
          'data', left(data::text, ${textLength}),
          'metadata', left(metadata::text, ${textLength}),
          'isCut', coalesce(length(data::text) > ${textLength}, false)
            or coalesce(length(metadata::text) > ${textLength}, false),
          'size', coalesce(octet_length(data::text), 0) + coalesce(octet_length(metadata::text), 0)
        )`;

/** Which messages a statement looks at. */
interface FindScope {
  /** The column of the positions. */
  readonly place: "global_position" | "position";
  /** SQL of what messages are compared by, and of what a position is compared as. */
  readonly from: string;
  readonly of: (place: string) => string;
  readonly order: readonly string[];
  /** Where times are searched. */
  readonly times: TimeScope;
}

/** The template is the JSON of what is wanted, as an expression. */
const ASKED = /* @__PURE__ */ `${SET_SETTINGS},
  asked as materialized (
    select
      given ->> 'name' as name, (given ->> 'start')::bigint as start,
      (given ->> 'limit')::bigint as most, (given ->> 'scanLimit')::bigint as most_scanned,
      (given ->> 'types')::jsonb as types, lower(given ->> 'text') as text,
      (given ->> 'ownMessages')::boolean as with_own, (given ->> 'textLength')::int as text_length,
      (given ->> 'startTime')::timestamp as start_time, (given ->> 'since')::timestamp as since,
      (given ->> 'until')::timestamp as until
    from (
      select (`;

/**
 * SQL behind the template.
 *
 * - `bounds` are the first position to look at, and the last one, in this direction.
 * - `scanned` are the next messages. PostgreSQL reads a row of such a step only when a later step wants the row. So
 *   nothing below counts all of them: a page that is full has read one message more, which tells that there are more.
 * - `measured` numbers them, and sums up what they take on the disk. Nothing large is read for that.
 * - `matching` reads data only of what has the type and the time, and ends when the page is full.
 */
function findSteps(scope: FindScope, direction: Direction): string {
  const { place, from, of, times } = scope;
  const isForward = direction === "forward";
  const order = isForward ? "" : " desc";
  const timeOf = (name: string) => `(select place from found_time where name = '${name}')`;
  return `) as given from ours
    ) as asking
  ),
  wanted_time as materialized (
    select 'start' as name, start_time as time from asked where start_time is not null
    union all
    select 'since', since from asked where since is not null
    union all
    select 'until', until from asked where until is not null
  ),${timeSearch(times)},
  bounds as materialized (
    select
      ${
    isForward
      ? `case when since_place > first then since_place else first end as low,
      coalesce(until_place - 1, 9223372036854775807) as high`
      : `coalesce(since_place, 0) as low,
      case when until_place <= first then until_place - 1 else first end as high`
  },
      most_scanned as size
    from (
      select
        most_scanned,
        coalesce(start, ${
    isForward ? `${timeOf("start")}, 0` : `${timeOf("start")} - 1, 9223372036854775807`
  }) as first,
        ${timeOf("since")} as since_place, ${timeOf("until")} as until_place
      from asked
    ) as given
  ),
  scanned as materialized (
    select *
    from message_store.messages
    where (select nothing from ours) is not null
      and ${from} >= ${of("(select low from bounds)")}
      and ${from} <= ${of("(select high from bounds)")}
    order by ${scope.order.map((it) => `${it}${order}`).join(", ")}
    limit (select size from bounds)
  ),
  measured as materialized (
    select
      *, row_number() over (rows unbounded preceding) as number,
      sum(bytes) over (rows unbounded preceding) - bytes as bytes_before
    from (
      select
        *, coalesce(pg_column_size(data), 0) + coalesce(pg_column_size(metadata), 0) as bytes
      from scanned
    ) as sized
  ),
  looked as materialized (
    select *
    from measured
    where bytes_before < ${MOST_BYTES}
  ),
  matching as materialized (
    select looked.*
    from looked, asked
    where case
        when since is not null and time < since then false
        when until is not null and time >= until then false
        when not coalesce(jsonb_exists(types, type), true) then false
        when not with_own and (
          ${IS_OWN_MESSAGE}
          or coalesce(metadata ->> 'referringAggregate' = split_part(stream_name, '-', 1), false)
        ) then false
        when asked.text is not null then strpos(lower(data::text), asked.text) > 0
        else true
      end
    limit (select most from asked)
  ),
  extent as materialized (
    select
      size,
      case
        when (select count(*) from matching) = most then (select max(number) from matching)
        else (select count(*) from looked)
      end as seen
    from asked, bounds
  )${RESTORE_SETTINGS}(
  select
    json_build_object(
      'messages', coalesce(
        (
          select json_agg(${foundJson("(select text_length from asked)")} order by number)
          from matching
        ),
        '[]'
      ),
      'next', (
        select ${place} ${isForward ? "+" : "-"} 1
        from (
          select ${place}
          from scanned
          offset (select case when seen > 0 then seen - 1 else 0 end from extent)
          limit 1
        ) as last, extent
        where (seen = size or exists (select from scanned offset (select seen from extent)))
          and ${isForward ? "true" : `${place} > 0`}
      ),
      'scanned', (select seen from extent)
    )::text as json
  from (select) as nothing
) as complete`;
}

const ALL_MESSAGES: FindScope = {
  place: "global_position",
  from: "global_position",
  of: (place) => place,
  order: ["global_position"],
  times: { place: "global_position", condition: "true" },
};
const OF_CATEGORY: FindScope = {
  place: "global_position",
  from: "(message_store.category(stream_name), global_position)",
  of: (place) => `((select name from asked), ${place})`,
  // Compared and sorted as a row, the messages can only come from `messages_category`. For a category that is rare, the
  // planner would else read all messages by their global positions until it has found enough.
  order: ["message_store.category(stream_name)", "global_position"],
  times: { place: "global_position", condition: "true" },
};
const OF_STREAM: FindScope = {
  place: "position",
  from: "(stream_name, position)",
  of: (place) => `((select name from asked), ${place})`,
  order: ["stream_name", "position"],
  times: { place: "position", condition: "stream_name = (select name from asked)" },
};

const ALL_FORWARD = /* @__PURE__ */ findSteps(ALL_MESSAGES, "forward");
const ALL_BACKWARD = /* @__PURE__ */ findSteps(ALL_MESSAGES, "backward");
const CATEGORY_FORWARD = /* @__PURE__ */ findSteps(OF_CATEGORY, "forward");
const CATEGORY_BACKWARD = /* @__PURE__ */ findSteps(OF_CATEGORY, "backward");
const STREAM_FORWARD = /* @__PURE__ */ findSteps(OF_STREAM, "forward");
const STREAM_BACKWARD = /* @__PURE__ */ findSteps(OF_STREAM, "backward");

/** Finds the next messages of all that match, in either direction. */
export async function findRows(
  sql: Sql,
  kind: "all" | "category" | "stream",
  direction: Direction,
  wanted: WantedFound,
): Promise<FoundPage> {
  const given = JSON.stringify(wanted);
  const ask = (steps: string): SendStatement<FoundPage> => queryJson(sql, ASKED, steps);
  // A template for each statement: the steps of a template are put together once.
  if (kind === "all") {
    if (direction === "forward") return await ask(ALL_FORWARD)`${given}::text::json`;
    return await ask(ALL_BACKWARD)`${given}::text::json`;
  }
  if (kind === "category") {
    if (direction === "forward") return await ask(CATEGORY_FORWARD)`${given}::text::json`;
    return await ask(CATEGORY_BACKWARD)`${given}::text::json`;
  }
  if (direction === "forward") return await ask(STREAM_FORWARD)`${given}::text::json`;
  return await ask(STREAM_BACKWARD)`${given}::text::json`;
}

/** Makes a message of what a statement has answered. */
export function foundMessage({ time, ...stored }: StoredFound): FoundMessage {
  const date = new Date(time ?? NaN);
  return {
    ...stored,
    position: safeInteger(stored.position),
    globalPosition: safeInteger(stored.globalPosition),
    time: isNaN(Number(date)) ? null : date,
  };
}
