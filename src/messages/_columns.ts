import {
  answeredRows,
  checkText,
  queryJson,
  type SendStatement,
  takeRows,
} from "../handle/_statement.ts";
import type { Message, Sql } from "../types.ts";

/** A message as a statement answers it: text, in columns of these names and in this order. */
export interface MessageRow {
  /** Id, position, global position, milliseconds of the time, and type, with a space between. */
  readonly head: string;
  /** Null for a message that was read, and is left out of the answer. */
  readonly streamName: string | null;
  readonly data: string | null;
  readonly metadata: string | null;
}

/** What the head of a row says. */
export type RowHead = Pick<Message, "id" | "type" | "position" | "globalPosition"> & {
  /** Milliseconds since 1970, in UTC. */
  readonly time: number;
};

/**
 * SQL of the whole milliseconds from 1970 to the time of a message.
 *
 * What is below a millisecond is cut off first, because seconds with a fraction are inexact: a floor after them is
 * a millisecond too early for a fourth of the times of 2004.
 */
export const WHOLE_MILLISECONDS =
  "round(date_part('epoch', date_trunc('milliseconds', time)) * 1000)::bigint";

/** The names of the columns of a `MessageRow`, in their order. */
export const COLUMN_NAMES: readonly string[] = ["head", "streamName", "data", "metadata"];

const MESSAGE_COLUMNS = /* @__PURE__ */ messageColumns();

/**
 * SQL of the columns of a `MessageRow`.
 *
 * A row a message is faster than JSON of the message, and than JSON of the page: PostgreSQL copies nothing large
 * into something larger, and sends the first messages while it reads the next. Drivers take their time for each
 * column: so what is short has one together. The type is last there, because it may have spaces.
 */
function messageColumns(): string {
  const head = `concat_ws(' ', id, position, global_position, ${WHOLE_MILLISECONDS}, type)`;
  return [head, "stream_name", "data", "metadata"]
    .map((sql, at) => `${sql}::text as "${COLUMN_NAMES[at]}"`).join(",\n  ");
}

/** Whether a statement answers messages, and no JSON. */
export function answersMessages(statement: string): boolean {
  return statement.includes('as "head"');
}

/**
 * The first two steps of a statement that reads by Message DB's functions, as `SET_SETTINGS`.
 *
 * While `enable_sort` is off, a function of Message DB reads in the order of an index, and stops when the
 * page is full. Otherwise it would fetch and sort all that is left of a long stream, for each page: few
 * streams are long, so Postgres expects little to be left.
 */
export const SET_READ_SETTINGS = `with
  caller as materialized (
    select current_setting('search_path') as path, current_setting('enable_sort') as sort
  ),
  ours as materialized (
    select
      left(
        set_config('search_path', 'message_store, pg_temp', true)
          || set_config('enable_sort', 'off', true),
        0
      ) as nothing
    from caller
  ),`;

/**
 * SQL behind the rows of a statement: one more row, with JSON that is about all of them.
 *
 * PostgreSQL runs the parts of a `union all` one after another. So this part may put settings back.
 *
 * @param json SQL of the JSON.
 * @param from The FROM clause of that SQL.
 * @param end SQL of a value that nobody reads.
 */
export function lastRow(json: string, from: string, end = "null"): string {
  return `
union all
select null, null, ${json}, ${end}
from ${from}`;
}

/** SQL of a value that nobody reads: it puts the settings of `SET_READ_SETTINGS` back. */
export const RESTORE_READ_SETTINGS =
  "concat(set_config('search_path', path, true), set_config('enable_sort', sort, true))";

/** The end of a statement: it answers the messages of the step `page`, and then one more row. */
export function selectPage(last: string): string {
  return `
select ${MESSAGE_COLUMNS}
from page${last}`;
}

/** The end of a statement that begins with `SET_READ_SETTINGS`, and has to say nothing more. */
export const SELECT_PAGE: string = /* @__PURE__ */ selectPage(
  /* @__PURE__ */ lastRow("null", "caller", RESTORE_READ_SETTINGS),
);

/** Reads messages by a `select` of rows of the table, in the order of the rows. */
export function queryMessages(sql: Sql): SendStatement<MessageRow[]> {
  return queryMessageRows(sql, `select ${MESSAGE_COLUMNS}\nfrom (`, ") as page");
}

/**
 * Reads messages by a `select` that calls Message DB's functions, in the order of the rows.
 *
 * The steps `caller` and `ours` come before the `select`, and `ours` sets the search path. The `select` has
 * to run after that: see `SET_SETTINGS`. A function stays in the FROM clause: in a select list, PostgreSQL
 * would take each row apart field by field.
 */
export function queryMessageFunction(sql: Sql): SendStatement<MessageRow[]> {
  return queryMessageRows(sql, `${SET_READ_SETTINGS}\n  page as (`, `\n  )${SELECT_PAGE}`);
}

/** Reads messages by a statement that may end with `lastRow`. */
export function queryMessageRows(
  sql: Sql,
  before: string,
  after: string,
): SendStatement<MessageRow[]> {
  return async (strings, ...parameters) =>
    (await queryMessagePage(sql, before, after)(strings, ...parameters)).rows;
}

/** Messages, and what a statement says about all of them in its last row. */
export interface MessagePage<Extent> {
  readonly rows: MessageRow[];
  /** Null if the statement says nothing. */
  readonly extent: Extent;
}

/** Reads messages by a statement that ends with `lastRow`. */
export function queryMessagePage<Extent>(
  sql: Sql,
  before: string,
  after: string,
): SendStatement<MessagePage<Extent>> {
  return queryJson(sql, before, after, (answer) => {
    const rows = messageRowsOf(answer);
    const last = rows.at(-1)?.head == null ? rows.pop() : undefined;
    return { rows, extent: JSON.parse(last?.data ?? "null") };
  }, takeRows);
}

/**
 * The rows of an answer, with the names of a `MessageRow`. Some drivers answer rows that are lists. Some
 * programs rename the columns.
 */
export function messageRowsOf(answer: unknown): MessageRow[] {
  const all = answeredRows(answer);
  if (!Array.isArray(all)) checkText(all);
  // After a statement that failed, postgres.js may leave holes before the rows: filter() passes over them.
  const rows = (all as MessageRow[]).filter((row) => row ?? checkText(row));
  const names = Object.keys(rows[0] ?? {});
  // Some programs leave out what is null, and others add columns: the names are good then.
  const hasLess = names.length < COLUMN_NAMES.length;
  if (hasLess || COLUMN_NAMES.every((name) => names.includes(name))) return rows;
  return rows.map((row) =>
    Object.fromEntries(Object.values(row).map((value, at) => [COLUMN_NAMES[at], value])) as never
  );
}

/** Makes the messages of rows. */
export function messagesOf<Data = unknown>(rows: readonly MessageRow[]): Message<Data>[] {
  return rows.filter(isAnswered).map(messageIn<Data>);
}

/** Makes the messages of rows one by one. */
export function* eachMessage<Data = unknown>(
  rows: readonly MessageRow[],
): Generator<Message<Data>, void, undefined> {
  for (const row of rows) if (isAnswered(row)) yield messageIn<Data>(row);
}

/** How many messages there are in rows. */
export function countAnswered(rows: readonly MessageRow[]): number {
  return rows.filter(isAnswered).length;
}

type AnsweredRow = MessageRow & { readonly streamName: string };

function isAnswered(row: MessageRow): row is AnsweredRow {
  return row.streamName != null;
}

function messageIn<Data>(row: AnsweredRow): Message<Data> {
  const { id, type, position, globalPosition, time } = headOf(row);
  return {
    id,
    streamName: row.streamName,
    type,
    position,
    globalPosition,
    data: parse(row.data) as Data,
    metadata: parse(row.metadata) as Message["metadata"],
    time: new Date(time),
  };
}

/** Reads the head of a row. */
export function headOf({ head }: MessageRow): RowHead {
  const behindPosition = checkText(head).indexOf(" ", ID_LENGTH + 1);
  const behindGlobalPosition = head.indexOf(" ", behindPosition + 1);
  const behindTime = head.indexOf(" ", behindGlobalPosition + 1);
  return {
    id: head.slice(0, ID_LENGTH),
    position: safeInteger(Number(head.slice(ID_LENGTH + 1, behindPosition))),
    globalPosition: safeInteger(Number(head.slice(behindPosition + 1, behindGlobalPosition))),
    time: Number(head.slice(behindGlobalPosition + 1, behindTime)),
    type: head.slice(behindTime + 1),
  };
}

const ID_LENGTH = 36;

function parse(json: string | null): unknown {
  return json == null ? null : JSON.parse(checkText(json));
}

/** A message as a statement would answer it. */
export function rowOf(message: Message): MessageRow {
  const { id, streamName, type, position, globalPosition, data, metadata, time } = message;
  return {
    head: [id, position, globalPosition, time.getTime(), type].join(" "),
    streamName,
    data: data === null ? null : JSON.stringify(data),
    metadata: metadata === null ? null : JSON.stringify(metadata),
  };
}

/** Checks a position. A number is rounded beyond the safe integers, but never down to a safe one. */
export function safeInteger(position: number): number {
  if (position > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(
      `Cannot represent position ${position}: it is beyond Number.MAX_SAFE_INTEGER`,
    );
  }
  return position;
}
