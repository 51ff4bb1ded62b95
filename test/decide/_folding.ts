import type postgres from "postgres";
import type { MessageInput, Rows, Sql } from "../../mod.ts";

/** Messages whose data are 0, 1, 2, … */
export function numbered(count: number, from = 0): MessageInput[] {
  return Array.from({ length: count }, (_, at) => ({ type: "Numbered", data: from + at }));
}

/** A handle that counts what goes through it. */
export interface CountingSql extends Sql {
  /** How many statements it has sent. */
  statements: number;
  /** How many messages came back of reads. */
  rows: number;
}

/** Wraps a handle so that statements, and the messages that they answer, are counted. */
export function counting(sql: Sql): CountingSql {
  const counted: CountingSql = Object.assign(
    async (strings: TemplateStringsArray, ...parameters: (string | null)[]): Promise<Rows> => {
      counted.statements++;
      const rows = await sql(strings, ...parameters) as readonly { head?: string }[];
      counted.rows += rows.filter(({ head }) => head !== undefined).length;
      return rows;
    },
    { statements: 0, rows: 0 },
  );
  return counted;
}

/** Takes the lock of a stream's category, until the transaction ends. */
export async function lockCategory(
  sql: postgres.TransactionSql,
  streamName: string,
): Promise<void> {
  await sql`
    select pg_advisory_xact_lock(
      message_store.hash_64(message_store.category(${streamName}::text))
    )`;
}
