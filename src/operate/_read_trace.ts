import { queryJson } from "../handle/_statement.ts";
import { WHOLE_MILLISECONDS } from "../messages/_columns.ts";
import type { Sql } from "../types.ts";
import { SHORT_TYPE } from "./_short_type.ts";

/** A message as the statements answer it: the time in milliseconds (null if it is infinite), and the place that it names as its cause. */
export interface StoredLink {
  readonly id: string;
  readonly streamName: string;
  readonly type: string;
  readonly position: number;
  readonly globalPosition: number;
  readonly time: number | null;
  readonly causeStream: string | null;
  readonly causePosition: string | null;
}

/** Where a trace begins. */
export interface TraceBeginning {
  readonly id: string | undefined;
  readonly streamName: string | undefined;
  readonly limit: string;
}

/** The messages that are traced, and the chains of their causes. */
export interface StoredBeginning {
  readonly traced: readonly StoredLink[];
  readonly causes: readonly StoredLink[];
}

/** Messages that name others as their causes. */
export interface CausedPage {
  /** The global positions of a message and of its cause, in the order of the messages. */
  readonly pairs: readonly (readonly [effect: number, cause: number])[];
  /** How many messages were looked at. */
  readonly count: number;
  /** The global position of the last of them; null if there is none. */
  readonly last: number | null;
}

/** Columns of a message. */
const LINK = `
      id, stream_name, ${SHORT_TYPE} as type, position, global_position, time,
      metadata ->> 'causationMessageStreamName' as cause_stream,
      metadata ->> 'causationMessagePosition' as cause_position`;

const linksJson = (step: string) =>
  `coalesce(
      (
        select
          json_agg(
            json_build_object(
              'id', id, 'streamName', stream_name, 'type', type, 'position', position,
              'globalPosition', global_position,
              'time', case when isfinite(time) then ${WHOLE_MILLISECONDS} end,
              'causeStream', cause_stream, 'causePosition', cause_position
            )
            order by global_position
          )
        from ${step}
      ),
      '[]'
    )`;

/**
 * Reads the messages to trace, and the chains of their causes.
 *
 * A cause has a lower global position than its effect. So each chain ends, even where two messages name each other.
 */
export async function readTraceBeginning(
  sql: Sql,
  { id, streamName, limit }: TraceBeginning,
): Promise<StoredBeginning> {
  return await queryJson<StoredBeginning>(sql, "with recursive", BEGINNING)`
  asked as materialized (
    select
      ${id ?? null}::text::uuid as id, ${streamName ?? null}::text as name,
      ${limit}::text::bigint as most
  )`;
}

const BEGINNING = /* @__PURE__ */ `,
  traced as materialized (
    (
      select ${LINK}
      from message_store.messages
      where id = (select id from asked)
    )
    union all
    (
      select ${LINK}
      from message_store.messages
      where stream_name = (select name from asked)
      order by position
      limit (select most from asked)
    )
  ),
  chain as (
    select * from traced
    union
    select cause.*
    from chain
    cross join lateral (
      select ${LINK}
      from message_store.messages
      where stream_name = chain.cause_stream
        and position = case
          when chain.cause_position ~ '^[0-9]{1,18}$' then chain.cause_position::bigint
        end
        and global_position < chain.global_position
      limit 1
    ) as cause
  ),
  causes as materialized (
    select *
    from chain
    limit (select (select count(*) from traced) + most from asked)
  )
select
  json_build_object(
    'traced', ${/* @__PURE__ */ linksJson("traced")},
    'causes', ${/* @__PURE__ */ linksJson("causes")}
  )::text as json`;

/** Which messages to look at, and what they may follow from. */
export interface WantedCaused {
  /** JSON: a list of `[streamName, position, globalPosition]`. */
  readonly causes: string;
  /** The last global position that was looked at. */
  readonly after: string;
  readonly batchSize: string;
}

/**
 * Looks at the next messages of the store, and pairs each with its cause, if the cause is known or among them.
 *
 * No index helps: metadata has none. An effect has a higher global position than its cause, so it is among the
 * messages after. The caller follows the pairs: a recursive step would go through the whole page again for each link of
 * a chain.
 */
export async function readCausedPage(
  sql: Sql,
  { causes, after, batchSize }: WantedCaused,
): Promise<CausedPage> {
  return await queryJson<CausedPage>(sql, "with", CAUSED)`
  known as materialized (
    select
      it ->> 0 as stream_name, it ->> 1 as position, (it ->> 2)::bigint as global_position
    from json_array_elements(${causes}::text::json) as it
  ),
  asked as materialized (
    select ${after}::text::bigint as after, ${batchSize}::text::bigint as size
  )`;
}

const CAUSED = /* @__PURE__ */ `,
  scanned as materialized (
    select ${LINK}
    from message_store.messages
    where global_position > (select after from asked)
    order by global_position
    limit (select size from asked)
  ),
  caused as materialized (
    select * from scanned where cause_stream is not null and cause_position is not null
  ),
  place as materialized (
    select * from known where global_position <= (select after from asked)
    union all
    select stream_name, position::text, global_position from scanned
  )
select
  json_build_object(
    'pairs', coalesce(
      (
        select
          json_agg(
            json_build_array(caused.global_position, place.global_position)
            order by caused.global_position
          )
        from caused
        join place
          on cause_stream = place.stream_name
            and cause_position = place.position
            and caused.global_position > place.global_position
      ),
      '[]'
    ),
    'count', (select count(*) from scanned),
    'last', (select max(global_position) from scanned)
  )::text as json`;

/** Reads messages by their global positions. */
export async function readLinks(
  sql: Sql,
  globalPositions: readonly number[],
): Promise<StoredLink[]> {
  return await queryJson<StoredLink[]>(sql, "with", LINKS)`
  asked as materialized (
    select ${JSON.stringify(globalPositions)}::text::json as places
  )`;
}

const LINKS = /* @__PURE__ */ `,
  linked as materialized (
    select ${LINK}
    from message_store.messages
    where global_position = any (array(
      select place::bigint
      from asked
      cross join lateral json_array_elements_text(places) as place
    ))
  )
select ${/* @__PURE__ */ linksJson("linked")}::text as json`;
