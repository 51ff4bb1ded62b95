import { queryJson, SELECT_IN_INDEX_ORDER, type SendStatement } from "../handle/_statement.ts";
import type { Message, Sql } from "../types.ts";

/**
 * The messages of a statement's answer: one list for each column. PostgreSQL and JSON.parse are
 * faster with that than with one object for each message.
 */
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
 * SQL that turns rows of Message DB's `message` type into one JSON object: one list for each
 * column.
 *
 * The lists are joined by concat(), which copies each list once. `||` would copy everything before
 * it each time. Only `data`, most of a page's bytes, is joined by `||`, because concat() would copy
 * it three times.
 *
 * @param members SQL of more members of the object, which come first. Each ends with its comma.
 * @param filter The FILTER clause of each aggregate: which of the rows are messages of the object.
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

const COLUMNS_JSON = /* @__PURE__ */ columnsJson();

/**
 * Reads messages by a `select` of rows of the table, in the order of the rows.
 *
 * The `select` becomes the step `page`, and the SQL after that turns its rows into JSON.
 */
export function queryMessages(sql: Sql): SendStatement<Message[]> {
  return queryColumns(
    sql,
    "with page as materialized (",
    `)\nselect ${COLUMNS_JSON} as json from page`,
  );
}

/**
 * Reads messages by a `select` from one of Message DB's functions, in the order of the rows.
 *
 * The steps `caller` and `ours` come before the `select`, and `ours` sets the search path. The
 * `select` has to run after that, so it selects from `ours` too and appends `ours.nothing`, which
 * is empty, to an argument of the function. It stays a subquery in the FROM clause: as a function
 * call in a select list, PostgreSQL would take each row apart field by field, and a common table
 * expression would copy all rows.
 */
export function queryMessageFunction(sql: Sql): SendStatement<Message[]> {
  return queryColumns(
    sql,
    `${SELECT_IN_INDEX_ORDER}(\n  select ${COLUMNS_JSON} as json\n  from (`,
    ") as page\n) as complete",
  );
}

function queryColumns(
  sql: Sql,
  before: string,
  after: string,
): SendStatement<Message[]> {
  return async (strings, ...parameters) => {
    return messagesOfColumns(await queryJson<Columns>(sql, before, after)(strings, ...parameters));
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

/** Checks a position. JSON.parse rounds an unsafe integer, but never down to a safe one. */
export function safeInteger(position: number): number {
  if (position > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(
      `Cannot represent position ${position}: it is beyond Number.MAX_SAFE_INTEGER`,
    );
  }
  return position;
}
