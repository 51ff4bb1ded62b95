import assert from "node:assert/strict";
import { describe, onTestFinished, test } from "vitest";
import {
  aggregate,
  type Consumer,
  type ConsumerIdentity,
  drain,
  importMessages,
  type Metadata,
  readAggregate,
  readCategory,
  replayParked,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { consumers, type ConsumerStatus, remove } from "../../src/operate/mod.ts";
import { start } from "../consume/_consuming.ts";
import { openHandle, useDatabase } from "../database.ts";
import { eventually } from "../_until.ts";

const db = useDatabase();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let count = 0;
/** A category that no other test has. */
const freshCategory = () => `account${count++}`;
const ago = (milliseconds: number) => new Date(Date.now() - milliseconds);

interface Written {
  readonly data?: unknown;
  readonly metadata?: Metadata | null;
  readonly type?: string;
  readonly age?: number;
}

/** Writes messages that are this old, in order. */
async function writeAged(sql: Sql, streamName: string, ...messages: Written[]): Promise<void> {
  await importMessages(
    sql,
    messages.map(({ age = 0, type = "Recorded", ...message }) => ({
      id: crypto.randomUUID(),
      streamName,
      type,
      time: ago(age),
      ...message,
    })),
  );
}

const recorded = (position: number, age = 0, metadata: Metadata | null = null): Written => ({
  data: { position },
  age,
  metadata,
});

async function statusOf(category: string, sql: Sql = db.sql): Promise<ConsumerStatus> {
  const [status, ...others] = await consumers(sql, { category });
  assert.deepEqual(others, []);
  return status!;
}

const healthOf = async (category: string) =>
  Object.fromEntries(
    (await consumers(db.sql, { category })).map((it) => [it.streamName.split("-")[1], it.health]),
  );

/** The global position of the last message of a category. */
async function headOf(category: string): Promise<number> {
  const [last] = await readCategory(db.sql, category, { direction: "backward", batchSize: 1 });
  return last!.globalPosition;
}

const handling = (category: string, options: Partial<Consumer<Sql>> = {}) =>
  ({ category, consumerId: "balances", handle: () => {}, ...options }) as Consumer<Sql>;

describe("consumers()", () => {
  test("tells where a consumer is, and how far behind", async () => {
    const category = freshCategory();
    await writeBatch(db.sql, `${category}-1`, [{ type: "A" }, { type: "B" }]);
    const position = await headOf(category);
    await drain(db.sql, handling(category));
    const status = await statusOf(category);
    const { movedAt, ...rest } = status;
    assert(Math.abs(Number(movedAt) - Date.now()) < HOUR);
    assert.deepEqual(rest, {
      streamName: `${category}:position-balances`,
      category,
      consumerId: "balances",
      position,
      head: position,
      behind: 0,
      isBehindMore: false,
      oldestAge: null,
      owner: null,
      heldSince: null,
      isAsked: false,
      parked: 0,
      isParkedMore: false,
      health: "idle",
    });
    await writeAged(db.sql, `${category}-2`, { age: 50_000 }, { age: 20_000 });
    const behind = await statusOf(category);
    assert.equal(behind.behind, 2);
    assert.equal(behind.position, position);
    assert.equal(behind.head, await headOf(category));
    assert(behind.oldestAge! >= 50_000 && behind.oldestAge! < HOUR);
    assert.equal(behind.health, "busy");
  });

  test("counts up to as many messages as it is told, however many are between them", async () => {
    const category = freshCategory();
    await writeBatch(db.sql, `${category}-1`, [{ type: "Rare" }, { type: `${category}Rare` }]);
    await drain(db.sql, handling(category, { types: ["Rare"], consumerId: "rare" }));
    await drain(db.sql, handling("$all", { types: [`${category}Rare`], consumerId: category }));
    const many = Array.from({ length: 5100 }, (_, at) => ({ type: at % 1700 ? "Other" : "Rare" }));
    await writeBatch(db.sql, `${category}-1`, many);
    await writeBatch(db.sql, `${category}-1`, [{ type: `${category}Rare` }, { type: "Rare" }]);
    const countsOf = async (source: string, consumerId: string, upTo?: number) => {
      const all = await consumers(db.sql, { category: source, upTo });
      const { behind, isBehindMore } = all.find((it) => it.consumerId === consumerId)!;
      return [behind, isBehindMore];
    };
    assert.deepEqual(await countsOf(category, "rare"), [1, true]);
    assert.deepEqual(await countsOf(category, "rare", 1), [1, true]);
    assert.deepEqual(await countsOf(category, "rare", 3), [3, true]);
    assert.deepEqual(await countsOf(category, "rare", 4), [4, false]);
    assert.deepEqual(await countsOf(category, "rare", 10_000), [4, false]);
    assert.deepEqual(await countsOf("$all", category), [0, true]);
    assert.deepEqual(await countsOf("$all", category, 10_000), [1, false]);
    await remove(db.sql, { category: "$all", consumerId: category });
    await assert.rejects(consumers(db.sql, { upTo: 0 }), RangeError);
    await assert.rejects(consumers(db.sql, { upTo: "1" as never }), TypeError);
  });

  test("counts the types that the consumer handles, running or ended", async () => {
    const category = freshCategory();
    const name = `${category}ledger`;
    const append = async () => {
      const types = ["Other", "A", "Other", "B"].map((type) => ({ type }));
      await writeBatch(db.sql, `${category}-1`, types);
      await aggregate(db.sql, { name, from: [category], partition: () => 0 }, { once: true });
    };
    const behind = async () =>
      Object.fromEntries(
        (await consumers(db.sql))
          .filter(({ consumerId }) => consumerId?.startsWith(category))
          .map((it) => [it.aggregate ?? it.category, it.behind]),
      );
    const typed = { consumerId: `${category}-typed`, handlers: { A: () => {}, B: () => {} } };
    const sources = [{ category }, { category: "$all" }, { aggregate: name }];
    await append();
    for (const source of sources) await drain(db.sql, { ...source, ...typed } as Consumer<Sql>);
    await append();
    assert.deepEqual(await behind(), { [category]: 2, $all: 4, [name]: 2 });
    for (const source of sources) {
      const handlers = { A: () => {}, B: () => Promise.reject(new Error("failed")) };
      const failing = { ...source, ...typed, handlers } as Consumer<Sql>;
      await assert.rejects(drain(db.sql, failing), { code: "HANDLER_FAILED" });
    }
    assert.deepEqual(await behind(), { [category]: 1, $all: 3, [name]: 1 });
    assert.deepEqual((await statusOf(category)).types, ["A", "B"]);
    for (const source of sources) {
      await remove(db.sql, { ...source, consumerId: typed.consumerId } as ConsumerIdentity);
    }
  });

  test("counts what a member would read, of a category and of an aggregate", async () => {
    const category = freshCategory();
    for (let at = 0; at < 40; at++) {
      await write(db.sql, `${category}-${at}é+${at % 3}`, { type: "A" });
    }
    await writeBatch(db.sql, `${category}-7`, [{ type: "A" }, { type: "A" }]);
    await writeAged(db.sql, category, { type: "A" });
    const ledger = `${category}ledger`;
    for (const partition of [undefined, "eu", "us+1"]) {
      await aggregate(db.sql, {
        name: `${ledger}${partition === undefined ? "" : "text"}`,
        from: [`${category}-%`],
        partition: ({ position, streamName }) =>
          partition === undefined ? Number.parseInt(streamName.split("-")[1]!) : `${position}`,
      }, { once: true });
    }
    for (const source of [category, ledger, `${ledger}text`]) {
      const isAggregate = source !== category;
      for (const size of [1, 3]) {
        for (let member = 0; member < size; member++) {
          const name = `${source}:position-balances+${member}+${size}`;
          await write(db.sql, name, { type: "Recorded", data: { position: 0 } });
        }
      }
      let members = 0;
      for (const status of await consumers(db.sql, { category: source })) {
        if (status.consumerId === null) continue;
        members++;
        const { consumerGroup } = status;
        const read = isAggregate
          ? await readAggregate(db.sql, source, { consumerGroup: consumerGroup! })
          : consumerGroup!.size === 1
          ? await readCategory(db.sql, source)
          : await readCategory(db.sql, source, { consumerGroup: consumerGroup! });
        assert.equal(status.behind, read.length);
        assert.equal(status[isAggregate ? "aggregate" : "category"], source);
        assert.equal(status[isAggregate ? "category" : "aggregate"], undefined);
      }
      assert.equal(members, 4);
    }
  });

  test("counts for $all and for an aggregate what is nobody's bookkeeping", async () => {
    const category = freshCategory();
    await write(db.sql, `${category}-1`, { type: "A" });
    const name = `${category}ledger`;
    const ledger = { name, from: [category], partition: () => 0 };
    await aggregate(db.sql, ledger, { once: true });
    await drain(db.sql, handling("$all"));
    await drain(db.sql, handling(category));
    const before = await statusOf("$all");
    assert.equal(before.streamName, "$all:position-balances");
    assert.equal(before.behind, 0);
    assert.equal(before.health, "idle");
    assert(before.head > before.position);
    await writeBatch(db.sql, `${category}-1`, [{ type: "A" }, { type: "A" }]);
    assert.equal((await statusOf("$all")).behind, 2);
    const [own] = await consumers(db.sql, { category: name });
    assert.equal(own!.streamName, `${name}:aggregate-${name}`);
    assert.equal(own!.aggregate, name);
    assert.equal(own!.consumerId, null);
    assert.equal(own!.behind, 2);
    assert.equal(own!.health, "idle");
    await aggregate(db.sql, ledger, { once: true });
    const [now] = await consumers(db.sql, { category: name });
    assert.equal(now!.behind, 0);
    assert.equal((await statusOf("$all")).behind, 4);
    await drain(db.sql, { consumerId: "balances", aggregate: name, handle: () => {} });
    const [, consumer] = await consumers(db.sql, { category: name });
    assert.equal(consumer!.consumerId, "balances");
    assert.equal(consumer!.behind, 0);
  });

  test("counts no more than 1,000 messages, and says so", async () => {
    const category = freshCategory();
    await writeAged(db.sql, `${category}:position-balances`, recorded(0, HOUR));
    await writeBatch(db.sql, `${category}-1`, Array.from({ length: 1000 }, () => ({ type: "A" })));
    const exact = await statusOf(category);
    assert.deepEqual([exact.behind, exact.isBehindMore], [1000, false]);
    await write(db.sql, `${category}-1`, { type: "A" });
    const more = await statusOf(category);
    assert.deepEqual([more.behind, more.isBehindMore], [1000, true]);
    // A member whose messages are beyond those.
    const stream = `${category}:position-balances+0+16`;
    await writeAged(db.sql, stream, recorded(0, HOUR));
    const member = (await consumers(db.sql, { category }))
      .find((it) => it.streamName === stream)!;
    if (member.behind === 0) assert.equal(member.oldestAge, null);
    assert.equal(member.isBehindMore, true);
    assert.equal(member.health, member.behind === 0 ? "stopped" : "busy");
  });

  test("counts the parked messages that are open", async () => {
    const category = freshCategory();
    await writeBatch(db.sql, `${category}-1`, Array.from({ length: 5 }, () => ({ type: "A" })));
    const parking = handling(category, { handle: () => "park" });
    await drain(db.sql, parking);
    assert.equal((await statusOf(category)).parked, 5);
    const stream = `${category}:parked-balances`;
    await write(db.sql, stream, { type: "Replayed", data: { position: 3 } });
    await write(db.sql, stream, { type: "Discarded", data: { position: 1, reason: "wrong" } });
    await write(db.sql, stream, { type: "Discarded", data: { position: 1, reason: "again" } });
    // A message of somebody else's.
    await write(db.sql, stream, { type: "Parked", data: { car: 5 } });
    assert.equal((await statusOf(category)).parked, 3);
    const position = `${category}:position-balances+parked`;
    await write(db.sql, position, { type: "Recorded", data: { position: "north" } });
    assert.equal((await statusOf(category)).parked, 3);
    await write(db.sql, position, { type: "Recorded", data: { position: 3 } });
    const status = await statusOf(category);
    assert.equal(status.parked, 1);
    assert.equal(status.isParkedMore, false);
    await writeBatch(
      db.sql,
      stream,
      Array.from({ length: 1000 }, () => ({ type: "Replayed", data: { position: 0 } })),
    );
    assert.equal((await statusOf(category)).isParkedMore, true);
  });

  test("counts none after replayParked has handled them", async () => {
    const category = freshCategory();
    await writeBatch(db.sql, `${category}-1`, [{ type: "A" }, { type: "A" }]);
    await drain(db.sql, handling(category, { handle: () => "park" }));
    assert.equal((await statusOf(category)).parked, 2);
    await replayParked(db.sql, handling(category));
    assert.equal((await statusOf(category)).parked, 0);
  });

  test("tells when the position moved, and not when a claim was renewed", async () => {
    const category = freshCategory();
    const stream = `${category}:position-balances`;
    const claim = { owner: "me", leaseDuration: 24 * HOUR };
    await writeAged(db.sql, stream, recorded(1, 9 * HOUR), recorded(2, 8 * HOUR));
    for (const renewals of [0, 1, 2, 37]) {
      await writeAged(
        db.sql,
        stream,
        ...Array.from({ length: renewals }, () => recorded(2, HOUR, claim)),
      );
      const { movedAt } = await statusOf(category);
      assert(Math.abs(Date.now() - 8 * HOUR - Number(movedAt)) < HOUR / 2);
    }
    await writeAged(db.sql, stream, recorded(1, HOUR / 2, { ...claim, reset: true }));
    const back = await statusOf(category);
    assert(Math.abs(Date.now() - HOUR / 2 - Number(back.movedAt)) < HOUR / 4);
  });

  test.each([1, 2, 3, 16, 17, 18, 100, 300])(
    "finds since when the owner holds the position: %i messages",
    async (length) => {
      const category = freshCategory();
      const stream = `${category}:position-balances`;
      const me = { owner: "me", leaseDuration: 24 * HOUR };
      await writeAged(
        db.sql,
        stream,
        recorded(0, 20 * HOUR),
        recorded(1, 10 * HOUR, { ...me, owner: "other" }),
        ...Array.from({ length }, (_, at) => recorded(2 + at, at === 0 ? 5 * HOUR : HOUR, me)),
      );
      const status = await statusOf(category);
      assert.equal(status.owner, "me");
      assert(Math.abs(Date.now() - 5 * HOUR - Number(status.heldSince)) < HOUR / 2);
      assert.equal(status.position, 1 + length);
      // The first messages are pruned.
      await db.sql`
        delete from message_store.messages
        where stream_name = ${stream} and position < ${1 + length}`;
      const pruned = await statusOf(category);
      const age = length === 1 ? 5 * HOUR : HOUR;
      assert(Math.abs(Date.now() - age - Number(pruned.heldSince)) < HOUR / 2);
      assert.deepEqual(pruned.movedAt, pruned.heldSince);
    },
  );

  test("tells who holds a position, while the lease holds or the owner answers", async () => {
    const category = freshCategory();
    const lease = { owner: "me", leaseDuration: 24 * HOUR };
    const stream = `${category}:position-balances`;
    const ownerNow = async () => (await statusOf(category)).owner;
    await writeAged(db.sql, stream, recorded(1, 23 * HOUR, lease));
    assert.equal(await ownerNow(), "me");
    await writeAged(db.sql, stream, recorded(1, 25 * HOUR, lease));
    assert.equal(await ownerNow(), null);
    // A clock that goes wrong keeps nobody for ever.
    await writeAged(db.sql, stream, recorded(1, -25 * HOUR, lease));
    assert.equal(await ownerNow(), null);
    await writeAged(db.sql, stream, recorded(1, 25 * HOUR, { ...lease, answers: true }));
    assert.equal(await ownerNow(), "me");
    assert.equal((await statusOf(category)).isAsked, false);
    const claims = `${category}:claim-balances`;
    const ask = (version: number, age: number) =>
      writeAged(db.sql, claims, { type: "Claimed", data: { version, owner: "you" }, age });
    await ask(3, 15 * HOUR);
    assert.deepEqual([await ownerNow(), (await statusOf(category)).isAsked], ["me", true]);
    await ask(2, 17 * HOUR);
    assert.deepEqual([await ownerNow(), (await statusOf(category)).isAsked], ["me", false]);
    await ask(3, 17 * HOUR);
    assert.deepEqual([await ownerNow(), (await statusOf(category)).isAsked], [null, true]);
    await writeAged(db.sql, stream, recorded(1, 0, { ...lease, answers: true }));
    assert.deepEqual([await ownerNow(), (await statusOf(category)).isAsked], ["me", false]);
    await writeAged(db.sql, stream, recorded(1));
    assert.equal(await ownerNow(), null);
    await writeAged(db.sql, stream, recorded(1, 0, { owner: 5, leaseDuration: "x" } as never));
    assert.equal(await ownerNow(), null);
  });

  test("asks of a member are its own", async () => {
    const category = freshCategory();
    const claim = { owner: "me", leaseDuration: HOUR, answers: true };
    for (const member of [0, 1]) {
      await writeAged(db.sql, `${category}:position-it+${member}+2`, recorded(1, 0, claim));
    }
    const asked = { type: "Claimed", data: { version: 0, owner: "you" } };
    await writeAged(db.sql, `${category}:claim-it+1+2`, asked);
    const all = await consumers(db.sql, { category });
    assert.deepEqual(all.map(({ isAsked }) => isAsked), [false, true]);
  });

  test.each([undefined, { size: 1 }, { size: 1, member: 0 }])(
    "sees a process hold its position until it ends: %j",
    async (consumerGroup) => {
      const category = freshCategory();
      await write(db.sql, `${category}-1`, { type: "A" });
      const running = start(db.sql, handling(category, { consumerGroup }));
      await eventually(async () => {
        const status = await statusOf(category);
        assert.deepEqual(status.consumerGroup, consumerGroup && { member: 0, size: 1 });
        assert.equal(status.health, "idle");
        assert.equal(status.position, status.head);
        assert.equal(typeof status.owner, "string");
        assert(status.heldSince !== null);
      });
      await running.stop();
      const { owner, heldSince } = await statusOf(category);
      assert.deepEqual([owner, heldSince], [null, null]);
    },
  );
});

describe("a consumer's health", () => {
  const answering = { owner: "me", leaseDuration: 30_000, answers: true };

  test("is idle when no message waits, whatever else", async () => {
    const category = freshCategory();
    await writeAged(db.sql, `${category}-1`, { age: 30 * HOUR });
    const head = await headOf(category);
    await writeAged(db.sql, `${category}:position-held`, recorded(head, 24 * HOUR, answering));
    await writeAged(db.sql, `${category}:position-free`, recorded(head, 24 * HOUR));
    assert.deepEqual(await healthOf(category), { held: "idle", free: "idle" });
  });

  test("is stuck or stopped when messages wait for a minute", async () => {
    const category = freshCategory();
    await writeAged(db.sql, `${category}:position-held`, recorded(0, HOUR, answering));
    await writeAged(db.sql, `${category}:position-free`, recorded(0, HOUR));
    await writeAged(
      db.sql,
      `${category}:position-over`,
      recorded(0, HOUR, { owner: "me", leaseDuration: 30_000 }),
    );
    await writeAged(db.sql, `${category}-1`, { age: MINUTE / 2 });
    assert.deepEqual(await healthOf(category), { held: "busy", free: "busy", over: "busy" });
    await writeAged(db.sql, `${category}-1`, { age: 2 * MINUTE });
    assert.deepEqual(await healthOf(category), { held: "stuck", free: "stopped", over: "stopped" });
  });

  test("is busy for a minute after the position moved or got an owner", async () => {
    const category = freshCategory();
    await writeAged(
      db.sql,
      `${category}:position-moved`,
      recorded(0, HOUR, answering),
      recorded(1, 0, answering),
    );
    await writeAged(
      db.sql,
      `${category}:position-taken`,
      recorded(0, HOUR, answering),
      recorded(0, 0, { ...answering, owner: "you" }),
    );
    await writeAged(
      db.sql,
      `${category}:position-renewed`,
      recorded(0, HOUR, answering),
      recorded(0, 0, answering),
    );
    await writeAged(db.sql, `${category}-1`, { age: HOUR });
    assert.deepEqual(await healthOf(category), { moved: "busy", taken: "busy", renewed: "stuck" });
  });

  test("of an aggregate is idle until messages wait that it would have passed", async () => {
    const category = freshCategory();
    const stream = `${category}:aggregate-${category}`;
    const head = async () =>
      Number((await db.sql`select max(global_position) from message_store.messages`)[0]!["max"]);
    await writeAged(db.sql, stream, recorded(await head(), HOUR));
    await writeAged(db.sql, "other-1", { type: "A", age: HOUR });
    const idle = await statusOf(category);
    assert.deepEqual([idle.health, idle.behind], ["idle", 1]);
    await writeBatch(db.sql, "other-1", Array.from({ length: 1000 }, () => ({ type: "A" })));
    await writeAged(db.sql, `${freshCategory()}:position-other`, recorded(0, 0));
    const metadata = { referringAggregate: category };
    await write(db.sql, `${category}-1`, { type: "Referred", metadata });
    const stopped = await statusOf(category);
    assert.deepEqual([stopped.health, stopped.behind], ["stopped", 1001]);
    assert(stopped.oldestAge! >= HOUR);
  });

  test("is replaced when every member of another size goes on instead", async () => {
    const category = freshCategory();
    const member = (name: string, age: number, metadata: Metadata | null = null) =>
      writeAged(db.sql, `${category}:position-${name}`, recorded(0, age, metadata));
    for (const at of [1, 2, 3, 4, 5, 6, 7, 8]) {
      await writeAged(db.sql, `${category}-${at}`, { age: HOUR });
    }
    await member("it", 9 * HOUR);
    await member("it+0+2", 8 * HOUR);
    // One of two members has no position: its messages are nobody's.
    assert.deepEqual(await healthOf(category), { "it": "stopped", "it+0+2": "stopped" });
    await member("it+1+2", 7 * HOUR);
    assert.deepEqual(await healthOf(category), {
      "it": "replaced",
      "it+0+2": "stopped",
      "it+1+2": "stopped",
    });
    await member("it+0+1", 6 * HOUR, answering);
    const late = { "it": "replaced", "it+0+2": "replaced", "it+1+2": "replaced" };
    assert.deepEqual(await healthOf(category), { ...late, "it+0+1": "stuck" });
    // A process that ended late wrote a last position.
    await member("it+1+2", 5 * HOUR);
    assert.deepEqual(await healthOf(category), { ...late, "it+0+1": "stuck" });
    // The old size again.
    await member("it+0+1", 5 * HOUR);
    await member("it+0+2", 4 * HOUR);
    await member("it+1+2", 4 * HOUR);
    assert.deepEqual(await healthOf(category), {
      "it": "replaced",
      "it+0+1": "replaced",
      "it+0+2": "stopped",
      "it+1+2": "stopped",
    });
    // Another consumer has nothing to do with that.
    await member("other", 10 * HOUR);
    assert.equal((await healthOf(category))["other"], "stopped");
  });

  test("of a group that really changes its size", async () => {
    const category = freshCategory();
    await writeBatch(db.sql, `${category}-1`, [{ type: "A" }]);
    await drain(db.sql, handling(category));
    await drain(db.sql, handling(category, { consumerGroup: { size: 2 } }));
    await writeBatch(db.sql, `${category}-1`, [{ type: "A" }]);
    await drain(db.sql, handling(category, { consumerGroup: { size: 3 } }));
    const health = await healthOf(category);
    assert.deepEqual(health, {
      "balances": "replaced",
      "balances+0+2": "replaced",
      "balances+1+2": "replaced",
      "balances+0+3": "idle",
      "balances+1+3": "idle",
      "balances+2+3": "idle",
    });
  });
});

describe("names", () => {
  const ids = [
    "it",
    "with-dash",
    'it\'s "x"',
    "%",
    "_",
    "\\",
    "é😀",
    "a b\nc",
    "parked",
    "position-it",
  ];
  const categories = [
    "quote'd",
    "a%",
    "a_",
    "a\\",
    "köln😀",
    "account:command",
    "a:b+c",
    "x y",
    ":",
    "a:position",
  ];

  test("of any kind are found, and told apart", async () => {
    const mark = crypto.randomUUID().replaceAll("-", "");
    for (const [at, name] of categories.entries()) {
      const category = `${mark}${at}${name}`;
      for (const consumerId of ids) await drain(db.sql, handling(category, { consumerId }));
      const found = await consumers(db.sql, { category });
      // Whoever drains nothing may store nothing. So each has a message.
      await write(db.sql, `${category}-1`, { type: "A" });
      for (const consumerId of ids) await drain(db.sql, handling(category, { consumerId }));
      const again = await consumers(db.sql, { category });
      assert(found.length <= again.length);
      assert.deepEqual(again.map((it) => it.consumerId).sort(), [...ids].sort());
      assert.deepEqual(new Set(again.map((it) => it.category)), new Set([category]));
      assert.deepEqual(new Set(again.map((it) => it.health)), new Set(["idle"]));
    }
    const all = (await consumers(db.sql)).filter((it) => it.category?.startsWith(mark));
    assert.equal(all.length, categories.length * ids.length);
  });

  test("of others are left out", async () => {
    const category = freshCategory();
    const others: [string, string, unknown][] = [
      [`${category}:position-gps`, "Recorded", { position: { lat: 1 } }],
      [`${category}:position-more`, "Recorded", { position: 1, unit: "m" }],
      [`${category}:position-big`, "Recorded", { position: 1e20 }],
      [`${category}:position-typed`, "Moved", { position: 1 }],
      [`${category}:position-a+b`, "Recorded", { position: 1 }],
      [`${category}:position-a+0+0`, "Recorded", { position: 1 }],
      [`${category}:position-a+2+2`, "Recorded", { position: 1 }],
      [`${category}:position-a+0+99999999999`, "Recorded", { position: 1 }],
      [`${category}:position-a+parked`, "Recorded", { position: 1 }],
      [`${category}:aggregate-other`, "Recorded", { position: 1 }],
      [`${category}position-it`, "Recorded", { position: 1 }],
      [`${category}:positions-it`, "Recorded", { position: 1 }],
    ];
    for (const [streamName, type, data] of others) await write(db.sql, streamName, { type, data });
    assert.deepEqual(await consumers(db.sql, { category }), []);
    const all = await consumers(db.sql);
    assert.deepEqual(all.filter((it) => it.streamName.startsWith(category)), []);
    await writeAged(db.sql, `${category}:position-gps`, recorded(5));
    assert.equal((await statusOf(category)).position, 5);
  });

  test.each([
    [
      "a locale without punctuation",
      "encoding 'UTF8' locale_provider icu icu_locale 'und-u-ka-shifted'",
    ],
    ["a locale of ICU", "encoding 'UTF8' locale_provider icu icu_locale 'de-DE'"],
    ["SQL_ASCII", "encoding 'SQL_ASCII'"],
    ["LATIN1", "encoding 'LATIN1'"],
  ])("are found in a database of %s", async (_, options) => {
    const name = `collated_${crypto.randomUUID().slice(0, 8)}`;
    await db.sql.unsafe(
      `create database ${name} template template0 ${options} lc_collate 'C' lc_ctype 'C'`,
    );
    onTestFinished(() => db.sql.unsafe(`drop database ${name} with (force)`).then(() => {}));
    const sql = openHandle(Object.assign(new URL(db.url), { pathname: name }), { onnotice() {} });
    await install(sql);
    const ids = ["a", "Z", "9", "!", "~", "-", ".", "zz", "ZZ-z", "ü", "ÿ"];
    for (const consumerId of ids) {
      for (const category of ["b", "B", "b:x", "b:positiona", "ba"]) {
        await write(sql, `${category}-1`, { type: "A" });
        await drain(sql, handling(category, { consumerId }));
      }
    }
    assert.equal((await consumers(sql)).length, 5 * ids.length);
    const found = await consumers(sql, { category: "b" });
    assert.deepEqual(found.map((it) => it.consumerId).sort(), [...ids].sort());
  });
});

describe("consumers() refuses", () => {
  test.each([
    [
      { category: "account-1" },
      'Cannot use "account-1" as "category": it must be a category, without "-": account',
    ],
    [
      { category: 5 },
      'Cannot use 5 as "category": it must be text that is not empty and holds no NUL and no lone surrogate',
    ],
    [
      { category: "" },
      'Cannot use "" as "category": it must be text that is not empty and holds no NUL and no lone surrogate',
    ],
    [null, 'Cannot use null as "options": it must be an object'],
  ])("%j", async (options, message) => {
    const never = () => assert.fail("sent");
    await assert.rejects(consumers(never as never, options as never), {
      name: "TypeError",
      message,
    });
  });

  test("a store that is not there", async () => {
    const sql = db.connect({ connection: { role: "pg_monitor" } });
    await assert.rejects(consumers(sql), { code: "NOT_INSTALLED" });
  });
});

test("consumers() of a store without any is empty, and so is that of an unknown category", async () => {
  assert.deepEqual(await consumers(db.sql, { category: "unknown" }), []);
  await db.sql.begin(async (tx) => {
    await tx`truncate message_store.messages`;
    assert.deepEqual(await consumers(tx), []);
    await tx`rollback`;
  }).catch(() => {});
});
