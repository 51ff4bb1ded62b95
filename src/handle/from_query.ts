import { invalid } from "../lib/invalid.ts";
import type { Rows, Sql } from "../types.ts";
import { textOf } from "./_statement_text.ts";

/**
 * Makes a handle of anything that takes a statement's text and its parameters.
 *
 * For `pg`, a pooler's client, a proxy: parameters are `$1`, `$2`, … in the text, each a string or
 * null. Inside a transaction, make the handle of the client that holds it; to iterate there, it has to
 * queue statements, since iterators read ahead: `pg`'s does, and says that it is deprecated.
 *
 * @example A handle of `pg`
 * ```ts
 * import pg from "pg";
 * import { fromQuery, readStream } from "@messagedb/client";
 *
 * const pool = new pg.Pool({ connectionString: "postgres://message_store@localhost/message_store" });
 * const sql = fromQuery((text, parameters) => pool.query(text, parameters));
 * await readStream(sql, "account-123");
 * await pool.end();
 * ```
 *
 * @param query Sends one statement; resolves to its rows, or to an object with `rows`.
 * @returns The handle.
 * @throws {TypeError} If the query is no function.
 */
export function fromQuery(
  query: (text: string, parameters: (string | null)[]) => PromiseLike<Rows>,
): Sql {
  if (typeof query !== "function") throw invalid("query", query, "a function");
  return (strings, ...parameters) => query(textOf(strings), parameters);
}
