import {
  headOf,
  lastRow,
  type MessagePage,
  queryMessagePage,
  RESTORE_READ_SETTINGS,
  selectPage,
  SET_READ_SETTINGS,
} from "../messages/_columns.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { categoryRows } from "./_category_rows.ts";
import { listParameter } from "./_list_parameter.ts";
import { markParameter } from "./_mark.ts";
import { isOfCategory } from "../names/_of_category.ts";
import {
  type Extent,
  extentJson,
  messagesIn,
  type Page,
  pageOf,
  type WantedPage,
} from "./_page.ts";
import { shareParameters } from "./_share.ts";

/** Which page of a category to read. */
export interface CategoryQuery extends WantedPage {
  readonly category: string;
  readonly types?: readonly string[] | undefined;
  readonly correlation?: string | undefined;
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/**
 * Reads a page of a category, as `readCategory` does, and tells how far the page reaches. If few
 * messages are of the types, the correlation or the member's share, the next read need not look at
 * all the others again.
 */
export async function readCategoryPage(sql: Sql, wanted: CategoryQuery): Promise<Page> {
  const { correlation } = wanted;
  const { rows, extent } =
    await (correlation === undefined
      ? queryPageOfTable(sql, wanted)
      : queryPageOfFunction(sql, wanted, correlation));
  const last = rows.length === 0 ? null : headOf(rows.at(-1)!);
  const reach = {
    count: rows.length,
    last: last?.globalPosition ?? null,
    lastId: last?.id ?? null,
  };
  return pageOf(messagesIn(rows), reach, extent, wanted);
}

// The template has the step `wanted`. The steps `caller` and `ours` come before that, and `ours` sets the
// search path. After it come the steps `page` and `extent`, and the rows.
//
// `head` is from the statement's snapshot. A function reads with a snapshot that is not older, so it sees
// every message up to `head`.

function queryPageOfTable(
  sql: Sql,
  { category, position, batchSize, types, mark, consumerGroup }: CategoryQuery,
): Promise<MessagePage<Extent>> {
  const { member, size } = shareParameters(consumerGroup);
  return queryMessagePage<Extent>(sql, SET_READ_SETTINGS, FROM_TABLE)`
  wanted as materialized (
    select
      ${category}::text as category, ${String(position)}::text::bigint as position,
      ${String(batchSize)}::text::bigint as batch_size,
      ${member}::text::bigint as member, ${size}::text::bigint as size,
      ${listParameter(types)}::text as types, ${markParameter(mark)}::text as mark
  )`;
}

function queryPageOfFunction(
  sql: Sql,
  { category, position, batchSize, types, mark, consumerGroup }: CategoryQuery,
  correlation: string,
): Promise<MessagePage<Extent>> {
  const { member, size } = shareParameters(consumerGroup);
  return queryMessagePage<Extent>(sql, SET_READ_SETTINGS, FROM_FUNCTION)`
  wanted as materialized (
    select
      ${category}::text || nothing as category, ${String(position)}::text::bigint as position,
      ${String(batchSize)}::text::bigint as batch_size,
      ${member}::text::bigint as member, ${size}::text::bigint as size,
      ${listParameter(types)}::text as types, ${markParameter(mark)}::text as mark,
      ${correlation}::text as correlation
    from ours
  )`;
}

const FROM_TABLE = /* @__PURE__ */ afterWanted(/* @__PURE__ */ categoryRows("forward"));

const FROM_FUNCTION = /* @__PURE__ */ afterWanted(`
    select message.*
    from
      wanted,
      message_store.get_category_messages(
        category, wanted.position, batch_size, correlation, member, size
      ) as message`);

/**
 * The steps after `wanted`, and the rows.
 *
 * A message that is not of the types has a row, too, without what may be large: the rows tell how far the
 * statement has read.
 */
function afterWanted(messages: string): string {
  const ifWanted = (column: string) => `case when is_wanted then ${column} end as ${column}`;
  const json = `concat('{', ${extentJson("head", "mark")}, '}')`;
  return `,
  page as (
    select
      id, type, position, global_position, time,
      ${ifWanted("stream_name")}, ${ifWanted("data")}, ${ifWanted("metadata")}
    from (
      select
        *,
        (select types from wanted) is null
          or type = any (select json_array_elements_text((select types from wanted)::json))
            as is_wanted
      from (${messages}
      ) as message
    ) as marked
  ),
  extent as materialized (
    select max(global_position) as head, (select mark from wanted) as mark
    from message_store.messages
    where (select nothing from ours) is not null
      and ${isOfCategory("(select category from wanted)")}
  )${selectPage(lastRow(json, "caller, extent", RESTORE_READ_SETTINGS))}`;
}
