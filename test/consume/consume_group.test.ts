import assert from "node:assert/strict";
import type postgres from "postgres";
import { setTimeout } from "node:timers/promises";
import { describe, test } from "vitest";
import {
  cardinalId,
  consume,
  drain,
  type Message,
  readCategory,
  readLastMessage,
  readStream,
  streamVersion,
  write,
} from "../../mod.ts";
import { gate, start, stored, writeCounted } from "./_consuming.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** Notes the numbers that are handled. */
function noting() {
  const seen: number[] = [];
  return { seen, handle: ({ data }: Message) => void seen.push(data as number) };
}
const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

describe("a member", () => {
  test("has a share and a position of its own, and the shares are all there is", async () => {
    const positions = await writeCounted(db.sql, "shares", 60, { streams: 20 });
    const { seen, handle } = noting();
    for (const member of [0, 1, 2]) {
      const before = seen.length;
      const drained = await drain(db.sql, {
        category: "shares",
        consumerId: "it",
        consumerGroup: { member, size: 3 },
        handle,
      });
      assert.equal(drained.handled, seen.length - before);
      assert.ok(drained.handled > 0);
      assert.deepEqual(await stored(db.sql, `shares:position-it+${member}+3`), [0, positions[59]]);
    }
    assert.deepEqual(sorted(seen), numbers(60));
  });
});

describe("a group whose size changes", () => {
  /** Runs members of groups, one after another, each with a limit; answers what they have handled. */
  async function run(
    category: string,
    steps: readonly (readonly [member: number | null, size: number, limit?: number])[],
    options: { startAt?: "end" } = {},
  ): Promise<number[][]> {
    const all: number[][] = [];
    for (const [member, size, limit] of steps) {
      const { seen, handle } = noting();
      const consumerGroup = member === null ? undefined : { member, size };
      const consumer = { category, consumerId: "it", handle, consumerGroup, ...options };
      await drain(db.sql, consumer, { limit });
      all.push(seen);
    }
    return all;
  }
  const everyMember = (size: number) => numbers(size).map((member) => [member, size] as const);

  test("handles nothing again where all members were at the same place", async () => {
    await writeCounted(db.sql, "even", 40, { streams: 10 });
    await run("even", everyMember(2));
    assert.deepEqual((await run("even", everyMember(4))).flat(), []);
    assert.deepEqual((await run("even", everyMember(2))).flat(), []);
    assert.deepEqual((await run("even", [[null, 1]])).flat(), []);
    await writeCounted(db.sql, "even", 10, { streams: 10, from: 40 });
    assert.deepEqual(sorted((await run("even", everyMember(3))).flat()), numbers(50).slice(40));
    assert.deepEqual((await run("even", [[null, 1]])).flat(), []);
  });

  test("goes on at the lowest position of the old one", async () => {
    await writeCounted(db.sql, "lowest", 40, { streams: 10 });
    const [ahead, behind] = await run("lowest", [[0, 2], [1, 2, 3]]);
    const again = (await run("lowest", everyMember(4))).flat();
    const missing = numbers(40).filter((it) => ![...ahead!, ...behind!].includes(it));
    assert.deepEqual(sorted(again), numbers(40).filter((it) => it > behind!.at(-1)!));
    assert.ok(missing.every((it) => again.includes(it)));
  });

  test.each<[string, (readonly [number | null, number, number?])[]]>([
    ["2 to 4 to 2", [[0, 2], [1, 2, 4], [0, 4], [1, 4, 2], [0, 2], [3, 4, 1], [1, 2, 2]]],
    ["with a member that never started", [[0, 2], [0, 4], [1, 4], [3, 4, 1], [0, 2, 1]]],
    ["from none and back", [[null, 1, 7], [0, 3], [1, 3, 2], [null, 1, 3], [2, 3, 1]]],
    ["3 to 2 to 3 to 1", [[0, 3], [1, 3], [0, 2, 5], [2, 3, 1], [0, 1, 4], [1, 2, 2]]],
  ])("passes nothing that no one has handled: %s", async (what, steps) => {
    for (const [at, last] of [everyMember(2), everyMember(3), [[null, 1] as const]].entries()) {
      const category = `history${what.replaceAll(/\W/g, "")}${at}`;
      await writeCounted(db.sql, category, 30, { streams: 11 });
      const handled = await run(category, steps);
      await writeCounted(db.sql, category, 30, { streams: 11, from: 30 });
      handled.push(...await run(category, steps), ...await run(category, last));
      assert.deepEqual(sorted([...new Set(handled.flat())]), numbers(60));
    }
  });

  test("starts a member that never did where the group has started, if that was at the end", async () => {
    for (const before of [0, 5]) {
      const category = `late${before}`;
      if (before > 0) await writeCounted(db.sql, category, before, { streams: 8 });
      const steps = [[0, 2]] as const;
      const end = { startAt: "end" } as const;
      assert.deepEqual(await run(category, steps, end), [[]]);
      await writeCounted(db.sql, category, 32, { streams: 8, from: before });
      const first = (await run(category, steps, end)).flat();
      assert.ok(first.length > 0 && first.length < 32);
      const others = await run(category, [[1, 2]], end);
      assert.deepEqual(sorted([...first, ...others.flat()]), numbers(before + 32).slice(before));
      // The same for a group of another size, and for none.
      const third = `third${before}`;
      if (before > 0) await writeCounted(db.sql, third, before, { streams: 8 });
      await run(third, steps, end);
      await writeCounted(db.sql, third, 32, { streams: 8, from: before });
      const seen = (await run(third, [...steps, [null, 1]], end)).flat();
      assert.deepEqual(sorted([...new Set(seen)]), numbers(before + 32).slice(before));
    }
  });
});

/** A process's share of a group. */
function process(
  category: string,
  size: number,
  {
    sql = db.connect({ max: 3 }),
    leaseDuration = 400,
    pollInterval = 20,
    handle = (_: Message): void | Promise<void> => {},
  } = {},
) {
  const running = start(sql, {
    pollInterval,
    category,
    consumerId: "it",
    consumerGroup: { size },
    leaseDuration,
    positionUpdateInterval: 1,
    handle,
  });
  return { ...running, sql };
}

/** The member of a group of 4 whose message this is. */
async function shareOf(category: string, number: number): Promise<number> {
  for (const member of numbers(4)) {
    const share = await readCategory(db.sql, category, { consumerGroup: { member, size: 4 } });
    if (share.some(({ data }) => data === number)) return member;
  }
  return assert.fail("it is nobody's");
}

/** Who has how many members, by their claims; one that was given back counts for nobody. */
async function owners(category: string, size: number): Promise<number[]> {
  const counts = new Map<unknown, number>();
  for (const member of numbers(size)) {
    const last = await readLastMessage(db.sql, `${category}:position-it+${member}+${size}`);
    const owner = last?.metadata?.["owner"] ?? null;
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  if (counts.has(null)) return [];
  return sorted([...counts.values()]);
}

/** Checks that a member was no one's but its owner's, and that its position has never gone back. */
async function checkHistory(category: string, size: number): Promise<number> {
  let changes = 0;
  for (const member of numbers(size)) {
    const name = `${category}:position-it+${member}+${size}`;
    const history = await readStream<{ position: number }>(db.sql, name, { batchSize: 100_000 });
    for (const [at, { data, metadata, time }] of history.entries()) {
      const before = history[at - 1];
      if (before === undefined) continue;
      assert.ok(data.position >= before.data.position, `${name} at ${at}`);
      const owner = before.metadata?.["owner"];
      if (owner === undefined || metadata === null || metadata["owner"] === owner) continue;
      changes++;
      const age = Number(time) - Number(before.time);
      assert.ok(age >= Number(before.metadata!["leaseDuration"]), `${name} at ${at}: ${age} ms`);
    }
  }
  return changes;
}

describe("members that are taken by leases", () => {
  test("are all taken by one process, and given back at its end", async () => {
    const positions = await writeCounted(db.sql, "alone", 40, { streams: 12 });
    const { seen, handle } = noting();
    const one = process("alone", 4, { handle });
    await until(() => seen.length === 40);
    assert.deepEqual(await owners("alone", 4), [4]);
    await one.stop();
    for (const member of numbers(4)) {
      const last = await readLastMessage(db.sql, `alone:position-it+${member}+4`);
      assert.deepEqual([last!.metadata, last!.data], [null, { position: positions[39] }]);
    }
    assert.deepEqual(sorted(seen), numbers(40));
  });

  test("are shared out evenly when processes come, and taken over when they go", async () => {
    const { seen, handle } = noting();
    const processes = [process("balance", 6, { handle })];
    await until(async () => String(await owners("balance", 6)) === "6");
    await writeCounted(db.sql, "balance", 20, { streams: 10 });
    processes.push(process("balance", 6, { handle }));
    await until(async () => String(await owners("balance", 6)) === "3,3");
    await writeCounted(db.sql, "balance", 20, { streams: 10, from: 20 });
    processes.push(process("balance", 6, { handle }));
    await until(async () => String(await owners("balance", 6)) === "2,2,2");
    await writeCounted(db.sql, "balance", 20, { streams: 10, from: 40 });
    await processes.shift()!.stop();
    await until(async () => String(await owners("balance", 6)) === "3,3");
    await processes.shift()!.stop();
    await until(async () => String(await owners("balance", 6)) === "6");
    await until(() => seen.length >= 60);
    await Promise.all(processes.map(({ stop }) => stop()));
    assert.deepEqual(sorted(seen), numbers(60));
    assert.equal(await checkHistory("balance", 6), 0);
  });

  test("that are given back for a process that waits are not taken again before it looks", async () => {
    const leaseDuration = 5000;
    const first = process("steady", 2, { leaseDuration });
    await until(async () => String(await owners("steady", 2)) === "2");
    let written = 0;
    const writing = new AbortController();
    const writer = (async () => {
      for (; !writing.signal.aborted; written++) {
        await writeCounted(db.sql, "steady", 1, { streams: 7, from: written });
        await setTimeout(5);
      }
    })();
    const { seen, handle } = noting();
    const second = process("steady", 2, { handle, leaseDuration, pollInterval: 1000 });
    await until(() => seen.length >= 200);
    writing.abort();
    await writer;
    const changes = await Promise.all(
      numbers(2).map(async (member) => {
        const name = `steady:position-it+${member}+2`;
        const history = await readStream(db.sql, name, { batchSize: 100_000 });
        const named = history.map(({ metadata }) => metadata?.["owner"] ?? null);
        return named.filter((owner, at) => at > 0 && owner !== named[at - 1]).length;
      }),
    );
    // One was given back, and taken.
    assert.deepEqual(sorted(changes), [0, 2]);
    await Promise.all([first.stop(), second.stop()]);
  });

  test("are waited for by the process that finds none", async () => {
    const processes = numbers(2).map(() => process("few", 2));
    await until(async () => String(await owners("few", 2)) === "1,1");
    // On a busy machine one of them had both members for a while, and the other waited.
    const waiting = () => streamVersion(db.sql, "few:group-it+waiting");
    const before = await waiting();
    processes.push(process("few", 2));
    // Nobody has more than one, so the third has nothing to wait for but the end of another.
    await processes[0]!.stop();
    await processes[1]!.stop();
    await until(async () => String(await owners("few", 2)) === "2");
    assert.equal(await waiting(), before);
    const end = await Promise.all(processes.map(({ stop }) => stop()));
    assert.deepEqual(end, [undefined, undefined, undefined]);
    assert.equal(await checkHistory("few", 2), 0);
  });

  test("are taken over from a process that has died, when its lease is over", async () => {
    await writeCounted(db.sql, "dies", 20, { streams: 10 });
    const { seen, handle } = noting();
    const dying = process("dies", 2, { handle });
    await until(() => seen.length === 20);
    await until(async () => String(await owners("dies", 2)) === "2");
    const owner = async () =>
      (await readLastMessage(db.sql, "dies:position-it+0+2"))!.metadata?.["owner"];
    const dead = await owner();
    await dying.sql.end({ timeout: 0 });
    await assert.rejects(dying.done);
    assert.equal(await owner(), dead);
    const heir = process("dies", 2, { handle });
    await writeCounted(db.sql, "dies", 20, { streams: 10, from: 20 });
    await until(() => new Set(seen).size === 40);
    assert.notEqual(await owner(), dead);
    await heir.stop();
    assert.equal(await checkHistory("dies", 2), 2);
  });

  test("are lost to another owner, and no position is written to them any more", async () => {
    const slow = gate();
    const begun = gate();
    let signal: AbortSignal | undefined;
    const running = start(db.connect(), {
      category: "stolen",
      consumerId: "it",
      consumerGroup: { size: 1 },
      leaseDuration: 300,
      positionUpdateInterval: 1,
      handle: async (_, context) => {
        signal = context.signal;
        begun.open();
        await slow.opened;
      },
    });
    await writeCounted(db.sql, "stolen", 2);
    await begun.opened;
    const claim = {
      type: "Recorded",
      data: { position: 0 },
      metadata: { owner: "another", leaseDuration: 2 ** 31 },
    };
    const version = await write(db.sql, "stolen:position-it+0+1", claim);
    await until(() => signal!.aborted);
    slow.open();
    await running.stop();
    assert.equal(await streamVersion(db.sql, "stolen:position-it+0+1"), version);
  });

  test("are all given back when one of them fails, and what is in hand is finished", async () => {
    await writeCounted(db.sql, "fails", 12, { streams: 12 });
    const seen = new Set<unknown>();
    let hasFailed = false;
    const running = process("fails", 4, {
      handle: async ({ data }) => {
        if (await shareOf("fails", data as number) === 0) {
          await until(() => seen.size > 0);
          hasFailed = true;
          throw new Error("zero");
        }
        seen.add(data);
        await until(() => hasFailed);
      },
    });
    await assert.rejects(running.done, { name: "HandlerFailedError", message: /zero/ });
    for (const member of numbers(4)) {
      const last = await readLastMessage(db.sql, `fails:position-it+${member}+4`);
      assert.equal(last?.metadata?.["owner"], undefined);
    }
    const rest = noting();
    const consumer = { category: "fails", consumerId: "it", consumerGroup: { size: 4 } };
    const { caughtUp } = await drain(db.sql, { ...consumer, handle: rest.handle });
    assert.equal(caughtUp, true);
    assert.deepEqual(sorted([...new Set([...seen as Set<number>, ...rest.seen])]), numbers(12));
  });

  test("are no one's after an abort, whenever that comes", async () => {
    for (let at = 1; at <= 12; at++) {
      const category = `abort${at}`;
      const ending = new AbortController();
      let count = 0;
      const counting = new Proxy(db.sql, {
        apply: (target, self, parameters) => {
          if (++count === at) ending.abort();
          return Reflect.apply(target, self, parameters);
        },
      });
      await consume(counting, {
        category,
        consumerId: "it",
        consumerGroup: { size: 2 },
        pollInterval: 20,
        handle: () => {},
      }, { signal: ending.signal });
      const sent = count;
      for (const member of [0, 1]) {
        const last = await readLastMessage(db.sql, `${category}:position-it+${member}+2`);
        assert.equal(last?.metadata?.["owner"], undefined, `at statement ${at}`);
      }
      assert.equal(count, sent);
    }
  });

  test.each([false, true])("need one connection, transactional: %s", async (transactional) => {
    const category = `pool${transactional}`;
    await writeCounted(db.sql, category, 30, { streams: 10 });
    const { seen, handle } = noting();
    const running = start(db.connect({ max: 1 }), {
      category,
      consumerId: "it",
      consumerGroup: { size: 3 },
      leaseDuration: 100,
      transactional,
      positionUpdateInterval: 1,
      handle: async (message: Message, { sql }: { sql: postgres.Sql }) => {
        if (transactional) await sql`select 1`;
        handle(message);
      },
    } as never);
    await until(() => seen.length === 30);
    await running.stop();
    assert.deepEqual(sorted(seen), numbers(30));
    await checkHistory(category, 3);
  });

  test("stay with the process whose transaction takes longer than a lease", async () => {
    const attempts: string[] = [];
    const name = "long:position-it+0+1";
    const run = (who: string) =>
      start(db.connect({ max: 3 }), {
        category: "long",
        consumerId: "it",
        consumerGroup: { size: 1 },
        leaseDuration: 1000,
        transactional: true,
        handle: async () => {
          attempts.push(who);
          const [first] = await db.sql`select clock_timestamp() as time`;
          await until(async () => {
            const [row] = await db.sql`
              select clock_timestamp() - ${first!.time}::timestamptz > '3 s' as over`;
            return row!.over;
          });
        },
      });
    const a = run("a");
    await until(async () => await streamVersion(db.sql, name) >= 0);
    const b = run("b");
    const [position] = await writeCounted(db.sql, "long", 1);
    await until(async () => (await stored(db.sql, name)).at(-1) === position);
    await Promise.all([a.stop(), b.stop()]);
    assert.ok(attempts.every((who) => who === "a"), String(attempts));
    await checkHistory("long", 1);
  });

  test("are handled once each by transactional processes that come and go", async () => {
    await db.sql`create table handled (number int)`;
    await writeCounted(db.sql, "churn", 120, { streams: 30 });
    const run = () =>
      start(db.connect({ max: 2 }), {
        category: "churn",
        consumerId: "it",
        consumerGroup: { size: 5 },
        leaseDuration: 2000,
        transactional: true,
        handle: async ({ data }, { sql }) => {
          await sql`insert into handled values (${data as number})`;
        },
      });
    const count = async () => Number((await db.sql`select count(*) from handled`)[0]!.count);
    let processes = [run(), run()];
    for (const enough of [30, 60, 90, 120]) {
      await until(async () => await count() >= enough);
      const [first, ...others] = processes;
      processes = [...others, run()];
      await first!.stop();
    }
    await Promise.all(processes.map(({ stop }) => stop()));
    const rows = await db.sql`select number from handled order by number`;
    assert.deepEqual(rows.map(({ number }) => number), numbers(120));
    assert.equal(await checkHistory("churn", 5), 0);
  });
});

describe("drain() of a group", () => {
  test("takes one free member after another, and is caught up when it had them all", async () => {
    const positions = await writeCounted(db.sql, "drains", 40, { streams: 12 });
    const { seen, handle } = noting();
    const consumer = { category: "drains", consumerId: "it", consumerGroup: { size: 3 }, handle };
    const some = await drain(db.sql, consumer, { limit: 10 });
    assert.deepEqual([some.handled, some.caughtUp, seen.length], [10, false, 10]);
    const rest = await drain(db.sql, consumer);
    assert.deepEqual(rest, { handled: 30, position: positions[39], caughtUp: true, busy: false });
    assert.deepEqual(sorted(seen), numbers(40));
  });

  test("leaves a member that another process has", async () => {
    await writeCounted(db.sql, "leaves", 40, { streams: 12 });
    const last = await write(db.sql, "leaves:position-it+1+2", {
      type: "Recorded",
      data: { position: 0 },
      metadata: { owner: "another", leaseDuration: 2 ** 31 },
    });
    const { seen, handle } = noting();
    const consumer = { category: "leaves", consumerId: "it", consumerGroup: { size: 2 }, handle };
    const drained = await drain(db.sql, consumer);
    const share = await readCategory(db.sql, "leaves", { consumerGroup: { member: 0, size: 2 } });
    assert.deepEqual(seen, share.map(({ data }) => data));
    assert.ok(share.every(({ streamName }) => cardinalId(streamName) !== null));
    assert.deepEqual([drained.caughtUp, drained.position], [false, 0]);
    assert.equal(await streamVersion(db.sql, "leaves:position-it+1+2"), last);
  });

  test("of two processes at once handles each message once", async () => {
    await writeCounted(db.sql, "two", 60, { streams: 20 });
    const { seen, handle } = noting();
    const consumer = { category: "two", consumerId: "it", consumerGroup: { size: 4 }, handle };
    const drained = await Promise.all(
      [db.connect(), db.connect()].map((it) => drain(it, consumer)),
    );
    assert.deepEqual(sorted(seen), numbers(60));
    assert.equal(drained[0]!.handled + drained[1]!.handled, 60);
  });
});
