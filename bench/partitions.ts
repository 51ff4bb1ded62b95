/**
 * `npm run bench:partitions`: what a handle of `inSchema` or `partitioned` costs, and what partitions gain.
 *
 * It starts the embedded server. `--rounds`, `--duration` (ms) and `--count` (of calls) say how much is
 * measured.
 */
import {
  groupCommit,
  inSchema,
  partitioned,
  readCategory,
  readStream,
  type Sql,
  write,
  writeBatch,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { compare, type Extent, number, table, type Task, warmUp } from "./_compare.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "301" },
    duration: { type: "string", default: "30" },
    count: { type: "string", default: "5000" },
  },
});
const extent: Extent = {
  rounds: Number(values.rounds),
  duration: Number(values.duration),
  count: Number(values.count),
};

const WRITERS = 64;
/** The connections to all partitions of a store together. */
const CONNECTIONS = 32;
const COUNTS = [1, 2, 4];
const message = { type: "Deposited", data: { amount: 11, currency: "EUR", by: "Ada Lovelace" } };
// Writes to one category wait for each other: each writer has its own. The hash spreads them evenly enough.
const streams = Array.from({ length: WRITERS }, (_, worker) => `account${worker}-1`);

// With a folder of its own the embedded server waits for the disk at each commit, as yours does.
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const server = await startEmbedded({ dataDir });
const handles: postgres.Sql[] = [];

try {
  console.log(
    `PostgreSQL (embedded), Node ${process.versions.node}, ${cpus().length} cores, ` +
      `${WRITERS} calls at once\n`,
  );
  await compareHandles();
  await comparePartitions();
} finally {
  await Promise.all(handles.map((sql) => sql.end()));
  await server.stop();
  await rm(dataDir, { recursive: true });
}

function open(database: string, max: number): postgres.Sql {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  const sql = postgres(url.href, { max, onnotice: () => {} });
  handles.push(sql);
  return sql;
}

/** The same connections, and so the same processes of the server, do it in each way. */
async function compareHandles(): Promise<void> {
  const sql = open("handles", 10);
  await install(sql, { createDatabase: true, partition: { number: 0, of: 1 } });
  await install(sql, { schema: "compared" });
  const ways: Sql[] = [sql, inSchema(sql, "compared"), partitioned([sql])];
  for (const handle of ways.slice(0, 2)) {
    await writeBatch(handle, "readStream-1", Array.from({ length: 10 }, () => message));
  }
  const grouped = new Map(ways.map((handle) => [handle, groupCommit(handle)]));
  const operations: [string, (sql: Sql, worker: number) => Promise<unknown>][] = [
    ["write", (sql, worker) => write(sql, streams[worker]!, message)],
    ["groupCommit", (sql, worker) => grouped.get(sql)!(streams[worker]!, message)],
    ["readStream of 10", (sql) => readStream(sql, "readStream-1")],
    ["readCategory of 10", (sql) => readCategory(sql, "readStream")],
  ];
  const tasks = operations.map(([title, operate]): Task => ({
    title,
    concurrency: WRITERS,
    ways: ways.map((handle) => (worker) => operate(handle, worker)),
  }));
  await print(
    ["", "direct, per s", "inSchema : direct", "partitioned of one : direct"],
    tasks,
  );
}

async function comparePartitions(): Promise<void> {
  const stores: Sql[] = [];
  for (const count of COUNTS) {
    const own: postgres.Sql[] = [];
    for (let partition = 0; partition < count; partition++) {
      const sql = open(`store_${partition}_of_${count}`, CONNECTIONS / count);
      await install(sql, { createDatabase: true, partition: { number: partition, of: count } });
      own.push(sql);
    }
    if (count === 1) stores.push(own[0]!);
    stores.push(partitioned(own));
  }
  const grouped = new Map(stores.map((sql) => [sql, groupCommit(sql)]));
  const operations: [string, (sql: Sql, worker: number) => Promise<unknown>][] = [
    ["write", (sql, worker) => write(sql, streams[worker]!, message)],
    ["groupCommit", (sql, worker) => grouped.get(sql)!(streams[worker]!, message)],
  ];
  const tasks = operations.map(([title, operate]): Task => ({
    title,
    concurrency: WRITERS,
    ways: stores.map((sql) => (worker) => operate(sql, worker)),
  }));
  await print(
    ["", "one database, per s", ...COUNTS.map((count) => `of ${count} : one database`)],
    tasks,
  );
  console.log(`
Medians of ${extent.rounds} rounds; of the ratios, the middle half, too. All databases are on one server, which
shares the machine's cores with this process: partitions on servers of their own gain more. The ${CONNECTIONS}
connections are divided among the partitions of a store.`);
}

async function print(head: readonly string[], tasks: readonly Task[]): Promise<void> {
  const rows = [head];
  await warmUp(tasks, extent);
  for (const task of tasks) {
    const { rates, ratios } = await compare(task, extent);
    const shares = ratios.slice(1).map(({ median, low, high }) =>
      `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`
    );
    rows.push([task.title, number(rates[0]!.median), ...shares]);
  }
  console.log(`${table(rows)}\n`);
}
