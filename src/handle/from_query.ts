import { invalid } from "../lib/invalid.ts";
import type { Rows, Sql } from "../types.ts";
import { textOf } from "./_statement_text.ts";

/**
 * Makes a handle of anything that takes a statement's text and its parameters: `pg`, a pooler's client, a
 * proxy.
 *
 * The text names the parameters `$1`, `$2`, …, and each parameter is a string or null.
 *
 * Inside a transaction, make the handle of the client that holds the transaction. Iterators read ahead, so
 * to iterate there, the client has to queue statements. `pg`'s client does, and warns that this is
 * deprecated.
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
 * @param query Sends one statement. Resolves to the rows, or to an object with `rows`.
 * @returns The handle.
 * @throws {TypeError} If `query` is not a function.
 */
export function fromQuery(
  query: (text: string, parameters: (string | null)[]) => PromiseLike<Rows>,
): Sql {
  if (typeof query !== "function") throw invalid("query", query, "a function");
  return (strings, ...parameters) => query(textOf(strings), parameters);
}
