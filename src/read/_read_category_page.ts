import { queryJson, SELECT_IN_INDEX_ORDER } from "../handle/_statement.ts";
import { type Columns, columnsJson, messagesOfColumns } from "../messages/_columns.ts";
import { markParameter } from "./_mark.ts";
import { type Extent, extentJson, type Page, pageOf, type WantedPage } from "./_page.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { listParameter } from "./_list_parameter.ts";
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
  const { category, position, batchSize, correlation = null, consumerGroup } = wanted;
  const { member, size } = shareParameters(consumerGroup);
  const types = listParameter(wanted.types);
  // The template is the FROM clause of the query that makes the JSON. The steps `caller` and `ours`
  // come before that, and `ours` has set the search path. The function has to run after that: so
  // its query selects from `ours`, and its first argument contains `ours.nothing`, which is empty.
  //
  // `head` is from the statement's snapshot. The function reads with a snapshot that is not older,
  // so it sees every message up to `head`.
  const page = await queryJson<Extent & Columns>(
    sql,
    `${SELECT_IN_INDEX_ORDER}(\n  select ${CATEGORY_PAGE_JSON} as json\n  from`,
    "\n) as complete",
  )`
    (
      select max(global_position) as head, ${markParameter(wanted.mark)}::text as mark
      from message_store.messages
      where (select nothing from ours) is not null
        and message_store.category(stream_name) = ${category}::text
    ) as category
    left join (
      select
        message.*, message.global_position as place,
        ${types}::text is null
          or type = any (select json_array_elements_text(${types}::text::json)) as is_wanted
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
  `${
    /* @__PURE__ */ extentJson({
      count: "count(place)",
      last: "max(place)",
      head: "max(head)",
      mark: "max(mark)",
    })
  }, ','`,
  "filter (where is_wanted)",
);
