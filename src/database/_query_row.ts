import type { TransactionSql } from "postgres";

/** Sends a statement that answers one row, or none. Resolves to the values of the row; undefined for none. */
export async function queryRow<Row extends readonly unknown[]>(
  tx: TransactionSql,
  statement: string,
  parameters: string[] = [],
): Promise<Row | undefined> {
  const rows = await tx.unsafe(statement, parameters).values();
  // The last one: after a lost connection, postgres.js may leave a hole before the row.
  return rows.at(-1) as Row | undefined;
}
