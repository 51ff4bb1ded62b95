/**
 * A bank, in a few minutes: accounts, transfers between them, and what becomes of those that fail.
 *
 *     npx tsx examples/bank/main.ts
 *
 * It tells a story and prints what happens. The files beside it answer a question each:
 *
 * - messages.ts: what happens in this bank?
 * - account.ts: what is an account, and what can be asked of it?
 * - transfers.ts: how does money get from one account to another?
 * - balances.ts: how much is in which account?
 * - service.ts: how does the bank run for good?
 * - page.ts: how does everybody see the balances?
 * - database.ts: where does it keep its messages, on a machine that has no database?
 *
 * account.test.ts and transfers.test.ts test what is decided, without a database.
 *
 * With a DATABASE_URL it is that database's Message DB, else a PostgreSQL is started.
 */
import {
  category,
  correlate,
  defineMessages,
  drain,
  id,
  type Parked,
  readLastMessage,
  replayParked,
  streamName,
  write,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import process from "node:process";
import postgres from "postgres";
import * as z from "zod";
import { account, deposit, open } from "./account.ts";
import { balances, createBalances, readBalances } from "./balances.ts";
import { answers, conversation, requests, requestTransfer, transfer } from "./transfers.ts";

const server = process.env["DATABASE_URL"] ? undefined : await startEmbedded();
const sql = postgres(process.env["DATABASE_URL"] ?? server!.url, { onnotice: () => {} });
await createBalances(sql);

console.log("\nAda and Grace open accounts");

const [ada, grace] = [crypto.randomUUID(), crypto.randomUUID()];
await account.decide(sql, ada, (state) => open(state, "Ada"));
await account.decide(sql, grace, (state) => open(state, "Grace"));
// The answer may get lost, and the command come again: it has an id, and is decided once.
const command = { commandId: crypto.randomUUID() };
for (let time = 0; time < 2; time++) {
  await account.decide(sql, ada, (state) => deposit(state, 100_00n), command);
}
await account.decide(sql, grace, (state) => deposit(state, 20_00n));
await printBalances();

console.log("\nAda sends Grace 30.00");

const paid = crypto.randomUUID();
await requestTransfer(sql, paid, { from: ada, to: grace, amount: 30_00n });
await settle();
await print(paid);

console.log("\nGrace sends Ada 500.00, which she does not have");

const refused = crypto.randomUUID();
await requestTransfer(sql, refused, { from: grace, to: ada, amount: 500_00n });
await settle();
await print(refused);

console.log("\nAda sends 10.00 to an account that nobody has opened");

const refunded = crypto.randomUUID();
await requestTransfer(sql, refunded, { from: ada, to: crypto.randomUUID(), amount: 10_00n });
await settle();
await print(refunded);

console.log("\nA branch asks for a transfer as one did last year: in euros");

const old = crypto.randomUUID();
const request = { type: "Requested", data: { from: grace, to: ada, euros: 12.5 } };
const stream = streamName("transfer", old);
await write(sql, stream, correlate(request, stream));

// The saga as it was before anybody thought of that: what it cannot read is put aside, and what comes
// behind does not wait.
const before = defineMessages({
  Requested: z.object({ from: z.string(), to: z.string(), amount: z.coerce.bigint() }),
});
await drain(sql, { ...requests, messages: before });
const parked = await readLastMessage<Parked>(sql, "transfer:parked-transfers");
console.log(`  parked: ${parked?.data.error?.message}`);

// The saga as it is now: messages.ts says how last year's become today's.
const { replayed } = await replayParked(sql, requests);
await settle();
console.log(`  replayed: ${replayed}`);
await print(old);

await sql.end();
await server?.stop();

/** Runs the consumers until nothing more follows. Where they go on, as in service.ts, nobody has to. */
async function settle(): Promise<void> {
  let handled: number;
  do {
    const drained = [await drain(sql, requests), await drain(sql, answers)];
    handled = drained.reduce((sum, it) => sum + it.handled, 0);
  } while (handled > 0);
}

/** Prints what was said in a transfer, what came of it, and the balances after that. */
async function print(transferId: string): Promise<void> {
  for (const { type, streamName, data } of await conversation(sql, transferId)) {
    const amount = "amount" in data ? euros(data.amount) : "";
    console.log(
      `  ${nameOf(streamName).padEnd(9)}${type.padEnd(18)}${amount.padStart(7)}`.trimEnd(),
    );
  }
  const { state } = await transfer.fetch(sql, transferId);
  console.log(`  ${[state?.status, state?.reason].filter(Boolean).join(": ")}`);
  await printBalances();
}

async function printBalances(): Promise<void> {
  await drain(sql, balances);
  const own = (await readBalances(sql)).filter(({ account }) => nameOf(account) !== "nobody");
  const words = own.map(({ owner, cents }) => `${owner} has ${euros(cents)}`);
  console.log(`  ${words.join(", ")}`);
}

function nameOf(streamName: string): string {
  if (category(streamName) === "transfer") return "transfer";
  return { [ada]: "Ada", [grace]: "Grace" }[id(streamName)!] ?? "nobody";
}

function euros(cents: bigint): string {
  return (Number(cents) / 100).toFixed(2);
}
