/**
 * Writers and consumers on one store, all of them processes, while the processes, their connections
 * and PostgreSQL itself are killed: at random, for CHAOS_SECONDS, by the dice of CHAOS_SEED.
 */
import {
  category,
  drain,
  iterateAll,
  type Message,
  readAggregate,
  type Sql,
} from "@messagedb/client";
import { prune, rewind } from "@messagedb/client/operate";
import { install } from "@messagedb/client/install";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { groupBy } from "../../src/lib/group_by.ts";
import { freePort } from "../_free_port.ts";
import {
  type ConsumerArguments,
  consumers,
  type Handled,
  type Kind,
  LEASE,
  NOT_BEGUN,
  PARTITIONS,
} from "./_consumer.ts";
import { type Fleet, gatherFleet, type Ship } from "./_fleet.ts";
import { randomOf, sleep } from "./_program.ts";
import { type FragileServer, startFragile } from "./_server.ts";
import type { WriterArguments, Written } from "./_writer.ts";
import { PATIENCE } from "../_until.ts";

const SECONDS = Number(process.env["CHAOS_SECONDS"] ?? 60);
const SEED = Number(process.env["CHAOS_SEED"] ?? Date.now() % 2 ** 31);

/** The tables of the transactional consumers. */
const EFFECTS = ["effect", "page_effect"];

/** How many processes there are of each kind. */
const fleetOf: Record<Kind, number> = {
  lanes: 2,
  twins: 2,
  effects: 2,
  pages: 2,
  group: 3,
  rewound: 2,
  ledger: 2,
  category: 1,
  all: 1,
};

const random = randomOf(SEED);
const draw = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;

let folder: string;
let fleet: Fleet | undefined;
let server: FragileServer | undefined;
let sql: postgres.Sql;
/** All that is in the store in the end, but for what `drain` writes then. */
/** How many positions were pruned, and from what time on everything is there. */
let pruned = 0;
let prunedUntil = new Date(0);
let store: Message<{ position: number }>[];

const fileOf = (name: string): string => join(folder, `${name}.jsonl`);

function linesOf<T>(name: string): T[] {
  const lines: T[] = [];
  for (
    const line of readFileSync(fileOf(name), { encoding: "utf8", flag: "a+" })
      .split("\n")
  ) {
    try {
      lines.push(JSON.parse(line));
    } catch {
      // Killed in the middle of it: it was not handled, then.
    }
  }
  return lines;
}

const handledBy = (kind: Kind): Handled[] => linesOf<Handled>(kind);

beforeAll(async () => {
  console.log(`CHAOS_SEED=${SEED} CHAOS_SECONDS=${SECONDS}`);
  folder = await mkdtemp(join(tmpdir(), "messagedb-chaos-"));
  await chmod(folder, 0o755);
  const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  fleet = await gatherFleet(folder, [here("_writer.ts"), here("_consumer.ts")]);
  server = await startFragile(join(folder, "store"), await freePort());
  // One connection, which the dice spare.
  sql = postgres(server.url, { max: 1, fetch_types: false, onnotice: () => {} });
  await install(sql, { notify: true });
  for (const table of EFFECTS) {
    await sql`
      create table ${sql(table)} (
        id bigint generated always as identity,
        global_position bigint,
        stream_name text,
        position bigint
      )`;
  }

  const writers = [1, 2, 3].map((number) => {
    const name = `writer${number}`;
    const argument = (life: number): WriterArguments => (
      { name, url: server!.url, seed: SEED + life, file: fileOf(name) }
    );
    return fleet!.launch({ name, program: "_writer.ts", argument });
  });
  const ships = Object.entries(fleetOf).flatMap(([name, count]) => {
    const kind = name as Kind;
    const argument = (life: number): ConsumerArguments => {
      const isSubscriber = kind === "category" || kind === "all";
      const startAt = isSubscriber ? (handledBy(kind).at(-1)?.[0] ?? 0) + 1 : 0;
      return {
        kind,
        url: server!.url,
        seed: SEED + life,
        file: fileOf(kind),
        life,
        startAt,
      };
    };
    return Array.from(
      { length: count },
      () => fleet!.launch({ name, program: "_consumer.ts", argument, isExpected }),
    );
  });
  await Promise.all([wreakHavoc(server, ships), operate()]);
  // The driver can be left with a connection to which it writes no more (porsager/postgres #1208).
  for (const ship of ships) ship.kill();
  const [killed] = await sql`select (clock_timestamp() at time zone 'utc')::text as at`;
  await Promise.all(writers.map((writer) => writer.stop()));
  await untilCaughtUp(killed!["at"]);
  await Promise.all(
    ships.filter(({ name }) => !/^(category|all)$/.test(name)).map((ship) => ship.stop()),
  );
  store = [];
  for await (const message of iterateAll<{ position: number }>(sql)) {
    store.push(message);
  }
  await eventually(() => {
    expect(handledBy("all").at(-1)?.[0]).toBe(store.at(-1)!.globalPosition);
    expect(handledBy("category").at(-1)?.[0]).toBe(
      places(inCategory("account")).at(-1),
    );
  });
  await Promise.all(ships.map((ship) => ship.stop()));
}, SECONDS * 1000 + 2 * PATIENCE);

afterAll(async () => {
  await fleet?.sink();
  await sql?.end({ timeout: 1 });
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/**
 * Whether a consumer ended as one that is killed: it came up when the server was not there, or the
 * driver fell over a connection that closed before it wrote to it (porsager/postgres #1154).
 */
function isExpected(code: number | null, errors: string): boolean {
  return code === NOT_BEGUN || /reading 'write'/.test(errors);
}

/** Kills and takes down, by a plan that is of the seed alone. */
async function wreakHavoc(
  server: FragileServer,
  ships: readonly Ship[],
): Promise<void> {
  const plan: { readonly at: number; readonly what: () => unknown }[] = [];
  const one = <T>(from: readonly T[], act: (it: T) => unknown) => {
    const it = draw(from);
    return () => act(it);
  };
  for (let at = 0; at < SECONDS; at += -Math.log(1 - random()) * 0.7) {
    const dice = random();
    const act = dice < 0.45
      ? one(ships, (ship) => ship.kill())
      : dice < 0.9
      ? one([0.1, 0.3, 1], terminate)
      : one(ships.filter(({ name }) => Object.hasOwn(consumers, name)), freeze);
    plan.push({ at, what: act });
  }
  const disasters = [
    () => server.restart(),
    () => server.crash("SIGKILL"),
    () => server.crash("SIGQUIT"),
    killBackend,
  ];
  const rounds = Math.max(Math.round(SECONDS / 60), 1);
  const slot = SECONDS / rounds / disasters.length;
  for (let round = 0; round < rounds; round++) {
    const left = [...disasters];
    while (left.length > 0) {
      const at = (round * disasters.length + disasters.length - left.length + random()) *
        slot;
      plan.push({
        at,
        what: left.splice(Math.floor(random() * left.length), 1)[0]!,
      });
    }
  }
  const start = Date.now();
  for (const { at, what } of plan.sort((a, b) => a.at - b.at)) {
    await sleep(start + at * 1000 - Date.now());
    await what();
  }
  await sleep(start + SECONDS * 1000 - Date.now());
  for (const ship of ships) ship.thaw();
}

/** What an operator does meanwhile: sets a position again and again, and prunes what is old. */
async function operate(): Promise<void> {
  const random = randomOf(SEED + 1);
  const start = Date.now();
  prunedUntil = new Date(start + SECONDS * 250);
  for (let isOver = false; !isOver;) {
    await sleep(500 + random() * 1000);
    const isLast = Date.now() > start + SECONDS * 1000;
    try {
      const [row] = await sql`
        select max(global_position)::int as last from message_store.messages`;
      // It may pass messages over. So the last time, all are to be handled.
      const position = isLast ? 0 : Math.floor(row!["last"] * random());
      await rewind(sql, consumers.rewound, position);
      // Readers have passed what is older. One that comes to what is pruned just before a restart cannot tell that
      // from a store that went back.
      if (Date.now() > start + SECONDS * 500) {
        pruned += (await prune(sql, { olderThan: prunedUntil })).positions;
      }
      isOver = isLast;
    } catch (error) {
      const { code, message } = error as Error & { readonly code?: unknown };
      const isDown = /^(57P|08|53|CONN|E[A-Z]+$)/.test(String(code));
      if (!isDown && !message.includes("has never run")) throw error;
    }
  }
}

/** Longer than a member is its own. */
function freeze(ship: Ship): void {
  ship.freeze();
  setTimeout(() => ship.thaw(), LEASE * (0.5 + random()));
}

async function backends(): Promise<number[]> {
  for (;;) {
    try {
      const rows = await sql<{ pid: number }[]>`
        select pid
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
        order by backend_start`;
      return rows.map(({ pid }) => pid);
    } catch {
      // It is coming up again.
      await sleep(50);
    }
  }
}

async function terminate(share: number): Promise<void> {
  for (const pid of await backends()) {
    if (random() < share) {
      await sql`select pg_terminate_backend(${pid})`.catch(() => {});
    }
  }
}

/** PostgreSQL then ends all the others and recovers by itself. */
async function killBackend(): Promise<void> {
  const pids = await backends();
  if (pids.length > 0) process.kill(draw(pids), "SIGKILL");
}

/** Waits for what is sure to come, unless one has failed. */
async function eventually(assert: () => void | Promise<void>): Promise<void> {
  let failed = false;
  await vi.waitFor(async () => {
    failed = fleet!.failures.length > 0;
    if (!failed) await assert();
  }, { timeout: PATIENCE, interval: 100 });
  if (failed) throw new Error(fleet!.failures.join("\n"));
}

async function untilCaughtUp(killed: string): Promise<void> {
  const [written] = await sql<{ account: number; all: number }[]>`
    select
      count(*) filter (where stream_name like 'account-%')::int as account,
      count(*)::int as all
    from message_store.messages
    where stream_name like any ('{account-%,late%}')`;
  for (const kind of ["lanes", "twins", "group", "rewound"] as const) {
    await eventually(() => {
      expect(new Set(handledBy(kind).map(([at]) => at)).size, kind).toBe(
        written!.account,
      );
    });
  }
  for (const table of EFFECTS) {
    await eventually(async () => {
      const [effects] = await sql`
        select count(distinct global_position)::int as count from ${sql(table)}`;
      expect(effects!["count"], table).toBe(written!.account);
    });
  }
  await eventually(async () => {
    const [references] = await sql`
      select count(*)::int as count
      from message_store.messages
      where message_store.category(stream_name) = 'ledger'`;
    expect(references!["count"]).toBe(written!.all);
  });
  // Every member of the group is somebody's again who lives.
  await eventually(async () => {
    const [held] = await sql`
      select count(*)::int as count
      from (
        select distinct on (stream_name) *
        from message_store.messages
        where stream_name like 'account:position-group+%'
        order by stream_name, position desc
      ) as last
      where metadata->>'owner' is not null
        and time > ${killed}::text::timestamp`;
    expect(held!["count"]).toBe(4);
  });
}

function inCategory(name: string): Message<{ position: number }>[] {
  return store.filter(({ streamName }) => category(streamName) === name);
}

const places = (messages: readonly Message[]): number[] =>
  messages.map(({ globalPosition }) => globalPosition);

const ascending = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);

test("no process failed", () => {
  expect(fleet!.failures).toEqual([]);
});

test("what the writers wrote is there once, and what they rolled back is not", () => {
  const written = [1, 2, 3].flatMap((number) => linesOf<Written>(`writer${number}`));
  const kept = written.filter(([, isThere]) => isThere).map(([id]) => id);
  const there = store.filter(({ streamName }) => /^(account|late\w*)-/.test(streamName));
  expect(there.map(({ id }) => id).sort()).toEqual(kept.sort());
  expect(written.length).toBeGreaterThan(kept.length);
});

test.each(["lanes", "twins", "group"] as const)(
  "the %s handled every message at least once, each stream in its order",
  (kind) => {
    const handled = handledBy(kind);
    const all = places(inCategory("account"));
    expect(ascending(new Set(handled.map(([at]) => at)))).toEqual(all);

    for (
      const [streamName, of] of groupBy(handled, ([, streamName]) => streamName)
    ) {
      // For the first time.
      const first = [...new Set(of.map(([, , position]) => position))];
      expect(first, streamName).toEqual(first.map((_, position) => position));
      // By one that goes on from a position that it has looked up.
      for (
        const [run, its] of groupBy(of, ([, , , life, run]) => `${life}.${run}`)
      ) {
        const positions = its.map(([, , position]) => position);
        // Where two go on from one position, one skips what it learns that the other has handled.
        const expected = kind === "twins"
          ? ascending(new Set(positions))
          : positions.map((_, at) => positions[0]! + at);
        expect(positions, `${streamName} by ${run}`).toEqual(expected);
      }
    }
  },
);

test("the consumer whose position was set handled every message, and it was set back often", () => {
  const handled = handledBy("rewound").map(([at]) => at);
  expect(ascending(new Set(handled))).toEqual(places(inCategory("account")));
  expect(handled.filter((at, index) => at < (handled[index - 1] ?? 0)).length)
    .toBeGreaterThan(1);
  expect(pruned).toBeGreaterThan(0);
});

test.each(EFFECTS)(
  "each message's effect is there exactly once, in order: %s",
  async (table) => {
    const effects = await sql`select global_position::int as at from ${sql(table)} order by id`;
    expect(effects.map(({ at }) => at)).toEqual(places(inCategory("account")));
  },
);

test("stored positions never go back", () => {
  const positions = store.filter(({ streamName }) => /:(position|aggregate)-/.test(streamName));
  const streams = groupBy(positions, ({ streamName }) => streamName);
  expect([...streams.keys()].sort()).toEqual([
    "account:position-effects",
    ...[0, 1, 2, 3].map((member) => `account:position-group+${member}+4`),
    "account:position-lanes",
    "account:position-pages",
    "account:position-rewound",
    "account:position-twins",
    "ledger:aggregate-ledger",
  ]);
  for (const [streamName, messages] of streams) {
    if (streamName === "account:position-rewound") continue;
    const stored = messages.map(({ data }) => data.position);
    expect(stored, streamName).toEqual(ascending(stored));
  }
});

test.each([
  "account:position-effects",
  ...[0, 1, 2, 3].map((member) => `account:position-group+${member}+4`),
  "account:position-lanes",
  "account:position-pages",
])(
  "%s is one owner's, until it is given back or a question has had no answer",
  (name) => {
    const of = (streamName: string) => store.filter((it) => it.streamName === streamName);
    const recorded = of(name);
    const questions = of(
      name.replace("position-", "claim-"),
    ) as unknown as Message<
      { version: number }
    >[];
    const owners = new Set<unknown>();
    let before: Message | undefined;
    for (const message of recorded) {
      const owner = message.metadata?.["owner"];
      const isAfterPruned = Number(before?.time ?? 0) < Number(prunedUntil);
      const ownerBefore = before?.metadata?.["owner"];
      if (isAfterPruned) owners.add(owner);
      else if (owner !== undefined && owner !== ownerBefore) {
        owners.add(owner);
        if (ownerBefore !== undefined) {
          const question = questions.find(({ data }) => data.version === before!.position)!;
          const age = Number(message.time) - Number(question?.time);
          expect(age, `${name} at ${message.position}`).toBeGreaterThanOrEqual(
            LEASE * 0.6,
          );
        }
      } else if (owner === undefined) {
        expect(before?.metadata, `${name} at ${message.position}`)
          .toHaveProperty("owner");
      }
      before = message;
    }
    expect(owners.size, name).toBeGreaterThan(1);
    const last = recorded.slice(-4).map((
      { time, metadata },
    ) => [time, metadata?.["owner"]]);
    expect(before!.metadata, `${name}: ${JSON.stringify(last)}`).toBe(null);
  },
);

test("the aggregate refers to each message once, in its partitions' order", async () => {
  const from = store.filter(({ streamName }) => /^(account|late\w*)-/.test(streamName));
  const references = inCategory("ledger");
  const causes = references.map(({ metadata }) => metadata!.causationMessageGlobalPosition!);
  expect(ascending(causes)).toEqual(places(from));
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const messages: Awaited<ReturnType<typeof readAggregate>> = [];
    for (let isMore = true; isMore;) {
      const page = await readAggregate(sql, "ledger", {
        partition,
        position: messages.length,
      });
      messages.push(...page);
      isMore = page.length > 0;
    }
    expect(messages.length).toBeGreaterThan(0);
    expect(messages.map(({ reference }) => reference.position)).toEqual(
      messages.map((_, at) => at),
    );
    expect(places(messages)).toEqual(ascending(places(messages)));
    const streams = new Set(messages.map(({ streamName }) => streamName));
    const wanted = from.filter(({ streamName }) => streams.has(streamName));
    expect(places(messages)).toEqual(places(wanted));
  }
});

test("the subscriber to all saw everything once, in order, and what was pruned since", () => {
  const seen = handledBy("all").map(([at]) => at);
  expect(seen).toEqual(ascending(new Set(seen)));
  const isThere = new Set(places(store));
  expect(seen.filter((at) => isThere.has(at))).toEqual(places(store));
});

test("the subscriber to a category saw all of it once, in order", () => {
  expect(handledBy("category").map(([at]) => at)).toEqual(
    places(inCategory("account")),
  );
});

test("those that have stopped left nothing to be handled again", async () => {
  for (const consumer of Object.values(consumers)) {
    const handle = (message: Message) => expect.fail(`There was ${message.globalPosition}`);
    expect(await drain(sql as Sql, { ...consumer, handle })).toMatchObject(
      { handled: 0, caughtUp: true },
    );
  }
});
