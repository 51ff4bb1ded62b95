/** examples/move_database.ts, under load. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { createInterface } from "node:readline";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { write } from "../../mod.ts";
import { type EmbeddedServer, startEmbedded } from "../../src/database/embedded.ts";
import { install } from "../../src/database/install.ts";
import { pathOf } from "../_path_of.ts";
import { describeSkipped } from "../_describe_skipped.ts";
import { startLogical } from "../_pair.ts";
import { builtProgram } from "../_program.ts";
import { lineOf, type Pgbouncer, pgbouncer, startPgbouncer } from "../runtimes/_pgbouncer.ts";
import { brokenPromises } from "./_broken_promises.ts";
import { awaited, effectsTable, type Load, sleepFor, startLoad } from "./_load.ts";

let program: string;
let source: EmbeddedServer;
let target: EmbeddedServer;
let number = 0;
let sourceUrl: string;
let targetUrl: string;
let onSource: postgres.Sql;
let onTarget: postgres.Sql;

beforeAll(async () => {
  program = await builtProgram("examples/move_database.ts");
  [source, target] = await Promise.all([startLogical(), startEmbedded()]);
});
afterAll(() => Promise.all([source?.stop(), target?.stop()]));

/** An empty store on each server, for each test. */
beforeEach(async () => {
  const name = `moved${++number}`;
  const admins = [source, target].map(({ url }) => postgres(url, { onnotice: () => {} }));
  for (const sql of admins) await sql.unsafe(`create database ${name} template message_store`);
  await Promise.all(admins.map((sql) => sql.end()));
  [sourceUrl, targetUrl] = [source, target].map(({ url }) => {
    const it = new URL(url);
    it.pathname = `/${name}`;
    return it.href;
  }) as [string, string];
  onSource = postgres(sourceUrl, { onnotice: () => {} });
  onTarget = postgres(targetUrl, { onnotice: () => {} });
  onTestFinished(async () => {
    await Promise.all([onSource.end(), onTarget.end()]);
  });
});

type Arguments = Readonly<Record<string, string | true>>;

interface Moving {
  readonly child: ChildProcess;
  readonly output: string[];
  readonly code: Promise<number | null>;
}

/** Runs the program; kills it when it prints a line that begins so. */
function runMove(args: Arguments, killAt?: string): Moving {
  const all: Arguments = { from: sourceUrl, to: targetUrl, ...args };
  const flat = Object.entries(all)
    .flatMap(([name, value]) => value === true ? [`--${name}`] : [`--${name}`, value]);
  const child = spawn(process.execPath, [program, ...flat], {
    cwd: pathOf("examples"),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      output.push(line);
      if (killAt !== undefined && line.startsWith(killAt)) child.kill("SIGKILL");
    });
  }
  const code = once(child, "close").then(([code]) => code as number | null);
  return { child, output, code };
}

async function moved(args: Arguments): Promise<string[]> {
  const { output, code } = runMove(args);
  expect(await code, output.join("\n")).toBe(0);
  return output;
}

function loadThrough(url: string, category: string, readsAll: boolean): Load {
  return startLoad({
    connect: (max) =>
      postgres(url, { max, prepare: false, fetch_types: false, onnotice: () => {} }),
    category,
    readsAll,
  });
}

/** Goes on for a moment, ends the load, and checks what it counted. */
async function finishLoad(load: Load, sql: postgres.Sql) {
  const { size } = load.acknowledged;
  load.markAfter();
  await awaited(() => load.acknowledged.size > size + 100);
  await load.stopWriters();
  await load.stopReaders(sql);
  const report = await load.report(sql);
  console.log(report);
  expect(brokenPromises(report, { mayLose: false })).toEqual([]);
  expect(report.acknowledgedAfter).toBeGreaterThan(0);
  return report;
}

async function createEffects(category: string): Promise<void> {
  for (const sql of [onSource, onTarget]) await sql.unsafe(effectsTable(category));
}

/** A transaction that stays open until it is ended. */
async function hold(
  sql: postgres.Sql,
  statement = "select 1",
): Promise<{ end(last?: string): Promise<void> }> {
  let commit = (_last?: string) => {};
  let done: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    done = sql.begin(async (transaction) => {
      await transaction.unsafe(statement);
      resolve();
      const last = await new Promise<string | undefined>((ended) => commit = ended);
      if (last) await transaction.unsafe(last);
    });
    done.catch(reject);
  });
  return {
    end: async (last) => {
      commit(last);
      await done;
      await sql.end();
    },
  };
}

const isRefused = { code: "25006" };

async function throughPgbouncer(
  command: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Pgbouncer & { readonly args: (name?: string) => Record<string, string> }> {
  const pooler = await startPgbouncer(command, sourceUrl, 25, more);
  onTestFinished(pooler.stop);
  const args = (name = new URL(sourceUrl).pathname.slice(1)) => ({
    pgbouncer: pooler.adminUrl,
    config: pooler.configuration,
    name,
    line: lineOf(targetUrl),
  });
  return { ...pooler, args };
}

if (pgbouncer === undefined) {
  describeSkipped("a store moves to another server", "pgbouncer is not installed");
} else {
  const command = pgbouncer;

  describe("a store moves to another server", () => {
    test("while writers, consumers and readers go on, and no error reaches any of them", async () => {
      await createEffects("account");
      const { url, args } = await throughPgbouncer(command);
      const load = loadThrough(url, "account", true);
      await awaited(() => load.acknowledged.size > 300);
      const output = await moved({ ...args(), tables: "effects_account" });
      console.log(output.join("\n"));
      const report = await finishLoad(load, onTarget);
      expect(report.retriedWrites).toBe(0);
      await expect(write(onSource, "account-1", { type: "Late" })).rejects.toMatchObject(isRefused);
      for (const left of ["pg_replication_slots", "pg_publication"]) {
        expect(await onSource.unsafe(`select from ${left}`)).toEqual([]);
      }
      expect(await moved({ ...args(), tables: "effects_account" })).toEqual([
        expect.stringMatching(/^Moved: the end/),
        expect.stringMatching(/publishes no more/),
      ]);
    });

    test("though the program is killed at each step, and run again", async () => {
      await createEffects("account");
      const { url, args } = await throughPgbouncer(command);
      const load = loadThrough(url, "account", true);
      await awaited(() => load.acknowledged.size > 100);
      const all = { ...args(), tables: "effects_account" };
      const killed: string[] = [];
      for (
        const step of [
          "The new store is installed",
          "The old store has a guard",
          "The old server publishes",
          "The new server subscribes",
          "Copied",
          "Compared",
          "PgBouncer holds",
          "The old store refuses",
          "The new store has the rest",
          "The sequences",
          "PgBouncer leads",
          "The replication has ended",
        ]
      ) {
        const { output, code } = runMove(all, step);
        const ended = await code;
        if (ended === null) killed.push(step);
        else expect(ended, output.join("\n")).toBe(0);
      }
      console.log("Killed at", killed);
      await moved(all);
      const report = await finishLoad(load, onTarget);
      expect(report.retriedWrites).toBe(0);
      expect(await onSource`select from pg_replication_slots`).toEqual([]);
    });

    test("or stays where it is, if a step fails before the switch", async () => {
      await createEffects("account");
      const { url, configuration, args } = await throughPgbouncer(command);
      const load = loadThrough(url, "account", false);
      await awaited(() => load.acknowledged.size > 100);
      const all = { ...args(), tables: "effects_account", "longest-pause": "1" };
      const before = await readFile(configuration, "utf8");
      const goesOn = async () => {
        const { size } = load.acknowledged;
        await awaited(() => load.acknowledged.size > size + 100);
        expect(await readFile(configuration, "utf8")).toBe(before);
      };

      // A transaction that goes through PgBouncer does not end.
      const busy = await hold(postgres(url, { max: 1, prepare: false, fetch_types: false }));
      const tooBusy = runMove(all);
      expect(await tooBusy.code).toBe(1);
      expect(tooBusy.output.at(-1)).toMatch(/a transaction was still open after 1000 ms of pause/);
      await goesOn();

      // The new server does not apply what comes, from before the pause on.
      // The pause is as long as a busy machine needs to let the transaction go.
      const held = runMove({ ...all, "longest-pause": "8" });
      await awaited(() => held.output.some((line) => /^Compared/.test(line)));
      const locked = await hold(
        postgres(targetUrl, { max: 1 }),
        "lock table message_store.messages in exclusive mode",
      );
      // Everything else may be applied already.
      await busy.end(
        "set local search_path = message_store; select write_message(gen_random_uuid()::text, 'busy-1', 'Ended', '{}')",
      );
      expect(await held.code).toBe(1);
      expect(held.output.at(-1)).toMatch(/the replay of what was written took more than 8000 ms/);
      await goesOn();
      await locked.end();

      // The subscription cannot be dropped: PgBouncer leads to the new server already, and is led back.
      const kept = await hold(
        postgres(targetUrl, { max: 1 }),
        `alter subscription move_moved${number} set (streaming = off)`,
      );
      const stuck = runMove(all);
      expect(await stuck.code).toBe(1);
      expect(stuck.output).toContainEqual(expect.stringMatching(/^PgBouncer leads/));
      expect(stuck.output.at(-1)).toMatch(/lock timeout/);
      await goesOn();
      await kept.end();

      // The copy is wrong.
      await onTarget`
        delete from message_store.messages
        where global_position = (select min(global_position) from message_store.messages)`;
      const wrong = runMove(all);
      expect(await wrong.code).toBe(1);
      expect(wrong.output.at(-1)).toMatch(/the old store has \d+ messages/);
      const undone = await moved({ ...all, undo: true });
      expect(undone.at(-1)).toMatch(/^Undone/);
      expect((await finishLoad(load, onSource)).retriedWrites).toBe(0);
      expect(await onSource`select from pg_replication_slots`).toEqual([]);
    });
  });

  test("categories that have a database of PgBouncer move alone, and no error reaches anybody", async () => {
    for (const category of ["account", "reading"]) await createEffects(category);
    const { url, args } = await throughPgbouncer(command, { readings: sourceUrl });
    const readingsUrl = url.replace(/[^/]+$/, "readings");
    const loads = {
      account: loadThrough(url, "account", true),
      reading: loadThrough(readingsUrl, "reading", false),
    };
    for (const name of ["reading:command-1", "reading:snapshot-1", "reading+old-1", "readings-1"]) {
      await write(onSource, name, { type: "Written" });
    }
    await awaited(() => Object.values(loads).every(({ acknowledged }) => acknowledged.size > 200));
    const output = await moved({
      ...args("readings"),
      categories: "reading,device",
      tables: "effects_reading",
    });
    console.log(output.join("\n"));
    const reading = await finishLoad(loads.reading, onTarget);
    const account = await finishLoad(loads.account, onSource);
    expect([reading.retriedWrites, account.retriedWrites]).toEqual([0, 0]);

    const namesIn = async (sql: postgres.Sql) =>
      (await sql`select distinct stream_name from message_store.messages`)
        .map(({ stream_name }) => stream_name as string);
    const bases = new Set((await namesIn(onTarget)).map((name) => name.split(/[-:+]/)[0]));
    expect([...bases]).toEqual(["reading"]);
    expect(await namesIn(onTarget)).toEqual(expect.arrayContaining([
      "reading:command-1",
      "reading:snapshot-1",
      "reading+old-1",
      "reading:position-plain",
      "reading:position-effects",
    ]));
    const copies = await onSource`
      select global_position::text, id from message_store.messages
      where split_part(split_part(split_part(stream_name, '-', 1), ':', 1), '+', 1) = 'reading'`;
    const positions = new Map(
      (await onTarget`select global_position::text, id from message_store.messages`)
        .map(({ id, global_position }) => [id, global_position]),
    );
    expect(copies.filter((it) => positions.get(it["id"]) !== it["global_position"])).toEqual([]);
    await expect(write(onSource, "reading:command-1", { type: "Late" }))
      .rejects.toMatchObject(isRefused);
    await write(onSource, "readings-1", { type: "Written" });
  });
}

test("without a pooler, the old store refuses what has moved until programs use the new one", async () => {
  for (const category of ["account", "reading"]) await createEffects(category);
  // The program's own map: which server has the category.
  let url = sourceUrl;
  const load = startLoad({
    connect: (max) => {
      const open = new Map([sourceUrl, targetUrl].map((it) => [
        it,
        postgres(it, { max, fetch_types: false, onnotice: () => {} }),
      ]));
      const end = () => Promise.all([...open.values()].map((it) => it.end({ timeout: 5 })));
      return new Proxy(open.get(sourceUrl)!, {
        apply: (_, self, args) => Reflect.apply(open.get(url)!, self, args),
        get: (_, name) => name === "end" ? end : Reflect.get(open.get(url)!, name),
      });
    },
    category: "reading",
    readsAll: false,
  });
  const others = loadThrough(sourceUrl, "account", true);
  await awaited(() => load.acknowledged.size > 200);
  const args = { categories: "reading", tables: "effects_reading" };
  console.log((await moved(args)).join("\n"));
  const { size } = load.acknowledged;
  await sleepFor(300);
  expect(load.acknowledged.size).toBe(size);
  url = targetUrl;
  const report = await finishLoad(load, onTarget);
  expect(report.retriedWrites).toBeGreaterThan(0);
  expect((await finishLoad(others, onSource)).retriedWrites).toBe(0);
});

test("the new database is created, and what cannot be moved is refused", async () => {
  await onTarget.end();
  const admin = postgres(target.url, { max: 1 });
  const name = new URL(targetUrl).pathname.slice(1);
  await admin.unsafe(`drop database ${name}`);
  await write(onSource, "account-1", { type: "Opened" });
  await install(onSource, { partition: { number: 1, of: 2 } });
  const refusals: [RegExp, Arguments][] = [
    [/lead to the same store/, { to: sourceUrl }],
    [/the new server has no table "nothing"/, { tables: "nothing" }],
    [/"a:command" is no category without types/, { categories: "a:command" }],
  ];
  for (const [reason, args] of refusals) {
    const { output, code } = runMove(args);
    expect(await code, output.join("\n")).toBe(1);
    expect(output.at(-1)).toMatch(reason);
    if (args["to"] !== undefined) continue;
    await moved({ undo: true });
    await admin.unsafe(`drop database ${name}`);
  }
  await moved({});
  const onNew = postgres(targetUrl, { max: 1 });
  expect(await onNew`select global_position::int as at from message_store.messages`)
    .toEqual([{ at: 1 }]);
  expect(await write(onNew, "account-1", { type: "Deposited" })).toBe(1);
  expect(
    await onNew`
    select obj_description('message_store.messages_global_position_seq'::regclass, 'pg_class') as mark`,
  )
    .toEqual([{ mark: "partition 1 of 2" }]);
  await Promise.all([onNew.end(), admin.end()]);
  await expect(write(onSource, "account-1", { type: "Late" })).rejects.toMatchObject(isRefused);
});
