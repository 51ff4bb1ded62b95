import { askStores } from "../handle/_store_for.ts";
import { queryJson } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * Reads the version of the Message DB in the database.
 *
 * As Message DB's `message_store_version`.
 *
 * @example
 * ```ts
 * import { messageStoreVersion } from "@messagedb/client";
 *
 * await messageStoreVersion(sql); // "1.3.0"
 * ```
 *
 * @param sql The handle.
 * @returns The version, as Message DB writes it.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 */
export async function messageStoreVersion(sql: Sql): Promise<string> {
  const versions = await askStores(sql, (store) =>
    queryJson<string>(
      store,
    )`select to_json(message_store.message_store_version())::text as json`);
  const [oldest] = versions.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return oldest!;
}
