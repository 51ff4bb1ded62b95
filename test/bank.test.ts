import { drain, projectCategory, readCategory, streamVersion } from "@messagedb/client";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { promisify } from "node:util";
import postgres from "postgres";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { account, deposit, open, withdraw } from "../examples/bank/account.ts";
import { balances, createBalances, readBalances } from "../examples/bank/balances.ts";
import { accountMessages } from "../examples/bank/messages.ts";
import {
  answers,
  conversation,
  type Order,
  requests,
  requestTransfer,
  transfer,
} from "../examples/bank/transfers.ts";
import { pathOf } from "./_path_of.ts";
import { createDatabase } from "./_server.ts";
import { until } from "./_until.ts";

const tsx = pathOf("node_modules/.bin/tsx");
const bun = pathOf("test/node_modules/.bin/bun");
const deno = pathOf("test/node_modules/.bin/deno");

const STORY = `
Ada and Grace open accounts
  Ada has 100.00, Grace has 20.00

Ada sends Grace 30.00
  transfer Requested           30.00
  Ada      Withdrawn           30.00
  Grace    Deposited           30.00
  transfer Completed
  completed
  Ada has 70.00, Grace has 50.00

Grace sends Ada 500.00, which she does not have
  transfer Requested          500.00
  Grace    WithdrawalRefused  500.00
  transfer Cancelled
  cancelled: there is not enough in the account
  Ada has 70.00, Grace has 50.00

Ada sends 10.00 to an account that nobody has opened
  transfer Requested           10.00
  Ada      Withdrawn           10.00
  nobody   DepositRefused      10.00
  Ada      Refunded            10.00
  transfer Cancelled
  cancelled: the account is not open
  Ada has 70.00, Grace has 50.00

A branch asks for a transfer as one did last year: in euros
  parked: Cannot read message "Requested" at position 0 of stream "transfer-…": amount: Invalid input: expected bigint, received undefined
  replayed: 1
  transfer Requested           12.50
  Grace    Withdrawn           12.50
  Ada      Deposited           12.50
  transfer Completed
  completed
  Ada has 82.50, Grace has 37.50
`;

async function tell(
  env: NodeJS.ProcessEnv,
  command: string,
  ...args: readonly string[]
): Promise<string> {
  const cwd = pathOf("examples");
  const { stdout } = await promisify(execFile)(command, [...args, "bank/main.ts"], { cwd, env });
  return stdout.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "…");
}

/** A database of the test's own, with the table of balances. */
async function useBank(): Promise<{ readonly sql: postgres.Sql; readonly url: string }> {
  const { url, drop } = await createDatabase(inject("databaseOrigin"));
  const sql = postgres(url, { onnotice: () => {} });
  onTestFinished(async () => {
    await sql.end();
    await drop();
  });
  await createBalances(sql);
  return { sql, url };
}

describe.each([
  ["Node", tsx],
  ["Deno", deno, "run", "--quiet", "--allow-all"],
  ["Bun", bun],
])("main.ts on %s", (_, command, ...args) => {
  test("tells its story in the database that it is given, twice", async () => {
    const { url } = await useBank();
    const env = { ...process.env, DATABASE_URL: url };
    expect(await tell(env, command, ...args)).toBe(STORY);
    expect(await tell(env, command, ...args)).toBe(STORY);
  });

  test("tells its story where there is no database", async () => {
    const { DATABASE_URL: _, ...env } = process.env;
    expect(await tell(env, command, ...args)).toBe(STORY);
  });
});

test("commands answer by the state alone", () => {
  const state = { owner: "Ada", balance: 5n };
  expect(withdraw(state, 5n)).toEqual({ type: "Withdrawn", data: { amount: 5n } });
  expect(withdraw(state, 6n).type).toBe("WithdrawalRefused");
  expect(deposit(state, 5n)).toEqual({ type: "Deposited", data: { amount: 5n } });
  expect(deposit({ owner: null, balance: 0n }, 5n).type).toBe("DepositRefused");
  expect(open(state, "Grace")).toBe(undefined);
});

test("an amount that is no amount is refused", async () => {
  const { sql } = await useBank();
  for (const amount of [0n, -5n]) {
    const order = { from: "a", to: "b", amount };
    await expect(requestTransfer(sql, "1", order)).rejects.toThrow("amount: Too small");
  }
  expect(await streamVersion(sql, "transfer-1")).toBe(-1);
});

test("a transfer that is asked for twice is one", async () => {
  const { sql } = await useBank();
  const order = { from: "a", to: "b", amount: 5n };
  await Promise.all([1, 2, 3, 4].map(() => requestTransfer(sql, "1", order)));
  expect(await streamVersion(sql, "transfer-1")).toBe(0);
});

const OPENING = 100_00n;
const OWNERS = ["a", "b", "c", "d", "e"];

async function openAccounts(sql: postgres.Sql): Promise<void> {
  for (const owner of OWNERS) {
    await account.decide(sql, owner, (state) => open(state, owner));
    await account.decide(sql, owner, (state) => deposit(state, OPENING));
  }
}

/** Orders of which some cannot be paid, some cannot be received, and some go back to who sends them. */
function orders(count: number): Order[] {
  const to = [...OWNERS, "nobody"];
  return Array.from({ length: count }, (_, at) => ({
    from: OWNERS[at * 3 % OWNERS.length]!,
    to: to[at * 7 % to.length]!,
    amount: BigInt(at * 37 % 60 + 1) * 100n,
  }));
}

const ENDINGS = [
  "Requested Withdrawn Deposited Completed",
  "Requested WithdrawalRefused Cancelled",
  "Requested Withdrawn DepositRefused Refunded Cancelled",
];

/** Checks that each transfer went one of the three ways, and that all money is where it was put. */
async function audit(sql: postgres.Sql, count: number): Promise<void> {
  const ways = new Set<string>();
  for (let at = 0; at < count; at++) {
    const said = await conversation(sql, String(at));
    const way = said.map(({ type }) => type).join(" ");
    expect(ENDINGS, `transfer ${at}`).toContain(way);
    ways.add(way);
  }
  expect(ways.size, "there was one of each").toBe(ENDINGS.length);

  const fetched = await Promise.all(OWNERS.map((id) => account.fetch(sql, id)));
  const amounts = fetched.map(({ state }) => state.balance);
  expect(amounts.filter((it) => it < 0n)).toEqual([]);
  expect(amounts.reduce((sum, it) => sum + it)).toBe(OPENING * BigInt(OWNERS.length));

  // A process that was killed has its claim for as long as a lease.
  await until(async () => (await drain(sql, balances)).caughtUp);
  expect(await readBalances(sql)).toEqual(
    OWNERS.map((owner, at) => ({ account: `account-${owner}`, owner, cents: amounts[at] })),
  );
}

test("a saga that forgets how far it was, each time, does each step once", async () => {
  const { sql } = await useBank();
  await openAccounts(sql);
  const wanted = orders(24);
  await Promise.all(wanted.map((order, at) => requestTransfer(sql, String(at), order)));
  const count = async () => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::int as count
      from message_store.messages
      where message_store.category(stream_name) in ('account', 'transfer')`;
    return row!.count;
  };
  let before: number;
  let pass = 0;
  do {
    before = await count();
    // Stopped at another message each time, and begun again at the first.
    const limit = ++pass % 3 === 0 ? 1000 : pass;
    const consumerId = `transfers${pass}`;
    await drain(sql, { ...requests, consumerId }, { limit });
    await drain(sql, { ...answers, consumerId }, { limit });
  } while (await count() > before || pass % 3 !== 0);
  await audit(sql, wanted.length);
});

test("money is neither made nor lost by two processes, one of which is killed", async () => {
  const { sql, url } = await useBank();
  const start = async () => {
    const child = spawn(process.execPath, ["--import", "tsx", "bank/service.ts"], {
      cwd: pathOf("examples"),
      env: { ...process.env, DATABASE_URL: url },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exit = once(child, "exit");
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await exit;
    });
    // It says so when it heeds signals.
    await once(child.stdout, "data");
    return { kill: (signal: NodeJS.Signals) => (child.kill(signal), exit) };
  };
  await openAccounts(sql);
  const wanted = orders(120);
  const asking = Promise.all(wanted.map((order, at) => requestTransfer(sql, String(at), order)));
  const [first, second] = await Promise.all([start(), start()]);

  const countAnswers = async () => {
    const said = await readCategory(sql, "account", { correlation: "transfer" });
    return said.length;
  };
  await until(async () => await countAnswers() > 20);
  expect(await first.kill("SIGKILL")).toEqual([null, "SIGKILL"]);
  expect(await countAnswers(), "it was killed midway").toBeLessThan(wanted.length);
  const third = await start();

  await asking;
  const hasEnded = async (_: Order, at: number) => {
    const { state } = await transfer.fetch(sql, String(at));
    return state !== null && state.status !== "requested";
  };
  await until(async () => !(await Promise.all(wanted.map(hasEnded))).includes(false));
  const ends = [second.kill("SIGTERM"), third.kill("SIGTERM")];
  expect(await Promise.all(ends)).toEqual([[0, null], [0, null]]);
  await audit(sql, wanted.length);
  expect(await streamVersion(sql, "transfer:parked-transfers")).toBe(-1);
  expect(await streamVersion(sql, "account:parked-transfers")).toBe(-1);

  const { state } = await projectCategory(sql, "account", {
    messages: accountMessages,
    init: () => 0n,
    handlers: {
      Deposited: (sum, { data }) => sum + data.amount,
      Refunded: (sum, { data }) => sum + data.amount,
      Withdrawn: (sum, { data }) => sum - data.amount,
    },
  });
  expect(state, "all of it is in the accounts that were opened").toBe(OPENING * 5n);
});

test.each([
  ["Node", tsx, "--test"],
  ["Deno", deno, "test", "--quiet", "--allow-all"],
  ["Bun", bun, "test"],
])("its decisions are tested on %s, without a database", async (_, command, ...args) => {
  const files = ["./bank/account.test.ts", "./bank/transfers.test.ts"];
  const options = { cwd: pathOf("examples") };
  const { stdout, stderr } = await promisify(execFile)(command, [...args, ...files], options);
  expect(stdout + stderr).toMatch(/(pass 6|6 passed|6 pass)\b/);
});
