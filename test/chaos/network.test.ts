/**
 * Writers and consumers over a network that breaks, in all the ways that one does: at random, for
 * CHAOS_SECONDS, by the dice of CHAOS_SEED. The server is well, so all is counted there afterwards.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTcpProxy, type TcpProxy } from "../_proxy.ts";
import { eventually } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { type ConsumerArguments, type Handled, type Kind, NOT_BEGUN } from "./_consumer.ts";
import { type Fleet, gatherFleet, type Ship } from "./_fleet.ts";
import type { Call, NetworkWriterArguments } from "./_network_writer.ts";
import { randomOf, sleep } from "./_program.ts";

const SECONDS = Number(process.env["CHAOS_SECONDS"] ?? 5);
const SEED = Number(process.env["CHAOS_SEED"] ?? Date.now() % 2 ** 31);
/** Milliseconds between two faults, in the mean. */
const PAUSE = 100;

const random = randomOf(SEED);
const draw = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];

const db = useDatabase();
const readers = ["category", "all", "lanes", "group", "effects"] as const;

interface Stored {
  readonly at: number;
  readonly streamName: string;
  readonly position: number;
  readonly key: string | null;
}

let folder: string;
let fleet: Fleet | undefined;
let proxy: TcpProxy | undefined;
let calls: Call[];
let store: Stored[];
const faults: Record<string, number> = {};

function linesOf<T>(name: string): T[] {
  const text = readFileSync(join(folder, `${name}.jsonl`), { encoding: "utf8", flag: "a+" });
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** The last message that a reader has handled: the file may be long, and the proxy is in this process. */
function lastHandledBy(kind: Kind): number {
  const path = join(folder, `${kind}.jsonl`);
  const file = openSync(path, "a+");
  const end = Buffer.alloc(1000);
  const from = Math.max(fstatSync(file).size - end.length, 0);
  const length = readSync(file, end, 0, end.length, from);
  closeSync(file);
  return JSON.parse(end.toString("utf8", 0, length).split("\n").at(-1) || "[0]")[0];
}

const handledBy = (kind: Kind): number[] => linesOf<Handled>(kind).map(([at]) => at);

beforeAll(async () => {
  console.log(`CHAOS_SEED=${SEED} CHAOS_SECONDS=${SECONDS}`);
  folder = await mkdtemp(join(tmpdir(), "messagedb-network-"));
  const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  fleet = await gatherFleet(folder, [here("_network_writer.ts"), here("_consumer.ts")]);
  proxy = await startTcpProxy(db.url);
  await db.sql`
    create table effect (
      id bigint generated always as identity,
      global_position bigint,
      stream_name text,
      position bigint
    )`;
  const { url } = proxy;
  const writer = fleet.launch({
    name: "writer",
    program: "_network_writer.ts",
    argument: (): NetworkWriterArguments => ({
      url,
      seed: SEED,
      file: join(folder, "calls.jsonl"),
    }),
  });
  const ships = readers.flatMap((kind) =>
    Array.from({ length: kind === "group" ? 2 : 1 }, () =>
      fleet!.launch({
        name: kind,
        program: "_consumer.ts",
        argument: (life): ConsumerArguments => ({
          kind,
          url,
          seed: SEED + life,
          file: join(folder, `${kind}.jsonl`),
          life,
          startAt: lastHandledBy(kind) + 1,
          answerTimeout: 1000,
        }),
        isExpected,
      }))
  );
  await eventually(() => expect(linesOf("calls").length).toBeGreaterThan(20));
  await breakNetwork(proxy);
  await writer.stop();
  calls = linesOf("calls");
  await untilCaughtUp();
  await Promise.all(ships.map((ship: Ship) => ship.stop()));
  store = await db.sql<Stored[]>`
    select
      global_position::int as at,
      stream_name as "streamName",
      position::int as position,
      data->>'key' as key
    from message_store.messages
    order by global_position`;
  report(writer, ships);
}, 2_000_000_000);

afterAll(async () => {
  await fleet?.sink();
  await proxy?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Whether a consumer met a fault in its first statement, or fell over porsager/postgres #1154. */
function isExpected(code: number | null, errors: string): boolean {
  return code === NOT_BEGUN || /reading 'write'/.test(errors);
}

/** Breaks connections, some of them in the middle of a request or of an answer. */
async function breakNetwork(proxy: TcpProxy): Promise<void> {
  const part = (bytes: Buffer) => Math.floor(random() * bytes.length);
  const kinds: Record<string, () => void> = {
    cut: () => draw([...proxy.links])?.cut(),
    reset: () => draw([...proxy.links])?.reset(),
    "half-close": () => draw([...proxy.links])?.halfClose(),
    "hang-up": () => draw([...proxy.links])?.hangUp(),
    stall: () => {
      const link = draw([...proxy.links]);
      link?.stall();
      setTimeout(() => random() < 0.5 ? link?.cut() : link?.reset(), random() * 3000);
    },
    "cut request": () => void proxy.next("request", (link) => link.cut()),
    "cut answer": () => void proxy.next("answer", (link) => link.cut()),
    "reset answer": () => void proxy.next("answer", (link) => link.reset()),
    "half-closed answer": () => void proxy.next("answer", (link) => link.halfClose()),
    "truncated answer": () =>
      void proxy.next("answer", (link, bytes) => link.truncate(bytes, part(bytes))),
    "truncated request": () =>
      void proxy.next("request", (link, bytes) => link.truncateRequest(bytes, part(bytes))),
  };
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end) {
    const kind = draw(Object.keys(kinds))!;
    kinds[kind]!();
    faults[kind] = (faults[kind] ?? 0) + 1;
    await sleep(-Math.log(1 - random()) * PAUSE);
  }
  for (const link of proxy.links) link.cut();
}

async function untilCaughtUp(): Promise<void> {
  const [last] = await db.sql<{ account: number; all: number; count: number }[]>`
    select
      (max(global_position) filter (where stream_name like 'account-%'))::int as account,
      (max(global_position) filter (where stream_name not like '%:%'))::int as all,
      count(*) filter (where stream_name like 'account-%')::int as count
    from message_store.messages`;
  await eventually(async () => {
    expect(fleet!.failures).toEqual([]);
    expect(lastHandledBy("all")).toBeGreaterThanOrEqual(last!.all);
    expect(lastHandledBy("category")).toBe(last!.account);
    expect(new Set(handledBy("lanes")).size).toBe(last!.count);
    expect(new Set(handledBy("group")).size).toBe(last!.count);
    const [effects] = await db
      .sql`select count(distinct global_position)::int as count from effect`;
    expect(effects!["count"]).toBe(last!.count);
  });
}

/** The figures, for people. */
function report(writer: Ship, ships: readonly Ship[]): void {
  const outcomes: Record<string, number> = {};
  for (const { outcome } of calls) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  const again = calls.filter(({ tries }) => tries > 1).length;
  const number = Object.values(faults).reduce((sum, it) => sum + it, 0);
  console.log(`${number} faults, ${proxy!.opened} connections`, faults);
  console.log(`${calls.length} calls, ${again} made again, ${store.length} messages`, outcomes);
  console.log("processes", Object.fromEntries([writer, ...ships].map((it) => [it.name, it.lives])));
  for (const kind of ["category", "all", "lanes", "group"] as const) {
    const handled = handledBy(kind);
    console.log(`${kind}: ${new Set(handled).size} messages, handled ${handled.length} times`);
  }
}

const inAccount = (): Stored[] => store.filter(({ streamName }) => /^account-/.test(streamName));
const places = (messages: readonly Stored[]): number[] => messages.map(({ at }) => at);
const callsThat = (outcome: Call["outcome"]): Call[] =>
  calls.filter((call) => call.outcome === outcome);

test("no process failed", () => {
  expect(fleet!.failures).toEqual([]);
});

test("every call was answered, and no error was another than a lost connection", () => {
  expect([...callsThat("hung"), ...callsThat("wrong error")]).toEqual([]);
  expect(callsThat("acknowledged").length).toBeGreaterThan(0);
});

test("what was acknowledged is there once, in the place that was answered", () => {
  const keys = store.filter(({ key }) => key !== null);
  const byKey = new Map(keys.map((message) => [message.key!, message]));
  expect(byKey.size).toBe(keys.length);
  const misplaced = callsThat("acknowledged").filter(({ parts }) =>
    !parts.every(({ streamName, keys, expectedPosition, position }) => {
      const places = keys.map((key) => byKey.get(key));
      const first = places[0]?.position ?? NaN;
      return places.every((it, at) =>
        it?.streamName === streamName &&
        (position === undefined ? it.position >= first + at : it.position === first + at)
      ) && (expectedPosition ?? first) === first &&
        (position ?? first + keys.length - 1) === first + keys.length - 1;
    })
  );
  expect(misplaced).toEqual([]);
});

test("nothing else is there but what is unknown", () => {
  const known = new Set(calls.flatMap(({ parts }) => parts.flatMap(({ keys }) => keys)));
  expect(store.filter(({ key }) => key !== null && !known.has(key))).toEqual([]);
});

test.each(["category", "all"] as const)(
  "the subscriber to %s saw everything once, in order",
  (kind) => {
    const handled = handledBy(kind);
    const all = places(kind === "all" ? store : inAccount());
    // A consumer may store its position after that.
    expect(handled).toEqual(kind === "all" ? all.slice(0, handled.length) : all);
  },
);

test.each(["lanes", "group"] as const)(
  "the %s handled every message at least once, each stream in its order",
  (kind) => {
    const handled = linesOf<Handled>(kind);
    const first = new Set(handled.map(([at]) => at));
    expect([...first].sort((a, b) => a - b)).toEqual(places(inAccount()));
    for (const streamName of new Set(handled.map(([, name]) => name))) {
      const positions = new Set(
        handled.filter(([, name]) => name === streamName).map(([, , position]) => position),
      );
      expect([...positions], streamName).toEqual([...positions].map((_, at) => at));
    }
  },
);

test("each message's effect is there exactly once, in order", async () => {
  const effects = await db.sql`select global_position::int as at from effect order by id`;
  expect(effects.map(({ at }) => at)).toEqual(places(inAccount()));
});
