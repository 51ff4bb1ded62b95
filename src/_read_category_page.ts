import { COLUMNS, type Columns, decode } from "./_message.ts";
import { type Extent, type Page, pageOf } from "./_page.ts";
import {
  ask,
  BEGIN_OURS_IN_ORDER,
  END_OURS_IN_ORDER,
  type Statement,
  within,
} from "./_statement.ts";
import type { ConsumerGroup, Sql } from "./types.ts";

/** Which page of a category to read. */
export interface WantedOfCategory {
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
export async function readCategoryPage(sql: Sql, wanted: WantedOfCategory): Promise<Page> {
  const { category, position, batchSize, correlation = null, consumerGroup } = wanted;
  const member = consumerGroup ? String(consumerGroup.member) : null;
  const size = consumerGroup ? String(consumerGroup.size) : null;
  const types = wanted.types === undefined ? null : JSON.stringify(wanted.types);
  // The function's snapshot is newer than the statement's: `head` is of the older one.
  const { columns, ...extent } = await askPage(sql)`
  scanned as materialized (
    select message.*
    from
      ours,
      message_store.get_category_messages(
        ${category}::text || ours.nothing, ${String(position)}::text::bigint,
        ${String(batchSize)}::text::bigint, ${correlation}::text,
        ${member}::text::bigint, ${size}::text::bigint
      ) as message
  ),
  page as (
    select *
    from scanned
    where ${types}::text is null
      or type in (select json_array_elements_text(${types}::text::json))
  ),
  extent as (
    select
      '{"count":' || count(*)::text ||
      ',"last":' || coalesce(max(global_position)::text, 'null') ||
      ',"head":' || coalesce(
        (
          select max(global_position)::text
          from message_store.messages
          where message_store.category(stream_name) = ${category}::text
        ),
        'null'
      ) || ',"columns":' as json
    from scanned
  )`;
  return pageOf(decode(columns), extent, wanted);
}

function askPage(sql: Sql): Statement<Extent & { readonly columns: Columns | null }> {
  return (strings, ...parameters) =>
    ask<Extent & { readonly columns: Columns | null }>(sql)(
      within(
        strings,
        `${BEGIN_OURS_IN_ORDER},`,
        `${END_OURS_IN_ORDER}(
  select (select json from extent) || ${COLUMNS} || '}' as json from page
) as complete`,
      ),
      ...parameters,
    );
}
