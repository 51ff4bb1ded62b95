import process from "node:process";
import type postgres from "postgres";
import { type Spread, spreadOf } from "./_compare.ts";
import { type Job, messageOf, type Outcome, type Runner } from "./_job.ts";
import type { Peers } from "./_peers.ts";
import type { Peer, Section, Way, Workload } from "./_workloads.ts";

/** Where it is measured, and how much. */
export interface Bench {
  /** A superuser's handle. */
  readonly sql: postgres.Sql;
  readonly peers: Peers;
  readonly rounds: number;
  /** Milliseconds that a measurement of writes, or of streams, is to take, about. */
  readonly duration: number;
  /** Milliseconds that a process may take to warm up; the next workload has less. */
  readonly warmUp: number;
}

/** How the database is reached. */
export interface Route {
  readonly url: string;
  /** Whether a millisecond is added to each round trip. */
  readonly delayed: boolean;
}

/** A workload, over one route, in all its ways. */
export interface Result {
  readonly name: string;
  readonly section: Section;
  readonly label: string;
  readonly delayed: boolean;
  /** The first is what the others are compared with. */
  readonly ways: readonly WayResult[];
}

export interface WayResult {
  readonly title: string;
  readonly peer: Peer;
  readonly rounds: number;
  /** Messages in a round. */
  readonly messages: number;
  /** As a share of the first way's rate in the same round. */
  readonly ratio: Spread;
  /** Messages a second. */
  readonly rate: Spread;
  /** Messages a second, by round; null where it was not measured. */
  readonly rates: readonly (number | null)[];
  /** Of a call, over all rounds, in milliseconds. */
  readonly latency: { readonly p50: number; readonly p99: number };
  /** Of the client for 1,000 messages, in milliseconds. */
  readonly cpu: number | null;
  /** The most that the client had in memory in a round, in bytes. */
  readonly memory: number | null;
}

/** Measures a way no longer than so many times its share, but once at least. */
const PATIENCE = 10;
/** How many connections a client has, at most: the embedded server has 200. */
export const CONNECTIONS = 64;

const run = `bench${crypto.randomUUID().slice(0, 8)}`;
const warm = new WeakMap<Runner, Workload>();
const prepared = new Map<string, Promise<void>>();
let jobs = 0;

interface Entry {
  readonly way: Way;
  readonly runner: Runner;
  readonly outcomes: Outcome[];
  count: number;
  spent: number;
}

/**
 * Measures workloads of one operation, each over its routes, with one process a way for all of them: what
 * V8 has compiled for one is there for the next.
 */
export async function measure(
  bench: Bench,
  workloads: readonly Workload[],
  routesOf: (workload: Workload) => readonly Route[],
): Promise<Result[]> {
  const processes = new Map<string, Runner | undefined>();
  const runnerOf = (way: Way): Runner | undefined => {
    const key = way.module?.join() ?? way.peer;
    if (!processes.has(key)) processes.set(key, bench.peers.start(way));
    return processes.get(key);
  };
  const results: Result[] = [];
  try {
    for (const workload of workloads) {
      if (process.stderr.isTTY) process.stderr.write(`${workload.name}\n`);
      const runners = workload.ways.flatMap((way) => {
        const runner = runnerOf(way);
        return runner ? [{ way, runner }] : [];
      });
      results.push(...await measureWays(bench, workload, routesOf(workload), runners));
    }
    return results;
  } finally {
    await Promise.all([...processes.values()].map((runner) => runner?.close()));
  }
}

async function measureWays(
  bench: Bench,
  workload: Workload,
  routes: readonly Route[],
  runners: readonly Pick<Entry, "way" | "runner">[],
): Promise<Result[]> {
  const load: Runner[] = [];
  try {
    for (const { way } of runners) {
      await prepare(bench, workload, way, routes[0]!.url);
      await prepare(bench, smaller(workload), way, routes[0]!.url);
    }
    if (workload.underWrites) load.push(...startLoad(bench, workload, routes[0]!.url));
    const results: Result[] = [];
    for (const route of routes) results.push(await measureOver(bench, workload, route, runners));
    return results;
  } finally {
    await Promise.all(load.map((runner) => runner.close()));
  }
}

async function measureOver(
  bench: Bench,
  workload: Workload,
  route: Route,
  runners: readonly Pick<Entry, "way" | "runner">[],
): Promise<Result> {
  const entries: Entry[] = [];
  for (const { way, runner } of runners) {
    const count = await calibrate(bench, workload, route, way, runner);
    entries.push({ way, runner, outcomes: [], count, spent: 0 });
  }
  for (let round = 0; round < bench.rounds; round++) {
    for (let turn = 0; turn < entries.length; turn++) {
      const entry = entries[(turn + round) % entries.length]!;
      const isFirst = entry === entries[0];
      if (!isFirst && round > 0 && entry.spent > PATIENCE * bench.duration) continue;
      const job = jobFor(workload, route, entry.way, entry.count);
      const outcome = await entry.runner.run(await placed(bench, job, workload, entry.way));
      await check(bench, workload, entry.way, job, outcome);
      entry.outcomes[round] = outcome;
      entry.spent += outcome.seconds * 1000;
    }
  }
  const base = entries[0]!.outcomes.map(rateOf);
  const { name, section, label } = workload;
  const ways = entries.map(({ way, outcomes }) => summarize(way, outcomes, base));
  return { name, section, label, delayed: route.delayed, ways };
}

function summarize({ title, peer }: Way, sparse: readonly Outcome[], base: number[]): WayResult {
  const ratios = sparse.map((outcome, round) => rateOf(outcome) / base[round]!)
    .filter((it) => it !== undefined);
  const outcomes = sparse.filter((it) => it !== undefined);
  const latencies = outcomes.flatMap(({ latencies }) => latencies).sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.ceil(share * latencies.length) - 1]!;
  const cpu = outcomes.flatMap(({ cpu, messages }) => cpu === undefined ? [] : cpu / messages);
  const memory = outcomes.flatMap(({ memory }) => memory ?? []);
  return {
    title,
    peer,
    rounds: outcomes.length,
    messages: outcomes[0]!.messages,
    ratio: spreadOf(ratios),
    rate: spreadOf(outcomes.map(rateOf)),
    rates: base.map((_, round) => sparse[round] ? rateOf(sparse[round]) : null),
    latency: { p50: at(0.5), p99: at(0.99) },
    cpu: cpu.length ? spreadOf(cpu).median * 1000 : null,
    memory: memory.length ? Math.max(...memory) : null,
  };
}

function rateOf({ messages, seconds }: Outcome): number {
  return messages / seconds;
}

/** Warms a way up; answers how many messages it writes or reads in a measurement. */
async function calibrate(
  bench: Bench,
  workload: Workload,
  route: Route,
  way: Way,
  runner: Runner,
): Promise<number> {
  const { batchSize: unit, inFlight } = workload;
  const less = smaller(workload);
  const count = workload.count ? less.count : Math.max(20 * inFlight, 2 * less.batchSize);
  const job = await placed(bench, jobFor(less, route, way, count), workload, way);
  const outcome = await runner.run(
    // What runs no JavaScript is warm.
    way.module ? { ...job, warmUp: patienceFor(bench, workload, route, runner) } : job,
  );
  warm.set(runner, workload);
  if (workload.count) return workload.count;
  const units = Math.round(rateOf(outcome) * bench.duration / 1000 / unit);
  return Math.max(inFlight, unit, units * unit);
}

/** A process is compiled once; another workload is a little new to it, and another route is not. */
function patienceFor({ warmUp }: Bench, workload: Workload, route: Route, runner: Runner): number {
  const last = warm.get(runner);
  if (!last) return warmUp;
  return last === workload && route.delayed ? warmUp / 30 : warmUp / 8;
}

/** The workload with less to do in a call. */
function smaller(workload: Workload): Workload {
  const { operation, batchSize, count } = workload;
  return {
    ...workload,
    batchSize: operation === "writeBatch" ? Math.min(1000, batchSize) : batchSize,
    count: count && Math.max(100, count / 10),
  };
}

function isWriting({ operation }: Pick<Job, "operation">): boolean {
  return operation === "write" || operation === "writeBatch";
}

function jobFor(workload: Workload, { url }: Route, way: Way, count: number): Job {
  const { operation, inFlight, batchSize, streams, many, size } = workload;
  return {
    url,
    operation,
    // What is written is counted by its name.
    name: isWriting(workload) ? `${run}j${jobs++}x` : fixtureOf(workload, way),
    count,
    batchSize,
    streams,
    inFlight,
    connections: Math.min(inFlight, CONNECTIONS),
    many,
    position: 1,
    message: messageOf(size),
  };
}

/** Where all messages are read from, which is where the way's own begin. */
async function placed(bench: Bench, job: Job, { operation }: Workload, way: Way): Promise<Job> {
  if (operation !== "readAll") return job;
  const { sql } = bench;
  const [row] = isEmmett(way)
    ? await sql`select min(global_position) as position from emt_messages
        where stream_id like ${`${job.name}-%`}`
    : await sql`select min(global_position) as position from message_store.messages
        where message_store.category(stream_name) = ${job.name}`;
  return { ...job, position: Number(row!["position"]) };
}

/** Counts what was done. */
async function check(
  { sql }: Bench,
  workload: Workload,
  way: Way,
  { name, count }: Job,
  { messages }: Outcome,
): Promise<void> {
  let found = messages;
  if (isWriting(workload)) {
    const [row] = isEmmett(way)
      ? await sql`select count(*) from emt_messages where stream_id ^@ ${name}`
      : await sql`select count(*) from message_store.messages
          where message_store.category(stream_name) ^@ ${name}`;
    found = Number(row!["count"]);
  }
  // pgbench writes for a time.
  if (found !== messages || messages < count && way.peer !== "pgbench") {
    throw new Error(
      `${way.title} was to do ${count} messages: it did ${messages}, of which ${found}`,
    );
  }
}

function isEmmett(way: Way): boolean {
  return way.peer === "Emmett";
}

/** What the messages that are read are called. */
function fixtureOf({ operation, batchSize, size, count }: Workload, way: Way): string {
  const store = isEmmett(way) ? "e" : "m";
  return operation === "readStream" || operation === "fetch"
    ? `${run}${store}streams${batchSize}`
    : `${run}${store}${size}bytes${count}`;
}

/** Writes what is read, once; in the store of the way. */
async function prepare(bench: Bench, workload: Workload, way: Way, url: string): Promise<void> {
  const { batchSize, size, streams } = workload;
  if (isWriting(workload)) return;
  const count = workload.count || batchSize * streams;
  const name = fixtureOf(workload, way);
  if (!prepared.has(name)) prepared.set(name, fill());
  await prepared.get(name);

  async function fill(): Promise<void> {
    const runner = bench.peers.start(writerFor(way))!;
    try {
      const each = workload.count ? Math.min(100, count) : batchSize;
      const job = jobFor(
        { ...workload, operation: "writeBatch", batchSize: each },
        {
          url,
          delayed: false,
        },
        way,
        count,
      );
      await runner.run({ ...job, name, inFlight: 1, message: messageOf(size) });
    } finally {
      await runner.close();
    }
    // As autovacuum does before long.
    await bench.sql`vacuum analyze message_store.messages`;
    if (isEmmett(way)) await bench.sql`vacuum analyze emt_messages`;
  }
}

/** Two writers to each of the stores, for as long as they are let. */
function startLoad(bench: Bench, workload: Workload, url: string): Runner[] {
  const stores = new Map(workload.ways.map((way) => [isEmmett(way), writerFor(way)]));
  return [...stores.values()].map((way) => {
    const runner = bench.peers.start(way)!;
    const endless = jobFor(
      { ...workload, operation: "write", inFlight: 2 },
      {
        url,
        delayed: false,
      },
      way,
      Infinity,
    );
    void runner.run({ ...endless, count: Number.MAX_SAFE_INTEGER }).catch(() => {});
    return runner;
  });
}

function writerFor(way: Way): Way {
  return isEmmett(way)
    ? { title: "Emmett", peer: "Emmett", module: ["emmett", "connect"] }
    : { title: "write()", peer: "@messagedb/client", module: ["messagedb", "plain"] };
}
