import { sqlStateOf, translateDriverError } from "./_driver_error.ts";
import { pinNames } from "./_pin_names.ts";
import type { Observe } from "./_observe.ts";
import { templateOf } from "./_statement_text.ts";
import type { Rows, Sql } from "../types.ts";

/** A template tag: sends the statement that the template is, and resolves to its answer. */
export type SendStatement<T> = (
  strings: TemplateStringsArray,
  ...parameters: (string | null)[]
) => Promise<T>;

/**
 * The key under which a handle that this library has made keeps what is for this library's statements alone.
 *
 * The symbol is registered so that two copies of this library share it.
 */
export const OWN_HANDLE: unique symbol = Symbol.for("@messagedb/client");

/** What a handle keeps for the statements of this library. */
export interface OwnHandle {
  /**
   * Sends a statement of this library. The handle is the one that the statement was sent with: it may be of
   * a transaction, and guarded.
   */
  readonly send?: ((sql: Sql, ...statement: Parameters<Sql>) => ReturnType<Sql>) | undefined;
  /**
   * Whether `send` sends a statement again if no answer came. All statements of this library may be sent
   * again: each writes once, however often it is sent.
   */
  readonly retries?: boolean;
  /** The schema of Message DB, if it is another than `message_store`. */
  readonly schema?: string;
  /** As `translateDriverError`. */
  readonly translate?: (error: unknown) => unknown;
  /**
   * Finds the handle of the store that streams and categories are in.
   *
   * @throws {PartitionError} If it is not one store, or not the store of the handle.
   */
  readonly storeOf?: (sql: Sql, names: readonly string[]) => Sql;
  /** The handles of all stores, if there are several. */
  readonly partitions?: readonly Sql[];
  /** Is told of work that no statement shows. */
  readonly observe?: Observe;
}

/** What a handle keeps; undefined for a driver's handle. */
export function ownOf(sql: Sql): OwnHandle | undefined {
  return (sql as { readonly [OWN_HANDLE]?: OwnHandle } | undefined)?.[OWN_HANDLE];
}

/** Whether a socket was seen to break that may not be closed yet. */
let isClosing = false;

/**
 * Resolves when the sockets are closed that were seen to break.
 *
 * Between the "error" and the "close" of a socket, postgres.js takes new statements for the broken connection
 * and forgets them: they are never answered, and a pool of one connection never answers again. So all
 * statements wait, on whatever handle: that of a transaction shares a connection with others. Each waits for a
 * timer of its own, because a Worker does not go on with what another request has begun.
 */
async function untilClosed(): Promise<void> {
  isClosing = true;
  await new Promise((resolve) => setTimeout(resolve));
  isClosing = false;
}

/** Waits before a statement that the driver sends by itself, such as BEGIN. */
export async function beforeDriversStatement(): Promise<void> {
  if (isClosing) await untilClosed();
}

/**
 * Sends a statement that answers one row with JSON text in its column `json`, and parses that text.
 *
 * Text: no driver's types, transforms or time zone can change it.
 *
 * Names in the SQL are PostgreSQL's own, whatever the search path: see `pinNames`.
 *
 * @param before SQL in front of the template, the same at each call of one template literal.
 * @param after SQL behind the template, the same at each call of one template literal.
 * @param decode Makes the result from the answer, if the answer is not such a row.
 * @param sendStatement Sends the statement, if it is not sent as usual.
 */
export function queryJson<T>(
  sql: Sql,
  before = "",
  after = "",
  decode: (answer: unknown) => T = (answer) => JSON.parse(jsonTextOf(answer)),
  sendStatement: typeof send = send,
): SendStatement<T> {
  return async (strings, ...parameters) => {
    if (typeof sql !== "function") {
      throw new TypeError(
        "Cannot use this handle: it must be a tagged-template function, as postgres() makes, " +
          "and fromQuery makes one of any other driver",
      );
    }
    const statement = complete(strings, before, after);
    if (isClosing) await untilClosed();
    let answer;
    try {
      answer = await sendStatement(sql, statement, ...parameters);
    } catch (error) {
      // No server has sent this error.
      if (sqlStateOf(error) === undefined) await untilClosed();
      throw (ownOf(sql)?.translate ?? translateDriverError)(error);
    }
    return decode(answer);
  };
}

function send(sql: Sql, ...statement: Parameters<Sql>): ReturnType<Sql> {
  return ownOf(sql)?.send?.(sql, ...statement) ?? sql(...statement);
}

const completed = new WeakMap<TemplateStringsArray, TemplateStringsArray>();

/**
 * Puts a text in front of a statement and a text behind it, and pins the names in all of it.
 *
 * Every call of one template literal has the same `strings`, so the result is made once and kept.
 */
function complete(
  strings: TemplateStringsArray,
  before: string,
  after: string,
): TemplateStringsArray {
  let whole = completed.get(strings);
  if (whole === undefined) {
    const parts = [...strings];
    parts[0] = before + parts[0];
    parts[parts.length - 1] += after;
    whole = templateOf(parts.map(pinNames));
    completed.set(strings, whole);
  }
  return whole;
}

/** The one value of the one row of an answer. */
export function jsonTextOf(answer: unknown): string {
  // The last one: after a statement that failed, postgres.js may leave a hole before the row.
  const row = answeredRows(answer)?.at(-1) as { json?: unknown } | null | undefined;
  // Some drivers answer rows that are lists. Some programs rename the columns, or add columns.
  return checkText(row?.json ?? Object.values(row ?? {})[0]);
}

/** The rows of an answer; undefined if it has none. */
export function answeredRows(answer: unknown): readonly unknown[] | undefined {
  return Array.isArray(answer) ? answer : (answer as { rows?: unknown[] } | null)?.rows;
}

/** Checks that a column is text. */
export function checkText(text: unknown): string {
  if (typeof text === "string") return text;
  throw new TypeError(
    "Cannot use what the handle answered: it must resolve to rows, or to an object with rows, " +
      "whose text it leaves as it is",
  );
}

/** The query of postgres.js, which can hand out row by row. */
interface RowQuery extends PromiseLike<Rows> {
  readonly forEach?: (take: (row: unknown) => void) => PromiseLike<unknown>;
}

/**
 * Sends a statement that answers many rows.
 *
 * If a statement fails after its first row, postgres.js puts as many holes before the rows of the
 * connection's next statement. That may be a statement of the caller's. It puts none there if the rows are
 * taken one by one.
 *
 * @throws {RangeError} If the data of all rows would not fit into one text of Node: it takes too much memory.
 */
export async function takeRows(sql: Sql, ...statement: Parameters<Sql>): Promise<Rows> {
  const query = send(sql, ...statement) as RowQuery;
  if (typeof query.forEach !== "function" || Array.isArray(query)) return await query;
  let rows: unknown[] = [];
  let left = 2 ** 29;
  await query.forEach((row) => {
    left -= (row as { data?: string | null } | null)?.data?.length ?? 0;
    if (left > 0) rows.push(row);
  });
  // The driver's query, which keeps the function, would keep them.
  const taken = rows;
  rows = [];
  if (left > 0) return taken;
  throw new RangeError("Invalid string length");
}

/**
 * The first two steps of a statement that calls Message DB's functions: they set the search path and the
 * time zone.
 *
 * Message DB's functions name each other and the table without a schema. So a call fails unless the search
 * path holds `message_store`, and the path of the caller often does not. The time of a message is
 * `now() at time zone 'utc'`, and PostgreSQL 18 looks for "utc" among the abbreviations of the session's own
 * zone first: in the zone `UTC+3` it is three hours off. The statement sets both itself: that costs no round
 * trip more, and leaves no setting in the session.
 *
 * - `caller` keeps the caller's settings.
 * - `ours` sets the search path to `message_store`, and to no schema of the caller's: a function of the same
 *   name there must not be called. `pg_temp` is last in the path, because Postgres looks for tables in it
 *   first if the path does not name it.
 *
 * A later step runs after `ours` only if it needs something from `ours`:
 * - A step that calls a function in its `select` list selects from `ours`, or from a step that does.
 * - A step that calls a function in its `from` clause also adds `|| ours.nothing` to an argument of that
 *   function. `nothing` is the empty text, so the argument stays the same.
 * - A step that calls a function for rows of a table has the condition `(select nothing from ours) is not
 *   null`. Postgres checks a condition that is the same for all rows once, before the first row.
 * - Postgres may call `category`, `id` and `hash_64` of parameters alone while it plans the statement, and so
 *   before `ours`. So there, too, an argument has `|| ours.nothing`.
 */
export const SET_SETTINGS = `with
  caller as materialized (
    select current_setting('search_path') as path, current_setting('TimeZone') as zone
  ),
  ours as materialized (
    select
      left(
        set_config('search_path', 'message_store, pg_temp', true)
          || set_config('TimeZone', 'UTC', true),
        0
      ) as nothing
    from caller
  )`;

/**
 * The end of such a statement: it puts the caller's settings back, for the rest of a transaction.
 *
 * Behind this text comes, in parentheses, an aggregate that makes the one row with `json`. Postgres runs a
 * step only as far as somebody reads it, and an aggregate reads all of its input before it has a row. So
 * all calls of functions are over when the settings are put back.
 */
export const RESTORE_SETTINGS = `
select json, set_config('search_path', path, true), set_config('TimeZone', zone, true)
from caller, `;

/**
 * Sends a statement that calls Message DB's functions.
 *
 * The template is a list of steps (common table expressions). The last step is `answer`, with one row and
 * its column `json`. The steps `caller` and `ours` are put in front of the list, and the end that reads
 * `answer` is put behind it: see `SET_SETTINGS` and `RESTORE_SETTINGS`.
 */
export function queryMessageStore<T>(sql: Sql): SendStatement<T> {
  return queryJson(
    sql,
    `${SET_SETTINGS},`,
    `${RESTORE_SETTINGS}(select max(json) as json from answer) as complete`,
  );
}
