import { jsonTextOf } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/** What is between a program and PostgreSQL; null if the handle does not show it. */
export type Pooling = "none" | "proxy" | "transaction" | null;

/** On which process of the server a statement ran, and which one its connection was told when it began. */
interface Processes {
  readonly ran: number;
  readonly told: number | null;
}

/**
 * Finds out whether a pooler is between.
 *
 * - PostgreSQL tells each new connection its process (BackendKeyData, which postgres.js keeps). PgBouncer answers before it has
 *   chosen a connection of the server, and tells a random number.
 * - In transaction mode, "a server connection is assigned to a client only during a transaction"
 *   (https://www.pgbouncer.org/features.html). So one connection meets two processes, or two connections meet in one.
 */
export async function readPooling(sql: Sql): Promise<Pooling> {
  const found = [await readProcesses(sql)];
  const [{ ran, told } = { told: null }] = found;
  if (told === null) return null;
  if (told === ran) return "none";
  // At once, so that postgres.js opens a second connection. Then it takes turns.
  found.push(...await Promise.all([readProcesses(sql), readProcesses(sql)]));
  for (let turn = 0; turn < 3; turn++) found.push(await readProcesses(sql));
  const isShared = found.some((one) =>
    found.some((other) => (one.told === other.told) !== (one.ran === other.ran))
  );
  return isShared ? "transaction" : "proxy";
}

async function readProcesses(sql: Sql): Promise<Processes> {
  const answer = await sql`select pg_catalog.pg_backend_pid()::pg_catalog.text as json`;
  const { state } = answer as { readonly state?: { readonly pid?: number | null } };
  return { ran: Number(jsonTextOf(answer)), told: state?.pid ?? null };
}
