import { queryJson } from "../handle/_statement.ts";
import { STORE } from "../read/_store_identity.ts";
import type { Sql } from "../types.ts";

/**
 * Tells whether two handles lead to the same store, by whatever addresses.
 *
 * They do if the server, its start, the database and the table are the same. A standby is another store than
 * its primary.
 *
 * @example
 * ```ts
 * import { isSameStore } from "@messagedb/client/operate";
 *
 * await isSameStore(sql, sql); // true
 * ```
 *
 * @param one A handle. A gateway refuses the statement.
 * @param other The other handle.
 * @returns Whether both lead to one store.
 * @throws {NotInstalledError} If one of the databases has no Message DB, or the role may not use it.
 */
export async function isSameStore(one: Sql, other: Sql): Promise<boolean> {
  const [name, otherName] = await Promise.all([one, other].map(readStoreName));
  return name === otherName;
}

const STORE_AS_JSON = `${STORE} as json`;

async function readStoreName(sql: Sql): Promise<string> {
  return await queryJson<string>(sql, "", STORE_AS_JSON)`select `;
}
