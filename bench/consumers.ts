/**
 * `npm run bench:consumers`: what subscribers and consumers cost, and how soon they have a message.
 *
 * It takes the database of `DATABASE_URL`, as a superuser, and leaves some thousands of messages in it,
 * in categories whose names begin with `bench`; or it starts the embedded server. `--rounds` says how
 * often each way is measured, `--messages` how many messages it takes, `--idle` for how many seconds
 * statements are counted, `--wakes` how many writes wake an idle subscriber, `--writes` how many are
 * written in one measurement of the trigger, and `--lease` how long a lease lasts that is taken over, in
 * milliseconds.
 */
import {
  consume,
  drain,
  fromQuery,
  type Message,
  readCategory,
  type Sql,
  subscribe,
  write,
  writeStreams,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { compare, number, type Spread, table } from "./_compare.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    messages: { type: "string", default: "50000" },
    idle: { type: "string", default: "30" },
    wakes: { type: "string", default: "200" },
    writes: { type: "string", default: "1000" },
    lease: { type: "string", default: "6000" },
  },
});
const rounds = Number(values.rounds);
const messages = Number(values.messages);
const idle = Number(values.idle);
const wakes = Number(values.wakes);
const writes = Number(values.writes);
const lease = Number(values.lease);

const given = process.env["DATABASE_URL"];
// With a folder of its own the embedded server waits for the disk at each commit, as yours does.
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const embedded = given ? undefined : await startEmbedded({ dataDir });
const url = given ?? embedded!.url;
const max = 16;
const notifying = postgres(url, { onnotice: () => {}, max });
// The trigger is there for all, or none: where one can be measured beside the other, it does not fire.
const silent = postgres(url, {
  onnotice: () => {},
  max,
  connection: { session_replication_role: "replica" },
});
const run = crypto.randomUUID().slice(0, 8);
const [before] = await silent`
  select
    current_setting('server_version') as version,
    current_setting('fsync') as fsync,
    exists (select from pg_trigger where tgname = 'messages_notify') as notifies`;

try {
  await install(silent, { notify: true });
  console.log(
    `PostgreSQL ${before!["version"]} ${embedded ? "(embedded)" : "at DATABASE_URL"}, ` +
      `fsync ${before!["fsync"]}, Node ${process.versions.node}, ${cpus().length} cores`,
  );
  await showThroughput();
  await showIdleCost();
  await showTakeOver();
  await showLatency();
  await showTriggerCost();
} finally {
  await install(silent, { notify: before!["notifies"] as boolean });
  await Promise.all([silent.end(), notifying.end()]);
  await embedded?.stop();
  await rm(dataDir, { recursive: true });
}

async function showThroughput(): Promise<void> {
  const category = `benchRead${run}`;
  await fill(category);
  await silent`create table if not exists public.bench_effects (stream_name text, amount int)`;
  const rows = [["", "batch size", "messages per s", ": readCategory()"]];
  for (const batchSize of [1000, 100]) {
    const ways = waysToTake(category, batchSize);
    const task = { title: "", concurrency: 1, ways: ways.map(({ take }) => take) };
    // What runs first is slower, until it is compiled.
    await compare(task, { rounds: 2, duration: 0, count: 1 });
    const { rates, ratios } = await compare(task, { rounds, duration: 0, count: 1 });
    for (const [at, { title, count }] of ways.entries()) {
      rows.push([
        title,
        String(batchSize),
        number(rates[at]!.median * count),
        spread(ratios[at]!, count / messages),
      ]);
    }
  }
  console.log(`
How fast messages are taken

${table(rows)}

Medians of ${rounds} rounds; of the ratios, the middle half, too. Each takes the same ${messages} messages of
200 streams, in batches of that size, and does nothing with them, or inserts a row for each into a table; those
that insert one row at a time take ${fewer(10)} and ${fewer(100)}.`);
}

interface Way {
  readonly title: string;
  /** How many messages it takes. */
  readonly count: number;
  take(): Promise<unknown>;
}

function waysToTake(category: string, batchSize: number): Way[] {
  const consumer = () => ({ category, consumerId: crypto.randomUUID(), batchSize });
  const drainAll = (options: { concurrency?: number }) =>
    drain(silent, { ...consumer(), handle, ...options });
  return [
    {
      title: "readCategory(), page by page",
      count: messages,
      take: async () => {
        let position = 0;
        for (let isLast = false; !isLast;) {
          const page = await readCategory(silent, category, { position, batchSize });
          for (const message of page) handle(message);
          isLast = page.length < batchSize;
          position = (page.at(-1)?.globalPosition ?? 0) + 1;
        }
      },
    },
    {
      title: "subscribe()",
      count: messages,
      take: async () => {
        const ending = new AbortController();
        const { signal } = ending;
        const onCaughtUp = () => ending.abort();
        for await (
          const message of subscribe(silent, category, { batchSize, signal, onCaughtUp })
        ) handle(message);
      },
    },
    { title: "drain()", count: messages, take: () => drainAll({}) },
    {
      title: "drain(), concurrency 8",
      count: messages,
      take: () => drainAll({ concurrency: 8 }),
    },
    {
      title: "drain(), handlePage",
      count: messages,
      take: () => drain(silent, { ...consumer(), handlePage: handle }),
    },
    {
      title: "drain(), transactional, handlePage: one insert a page",
      count: messages,
      take: () =>
        drain(silent, {
          ...consumer(),
          transactional: true,
          handlePage: async (page, { sql }) => {
            const amounts = page.map(({ data }) => (data as { amount: number }).amount);
            await sql`
              insert into public.bench_effects (stream_name, amount)
              select * from unnest(
                ${page.map(({ streamName }) => streamName)}::text[], ${amounts}::int[]
              )`;
          },
        }),
    },
    {
      title: "drain(), transactional, one insert a message",
      count: fewer(10),
      take: () =>
        drain(silent, { ...consumer(), transactional: true, handle: insert }, { limit: fewer(10) }),
    },
    {
      title: "the same statements by hand, a transaction a page",
      count: fewer(10),
      take: async () => {
        let position = 0;
        for (let left = fewer(10); left > 0;) {
          const page = await readCategory(silent, category, {
            position,
            batchSize: Math.min(batchSize, left),
          });
          await silent.begin(async (transaction) => {
            for (const message of page) await insert(message, { sql: transaction });
          });
          left -= page.length;
          position = page.at(-1)!.globalPosition + 1;
        }
      },
    },
    {
      title: "drain(), transactional, one insert a message, commitInterval 0",
      count: fewer(100),
      take: () =>
        drain(
          silent,
          { ...consumer(), transactional: true, commitInterval: 0, handle: insert },
          { limit: fewer(100) },
        ),
    },
  ];
}

async function insert(
  { streamName, data }: Message,
  { sql }: { readonly sql: postgres.TransactionSql },
): Promise<void> {
  const { amount } = data as { amount: number };
  await sql`insert into public.bench_effects (stream_name, amount) values (${streamName}, ${amount})`;
}

/** Of what takes longer for each message, a part. */
function fewer(times: number): number {
  return Math.ceil(messages / times);
}

function handle(_message: unknown): void {}

async function fill(category: string): Promise<void> {
  const message = { type: "Deposited", data: { amount: 11, currency: "EUR", by: "Ada Lovelace" } };
  for (let written = 0; written < messages; written += 200) {
    const count = Math.min(200, messages - written);
    await writeStreams(
      silent,
      Array.from({ length: count }, (_, at) => ({
        streamName: `${category}-${at}`,
        messages: [{ ...message, metadata: { schemaVersion: "1" } }],
      })),
    );
  }
  // As autovacuum does before long: until then, the server sorts all that is left for each page.
  await silent`analyze message_store.messages`;
}

async function showIdleCost(): Promise<void> {
  const category = `benchIdle${run}`;
  await write(silent, `${category}-1`, { type: "Opened" });
  const followers: [string, (sql: Sql, signal: AbortSignal) => Promise<void>][] = [
    ["subscribe()", async (sql, signal) => {
      for await (const message of subscribe(sql, category, { signal })) handle(message);
    }],
    [
      "consume()",
      (sql, signal) => consume(sql, { category, consumerId: "idle", handle }, { signal }),
    ],
    [
      "consume(), one leased member",
      (sql, signal) => {
        const consumerGroup = { size: 1 };
        return consume(sql, { category, consumerId: "leased", consumerGroup, handle }, { signal });
      },
    ],
  ];
  const ending = new AbortController();
  const counts = followers.map(() => ({ statements: 0, writes: 0 }));
  const running = followers.map(([, follow], at) => {
    const counting = fromQuery((text, parameters) => {
      counts[at]!.statements++;
      if (text.includes("write_message")) counts[at]!.writes++;
      return silent.unsafe(text, parameters as string[]);
    });
    return follow(counting, ending.signal);
  });
  const start = idle < 10 ? 0 : 3;
  await Promise.race([delay(start * 1000), ...running]);
  for (const count of counts) Object.assign(count, { statements: 0, writes: 0 });
  await Promise.race([delay(idle * 1000), ...running]);
  const rows = followers.map(([title], at) => {
    const { statements, writes } = counts[at]!;
    return [title, ...[statements, writes].map((it) => number(it * 60 / idle))];
  });
  ending.abort();
  await Promise.all(running);
  console.log(`
What it costs to wait

${table([["", "statements per min", "of these, writes"], ...rows])}

With the defaults (pollInterval 1000 ms, leaseDuration 30 s), counted for ${idle} s from ${start} s after the
start, when the waits are at their longest.`);
}

async function showTakeOver(): Promise<void> {
  const rows = [["", "seconds, median", "least", "most"]];
  for (const [title, isKilled, count] of [["ended", false, rounds], ["killed", true, 3]] as const) {
    const times: number[] = [];
    for (let round = 0; round < count; round++) {
      times.push(await takeOverTime(`benchTakeOver${run}x${title}${round}`, isKilled));
    }
    times.sort((a, b) => a - b);
    const picked = [times[Math.floor(times.length / 2)]!, times[0]!, times.at(-1)!];
    rows.push([title, ...picked.map((time) => (time / 1000).toFixed(2))]);
  }
  console.log(`
How soon another process has a message of a consumer whose process has gone

${table(rows)}

From the end of the process, and a message written then, to the handler of the process that waited; with
the default pollInterval, and a lease of ${lease / 1000} s.`);
}

async function takeOverTime(category: string, isKilled: boolean): Promise<number> {
  const options = { category, consumerId: "it", leaseDuration: lease };
  await write(silent, `${category}-1`, { type: "Opened" });
  const first = postgres(url, { onnotice: () => {}, max: 2 });
  const endings = [new AbortController(), new AbortController()] as const;
  let running: Promise<void> | undefined;
  await new Promise<void>((onCaughtUp) => {
    running = consume(first, { ...options, handle }, { signal: endings[0].signal, onCaughtUp })
      .catch(() => {});
  });
  let waiting: Promise<void> | undefined;
  const taken = new Promise<void>((resolve) => {
    const { signal } = endings[1];
    waiting = consume(silent, { ...options, handle: () => resolve() }, { signal });
  });
  // Until the second has looked, and the first has stored its position.
  await delay(2000);
  if (isKilled) await first.end({ timeout: 0 });
  else endings[0].abort();
  await running;
  const begin = performance.now();
  await write(silent, `${category}-1`, { type: "Opened" });
  await taken;
  const time = performance.now() - begin;
  endings[1].abort();
  await waiting;
  await first.end();
  return time;
}

async function showLatency(): Promise<void> {
  const rows = [["", "p50, ms", "p90, ms", "p99, ms"]];
  for (
    const [title, sql, notify] of [["polled", silent, false], [
      "notified",
      notifying,
      true,
    ]] as const
  ) {
    const latencies = (await Promise.all(
      Array.from({ length: 8 }, (_, at) => latenciesOf(sql, `benchWake${run}x${at}`, notify)),
    )).flat().sort((a, b) => a - b);
    const at = (share: number) => latencies[Math.ceil(share * latencies.length) - 1]!;
    rows.push([title, ...[0.5, 0.9, 0.99].map((share) => number(at(share)))]);
  }
  console.log(`
How soon an idle subscriber has a message

${table(rows)}

From the answer to write() to the loop of subscribe(), with the default pollInterval; ${wakes} writes
to eight categories with a subscriber each, 150 to 1200 ms after the message before. The time of a wait
grows with the time that nothing came, up to pollInterval.`);
}

async function latenciesOf(
  sql: postgres.Sql,
  category: string,
  notify: boolean,
): Promise<number[]> {
  const latencies: number[] = [];
  const ending = new AbortController();
  const { signal } = ending;
  const messages = subscribe(sql, category, { startAt: "end", notify, signal });
  let next = messages.next();
  for (let at = 0; at < Math.ceil(wakes / 8); at++) {
    await delay(150 + Math.random() * 1050);
    const taken = next.then(() => performance.now());
    // It may be woken before we have our answer.
    const written = write(sql, `${category}-1`, { type: "Opened" }).then(() => performance.now());
    latencies.push(await taken - await written);
    next = messages.next();
  }
  ending.abort();
  await next;
  return latencies;
}

async function showTriggerCost(): Promise<void> {
  const rows = [["", "at once", "without, per s", "with, per s", "with : without"]];
  const stream = (worker: number) => `benchWrite${run}x${worker}-1`;
  const tasks = [
    { title: "write", concurrency: 1, categoryOf: () => 0 },
    { title: "write, one category", concurrency: 16, categoryOf: () => 0 },
    { title: "write, a category each", concurrency: 16, categoryOf: (worker: number) => worker },
  ];
  for (const { title, concurrency, categoryOf } of tasks) {
    const ways = [silent, notifying].map((sql) => (worker: number) =>
      write(sql, stream(categoryOf(worker)), { type: "Opened" })
    );
    const { rates, ratios } = await compare({ title, concurrency, ways }, {
      rounds,
      duration: Infinity,
      count: writes,
    });
    rows.push([
      title,
      String(concurrency),
      ...rates.map(({ median }) => number(median)),
      spread(ratios[1]!),
    ]);
  }
  console.log(`
What the trigger of install(sql, { notify: true }) costs those who write

${table(rows)}`);
}

function spread({ median, low, high }: Spread, scale = 1): string {
  const [m, l, h] = [median, low, high].map((value) => (value * scale).toPrecision(2));
  return `${m} (${l} to ${h})`;
}
