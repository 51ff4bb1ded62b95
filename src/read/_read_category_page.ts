import { type Columns, columnsJson, messagesOfColumns } from "../messages/_columns.ts";
import { type Extent, type Page, pageOf } from "./_page.ts";
import {
  BEGIN_OURS_IN_ORDER,
  END_OURS_IN_ORDER,
  queryJson,
  type SendStatement,
  surround,
} from "../handle/_statement.ts";
import type { ConsumerGroup, Sql } from "../types.ts";

/** Which page of a category to read. */
export interface CategoryQuery {
  readonly category: string;
  readonly position: number;
  readonly batchSize: number;
  readonly types?: readonly string[] | undefined;
  readonly correlation?: string | undefined;
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/**
 * Reads a page of a category, as `readCategory` does, and how far that reaches: where few messages are
 * of the types, the correlation or the member's share, what is behind them need not be looked at again.
 */
export async function readCategoryPage(sql: Sql, wanted: CategoryQuery): Promise<Page> {
  const { category, position, batchSize, correlation = null, consumerGroup } = wanted;
  const member = consumerGroup ? String(consumerGroup.member) : null;
  const size = consumerGroup ? String(consumerGroup.size) : null;
  const types = wanted.types === undefined ? null : JSON.stringify(wanted.types);
  // The function's snapshot is newer than the statement's: `head` is of the older one.
  const page = await queryCategoryPage(sql)`
    (
      select max(global_position) as head
      from message_store.messages
      where message_store.category(stream_name) = ${category}::text
    ) as category
    left join (
      select
        message.*,
        ${types}::text is null
          or type in (select json_array_elements_text(${types}::text::json)) as is_wanted
      from
        ours,
        message_store.get_category_messages(
          ${category}::text || ours.nothing, ${String(position)}::text::bigint,
          ${String(batchSize)}::text::bigint, ${correlation}::text,
          ${member}::text::bigint, ${size}::text::bigint
        ) as message
      offset 0
    ) as read on true`;
  return pageOf(messagesOfColumns(page), page, wanted);
}

const CATEGORY_PAGE_JSON = /* @__PURE__ */ columnsJson(
  `'"count":', count(global_position),
    ',"last":', coalesce(max(global_position)::text, 'null'),
    ',"head":', coalesce(max(head)::text, 'null'), ','`,
  "filter (where is_wanted)",
);

function queryCategoryPage(sql: Sql): SendStatement<Extent & Columns> {
  return (strings, ...parameters) =>
    queryJson<Extent & Columns>(sql)(
      surround(
        strings,
        `${BEGIN_OURS_IN_ORDER}${END_OURS_IN_ORDER}(\n  select ${CATEGORY_PAGE_JSON} as json\n  from`,
        "\n) as complete",
      ),
      ...parameters,
    );
}
