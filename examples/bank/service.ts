/**
 * How does the bank run for good?
 *
 * Its consumers go on until they are told to stop. Several processes may run it: a step
 * that two of them do is written once.
 *
 *     DATABASE_URL=postgres://… npx tsx examples/bank/service.ts
 *
 * The role may create a table, for the balances. To see it at work, run main.ts beside it.
 */
import { consume } from "@messagedb/client";
import process from "node:process";
import postgres from "postgres";
import { balances, createBalances } from "./balances.ts";
import { answers, requests } from "./transfers.ts";

const url = process.env["DATABASE_URL"] ?? "postgres://message_store@localhost/message_store";
const sql = postgres(url, { onnotice: () => {} });
await createBalances(sql);

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
console.log("The bank is open. Control-C closes it");

await Promise.all([
  consume(sql, requests, { signal: stop.signal }),
  consume(sql, answers, { signal: stop.signal }),
  consume(sql, balances, { signal: stop.signal }),
]);
await sql.end();
