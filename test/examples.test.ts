import {
  append,
  importMessages,
  readAggregate,
  readStream,
  streamVersion,
  waitFor,
  write,
  writeBatch,
} from "@messagedb/client";
import { fetchSql, FetchSqlError } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import type { Parked } from "../src/consume/parked.ts";
import { pathOf } from "./_path_of.ts";
import { serve } from "./_serve.ts";
import { createDatabase } from "./_server.ts";
import { startWorker } from "./_worker.ts";
import { PATIENCE, until } from "./_until.ts";
import { useDatabase } from "./database.ts";

const db = useDatabase();
const tsx = pathOf("node_modules/.bin/tsx");
const bun = pathOf("test/node_modules/.bin/bun");
const deno = pathOf("test/node_modules/.bin/deno");

/** Runs a program in `examples`, and answers what it printed. */
async function run(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, {
    cwd: pathOf("examples"),
    env: { ...process.env, DATABASE_URL: db.url },
  });
  return stdout;
}

describe.each([
  ["Node", tsx],
  ["Deno", deno, "run", "--quiet", "--allow-all"],
  ["Bun", bun],
])("earthquakes.ts on %s", (_, command, ...args) => {
  test("writes a week of earthquakes once, and reads what it wrote", async () => {
    const output = await run(command, ...args, "earthquakes.ts");
    expect(output).toMatch(/Started .* PostgreSQL with Message DB 1\.3\.0/);
    expect(output).toContain("1,707 events to 12 streams");
    expect(output).toContain("617 + 1,090 events by a consumer group of two");
    expect(output).toMatch(
      /6\.4 {2}22km NNE of Hualian, Taiwan .* earthquake-us/,
    );
    expect(output).toMatch(/Southern California +386 /);
    expect(output).toContain(
      "the same 1,707 events, and the store still has 1,707",
    );
    expect(output, "what is piped is plain").not.toContain("\x1b");
  });
});

test("rebuild.ts loses and doubles nothing while messages and readers keep coming", async () => {
  const database = await createDatabase(inject("databaseOrigin"));
  onTestFinished(() => database.drop());
  const { stdout } = await promisify(execFile)(tsx, ["rebuild.ts", "6000"], {
    cwd: pathOf("examples"),
    env: { ...process.env, DATABASE_URL: database.url },
  });
  expect(stdout).toContain("Switched: readers see the new model");
  expect(stdout).toMatch(/\n(\d+) by the new model, \1 by the messages, \d+ reads meanwhile\n/);
});

test("node.ts withdraws no more than there is", async () => {
  expect(await run(tsx, "node.ts")).toBe("3 of 8 could withdraw 10 of 30\n");
});

test("deno.ts counts what the store holds", async () => {
  await writeBatch(db.sql, "parcel-1", [{ type: "Sent" }, {
    type: "Delivered",
  }]);
  await writeBatch(db.sql, "parcel-2", [{ type: "Sent" }]);
  const output = await run(
    deno,
    "run",
    "--quiet",
    "--allow-env",
    "--allow-net",
    "deno.ts",
  );
  expect(output).toContain("parcel: 2 streams, 3 messages\n");
});

test("bun.ts goes on where it was", async () => {
  const messages = [{ type: "Ordered" }, { type: "Paid" }];
  await writeBatch(db.sql, "order-1", messages);
  expect(await run(bun, "bun.ts", "order")).toMatch(/^2 messages of order/);
  expect(await run(bun, "bun.ts", "order")).toMatch(/^0 messages of order/);
  await writeBatch(db.sql, "order-2", messages.slice(0, 1));
  expect(await run(bun, "bun.ts", "order")).toMatch(/^1 messages of order/);
});

test("worker.ts signs the guest book once for one idempotency key", async () => {
  const worker = await startWorker(pathOf("examples/worker.ts"), db.url);
  try {
    const sign = async (body: string, id: string) => {
      const headers = { "idempotency-key": id };
      const response = await worker.dispatchFetch("http://worker/", {
        method: "POST",
        body,
        headers,
      });
      return await response.json();
    };
    expect(await sign("Ada", "5d3f8c0e-3c1b-4c55-9a6e-0a8b7f1f2d11")).toEqual({
      position: 0,
    });
    expect(await sign("Grace", "0b1d6f3e-8a4c-4f6b-b1a7-5c2e9d8f7a61")).toEqual(
      { position: 1 },
    );
    expect(await sign("Ada", "5d3f8c0e-3c1b-4c55-9a6e-0a8b7f1f2d11")).toEqual({
      position: 0,
    });
    const response = await worker.dispatchFetch("http://worker/");
    expect(await response.json()).toEqual(["Grace", "Ada"]);
  } finally {
    await worker.dispose();
  }
});

test.each([
  // Not by the command `tsx`: it kills a program that has not heard SIGTERM within 30 ms.
  ["Node", process.execPath, ["--import", "tsx", "consumer.ts"]],
  ["Deno", deno, ["run", "--quiet", "--allow-env", "--allow-net", "--allow-sys", "consumer.ts"]],
  ["Bun", bun, ["consumer.ts"]],
])("consumer.ts keeps the balances in two processes on %s", async (_, command, args) => {
  const database = await createDatabase(inject("databaseOrigin"));
  const sql = postgres(database.url);
  const env = { ...process.env, DATABASE_URL: database.url };
  const start = () => spawn(command, args, { cwd: pathOf("examples"), env, stdio: "inherit" });
  const processes = [start()];
  onTestFinished(async () => {
    const running = processes.filter((it) => (it.exitCode ?? it.signalCode) === null);
    const exits = running.map((it) => once(it, "exit"));
    for (const it of running) it.kill("SIGTERM");
    await Promise.all(exits);
    await sql.end();
    await database.drop();
  });

  const consumer = { category: "account", consumerId: "balances", consumerGroup: { size: 4 } };
  const inAll = async () => {
    const { globalPosition } = await append(sql, "account-0", { type: "Seen" });
    await waitFor(sql, consumer, globalPosition, { timeout: PATIENCE });
    const [row] = await sql`select sum(amount)::int as sum, count(*)::int as count from balances`;
    return row;
  };
  await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      writeBatch(sql, `account-${at}`, [
        { type: "Deposited", data: { amount: 10 } },
        { type: "Withdrawn", data: { amount: 3 } },
      ])),
  );
  expect(await inAll()).toEqual({ sum: 140, count: 20 });
  // Two that create the table at the same time would be in each other's way.
  processes.push(start());
  await until(async () => await streamVersion(sql, "account:group-balances+waiting") === 0);

  const exits = processes.map((it) => once(it, "exit"));
  for (const it of processes) it.kill("SIGTERM");
  expect(await Promise.all(exits)).toEqual([[0, null], [0, null]]);
  processes.push(start());
  await write(sql, "account-7", { type: "Deposited", data: { amount: 1 } });
  expect(await inAll()).toEqual({ sum: 141, count: 20 });
});

test("webhook_worker.ts tells a webhook of each payment, and parks what it does not take", async () => {
  await writeBatch(db.sql, "payment-1", [{ type: "Received" }, { type: "Refunded" }]);
  await write(db.sql, "payment-2", { type: "Received" });
  const events = await serve(gateway(db.sql, {
    authorize: (request, { writes, category }) =>
      request.headers.get("authorization") === "Bearer a-token" &&
      (!writes || /^payment:(position|group|parked)$/.test(category!)),
  }));
  const told: string[] = [];
  const webhook = await serve(async (request) => {
    const { streamName, type } = await request.json();
    if (type === "Refunded") return new Response("No", { status: 500 });
    told.push(streamName);
    return new Response("Thanks");
  });
  const worker = await startWorker(pathOf("examples/webhook_worker.ts"), undefined, {
    EVENTS_URL: `${events}/sql`,
    EVENTS_TOKEN: "a-token",
    WEBHOOK_URL: webhook,
  });
  onTestFinished(() => worker.dispose());
  const scheduled = async () => {
    const { scheduled } = await worker.getWorker() as unknown as Scheduled;
    return (await scheduled()).outcome;
  };

  expect(await scheduled()).toBe("ok");
  expect(told.sort()).toEqual(["payment-1", "payment-2"]);
  const parked = await readStream<Parked>(db.sql, "payment:parked-webhook");
  expect(parked.map(({ data }) => [data.message.type, data.attempts])).toEqual([["Refunded", 3]]);
  expect(await scheduled()).toBe("ok");
  expect(told.length).toBe(2);
});

/** What miniflare's types leave out, where the DOM's are. */
interface Scheduled {
  scheduled(): Promise<{ readonly outcome: string }>;
}

/** A gateway that was started, and how to stop it. */
interface Started {
  readonly address: string;
  /** Stops it as its runtime would; resolves to what it ended with. */
  stop(): Promise<unknown>;
}

const headers = { authorization: "Bearer a-token" };
const TOKENS = JSON.stringify({ "a-token": ["order", "payment"] });

/** Starts a server in `examples`. */
async function startProgram(
  command: string,
  ...args: string[]
): Promise<Started> {
  const child = spawn(command, args, {
    cwd: pathOf("examples"),
    env: {
      ...process.env,
      DATABASE_URL: urlNamed(args.at(-1)!),
      PORT: "0",
      TOKENS,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(child, "exit");
  const stop = () => {
    child.kill("SIGTERM");
    return exit;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const [, address] = /^Listening on (http:\S+)$/.exec(line) ?? [];
    if (address) return { address, stop };
  }
  throw new Error(`${args.at(-1)} ended before it listened`);
}

async function startInWorkerd(file: string): Promise<Started> {
  const worker = await startWorker(pathOf(`examples/${file}`), urlNamed(file), {
    TOKENS,
  });
  const { origin } = await worker.ready;
  let disposed: Promise<void> | undefined;
  return { address: origin, stop: () => disposed ??= worker.dispose() };
}

/** The database's address for a program whose connections are to be counted. */
function urlNamed(program: string): string {
  return `${db.url}?application_name=${program}`;
}

async function countConnections(program: string): Promise<number> {
  const [row] = await db.sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity where application_name = ${program}`;
  return row!.count;
}

/** Follows a stream until it is left, or the test is over. */
async function follow(
  address: string,
): Promise<
  { readonly next: () => Promise<string>; readonly leave: () => void }
> {
  const controller = new AbortController();
  const leave = () => controller.abort();
  onTestFinished(leave);
  const response = await fetch(address, {
    headers: { ...headers, accept: "text/event-stream" },
    signal: controller.signal,
  });
  expect(response.status).toBe(200);
  const reader = response.body!.pipeThrough(new TextDecoderStream())
    .getReader();
  return { next: async () => (await reader.read()).value ?? "", leave };
}

describe.each([
  {
    file: "gateway_node.ts",
    path: "/events",
    start: () => startProgram(process.execPath, "--import", "tsx", "gateway_node.ts"),
    ended: [0, null],
  },
  {
    file: "gateway_deno.ts",
    path: "",
    start: () =>
      startProgram(
        deno,
        "run",
        "--quiet",
        "--allow-env",
        "--allow-net",
        "gateway_deno.ts",
      ),
    ended: [0, null],
  },
  {
    file: "gateway_worker.ts",
    path: "",
    start: () => startInWorkerd("gateway_worker.ts"),
    ended: undefined,
  },
])("$file", ({ file, path, start, ended }) => {
  let server: Started;
  let address: string;
  const stream = `order-${file}`;

  beforeAll(async () => {
    server = await start();
    address = server.address + path;
  });
  afterAll(() => server?.stop());

  test("writes and reads for who has a token", async () => {
    const sql = fetchSql(`${address}/sql`, { headers });
    expect(await write(sql, stream, { type: "Ordered", data: { item: "tea" } }))
      .toBe(0);
    expect(await readStream(sql, stream)).toEqual(
      await readStream(db.sql, stream),
    );
  });

  test("refuses who has no token, and who writes to what the token is not for", async () => {
    const refused = expect.objectContaining({ status: 403 });
    const sql = fetchSql(`${address}/sql`, { headers });
    for (
      const wrong of [
        undefined,
        "Bearer another",
        "a-token-",
        "Bearer toString",
      ]
    ) {
      const others = fetchSql(
        `${address}/sql`,
        wrong ? { headers: { authorization: wrong } } : {},
      );
      await expect(readStream(others, stream)).rejects.toThrow(FetchSqlError);
      await expect(write(others, stream, { type: "Ordered" })).rejects.toEqual(
        refused,
      );
    }
    await expect(write(sql, "account-1", { type: "Opened" })).rejects.toEqual(
      refused,
    );
    expect(await readStream(sql, "account-1")).toEqual([]);
  });

  test("lets nobody say when a message was written", async () => {
    const sql = fetchSql(`${address}/sql`, { headers });
    const imported = {
      streamName: stream,
      id: crypto.randomUUID(),
      type: "Paid",
      time: new Date(0),
    };
    await expect(importMessages(sql, [imported])).rejects.toMatchObject({ status: 403 });
  });

  test("is followed live", async () => {
    const { next } = await follow(`${address}/streams/${stream}/messages`);
    await writeBatch(db.sql, stream, [{ type: "Paid" }]);
    let events = "";
    while (!events.includes('"Paid"')) events += await next();
    expect(events).toMatch(/^id: 1\ndata: \{.*"type":"Paid"/m);
  });

  test("ends, though somebody follows, and leaves no connection", async () => {
    const { next } = await follow(`${address}/streams/${stream}/messages`);
    while (!(await next()).includes("data:"));
    expect(await countConnections(file)).toBeGreaterThan(0);
    expect(await server.stop()).toEqual(ended);
    await until(async () => await countConnections(file) === 0);
    await expect(fetch(address)).rejects.toThrow();
  });
});

test("gateway_worker.ts keeps no connection when it has answered, or who followed has gone", async () => {
  const worker = await startInWorkerd("gateway_worker.ts");
  try {
    const count = () => countConnections("gateway_worker.ts");
    const sql = fetchSql(`${worker.address}/sql`, { headers });
    await Promise.all(
      [1, 2, 3].map((at) => write(sql, `payment-${at}`, { type: "Paid" })),
    );
    await until(async () => await count() === 0);

    const stream = `${worker.address}/streams/payment-1/messages`;
    const followers = await Promise.all([1, 2, 3].map(() => follow(stream)));
    for (const { next } of followers) while (!(await next()).includes("data:"));
    expect(await count()).toBe(3);
    for (const { leave } of followers) leave();
    // The runtime sees that a client has gone when it next writes to it: a sign of life, if nothing else.
    await until(async () => await count() === 0);
  } finally {
    await worker.stop();
  }
});

test("gateway_node.ts serves a guest book that everyone may sign, one line at a time", async () => {
  const server = await startProgram(
    process.execPath,
    "--import",
    "tsx",
    "gateway_node.ts",
  );
  try {
    expect(await (await fetch(server.address)).text()).toContain(
      "<h1>Guest book</h1>",
    );
    const sql = fetchSql(`${server.address}/events/sql`);
    const signed = {
      type: "Signed",
      data: { name: "Ada", text: "I was here" },
    };
    expect(await write(sql, "guestBook-1", signed)).toBeGreaterThanOrEqual(0);
    expect((await readStream(sql, "guestBook-1")).at(-1)?.data).toEqual(
      signed.data,
    );
    const refused = expect.objectContaining({ status: 403 });
    await expect(writeBatch(sql, "guestBook-1", [signed, signed])).rejects
      .toEqual(refused);
    await expect(write(sql, "guestBooks-1", signed)).rejects.toEqual(refused);
    const { globalPosition } = await append(db.sql, "payment-1", { type: "Paid", data: "secret" });
    const pointing = { causationMessageGlobalPosition: globalPosition };
    const long = { name: "Ada", text: "x".repeat(201) };
    for (
      const [streamName, change] of [
        ["guestBook-1", { type: "Paid" }],
        ["guestBook-1", { data: long }],
        ["guestBook-1", { data: { ...signed.data, more: 1 } }],
        ["guestBook-1", { data: "I was here" }],
        ["guestBook-1", { metadata: pointing }],
        ["guestBook-2", {}],
      ] as const
    ) await expect(write(sql, streamName, { ...signed, ...change })).rejects.toEqual(refused);
    // Nor does a message that is there already, and points at another, let anybody read that one.
    await write(db.sql, "guestBook-1", { ...signed, metadata: pointing });
    await expect(readAggregate(sql, "guestBook")).rejects.toEqual(refused);
    await expect(readAggregate(sql, "guestBook", { partition: "1" })).rejects.toEqual(refused);
  } finally {
    await server.stop();
  }
});
