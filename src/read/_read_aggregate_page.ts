import type { SendStatement } from "../handle/_statement.ts";
import {
  countAnswered,
  lastRow,
  type MessagePage,
  messagesOf,
  queryMessagePage,
  RESTORE_READ_SETTINGS,
  safeInteger,
  selectPage,
  SET_READ_SETTINGS,
} from "../messages/_columns.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { listParameter } from "./_list_parameter.ts";
import { shareParameters } from "./_share.ts";
import { markParameter } from "./_mark.ts";
import {
  type Extent,
  extentJson,
  idAt,
  type Page,
  pageOf,
  type Reach,
  type WantedPage,
} from "./_page.ts";
import type { AggregatedMessage } from "./reference.ts";

/** Which references of an aggregate to read. */
export interface AggregateQuery extends WantedPage {
  readonly name: string;
  readonly types?: readonly string[] | undefined;
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/** Reads a page of an aggregate, and tells how far the page reaches. */
export async function readAggregatePage(sql: Sql, wanted: AggregateQuery): Promise<Page> {
  const { name, position, batchSize, types, consumerGroup } = wanted;
  const { member, size } = shareParameters(consumerGroup);
  // `queryReferences` puts the SELECT of the references and their messages in front, as the beginning of
  // `scanned`, and the page as JSON behind. The conditions on the category need `ours`, in whose search path
  // Message DB's functions have to run. They are those of `isOfCategory`.
  //
  // The id of a partition is found as in `categoryRows`, and its number is that of `shareNumber`. coalesce()
  // hides the share from the planner. Otherwise the planner may expect so few references that it would fetch and
  // sort all of them.
  const answer = await queryReferences(sql)`
    cross join (select ${name}::text as name) as sought
    where (select nothing from ours) is not null
      and message_store.category(reference.stream_name) = sought.name
      and message_store.category(reference.stream_name) >= sought.name
      and message_store.category(reference.stream_name) <= sought.name
      and reference.global_position >= ${String(position)}::text::bigint
      and (
        ${size}::text is null
        or octet_length(reference.stream_name) > octet_length(sought.name)
          and coalesce(
            mod(
              case
                when substr(reference.stream_name, length(sought.name) + 2) ~ '^[0-9]{1,15}$'
                  then substr(reference.stream_name, length(sought.name) + 2)::bigint
                else abs(
                  ('x' || md5(substr(reference.stream_name, length(sought.name) + 2)))
                    ::bit(64)::bigint
                )
              end,
              ${size}::text::bigint
            ) = ${member}::text::bigint,
            false
          )
      )
    order by reference.global_position
    limit ${String(batchSize)}::text::bigint
  ),
  head as (
    select max(global_position) as position
    from message_store.messages
    cross join (select ${name}::text as name) as sought
    where (select nothing from ours) is not null
      and message_store.category(stream_name) = sought.name
      and message_store.category(stream_name) >= sought.name
      and message_store.category(stream_name) <= sought.name
  ),
  wanted as (
    select ${listParameter(types)}::text as types, ${markParameter(wanted.mark)}::text as mark
  ),`;
  return pageOfReferences(answer, wanted);
}

/** Reads a page of one partition of an aggregate. Positions are those of the partition's stream. */
export async function readPartition(
  sql: Sql,
  wanted: AggregateQuery & { readonly partition: string },
): Promise<Page> {
  const { partition, position, batchSize } = wanted;
  // `queryReferences` completes this as in `readAggregatePage`.
  const answer = await queryReferences(sql)`
    where reference.stream_name = ${partition}::text
      and reference.position >= ${String(position)}::text::bigint
    order by reference.position
    limit ${String(batchSize)}::text::bigint
  ),
  head as (
    select null::bigint as position
  ),
  wanted as (
    select null::text as types, null::text as mark
  ),`;
  return pageOfReferences(answer, wanted);
}

interface ReferencedExtent extends Extent, Reach {
  /** For each message the place of the reference to it. */
  readonly references: readonly [streamName: string, position: number, globalPosition: number][];
}

const LAST_REFERENCE = "(select max(global_place) from scanned)";

const SELECT_REFERENCED = /* @__PURE__ */ selectReferenced();

function selectReferenced(): string {
  const from = `caller, (
  select concat(
    '{"count":', (select count(*) from scanned),
    ',"last":', coalesce(${LAST_REFERENCE}::text, 'null'),
    ',"lastId":', coalesce(to_json(${idAt(LAST_REFERENCE)})::text, 'null'),
    ',"references":', coalesce(
      json_agg(json_build_array(partition, place, global_place) order by global_place), '[]'
    ),
    ',', ${extentJson("(select position from head)", "(select wanted.mark from wanted)")}, '}'
  ) as json
  from page
) as complete`;
  return selectPage(lastRow("json", from, RESTORE_READ_SETTINGS));
}

/**
 * Asks for messages by the references to them.
 *
 * The template begins with what selects the references. That ends the step
 * `scanned`. Then the template adds two steps: `head`, the last reference that there is, and
 * `wanted`, the types to return.
 */
function queryReferences(sql: Sql): SendStatement<MessagePage<ReferencedExtent>> {
  // The limit in the look-up of each message makes PostgreSQL use the index.
  return queryMessagePage<ReferencedExtent>(
    sql,
    `${SET_READ_SETTINGS}
  scanned as materialized (
    select
      origin.*, reference.stream_name as partition, reference.position as place,
      reference.global_position as global_place
    from message_store.messages as reference
    cross join lateral (
      select *
      from message_store.messages
      where messages.global_position =
        (reference.metadata ->> 'causationMessageGlobalPosition')::bigint
      limit 1
    ) as origin`,
    `
  page as materialized (
    select *
    from scanned
    where (select types from wanted) is null
      or type = any (select json_array_elements_text((select types from wanted)::json))
    order by global_place
  )${SELECT_REFERENCED}`,
  );
}

function pageOfReferences(
  { rows, extent }: MessagePage<ReferencedExtent>,
  wanted: AggregateQuery,
): Page {
  const messages = () =>
    messagesOf(rows).map((message, at): AggregatedMessage => {
      const [streamName, position, globalPosition] = extent.references[at]!;
      const reference = {
        streamName,
        position: safeInteger(position),
        globalPosition: safeInteger(globalPosition),
      };
      return { ...message, reference };
    });
  return pageOf({ length: countAnswered(rows), messages }, extent, extent, wanted);
}
