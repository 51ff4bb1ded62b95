/**
 * `npm run bench:otel`: what `traced` costs for single writes and for pages of 1,000 messages: with no SDK, and with
 * the SDK that samples one trace of a hundred. Each way has a process of its own, because the SDK's context manager
 * costs the whole process something.
 *
 * It takes the database of `DATABASE_URL`, as a superuser, and leaves messages in it, in a category whose name begins
 * with `bench`; or it starts the embedded server. `--rounds` says how often each way is measured, and for how many
 * milliseconds, about, `--duration`.
 */
import { writeBatch } from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { compare, type Extent, table, type Task, warmUp } from "./_compare.ts";
import type { OtelJob, OtelSetting } from "./_otel_process.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "31" },
    duration: { type: "string", default: "300" },
  },
});
const extent: Extent = {
  rounds: Number(values.rounds),
  duration: Number(values.duration),
  count: 10_000,
};
/** Calls that a process is asked for at once. */
const CALLS = { write: 50, page: 10 };
const WAYS = ["none", "no SDK", "SDK"] as const;

const given = process.env["DATABASE_URL"];
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const embedded = given ? undefined : await startEmbedded({ dataDir });
const url = given ?? embedded!.url;
const sql = postgres(url, { max: 1, onnotice: () => {} });
const category = `bench${crypto.randomUUID().slice(0, 8)}`;
const processes: ChildProcess[] = [];

function taskOf(work: OtelJob["work"], title: string): Task {
  const ways = processes.map((program) => async () => {
    program.send({ work, calls: CALLS[work] } satisfies OtelJob);
    await once(program, "message");
  });
  return { title, concurrency: 1, ways };
}

try {
  await install(sql);
  const message = { type: "Deposited", data: { amount: 11, currency: "EUR" } };
  await writeBatch(sql, `${category}-page`, Array.from({ length: 1000 }, () => message));
  for (const way of WAYS) {
    const setting: OtelSetting = { url, category, way };
    const program = new URL("./_otel_process.ts", import.meta.url);
    processes.push(fork(program, [JSON.stringify(setting)]));
  }
  const tasks = [taskOf("write", "write"), taskOf("page", "readStream, 1000 messages")];
  await warmUp(tasks, extent);
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}\n`);
  const rows: string[][] = [];
  for (const task of tasks) {
    const { ratios, rates } = await compare(task, extent);
    const calls = task === tasks[0] ? CALLS.write : CALLS.page;
    for (const [at, way] of WAYS.entries()) {
      const { median, low, high } = ratios[at]!;
      rows.push([
        task.title,
        way === "SDK" ? "SDK, 1 of 100 sampled" : way,
        (rates[at]!.median * calls).toFixed(0),
        `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`,
      ]);
    }
  }
  console.log(table([["operation", "traced with", "a second", "to none"], ...rows]));
} finally {
  for (const program of processes) program.kill();
  await sql.end();
  await embedded?.stop();
  await rm(dataDir, { recursive: true, force: true });
}
