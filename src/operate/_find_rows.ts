import {
  queryJson,
  RESTORE_SETTINGS,
  type SendStatement,
  SET_SETTINGS,
} from "../handle/_statement.ts";
import { safeInteger, WHOLE_MILLISECONDS } from "../messages/_columns.ts";
import { isOfCategory } from "../names/_of_category.ts";
import { IS_OWN_MESSAGE } from "../names/_own_streams.ts";
import type { Direction, Sql } from "../types.ts";
import type { FoundMessage } from "./found_message.ts";
import { SHORT_TYPE } from "./_short_type.ts";
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
  /** The text as JSON writes it; null if that is no other. */
  readonly escaped: string | null;
  readonly correlation: string | null;
  readonly ownMessages: boolean;
  readonly textLength: number;
}

/**
 * How many bytes of messages a statement looks at, besides the last one: as they are stored, names as texts, and as the
 * texts that it makes of data and metadata. What PostgreSQL has compressed can be a hundred times as long.
 */
const MOST_BYTES = 16_000_000;

/** SQL of a message, from the columns of a message and `MESSAGE_TEXTS`. */
export const FOUND_JSON = `json_build_object(
          'id', id, 'streamName', stream_name, 'type', ${SHORT_TYPE}, 'position', position,
          'globalPosition', global_position,
          'time', case when isfinite(time) then ${WHOLE_MILLISECONDS} end,
          'data', data_head, 'metadata', metadata_head,
          'isCut', octet_length(concat(data_head, metadata_head)) < text_bytes, 'size', text_bytes
        )`;

/** SQL of what is answered of two texts, from the columns `data_text`, `metadata_text` and `text_length`. */
export const MESSAGE_TEXTS = `
        left(data_text, text_length) as data_head, left(metadata_text, text_length) as metadata_head,
        coalesce(octet_length(data_text), 0) + coalesce(octet_length(metadata_text), 0) as text_bytes`;

/** Which messages a statement looks at. */
interface FindScope extends TimeScope {
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
      lower(given ->> 'escaped') as escaped,
      given ->> 'correlation' as correlation,
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
 * - `measured` numbers them, and sums up what they take on the disk and how long their names are. Nothing large is read
 *   for that.
 * - `weighed` makes texts only of what has the type and the time, once (`offset 0` is why: PostgreSQL would else make
 *   them again wherever they are named), and keeps their beginnings. It sums up how long the texts are.
 * - `stop` is where the page is full, or the texts are too long. Nothing after that is read.
 */
function findSteps(scope: FindScope, direction: Direction): string {
  const { place, condition, times } = scope;
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
      and ${condition}
      and ${place} >= (select low from bounds)
      and ${place} <= (select high from bounds)
    order by ${place}${order}
    limit (select size + 1 from bounds)
  ),
  measured as materialized (
    select
      *, row_number() over (rows unbounded preceding) as number,
      sum(bytes) over (rows unbounded preceding) - bytes as bytes_before
    from (
      select
        *, coalesce(pg_column_size(data), 0) + coalesce(pg_column_size(metadata), 0)
          + octet_length(type) + octet_length(stream_name) as bytes
      from scanned
    ) as sized
  ),
  looked as materialized (
    select *
    from measured
    where bytes_before < ${MOST_BYTES}
      and number <= (select size from bounds)
  ),
  weighed as materialized (
    select
      *, sum(text_bytes) over (rows unbounded preceding) as bytes_through,
      count(*) filter (where is_found) over (rows unbounded preceding) as found
    from (
      select
        id, stream_name, type, position, global_position, time, number,${MESSAGE_TEXTS},
        is_wanted and (
          wanted_text is null
          or strpos(lower(data_text), wanted_text) > 0
          or (escaped_text is not null and strpos(lower(data_text), escaped_text) > 0)
        ) as is_found
      from (
        select
          *, case when is_wanted then data::text end as data_text,
          case when is_wanted then metadata::text end as metadata_text
        from (
          select
            looked.*, text_length, asked.text as wanted_text, asked.escaped as escaped_text,
            case
              when since is not null and time < since then false
              when until is not null and time >= until then false
              when not coalesce(jsonb_exists(types, type), true) then false
              when correlation is not null and not coalesce(
                correlation = (metadata ->> 'correlationStreamName')
                or correlation = split_part(metadata ->> 'correlationStreamName', '-', 1),
                false
              ) then false
              when with_own then true
              else not (
                ${IS_OWN_MESSAGE}
                or coalesce(metadata ->> 'referringAggregate' = split_part(stream_name, '-', 1), false)
              )
            end as is_wanted
          from looked, asked
          offset 0
        ) as filtered
        offset 0
      ) as texts
      offset 0
    ) as matched
  ),
  stop as materialized (
    select number, found
    from weighed
    where found = (select most from asked) or bytes_through >= ${MOST_BYTES}
    limit 1
  ),
  matching as materialized (
    select *
    from weighed
    where is_found
    limit (select coalesce((select found from stop), most) from asked)
  ),
  extent as materialized (
    select coalesce((select number from stop), (select count(*) from looked)) as seen
  )${RESTORE_SETTINGS}(
  select
    json_build_object(
      'messages', coalesce(
        (
          select json_agg(${FOUND_JSON} order by number)
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
        where exists (select from scanned offset (select seen from extent))
          and ${isForward ? "true" : `${place} > 0`}
      ),
      'scanned', (select seen from extent)
    )::text as json
  from (select) as nothing
) as complete`;
}

const OF_ALL: TimeScope = { place: "global_position", condition: "true" };
const OF_STREAM: TimeScope = {
  place: "position",
  condition: "stream_name = (select name from asked)",
};
const ALL_MESSAGES: FindScope = { ...OF_ALL, times: OF_ALL };
const CATEGORY: FindScope = {
  place: "global_position",
  condition: isOfCategory("(select name from asked)"),
  times: OF_ALL,
};
const STREAM: FindScope = { ...OF_STREAM, times: OF_STREAM };

const ALL_FORWARD = /* @__PURE__ */ findSteps(ALL_MESSAGES, "forward");
const ALL_BACKWARD = /* @__PURE__ */ findSteps(ALL_MESSAGES, "backward");
const CATEGORY_FORWARD = /* @__PURE__ */ findSteps(CATEGORY, "forward");
const CATEGORY_BACKWARD = /* @__PURE__ */ findSteps(CATEGORY, "backward");
const STREAM_FORWARD = /* @__PURE__ */ findSteps(STREAM, "forward");
const STREAM_BACKWARD = /* @__PURE__ */ findSteps(STREAM, "backward");

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
