import { ownOf } from "../handle/_statement.ts";
import { NotInstalledError } from "../errors.ts";
import type { Sql } from "../types.ts";
import { diagnoseServer, diagnoseSession } from "./_diagnose_session.ts";
import { diagnoseFacts, diagnoseStatus } from "./_diagnose_store.ts";
import { readFacts } from "./_read_facts.ts";
import { readPooling } from "./_read_pooling.ts";
import type { Diagnosis } from "./diagnosis.ts";
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
export async function diagnose(sql: Sql): Promise<Diagnosis[]> {
  const before = Date.now();
  const facts = await readFacts(sql);
  const after = Date.now();
  const { store } = facts;
  const schema = ownOf(sql)?.schema ?? "message_store";
  const mayRead = store !== null && store.missing.length === 0 && store.mayUse && store.maySelect;
  return [
    ...diagnoseServer(facts),
    ...diagnoseFacts(facts, schema),
    ...mayRead ? await diagnoseReadable(sql, schema) : [],
    ...diagnoseSession(facts, await readPooling(sql), { before, after }),
  ];
}

async function diagnoseReadable(sql: Sql, schema: string): Promise<Diagnosis[]> {
  try {
    return diagnoseStatus(await storeStatus(sql), schema);
  } catch (error) {
    if (!(error instanceof NotInstalledError)) throw error;
    // A right that storeStatus needs is missing, which is told already.
    return [];
  }
}
