import { ownOf } from "../handle/_statement.ts";
import { NotInstalledError } from "../errors.ts";
import type { Sql } from "../types.ts";
import { diagnoseServer, diagnoseSession } from "./_diagnose_session.ts";
import { diagnoseFacts, diagnoseStatus } from "./_diagnose_store.ts";
import { readFacts } from "./_read_facts.ts";
import { readPooling } from "./_read_pooling.ts";
import type { Diagnosis } from "./diagnosis.ts";
import type { StoreStatus } from "./status.ts";

/** Diagnoses as `diagnose` does. The status of the store is given: who shows it has it already. */
export async function examine(
  sql: Sql,
  readStatus: () => Promise<StoreStatus>,
): Promise<Diagnosis[]> {
  const before = Date.now();
  const facts = await readFacts(sql);
  const after = Date.now();
  const { store } = facts;
  const schema = ownOf(sql)?.schema ?? "message_store";
  const mayRead = store !== null && store.missing.length === 0 && store.mayUse && store.maySelect;
  return [
    ...diagnoseServer(facts),
    ...diagnoseFacts(facts, schema),
    ...mayRead ? await diagnoseReadable(readStatus, schema) : [],
    ...diagnoseSession(facts, await readPooling(sql), { before, after }),
  ];
}

async function diagnoseReadable(
  readStatus: () => Promise<StoreStatus>,
  schema: string,
): Promise<Diagnosis[]> {
  try {
    return diagnoseStatus(await readStatus(), schema);
  } catch (error) {
    if (!(error instanceof NotInstalledError)) throw error;
    // A right that storeStatus needs is missing, which is told already.
    return [];
  }
}
