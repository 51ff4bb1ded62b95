import { storeFor } from "../handle/_store_for.ts";
import {
  headOf,
  type MessageRow,
  queryMessageFunction,
  queryMessageRows,
  SELECT_PAGE,
  SET_READ_SETTINGS,
} from "../messages/_columns.ts";
import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import {
  checkCategory,
  checkConsumerGroup,
  checkName,
  checkOptions,
  checkPage,
} from "../names/_check.ts";
import type { Direction, Sql } from "../types.ts";
import { categoryRows } from "./_category_rows.ts";
import { readWhole } from "./_fitting.ts";
import { shareParameters } from "./_share.ts";
import type { ReadCategoryOptions } from "./read_options.ts";

/**
 * Reads a category as `readCategory` does, and leaves the messages as the database has answered them. All
 * options are checked, the catalogue too.
 */
export async function readCategoryRows(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & MaybeTyped,
): Promise<MessageRow[]> {
  checkCategory("category", category);
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    condition: true,
    correlation: true,
    consumerGroup: true,
    messages: true,
  });
  const { position, batchSize, backward } = checkPage(options);
  const { condition = null, correlation = null, consumerGroup } = options;
  if (condition !== null) checkName("condition", condition);
  if (correlation !== null) checkCategory("correlation", correlation);
  if (consumerGroup !== undefined) checkConsumerGroup(consumerGroup);
  parserOf(options);
  const filter = { correlation, condition, ...shareParameters(consumerGroup) };
  const store = storeFor(sql, category);
  return await readWhole(
    `category "${category}"`,
    Number(batchSize),
    position,
    (count, from) => queryCategory(store, category, backward, filter, from, count),
    (row) => headOf(row).globalPosition + (backward ? -1 : 1),
  );
}

type CategoryFilter = Readonly<
  Record<"correlation" | "condition" | "member" | "size", string | null>
>;

function queryCategory(
  sql: Sql,
  category: string,
  backward: boolean,
  filter: CategoryFilter,
  position: string | null,
  batchSize: string,
): Promise<MessageRow[]> {
  const { correlation, condition, member, size } = filter;
  if (condition !== null || correlation !== null && !backward) {
    return queryFunction(sql, category, backward, filter, position, batchSize);
  }
  // The template is the step `wanted`. `categoryRows` reads by it, and SELECT_PAGE gives the rows their columns.
  if (backward) {
    return queryMessageRows(sql, SET_READ_SETTINGS, BACKWARD)`
  wanted as materialized (
    select
      ${category}::text as category,
      coalesce(${position}::text::bigint, 9223372036854775807) as position,
      ${batchSize}::text::bigint as batch_size,
      ${correlation}::text as correlation,
      ${member}::text::bigint as member, ${size}::text::bigint as size
  )`;
  }
  return queryMessageRows(sql, SET_READ_SETTINGS, FORWARD)`
  wanted as materialized (
    select
      ${category}::text as category, coalesce(${position}::text::bigint, 1) as position,
      ${batchSize}::text::bigint as batch_size,
      ${member}::text::bigint as member, ${size}::text::bigint as size
  )`;
}

const FORWARD = /* @__PURE__ */ selectRows("forward");
const BACKWARD = /* @__PURE__ */ selectRows("backward");

function selectRows(direction: Direction): string {
  return `,
  page as (${categoryRows(direction)}
  )${SELECT_PAGE}`;
}

function queryFunction(
  sql: Sql,
  category: string,
  backward: boolean,
  { correlation, condition, member, size }: CategoryFilter,
  position: string | null,
  batchSize: string,
): Promise<MessageRow[]> {
  // queryMessageFunction puts the steps `caller` and `ours` before the template. `ours` sets the search path,
  // so the function must run after it: that is why the query selects from `ours` and an argument contains
  // `ours.nothing`, which is empty.
  if (!backward) {
    return queryMessageFunction(sql)`
    select message.*
    from
      ours,
      message_store.get_category_messages(
        ${category}::text || ours.nothing, ${position}::text::bigint, ${batchSize}::text::bigint,
        ${correlation}::text, ${member}::text::bigint, ${size}::text::bigint, ${condition}::text
      ) as message`;
  }
  return queryMessageFunction(sql)`
    select message.*
    from
      ours,
      message_store.get_category_messages(
        ${category}::text || ours.nothing, 1, -1,
        ${correlation}::text, ${member}::text::bigint, ${size}::text::bigint, ${condition}::text
      ) as message
    where ${position}::text is null or message.global_position <= ${position}::text::bigint
    order by message.global_position desc
    limit ${batchSize}::text::bigint`;
}
