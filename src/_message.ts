import { fromStored, type Parser } from "./_catalogue.ts";
import {
  ask,
  BEGIN_OURS_IN_ORDER,
  END_OURS_IN_ORDER,
  type Statement,
  within,
} from "./_statement.ts";
import type { Message, Sql } from "./types.ts";

/** Messages as the statement answers them: a list a column, which Postgres and JSON.parse do fastest. */
export interface Columns {
  readonly id: string[];
  readonly streamName: string[];
  readonly type: string[];
  readonly position: number[];
  readonly globalPosition: number[];
  readonly data: unknown[];
  readonly metadata: Message["metadata"][];
  readonly time: number[];
}

/**
 * The JSON of `page`, whose columns are those of Message DB's `message` type; null where it is empty.
 *
 * By concat(), which copies each list once: `||` copies all that is before it, each time.
 */
export const COLUMNS = `
  case
    when count(*) = 0 then 'null'
    else concat(
      '{"id":["', string_agg(id::text, '","'),
      '"],"streamName":', json_agg(stream_name),
      ',"type":', json_agg(type),
      ',"position":[', string_agg(position::text, ','),
      '],"globalPosition":[', string_agg(global_position::text, ','),
      '],"data":[', string_agg(coalesce(data::text, 'null'), ','),
      '],"metadata":[', string_agg(coalesce(metadata::text, 'null'), ','),
      '],"time":[', string_agg(floor(date_part('epoch', time) * 1000)::bigint::text, ','), ']}'
    )
  end`;

/** Reads messages by a `select` of rows of the table, in the order that they come in. */
export function askMessages(sql: Sql, parser?: Parser): Statement<Message[]> {
  return async (strings, ...parameters) => {
    const columns = await ask<Columns | null>(sql)(
      within(strings, "with page as materialized (", `)\nselect ${COLUMNS} as json from page`),
      ...parameters,
    );
    return await fromStored(decode(columns), parser);
  };
}

/**
 * Reads messages by a `select` from one of Message DB's functions, with `ours.nothing` in an argument.
 *
 * From it, and in the statement itself: a row of a list would be taken apart field by field, and a
 * common table expression copies all that goes through it.
 */
export function askMessageFunction(sql: Sql, parser?: Parser): Statement<Message[]> {
  return async (strings, ...parameters) => {
    const columns = await ask<Columns | null>(sql)(
      within(
        strings,
        `${BEGIN_OURS_IN_ORDER}${END_OURS_IN_ORDER}(\n  select ${COLUMNS} as json\n  from (`,
        ") as page\n) as complete",
      ),
      ...parameters,
    );
    return await fromStored(decode(columns), parser);
  };
}

export function decode<Data>(columns: Columns | null): Message<Data>[] {
  if (columns === null) return [];
  return columns.id.map((id, at) => ({
    id,
    streamName: columns.streamName[at]!,
    type: columns.type[at]!,
    position: safe(columns.position[at]!),
    globalPosition: safe(columns.globalPosition[at]!),
    data: columns.data[at] as Data,
    metadata: columns.metadata[at]!,
    time: new Date(columns.time[at]!),
  }));
}

/** JSON.parse rounds what is beyond the safe integers, and never to one of them. */
export function safe(position: number): number {
  if (position > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(
      `Cannot represent position ${position}: it is beyond Number.MAX_SAFE_INTEGER`,
    );
  }
  return position;
}
