/** A store of two partitions on two servers, one of which fails under load. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import {
  aggregate,
  categories,
  decide,
  drain,
  type Entity,
  entity,
  groupCommit,
  partitioned,
  type PartitionedSql,
  partitionFor,
  partitions,
  readAggregate,
  readStream,
  streamVersion,
  write,
} from "../../mod.ts";
import { type EmbeddedServer, startEmbedded } from "../../src/database/embedded.ts";
import { install } from "../../src/database/install.ts";
import { isPassing } from "../../src/handle/_retry.ts";
import { freePort } from "../_free_port.ts";
import { killServer } from "../_pair.ts";
import { type Direction, type Fault, useProxy } from "../_proxy.ts";
import { brokenPromises } from "./_broken_promises.ts";
import { awaited, effectsTable, type Load, sleepFor, startLoad } from "./_load.ts";

const COUNT = 2;
/** How many messages more the partition that is up acknowledges and handles while the other is down. */
const MEANWHILE = 500;
const message = { type: "Written" };

/** A server with a partition, which can be killed and started again. */
interface Place {
  readonly dataDir: string;
  readonly port: number;
  server: EmbeddedServer;
  readonly sql: postgres.Sql;
}

let folder: string;
let places: Place[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-partitions-"));
  places = await Promise.all(Array.from({ length: COUNT }, async (_, number) => {
    const dataDir = join(folder, String(number));
    const port = await freePort();
    const server = await startEmbedded({ dataDir, port });
    const sql = postgres(server.url, { fetch_types: false, onnotice: () => {}, backoff: false });
    await install(sql, { partition: { number, of: COUNT } });
    return { dataDir, port, server, sql };
  }));
});
afterAll(async () => {
  await Promise.all(places.map(({ sql }) => sql.end({ timeout: 5 })));
  await Promise.all(places.map(({ server }) => server.stop()));
  await rm(folder, { recursive: true, force: true });
});

/** Opens the store, for as long as the test lasts. */
function openStore(
  max = 4,
  urls = places.map(({ server }) => server.url),
): PartitionedSql<postgres.Sql> & { end(): Promise<void> } {
  const handles = urls.map((url) =>
    postgres(url, {
      max,
      fetch_types: false,
      connect_timeout: 3,
      backoff: false,
      onnotice: () => {},
    })
  );
  let ended: Promise<void> | undefined;
  const end = () =>
    ended ??= Promise.all(handles.map((it) => it.end({ timeout: 5 }))).then(() => {});
  onTestFinished(end);
  return Object.assign(partitioned(handles), { end });
}

let count = 0;
/** A new category that is in a partition. */
function categoryIn(sql: PartitionedSql, partition: number): string {
  for (;;) {
    const category = `category${count++}`;
    if (partitions(sql).indexOf(partitionFor(sql, category)) === partition) return category;
  }
}

/** Gives commands to pairs of entities, one after another, until it is stopped. */
function startCommands(
  sql: PartitionedSql,
  category: string,
  isAllowed: (error: unknown) => boolean,
): { readonly done: ReadonlyMap<string, string[]>; stop(): Promise<string[]> } {
  const counterOf = (category: string): Entity<number> =>
    entity({
      category,
      init: () => 0,
      evolve: (state: number) => state + 1,
      snapshot: { every: 20, version: "1" },
    });
  const [one, two] = [counterOf(category), counterOf(`${category}:twin`)];
  const done = new Map(["1", "2", "3"].map((id) => [id, [] as string[]]));
  const wrong: string[] = [];
  let isStopping = false;
  const running = [...done].map(async ([id, commands]) => {
    while (!isStopping) {
      const commandId = crypto.randomUUID();
      const counted = { type: "Counted", data: { commandId } };
      for (let isDone = false; !isDone;) {
        try {
          const { states } = await decide(
            sql,
            [[one, id], [two, id]],
            () => [[counted], [counted]],
            { commandId },
          );
          commands.push(commandId);
          if (states.some((it) => it !== commands.length)) {
            wrong.push(`${states} after ${commands.length} commands`);
          }
          isDone = true;
        } catch (error) {
          if (!isAllowed(error)) wrong.push(String(error));
          await sleepFor(20);
        }
      }
    }
  });
  return {
    done,
    stop: async () => {
      isStopping = true;
      await Promise.all(running);
      return [...new Set(wrong)];
    },
  };
}

/** What has been decided, by the entities' streams, in their order. */
async function decidedIn(sql: postgres.Sql, category: string): Promise<Record<string, string[]>> {
  const rows = await sql<{ name: string; commands: string[] }[]>`
    select stream_name as name, json_agg(data ->> 'commandId' order by position) as commands
    from message_store.messages
    where message_store.category(stream_name) in (${category}, ${`${category}:twin`})
    group by stream_name`;
  return Object.fromEntries(rows.map(({ name, commands }) => [name, commands]));
}

function decidedBy(
  { done }: ReturnType<typeof startCommands>,
  category: string,
): Record<string, string[]> {
  const of = (category: string) => [...done].map(([id, it]) => [`${category}-${id}`, it]);
  return Object.fromEntries([...of(category), ...of(`${category}:twin`)]);
}

/** Refers to the messages of a category, until it is stopped. */
function startAggregate(
  sql: PartitionedSql,
  name: string,
  from: string,
  onRetry: (error: unknown) => void,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const running = aggregate(
    sql,
    { name, from: [from], partition: ({ streamName }) => streamName, partitions: 2, onRetry },
    { signal: stopping.signal },
  );
  running.catch(() => {});
  return {
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

/** Every category that has messages in a partition is one of that partition's. */
async function expectInPlace(sql: PartitionedSql, partition: number): Promise<void> {
  const found = await places[partition]!.sql<{ category: string }[]>`
    select distinct message_store.category(stream_name) as category from message_store.messages`;
  expect(found.length).toBeGreaterThan(4);
  for (const { category } of found) {
    expect(partitionFor(sql, category)).toBe(partitions(sql)[partition]);
  }
}

async function markOf({ sql }: Place): Promise<string> {
  const [row] = await sql<{ mark: string }[]>`
    select obj_description('message_store.messages_global_position_seq'::regclass, 'pg_class') as mark`;
  return row!.mark;
}

describe.each([0, 1])("partition %i is killed under load", (down) => {
  const up = 1 - down;

  test("and started again: nothing is lost, doubled or misplaced, and the other goes on without an error", async () => {
    const sql = openStore();
    const grouped = groupCommit(sql);
    const words = new RegExp(`^Cannot reach partition ${down} of ${COUNT}: `);
    let passed = 0;
    const isOfDown = (error: unknown) => {
      passed++;
      return isPassing(error) && words.test((error as Error).message);
    };
    const isAllowed = (partition: number) => partition === down ? isOfDown : () => false;
    const both = places.map((_, partition) => partition);
    const names = both.map((partition) => categoryIn(sql, partition));
    const entities = both.map((partition) => categoryIn(sql, partition));
    for (const partition of both) {
      await places[partition]!.sql.unsafe(effectsTable(names[partition]!));
    }
    const loads = both.map((partition): Load =>
      startLoad({
        connect: (max) => openStore(max) as unknown as postgres.Sql,
        category: names[partition]!,
        readsAll: false,
        isForbidden: (error) => !isAllowed(partition)(error),
        grouped,
      })
    );
    const commands = both.map((partition) =>
      startCommands(sql, entities[partition]!, isAllowed(partition))
    );
    await awaited(() => loads.every(({ acknowledged }) => acknowledged.size > 300));

    const before = loads.map(({ acknowledged }) => acknowledged.size);
    const decided = () => commands[up]!.done.get("1")!.length;
    const decidedBefore = decided();
    const killedAt = performance.now();
    killServer(places[down]!.dataDir);
    await expect(categories(sql)).rejects.toMatchObject({
      reason: "unanswered",
      partitions: [down],
    });
    const { acknowledged, readers } = loads[up]!;
    const effects = async () =>
      (await places[up]!.sql`select id::text from ${places[up]!.sql(`effects_${names[up]}`)}`)
        .map(({ id }) => id as string);
    await awaited(() => acknowledged.size > before[up]! + MEANWHILE && decided() > decidedBefore);
    const late = [...acknowledged.keys()].slice(before[up]);
    const seers = Object.entries(readers).filter(([name]) => name !== "effects");
    await awaited(() => seers.every(([, { seen }]) => late.every((id) => seen.has(id))));
    await awaited(async () => {
      const done = new Set(await effects());
      return late.every((id) => done.has(id));
    });
    await awaited(() => passed > 0);
    const away = performance.now() - killedAt;
    const rates = both.map((at) => (loads[at]!.acknowledged.size - before[at]!) / away * 1000);

    places[down]!.server = await startEmbedded({
      dataDir: places[down]!.dataDir,
      port: places[down]!.port,
    });
    const sizes = loads.map(({ acknowledged }) => acknowledged.size);
    const decidedAgain = () => commands[down]!.done.get("1")!.length;
    const decidedThen = decidedAgain();
    loads.forEach((load) => load.markAfter());
    await awaited(() =>
      decidedAgain() > decidedThen &&
      loads.every(({ acknowledged }, at) => acknowledged.size > sizes[at]! + 200)
    );
    await Promise.all(loads.map((load) => load.stopWriters()));
    const wrong = await Promise.all(commands.map((it) => it.stop()));
    await Promise.all(loads.map((load, at) => load.stopReaders(places[at]!.sql)));
    const reports = await Promise.all(loads.map((load, at) => load.report(places[at]!.sql)));
    console.log(
      `Down for ${Math.round(away)} ms: messages a second while partition ${down} was down`,
      rates.map(Math.round),
      reports,
    );

    for (const partition of both) {
      expect(brokenPromises(reports[partition]!, { mayLose: false })).toEqual([]);
      expect(reports[partition]!.acknowledgedAfter).toBeGreaterThan(0);
      expect(wrong[partition]).toEqual([]);
      expect(await decidedIn(places[partition]!.sql, entities[partition]!))
        .toEqual(decidedBy(commands[partition]!, entities[partition]!));
      expect(await markOf(places[partition]!)).toBe(`partition ${partition} of ${COUNT}`);
      await expectInPlace(sql, partition);
    }
    expect(reports[up]!.retriedWrites).toBe(0);
    expect(reports[down]!.retriedWrites).toBeGreaterThan(0);
  });
});

test("connections to both partitions are lost at every step, and each effect is there once", async () => {
  const proxies = await Promise.all(places.map(({ server }) => useProxy(server.url)));
  const urls = proxies.map(({ url }) => url);
  // More connections than statements at once: postgres.js may forget a statement that it has put behind another
  // one, if their connection is lost.
  const sql = openStore(12, urls);
  const grouped = groupCommit(sql);
  const both = places.map((_, partition) => partition);
  const names = both.map((partition) => categoryIn(sql, partition));
  const entities = both.map((partition) => categoryIn(sql, partition));
  const aggregates = both.map((partition) => categoryIn(sql, partition));
  for (const partition of both) {
    await places[partition]!.sql.unsafe(effectsTable(names[partition]!));
  }
  const wrong: string[] = [];
  const isAllowed = both.map((partition) => (error: unknown) => {
    const start = `Cannot reach partition ${partition} of ${COUNT}: `;
    return isPassing(error) && (error as Error).message.startsWith(start);
  });
  const check = (partition: number) => (error: unknown) => {
    if (!isAllowed[partition]!(error)) wrong.push(String(error));
  };
  const loads = both.map((partition) =>
    startLoad({
      connect: (max) => openStore(max, urls) as unknown as postgres.Sql,
      category: names[partition]!,
      readsAll: false,
      isForbidden: (error) => !isAllowed[partition]!(error),
      grouped,
    })
  );
  const commands = both.map((at) => startCommands(sql, entities[at]!, isAllowed[at]!));
  const referring = both.map((at) =>
    startAggregate(openStore(2, urls), aggregates[at]!, names[at]!, check(at))
  );
  await awaited(() => loads.every(({ acknowledged }) => acknowledged.size > 100));

  const faults: Fault[] = [
    (link) => link.cut(),
    (link) => link.reset(),
    (link, bytes) => link.truncate(bytes, bytes.length - 1),
  ];
  const injected = await Promise.all(both.map(async (at) => {
    const steps: [Direction, string][] = [
      ["answer", "BEGIN"],
      ["request", ":position-effects"],
      ["request", ":position-group"],
      ["answer", "INSERT 0 1"],
      ["answer", "COMMIT"],
      ["request", `${names[at]}-group`],
      ["request", `${names[at]}-batch`],
      ["request", `${entities[at]}:twin-`],
      ["request", aggregates[at]!],
      ["answer", "SELECT 1"],
    ];
    const { acknowledged } = loads[at]!;
    const progress = async () => {
      const [row] = await places[at]!.sql`
        select count(*)::int as effects from ${places[at]!.sql(`effects_${names[at]}`)}`;
      const decided = [...commands[at]!.done.values()].reduce((sum, it) => sum + it.length, 0);
      return [row!["effects"] as number, acknowledged.size, decided];
    };
    let count = 0;
    for (const fault of faults) {
      for (const [direction, text] of steps) {
        if (fault === faults[2] && direction === "request") continue;
        const before = await progress();
        await proxies[at]!.next(direction, fault, text);
        count++;
        await awaited(async () =>
          wrong.length > 0 || (await progress()).every((it, which) => it > before[which]!)
        );
      }
    }
    return count;
  }));
  await Promise.all(loads.map((load) => load.stopWriters()));
  const wrongCommands = await Promise.all(commands.map((it) => it.stop()));
  await Promise.all(loads.map((load, at) => load.stopReaders(places[at]!.sql)));
  const reports = await Promise.all(loads.map((load, at) => load.report(places[at]!.sql)));
  const referencesIn = async (partition: number) => {
    const sql = places[partition]!.sql;
    return await readAggregate(sql, aggregates[partition]!, { batchSize: 100_000 });
  };
  for (const partition of both) {
    const written = loads[partition]!.acknowledged;
    await awaited(async () =>
      wrong.length > 0 || (await referencesIn(partition)).length >= written.size
    );
  }
  await Promise.all(referring.map((it) => it.stop()));
  console.log(`Faults: ${injected}`, reports);

  expect(wrong).toEqual([]);
  for (const partition of both) {
    expect(brokenPromises(reports[partition]!, { mayLose: false })).toEqual([]);
    expect(wrongCommands[partition]).toEqual([]);
    expect(await decidedIn(places[partition]!.sql, entities[partition]!))
      .toEqual(decidedBy(commands[partition]!, entities[partition]!));
    const references = await referencesIn(partition);
    expect(references.map(({ id }) => id).sort())
      .toEqual([...loads[partition]!.acknowledged.keys()].sort());
    const last = new Map<string, number>();
    for (const { streamName, position } of references) {
      expect(position).toBe((last.get(streamName) ?? -1) + 1);
      last.set(streamName, position);
    }
    await expectInPlace(sql, partition);
  }
});

test("a partition that only reads fails writes as trouble that passes, and is read", async () => {
  const sql = openStore();
  const [here, there] = [categoryIn(sql, 0), categoryIn(sql, 1)];
  const setReadOnly = async (setting: "on" | "off") => {
    const { sql } = places[0]!;
    await sql.unsafe("set default_transaction_read_only = off");
    await sql.unsafe(`alter system set default_transaction_read_only = ${setting}`);
    await sql.unsafe("select pg_reload_conf()");
    const probe = postgres(places[0]!.server.url, { max: 1 });
    await awaited(async () =>
      (await probe`show default_transaction_read_only`)[0]!["default_transaction_read_only"] ===
        setting
    );
    await probe.end();
  };
  await write(sql, `${here}-1`, message);
  const handled: number[] = [];
  const retried: unknown[] = [];
  await setReadOnly("on");
  const refused = () =>
    write(sql, `${here}-1`, message).then(() => undefined, (error: Error) => error);
  // A session reads the setting between two statements.
  let error: Error | undefined;
  await awaited(async () => (error = await refused()) !== undefined);
  expect(error).toMatchObject({
    code: "25006",
    message: expect.stringMatching(/^Cannot reach partition 0 of 2: cannot execute .* read-only/),
  });
  expect(isPassing(error)).toBe(true);
  const { length } = await readStream(sql, `${here}-1`);
  expect(await write(sql, `${there}-1`, message)).toBe(0);
  const draining = drain(sql, {
    category: here,
    consumerId: "it",
    transactional: true,
    handle: ({ position }) => void handled.push(position),
    onRetry: (error) => void retried.push(error),
  });
  await awaited(() => retried.length > 0);
  await setReadOnly("off");
  expect((await draining).handled).toBe(length);
  expect(retried.every((it) => /^Cannot reach partition 0 of 2: /.test((it as Error).message)))
    .toBe(true);
  expect(await write(sql, `${here}-1`, message)).toBe(length);
  expect(await streamVersion(sql, `${there}-1`)).toBe(0);
});
