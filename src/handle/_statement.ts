import { translateDriverError } from "./_driver_error.ts";
import type { Sql } from "../types.ts";

/** What a statement is written in: its text and, between, its parameters. */
export type SendStatement<T> = (
  strings: TemplateStringsArray,
  ...parameters: (string | null)[]
) => Promise<T>;

/**
 * Where a handle keeps its function for statements that may be sent again when no answer came, if it
 * has one: those of this library, which write once however often they are sent.
 */
export const RETRYING: unique symbol = Symbol.for("@messagedb/client/repeatable");

/** A handle that sends again what may be sent again. */
export interface RetryingSql extends Sql {
  readonly [RETRYING]: Sql;
}

export function isRetrying(sql: Sql): sql is RetryingSql {
  return typeof sql === "function" && RETRYING in sql;
}

/**
 * Sends a statement that answers one row of one column of JSON text, and parses that.
 *
 * One value, because a driver that has handed out rows when a statement fails may hand the rest to
 * the next; text, because no driver's types, transforms or time zone change it.
 */
export function queryJson<T>(sql: Sql): SendStatement<T> {
  return async (strings, ...parameters) => {
    if (typeof sql !== "function") {
      throw new TypeError(
        "Cannot use this handle: it must be a tagged-template function, as postgres() makes, " +
          "and fromQuery makes one of any other driver",
      );
    }
    let answer;
    try {
      answer = await (isRetrying(sql) ? sql[RETRYING] : sql)(strings, ...parameters);
    } catch (error) {
      throw translateDriverError(error);
    }
    return JSON.parse(jsonTextOf(answer));
  };
}

/** The one value of the one row that a statement answers. */
export function jsonTextOf(answer: unknown): string {
  const rows = Array.isArray(answer) ? answer : (answer as { rows?: unknown[] } | null)?.rows;
  const row = rows?.[0];
  // Some drivers answer lists; some programs rename columns, or add their own.
  const json = Array.isArray(row) ? row[0] : row?.json ?? Object.values(row ?? {})[0];
  if (typeof json !== "string") {
    throw new TypeError(
      "Cannot use what the handle answered: it must resolve to rows, or to an object with rows, " +
        "whose text it leaves as it is",
    );
  }
  return json;
}

/**
 * How a statement begins that calls Message DB's functions, which call each other and the table by
 * bare names: a first step makes their schema the search path, with nothing beside it that has a
 * function or temporary table of such a name.
 *
 * What calls them in a list selects from `ours`, so as to come after that; what selects from them
 * gives them an argument with `ours.nothing` in it, which is empty.
 */
const SET_SEARCH_PATH = `with
  caller as materialized (select current_setting('search_path') as path),
  ours as materialized (
    select left(set_config('search_path', 'message_store, pg_temp', true), 0) as nothing from caller
  )`;

/**
 * How it goes on: a last step puts the caller's search path back. What follows is an aggregate with
 * its one row of `json`, in parentheses: that has read to its end before the last step, as Postgres
 * goes on with a common table expression only as far as it is read.
 */
const RESTORE_SEARCH_PATH = `
select json, set_config('search_path', caller.path, true)
from caller, `;

/**
 * As `ask`, for common table expressions that call Message DB's functions, the last one `answer`
 * with its one row of `json`.
 */
export function queryMessageStore<T>(sql: Sql): SendStatement<T> {
  return (strings, ...parameters) =>
    queryJson<T>(sql)(
      surround(
        strings,
        `${SET_SEARCH_PATH},`,
        `${RESTORE_SEARCH_PATH}(select max(json) as json from answer) as complete`,
      ),
      ...parameters,
    );
}

/**
 * As `SET_SEARCH_PATH` and `RESTORE_SEARCH_PATH`, for functions that read pages: in the order of an index,
 * and no further.
 *
 * Few streams are long, so Postgres takes what is left of a long one for little: it would fetch all of
 * that and sort it, for each page.
 */
export const SELECT_IN_INDEX_ORDER = `with
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
  )
select json, set_config('search_path', caller.path, true), set_config('enable_sort', sort, true)
from caller, `;

const surrounded = new WeakMap<TemplateStringsArray, TemplateStringsArray>();

/** A statement's strings between two texts: made once a place in the code. */
export function surround(
  strings: TemplateStringsArray,
  before: string,
  after: string,
): TemplateStringsArray {
  let whole = surrounded.get(strings);
  if (whole === undefined) {
    const parts = [...strings];
    parts[0] = before + parts[0];
    parts[parts.length - 1] += after;
    // Not enumerable, as a template's own is: Bun takes nothing else.
    whole = Object.defineProperty(parts, "raw", {
      value: parts,
    }) as unknown as TemplateStringsArray;
    surrounded.set(strings, whole);
  }
  return whole;
}
