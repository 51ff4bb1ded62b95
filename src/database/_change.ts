import type { TransactionSql } from "postgres";
import { INSUFFICIENT_PRIVILEGE, stateOfError, textOfError } from "./_sql_errors.ts";

/** SQL that changes the database. */
export interface Change {
  /** What the SQL does, in words: `'create the index "messages_names"'`. */
  readonly does: readonly string[];
  readonly sql: string;
  readonly searchPath: string;
  /** What a role must be allowed to do, to run the SQL. */
  readonly right: string;
}

/** The whole SQL of a change, for a transaction: it ends with a semicolon. */
export function statementOf({ sql, searchPath }: Change): string {
  return `set local search_path = ${searchPath};\n\n${sql.trim().replace(/;?$/, ";")}`;
}

/** Runs a change. The error says which right the role lacks, if it lacks one. */
export async function applyChange(
  tx: TransactionSql,
  role: string,
  change: Change,
): Promise<void> {
  const { right } = change;
  try {
    await tx.savepoint((sp) => sp.unsafe(statementOf(change)));
  } catch (error) {
    if (stateOfError(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new Error(
      `Cannot install Message DB: the role "${role}" may not ${right} (${textOfError(error)})`,
      { cause: error },
    );
  }
}
