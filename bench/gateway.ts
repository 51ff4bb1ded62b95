/**
 * `npm run bench:gateway`: what an operation costs over the gateway, against the same over TCP.
 *
 * It takes the database of `DATABASE_URL`, and leaves some thousands of messages in it, in categories
 * whose names begin with `bench`; or it starts the embedded server. `--rounds`, `--duration` (ms) and
 * `--count` (of calls) say how much is measured.
 */
import { readStream, type Sql, write, writeBatch } from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { fetchSql } from "@messagedb/client/fetch";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { compare, type Extent, number, table, type Task, warmUp } from "./_compare.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    duration: { type: "string", default: "100" },
    count: { type: "string", default: "1000" },
  },
});
const extent: Extent = {
  rounds: Number(values.rounds),
  duration: Number(values.duration),
  count: Number(values.count),
};

const given = process.env["DATABASE_URL"];
// With a folder of its own the embedded server waits for the disk at each commit, as yours does.
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const embedded = given ? undefined : await startEmbedded({ dataDir });
const url = given ?? embedded!.url;
const direct = postgres(url, { onnotice: () => {} });
// A category a worker: writes to one category wait for each other, in whichever way they come.
const run = crypto.randomUUID().slice(0, 8);
const categories = Array.from({ length: 16 }, (_, worker) => `bench${run}x${worker}`);
const { server, address } = await startGateway(url);
const overGateway = fetchSql(`${address}/events/sql`, {
  headers: { authorization: "Bearer bench" },
});

try {
  const [database] = await direct`
    select current_setting('server_version') as version, current_setting('fsync') as fsync`;
  console.log(
    `PostgreSQL ${database!["version"]} ${embedded ? "(embedded)" : "at DATABASE_URL"}, ` +
      `fsync ${database!["fsync"]}, Node ${process.versions.node}, ${cpus().length} cores\n`,
  );
  const rows = [["", "at once", "direct, per s", "gateway, per s", "gateway : direct"]];
  const all = await tasks();
  await warmUp(all, extent);
  for (const task of all) {
    const { rates, ratios } = await compare(task, extent);
    const { median, low, high } = ratios[1]!;
    rows.push([
      task.title,
      String(task.concurrency),
      ...rates.map(({ median }) => number(median)),
      `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`,
    ]);
  }
  console.log(table(rows));
  console.log(`
Medians of ${extent.rounds} rounds; of the ratios, the middle half, too. Direct is postgres.js in this process.
The gateway is examples/gateway_node.ts with postgres.js, a process of its own, and this one asks it
by fetchSql(). Each has ten connections at most.

- This process, the gateway and PostgreSQL share one machine's cores. What costs most of the gateway's
  time is this process's own fetch(): that of other runtimes, and of newer ones, is faster.
- There is no network. Over one, its round trips take most of the time, and the two differ by less.
- Over fetch, write() looks for the message before it writes it, so as to be sent again safely; the
  row with an id compares the same statement.
- Where fsync is off, a commit costs next to nothing, and what the gateway costs shows more.`);
} finally {
  server.kill();
  if (server.exitCode === null) await once(server, "exit");
  await direct.end();
  await embedded?.stop();
  await rm(dataDir, { recursive: true });
}

async function tasks(): Promise<Task[]> {
  const message = { type: "Deposited", data: { amount: 11, currency: "EUR", by: "Ada Lovelace" } };
  const hundred = Array.from({ length: 100 }, () => message);
  const one = `benchRead${run}-1`;
  const thousand = `benchRead${run}-1000`;
  await write(direct, one, message);
  for (let at = 0; at < 10; at++) await writeBatch(direct, thousand, hundred);

  const stream = (worker: number) => `${categories[worker]}-1`;
  const operations: [string, (sql: Sql, worker: number) => Promise<unknown>][] = [
    ["write", (sql, worker) => write(sql, stream(worker), message)],
    [
      "write with an id",
      (sql, worker) => write(sql, stream(worker), { ...message, id: crypto.randomUUID() }),
    ],
    ["writeBatch of 100", (sql, worker) => writeBatch(sql, stream(worker), hundred)],
    ["readStream of 1", (sql) => readStream(sql, one)],
    ["readStream of 1000", (sql) => readStream(sql, thousand)],
  ];
  return operations.flatMap(([title, operate]) =>
    [1, 16].map((concurrency) => ({
      title,
      concurrency,
      ways: [direct, overGateway].map((sql: Sql) => (worker: number) => operate(sql, worker)),
    }))
  );
}

async function startGateway(
  databaseUrl: string,
): Promise<{ server: ChildProcess; address: string }> {
  const path = fileURLToPath(new URL("../examples/gateway_node.ts", import.meta.url));
  const server = spawn(process.execPath, [...process.execArgv, path], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      PORT: "0",
      TOKENS: JSON.stringify({ bench: categories }),
    },
  });
  for await (const line of createInterface({ input: server.stdout! })) {
    const [, address] = /^Listening on (\S+)/.exec(line) ?? [];
    if (address) return { server, address };
  }
  throw new Error("The gateway ended before it listened");
}
