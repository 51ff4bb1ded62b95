import type { Parser } from "./_parser.ts";
import { fromStored } from "./_typed.ts";
import {
  BEGIN_OURS_IN_ORDER,
  END_OURS_IN_ORDER,
  queryJson,
  type SendStatement,
  surround,
} from "../handle/_statement.ts";
import type { Message, Sql } from "../types.ts";

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
 * The JSON of the columns of Message DB's `message` type, behind other members of the object: SQL, each
 * with its comma. `filter` is the aggregates' own.
 *
 * By concat(), which copies each list once, as `||` copies all that is before it; but for `data`, which is
 * most of a page: concat() would copy that three times.
 */
export function columnsJson(members = "''", filter = ""): string {
  const list = (value: string) => `string_agg(${value}, ',') ${filter}`;
  return `concat(
    '{', ${members},
    '"id":[', '"' || string_agg(id::text, '","') ${filter} || '"',
    '],"streamName":', coalesce(json_agg(stream_name) ${filter}, '[]'),
    ',"type":', coalesce(json_agg(type) ${filter}, '[]'),
    ',"position":[', ${list("position::text")},
    '],"globalPosition":[', ${list("global_position::text")},
    '],"time":[', ${list("floor(date_part('epoch', time) * 1000)::bigint::text")},
    '],"metadata":[', ${list("coalesce(metadata::text, 'null')")},
    '],"data":['
  ) || coalesce(${list("coalesce(data::text, 'null')")}, '') || ']}'`;
}

const COLUMNS = /* @__PURE__ */ columnsJson();

/** Reads messages by a `select` of rows of the table, in the order that they come in. */
export function queryMessages(sql: Sql, parser?: Parser): SendStatement<Message[]> {
  return async (strings, ...parameters) => {
    const columns = await queryJson<Columns>(sql)(
      surround(strings, "with page as materialized (", `)\nselect ${COLUMNS} as json from page`),
      ...parameters,
    );
    return await fromStored(messagesOfColumns(columns), parser);
  };
}

/**
 * Reads messages by a `select` from one of Message DB's functions, with `ours.nothing` in an argument.
 *
 * From it, and in the statement itself: a row of a list would be taken apart field by field, and a
 * common table expression copies all that goes through it.
 */
export function queryMessageFunction(sql: Sql, parser?: Parser): SendStatement<Message[]> {
  return async (strings, ...parameters) => {
    const columns = await queryJson<Columns>(sql)(
      surround(
        strings,
        `${BEGIN_OURS_IN_ORDER}${END_OURS_IN_ORDER}(\n  select ${COLUMNS} as json\n  from (`,
        ") as page\n) as complete",
      ),
      ...parameters,
    );
    return await fromStored(messagesOfColumns(columns), parser);
  };
}

export function messagesOfColumns<Data>(columns: Columns): Message<Data>[] {
  return columns.id.map((id, at) => ({
    id,
    streamName: columns.streamName[at]!,
    type: columns.type[at]!,
    position: safeInteger(columns.position[at]!),
    globalPosition: safeInteger(columns.globalPosition[at]!),
    data: columns.data[at] as Data,
    metadata: columns.metadata[at]!,
    time: new Date(columns.time[at]!),
  }));
}

/** JSON.parse rounds what is beyond the safe integers, and never to one of them. */
export function safeInteger(position: number): number {
  if (position > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(
      `Cannot represent position ${position}: it is beyond Number.MAX_SAFE_INTEGER`,
    );
  }
  return position;
}
