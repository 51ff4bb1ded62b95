/**
 * Keeps a table of balances, exactly, from the messages of accounts. Start it several times: the
 * processes share the accounts, and take over from one that is killed. Control-C ends it.
 *
 *     DATABASE_URL=postgres://… npx tsx consumer.ts
 */
import { consume, type Message } from "@messagedb/client";
import process from "node:process";
import postgres from "postgres";

const url = process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store";
const sql = postgres(url, { fetch_types: false, onnotice: () => {} });
await sql`create table if not exists public.balances (account text primary key, amount int not null)`;

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

async function change(sql: postgres.TransactionSql, account: string, amount: number) {
  await sql`
    insert into public.balances values (${account}, ${amount})
    on conflict (account) do update set amount = balances.amount + excluded.amount`;
}

await consume(sql, {
  category: "account",
  consumerId: "balances",
  consumerGroup: { size: 4 },
  // The balance and how far this consumer has come are one transaction.
  transactional: true,
  handlers: {
    Deposited: ({ streamName, data }: Message<{ amount: number }>, { sql }) =>
      change(sql, streamName, data.amount),
    Withdrawn: ({ streamName, data }: Message<{ amount: number }>, { sql }) =>
      change(sql, streamName, -data.amount),
  },
  onRetry: (error) => console.error(`The database does not answer: ${error}`),
}, { signal: stop.signal });

await sql.end();
