import type { TransactionSql } from "postgres";
import { INSUFFICIENT_PRIVILEGE, stateOfError, textOfError } from "./_sql_errors.ts";

/** SQL that changes the database. */
export interface Change {
  readonly sql: string;
  /** What a role must be allowed to do, to run the SQL. */
  readonly right: string;
}

/** Runs a change. The error says which right the role lacks, if it lacks one. */
export async function applyChange(
  tx: TransactionSql,
  role: string,
  { sql, right }: Change,
): Promise<void> {
  try {
    await tx.savepoint((sp) => sp.unsafe(sql));
  } catch (error) {
    if (stateOfError(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new Error(
      `Cannot install Message DB: the role "${role}" may not ${right} (${textOfError(error)})`,
      { cause: error },
    );
  }
}
