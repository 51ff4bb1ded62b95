/**
 * `npm run bench:tenants`: what many stores in one database cost, a schema each.
 *
 * It starts the embedded server. `--tenants` says how many schemas, `--rounds` how often writes and reads in a
 * schema are compared with those of the store in `message_store`, and `--seconds` for how long an idle watch is
 * counted at least.
 */
import { inSchema, readCategory, readStream, type Sql, subscribe, write } from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { number, spreadOf, table } from "./_compare.ts";

const { values } = parseArgs({
  options: {
    tenants: { type: "string", default: "1000" },
    rounds: { type: "string", default: "61" },
    seconds: { type: "string", default: "10" },
  },
});
const count = Number(values.tenants);
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const schemas = Array.from({ length: count }, (_, at) => `tenant_${at + 1}`);
const message = { type: "Written", data: { amount: 11 } };

const server = await startEmbedded();
const admin = postgres(server.url, { max: 4, onnotice: () => {} });

try {
  await compareStores();
  await measureInstalls();
  await measureSessions();
  await measureHandles();
  await measureWatches();
} finally {
  await admin.end();
  await server.stop();
}

/**
 * One connection, and so one process of the server, does both, a call of each in turn: what else the machine does
 * meets both.
 */
async function compareStores(): Promise<void> {
  await install(admin, { schema: "compared" });
  const sql = postgres(server.url, { max: 1 });
  const handles = [sql, inSchema(sql, "compared")];
  for (const handle of handles) {
    for (let at = 0; at < 10; at++) await write(handle, "read-1", message);
  }
  const rows = [[
    "one call, ms",
    "in message_store",
    "in a schema",
    "ratio",
    "middle half of rounds",
  ]];
  for (
    const [title, call] of [
      ["write", (handle: Sql) => write(handle, "account-1", message)],
      ["readStream of 10", (handle: Sql) => readStream(handle, "read-1")],
    ] as const
  ) {
    const medians: number[][] = [[], []];
    for (let round = -3; round < rounds; round++) {
      const times: number[][] = [[], []];
      for (let at = 0; at < 200; at++) {
        for (const way of at % 2 === 0 ? [0, 1] : [1, 0]) {
          const begin = performance.now();
          await call(handles[way]!);
          times[way]!.push(performance.now() - begin);
        }
      }
      // The first rounds are to compile it.
      if (round >= 0) times.forEach((all, way) => medians[way]!.push(spreadOf(all).median));
    }
    const [stock, own] = medians as [number[], number[]];
    const ratio = spreadOf(own.map((time, round) => time / stock[round]!));
    rows.push([
      title,
      spreadOf(stock).median.toFixed(3),
      spreadOf(own).median.toFixed(3),
      ratio.median.toFixed(3),
      `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`,
    ]);
  }
  await sql.end();
  console.log(`\nThe same call, in turns\n\n${table(rows)}`);
}

async function measureInstalls(): Promise<void> {
  const before = await catalogue();
  const times: number[] = [];
  const start = performance.now();
  for (const schema of schemas) {
    const begin = performance.now();
    await install(admin, { schema });
    times.push(performance.now() - begin);
  }
  const total = performance.now() - start;
  const again: number[] = [];
  for (const schema of schemas.slice(-50)) {
    const begin = performance.now();
    await install(admin, { schema });
    again.push(performance.now() - begin);
  }
  const after = await catalogue();
  const few = Math.min(50, count);
  const milliseconds = (all: readonly number[]) => `${spreadOf(all).median.toFixed(1)} ms`;
  const rows = [["", "value"]];
  rows.push(
    [`install of ${number(count)}`, `${(total / 1000).toFixed(1)} s`],
    [`one install, of the first ${few}`, milliseconds(times.slice(0, few))],
    [`one install, of the last ${few}`, milliseconds(times.slice(-few))],
    ["one install that finds nothing to do, at the end", milliseconds(again)],
  );
  for (const [name, value] of Object.entries(after)) {
    const each = (value - before[name]!) / count;
    rows.push([name, `${number(value)}, ${number(Math.round(each))} for each tenant`]);
  }
  console.log(`\nInstalling\n\n${table(rows)}`);
}

async function catalogue(): Promise<Record<string, number>> {
  await admin.unsafe("vacuum analyze");
  const [row] = await admin`
    select
      (select count(*)::int from pg_class) as "rows of pg_class",
      (select count(*)::int from pg_attribute) as "rows of pg_attribute",
      (select count(*)::int from pg_proc) as "rows of pg_proc",
      (select sum(pg_total_relation_size(oid)) / 1024 from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r')::int
        as "catalogue, kB",
      (pg_database_size(current_database()) / 1024)::int as "database, kB"`;
  const files =
    await admin`select count(*)::int as files from pg_ls_dir('base/' || (select oid from pg_database where datname = current_database())) as it(name)`;
  return { ...row, "files of the database": files[0]!.files };
}

/** What one process of the server holds that has served so many tenants. */
async function measureSessions(): Promise<void> {
  const rows = [[
    "tenants of one connection",
    "prepared, MB",
    "prepare: false, MB",
    "statements prepared",
  ]];
  for (const tenants of [1, 10, 100, 1000].filter((it) => it <= count)) {
    const row = [number(tenants)];
    let statements = 0;
    for (const prepare of [true, false]) {
      const sql = postgres(server.url, { max: 1, prepare, fetch_types: false });
      for (const schema of schemas.slice(0, tenants)) await everyday(inSchema(sql, schema));
      const [session] = await sql<{ pid: number; prepared: number }[]>`
        select pg_backend_pid() as pid, (select count(*)::int from pg_prepared_statements) as prepared`;
      if (prepare) statements = session!.prepared;
      row.push((await privateMemory(session!.pid)).toFixed(1));
      await sql.end();
    }
    rows.push([...row, number(statements)]);
  }
  console.log(
    `\nMemory of one process of the server: a write, a readStream and a readCategory for each tenant\n\n${
      table(rows)
    }`,
  );
}

async function everyday(sql: Sql): Promise<void> {
  await write(sql, "account-1", message);
  await readStream(sql, "account-1");
  await readCategory(sql, "account");
}

/** Without what all processes share. */
async function privateMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}

/** What the program holds for each tenant. */
async function measureHandles(): Promise<void> {
  const rows = [["program, for each tenant", "kB"]];
  for (const prepare of [false, true]) {
    const sql = postgres(server.url, { max: 1, prepare, fetch_types: false });
    await everyday(inSchema(sql, schemas[0]!));
    const before = heap();
    for (const schema of schemas) await everyday(inSchema(sql, schema));
    rows.push([
      `handle and renamed statements, prepare: ${prepare}`,
      ((heap() - before) / count / 1024).toFixed(1),
    ]);
    await sql.end();
  }
  console.log(`\nMemory of the program\n\n${table(rows)}`);
}

function heap(): number {
  globalThis.gc!();
  return process.memoryUsage().heapUsed;
}

/** Each tenant is followed by one subscription, in one program. */
async function measureWatches(): Promise<void> {
  const rows = [["subscription", "statements a second", "CPU of the program", "CPU of the server"]];
  for (
    const [title, options] of [
      ["as it is", { pollInterval: 1000 }],
      ["pollInterval: 10,000", { pollInterval: 10_000 }],
      ["notify, pollInterval: 30,000", { notify: true, pollInterval: 30_000 }],
    ] as const
  ) {
    const direct = postgres(server.url, { max: 4, prepare: false, fetch_types: false });
    let sent = 0;
    const counting = Object.assign(
      ((strings, ...parameters) => {
        sent++;
        return direct(strings, ...parameters);
      }) as Sql,
      { listen: direct.listen },
    );
    const stopping = new AbortController();
    let caughtUp = 0;
    const following = schemas.map(async (schema) => {
      const given = { ...options, signal: stopping.signal, onCaughtUp: () => void caughtUp++ };
      for await (const _ of subscribe(inSchema(counting, schema), "account", given));
    });
    while (caughtUp < count) await sleep(50);
    // A pause is twice as long as the one before, until it has the length of the interval.
    await sleep(2.5 * options.pollInterval);
    const counted = Math.max(seconds, options.pollInterval / 1000);
    const before = { sent, program: process.cpuUsage(), server: await serverSeconds(direct) };
    await sleep(counted * 1000);
    const program = process.cpuUsage(before.program);
    rows.push([
      title,
      ((sent - before.sent) / counted).toFixed(0),
      `${((program.user + program.system) / 1e4 / counted).toFixed(0)} %`,
      `${((await serverSeconds(direct) - before.server) * 100 / counted).toFixed(0)} %`,
    ]);
    stopping.abort();
    await Promise.all(following);
    await direct.end();
  }
  console.log(
    `\n${number(count)} tenants, each followed by one subscription that waits\n\n${table(rows)}`,
  );
}

/** How long the processes of the server that serve connections have run. */
async function serverSeconds(sql: postgres.Sql): Promise<number> {
  const sessions = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity where backend_type = 'client backend'`;
  let ticks = 0;
  for (const { pid } of sessions) {
    const [, fields] = /\) (.+)/.exec(await readFile(`/proc/${pid}/stat`, "utf8"))!;
    const [user, system] = fields!.split(" ").slice(11, 13);
    ticks += Number(user) + Number(system);
  }
  return ticks / 100;
}
