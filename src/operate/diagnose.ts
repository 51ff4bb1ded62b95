import type { Sql } from "../types.ts";
import type { Diagnosis } from "./diagnosis.ts";
import { examine } from "./_examine.ts";
import { storeStatus } from "./store_status.ts";

/**
 * Examines a store, its server, and the connection to it: what is wrong or at risk, what it means, and what to do.
 *
 * Any role may call it, and the database may be without Message DB: that is then what is found. Nothing is changed. It
 * is one statement, `storeStatus` where the role may read messages, and one more that looks for a pooler, or six if there
 * is one. A pooler is found through the `sql` of postgres.js alone.
 *
 * @example Print what is not as it should be
 * ```ts
 * import { diagnose } from "@messagedb/client/operate";
 *
 * for (const { name, state, text, advice } of await diagnose(sql)) {
 *   if (state !== "ok") console.log(name, state, text, advice);
 * }
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @returns What was found out, in a fixed order: also what is as it should be. Never empty.
 */
export function diagnose(sql: Sql): Promise<Diagnosis[]> {
  return examine(sql, () => storeStatus(sql));
}
