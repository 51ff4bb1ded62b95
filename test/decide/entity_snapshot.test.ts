import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  decide,
  defineMessages,
  entity,
  type Message,
  readStream,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { counting, lockCategory, numbered } from "./_folding.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

const counter = { init: () => 0, evolve: (count: number) => count + 1 };

interface Recorded {
  readonly entityData: unknown;
  readonly entityVersion: number;
}

/** The versions that the snapshots of an entity are of, in the order they were written. */
async function snapshotsOf(streamName: string, type?: string): Promise<number[]> {
  const snapshots = await readStream<Recorded>(db.sql, streamName);
  return snapshots
    .filter((it) => type === undefined || it.type === type)
    .map(({ data }) => data.entityVersion);
}

describe("a snapshot", () => {
  test("is written after every N messages by fetches, and not between", async () => {
    const it = entity({ ...counter, category: "every", snapshot: { every: 3 } });
    for (let size = 1; size <= 10; size++) {
      await write(db.sql, "every-1", { type: "Counted" });
      assert.deepEqual(await it.fetch(db.sql, "1"), { state: size, version: size - 1 });
      await it.fetch(db.sql, "1");
      const due = [2, 5, 8].filter((version) => version < size);
      assert.deepEqual(await snapshotsOf("every:snapshot-1"), due, `of ${size}`);
    }
  });

  test("is written after every N messages by decides", async () => {
    for (const cache of [undefined, new Map()]) {
      const id = cache ? "cached" : "plain";
      const it = entity({ ...counter, category: "decided", snapshot: { every: 5 }, cache });
      for (let size = 0; size < 23; size++) {
        await it.decide(db.sql, id, (count) => {
          assert.equal(count, size);
          return { type: "Counted" };
        });
      }
      assert.deepEqual(await snapshotsOf(`decided:snapshot-${id}`), [4, 9, 14, 19]);
    }
  });

  test("is of the last message where more than N came at once", async () => {
    const it = entity({ ...counter, category: "burst", snapshot: { every: 3 } });
    await writeBatch(db.sql, "burst-1", numbered(10));
    await it.fetch(db.sql, "1");
    await writeBatch(db.sql, "burst-1", numbered(2));
    await it.fetch(db.sql, "1");
    await writeBatch(db.sql, "burst-1", numbered(1));
    await it.fetch(db.sql, "1");
    assert.deepEqual(await snapshotsOf("burst:snapshot-1"), [9, 12]);
  });

  test("is not of an entity without messages, and not of another id", async () => {
    const it = entity({ ...counter, category: "alone", snapshot: { every: 1 } });
    await it.fetch(db.sql, "none");
    assert.deepEqual(await snapshotsOf("alone:snapshot-none"), []);
    await write(db.sql, "alone-1", { type: "Counted" });
    await it.fetch(db.sql, "1");
    assert.deepEqual(await it.fetch(db.sql, "2"), { state: 0, version: -1 });
    assert.deepEqual(await snapshotsOf("alone:snapshot-2"), []);
  });

  test("is in a stream of the type snapshot, also of a category that has a type already", async () => {
    for (
      const [category, stream] of [
        ["account", "account:snapshot-1+2"],
        ["account:v2", "account:v2+snapshot-1+2"],
        ["account:v2+eu", "account:v2+eu+snapshot-1+2"],
      ] as const
    ) {
      const it = entity({ ...counter, category, snapshot: { every: 1, version: 1 } });
      await write(db.sql, `${category}-1+2`, { type: "Counted" });
      await it.fetch(db.sql, "1+2");
      const [snapshot, ...more] = await readStream<Recorded>(db.sql, stream);
      assert.deepEqual(more, []);
      assert.equal(snapshot!.type, "Recorded:1");
      assert.deepEqual([snapshot!.data.entityData, snapshot!.data.entityVersion], [1, 0]);
      assert.deepEqual(snapshot!.metadata, { schemaVersion: "1" });
    }
  });

  test("saves reading: what is read is its message, and what is newer", async () => {
    const it = entity({ ...counter, category: "saved", snapshot: { every: 100 } });
    await writeBatch(db.sql, "saved-1", numbered(100));
    await it.fetch(db.sql, "1");
    await writeBatch(db.sql, "saved-1", numbered(7));
    const sql = counting(db.sql);
    assert.deepEqual(await it.fetch(sql, "1"), { state: 107, version: 106 });
    // The snapshot itself, the last message that it is of, and seven.
    assert.deepEqual([sql.statements, sql.rows], [2, 1 + 1 + 7]);
  });

  test("is one, however many fetch at once", async () => {
    const it = entity({ ...counter, category: "storm", snapshot: { every: 1 } });
    const sql = db.connect({ max: 20 });
    for (let round = 1; round <= 5; round++) {
      await write(db.sql, "storm-1", { type: "Counted" });
      const all = await Promise.all(Array.from({ length: 20 }, () => it.fetch(sql, "1")));
      assert.deepEqual(all, Array(20).fill({ state: round, version: round - 1 }));
      assert.deepEqual(
        await snapshotsOf("storm:snapshot-1"),
        Array.from({ length: round }, (_, at) => at),
      );
    }
  });
});

describe("a snapshot of another version", () => {
  test("is passed over, and the state is made anew and kept beside it", async () => {
    const old = entity({ ...counter, category: "shape", snapshot: { every: 2, version: 1 } });
    await writeBatch(db.sql, "shape-1", numbered(4));
    await old.fetch(db.sql, "1");
    const renewed = entity({
      category: "shape",
      init: () => ({ count: 0 }),
      evolve: ({ count }) => ({ count: count + 1 }),
      snapshot: { every: 2, version: 2 },
    });
    const sql = counting(db.sql);
    assert.deepEqual(await renewed.fetch(sql, "1"), { state: { count: 4 }, version: 3 });
    assert.equal(sql.rows, 4);
    assert.deepEqual(await renewed.fetch(sql, "1"), { state: { count: 4 }, version: 3 });
    assert.deepEqual(await old.fetch(db.sql, "1"), { state: 4, version: 3 });
    assert.deepEqual(await snapshotsOf("shape:snapshot-1", "Recorded:1"), [3]);
    assert.deepEqual(await snapshotsOf("shape:snapshot-1", "Recorded:2"), [3]);
  });

  test("does not make two programs write more than each of them would alone", async () => {
    const programs = [1, "two"].map((version) =>
      entity({ ...counter, category: "side", snapshot: { every: 3, version } })
    );
    for (let size = 1; size <= 12; size++) {
      await write(db.sql, "side-1", { type: "Counted" });
      for (const it of [...programs, ...programs]) {
        assert.deepEqual(await it.fetch(db.sql, "1"), { state: size, version: size - 1 });
      }
    }
    assert.deepEqual(await snapshotsOf("side:snapshot-1", "Recorded:1"), [2, 5, 8, 11]);
    assert.deepEqual(await snapshotsOf("side:snapshot-1", "Recorded:two"), [2, 5, 8, 11]);
  });
});

describe("snapshots of two entities of one category", () => {
  test("are kept apart where their functions differ", async () => {
    const balance = entity({
      category: "both",
      init: () => ({ value: 0 }),
      evolve: ({ value }, { data }: Message<{ amount: number }>) => ({
        value: value + data.amount,
      }),
      snapshot: { every: 2 },
    });
    const count = entity({
      category: "both",
      init: () => ({ value: 0 }),
      evolve: ({ value }) => ({ value: value + 1 }),
      snapshot: { every: 2 },
    });
    const deposited = { type: "Deposited", data: { amount: 100 } };
    await writeBatch(db.sql, "both-1", Array(4).fill(deposited));
    for (let round = 0; round < 3; round++) {
      assert.deepEqual((await balance.fetch(db.sql, "1")).state, { value: 400 });
      assert.deepEqual((await count.fetch(db.sql, "1")).state, { value: 4 });
    }
    assert.equal((await readStream(db.sql, "both:snapshot-1")).length, 2);
  });

  test("are kept apart of those of the same entity with other code, and shared by the same", async () => {
    const summing = (evolve: (sum: number, message: Message) => number) =>
      entity({ category: "code", init: () => 0, evolve, snapshot: { every: 1 } });
    await writeBatch(db.sql, "code-1", numbered(3));
    assert.equal((await summing((sum) => sum + 1).fetch(db.sql, "1")).state, 3);
    // A mended fold does not begin with what the old one made.
    assert.equal((await summing((sum) => sum + 10).fetch(db.sql, "1")).state, 30);
    const sql = counting(db.sql);
    assert.equal((await summing((sum) => sum + 10).fetch(sql, "1")).state, 30);
    assert.equal(sql.rows, 2, "the snapshot, and the last message");
    assert.equal((await readStream(db.sql, "code:snapshot-1")).length, 2);
  });
});

describe("a snapshot of a state that is more than JSON", () => {
  const at = z.codec(z.iso.datetime(), z.date(), {
    decode: (text) => new Date(text),
    encode: (date) => date.toISOString(),
  });
  const amount = z.codec(z.string(), z.bigint(), { decode: BigInt, encode: String });
  const balances = z.codec(z.array(z.tuple([z.string(), amount])), z.map(z.string(), z.bigint()), {
    decode: (entries) => new Map(entries),
    encode: (map) => [...map],
  });
  const ledger = {
    category: "ledger",
    init: () => ({ at: null as Date | null, balances: new Map<string, bigint>() }),
    evolve: (
      { balances }: { at: Date | null; balances: Map<string, bigint> },
      { time, data }: Message<{ name: string; amount: string }>,
    ) => {
      const sum = (balances.get(data.name) ?? 0n) + BigInt(data.amount);
      return { at: time, balances: new Map(balances).set(data.name, sum) };
    },
  };
  const schema = z.object({ at: at.nullable(), balances });

  test("comes back by its schema as it was", async () => {
    const it = entity({ ...ledger, snapshot: { every: 2, schema } });
    const large = "123456789012345678901234567890";
    for (const [name, amount] of [["Ada", large], ["Ida", "1"], ["Ada", "1"], ["Ida", "5"]]) {
      await write(db.sql, "ledger-1", { type: "Paid", data: { name, amount } });
    }
    const expected = await entity(ledger).fetch(db.sql, "1");
    assert.deepEqual(await it.fetch(db.sql, "1"), expected);
    assert.deepEqual(await snapshotsOf("ledger:snapshot-1"), [3]);
    const sql = counting(db.sql);
    assert.deepEqual(await it.fetch(sql, "1"), expected);
    assert.equal(sql.rows, 2);
    assert.equal(expected.state.balances.get("Ada"), BigInt(large) + 1n);

    await write(db.sql, "ledger-1", { type: "Paid", data: { name: "Eve", amount: "7" } });
    assert.deepEqual(await it.fetch(db.sql, "1"), await entity(ledger).fetch(db.sql, "1"));
  });

  test("is refused in words where the schema does not fit the state", async () => {
    const wrong = z.object({ at: at.nullable(), balances: z.array(z.number()) });
    const it = entity({ ...ledger, snapshot: { every: 1, version: 3, schema: wrong as never } });
    await assert.rejects(it.fetch(db.sql, "1"), {
      name: "TypeError",
      message: /^Cannot write a snapshot: its schema refuses the state: balances: /,
    });
  });

  test("is refused in words without a schema, as soon as there is one to write", async () => {
    const it = entity({
      category: "dated",
      init: () => ({ last: null as unknown }),
      evolve: (_, { data, time }: Message) => ({ last: data === "now" ? { at: time } : data }),
      snapshot: { every: 1 },
    });
    await write(db.sql, "dated-1", { type: "Noted", data: "then" });
    assert.deepEqual((await it.fetch(db.sql, "1")).state, { last: "then" });
    await write(db.sql, "dated-1", { type: "Noted", data: "now" });
    await assert.rejects(it.fetch(db.sql, "1"), {
      name: "TypeError",
      message: 'Cannot write a snapshot: "at" is [object Date], which JSON does not bring back: ' +
        "give the snapshot a schema that does",
    });
    assert.deepEqual(await snapshotsOf("dated:snapshot-1"), [0]);
  });

  test("is made anew where its schema refuses what is stored", async () => {
    const it = (schema: z.ZodType<number>) =>
      entity({ ...counter, category: "narrowed", snapshot: { every: 1, schema } });
    await writeBatch(db.sql, "narrowed-1", numbered(3));
    await it(z.number()).fetch(db.sql, "1");
    await db.sql`
      update message_store.messages
      set data = jsonb_set(data, '{entityData}', '"three"')
      where stream_name = 'narrowed:snapshot-1'`;
    assert.deepEqual(await it(z.number()).fetch(db.sql, "1"), { state: 3, version: 2 });
    assert.deepEqual(await snapshotsOf("narrowed:snapshot-1"), [2, 2]);
  });
});

describe("a decision that makes a state of which no snapshot can be written", () => {
  const odd: [what: string, value: unknown][] = [
    ["a Date", new Date(0)],
    ["NaN", NaN],
    ["undefined in a list", [undefined]],
    ["a Map", new Map()],
    ["a bigint", 1n],
  ];
  const noted = (category: string, value: unknown) =>
    entity<{ it: unknown }>({
      category,
      init: () => ({ it: null }),
      evolve: (state, { type }) => ({ it: type === "Odd" ? value : state.it }),
      snapshot: { every: 2, version: 1 },
    });

  test.each(odd)("is refused with %s, before anything is written", async (_, value) => {
    const id = crypto.randomUUID();
    const it = noted("refusing", value);
    await it.decide(db.sql, id, () => ({ type: "Even" }));
    // No snapshot would be due yet.
    const refused = it.decide(db.sql, id, () => [{ type: "Odd" }]);
    await assert.rejects(refused, {
      name: "TypeError",
      message: /^Cannot write (a snapshot: "it" is|"state\.it)/,
    });
    assert.equal(await streamVersion(db.sql, `refusing-${id}`), 0);
    // Nor when it would be.
    const later = it.decide(db.sql, id, () => [{ type: "Odd" }, { type: "Even" }]);
    await assert.rejects(later, TypeError);
    const more = it.decide(db.sql, id, () => [{ type: "Odd" }, { type: "Even" }]);
    await assert.rejects(more, TypeError);
    assert.equal(await streamVersion(db.sql, `refusing-${id}`), 0);
    for (let version = 1; version < 6; version++) {
      await it.decide(db.sql, id, () => ({ type: "Even" }));
      assert.deepEqual(await it.fetch(db.sql, id), { state: { it: null }, version });
    }
  });

  test("is refused for all entities that it is over", async () => {
    const [one, two] = [noted("refusingOne", 1), noted("refusingTwo", new Date(0))];
    const refused = decide(db.sql, [[one, "1"], [two, "1"]], () => {
      return [{ type: "Odd" }, { type: "Odd" }];
    });
    await assert.rejects(refused, /"it" is \[object Date], which JSON does not bring back/);
    assert.deepEqual(await readStream(db.sql, "refusingOne-1"), []);
  });

  test("is refused where the schema of its snapshots refuses the state", async () => {
    const schema = z.object({ sum: z.number().max(2) });
    const it = entity({
      category: "refusingSum",
      init: () => ({ sum: 0 }),
      evolve: ({ sum }) => ({ sum: sum + 1 }),
      snapshot: { every: 100, version: 1, schema },
    });
    for (let sum = 0; sum < 2; sum++) await it.decide(db.sql, "1", () => ({ type: "Added" }));
    await assert.rejects(it.decide(db.sql, "1", () => ({ type: "Added" })), {
      name: "TypeError",
      message: /^Cannot write a snapshot: its schema refuses the state: sum: /,
    });
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: { sum: 2 }, version: 1 });
  });

  test("may be of no message", async () => {
    const it = noted("refusingNone", new Date(0));
    await write(db.sql, "refusingNone-1", { type: "Odd" });
    const { state } = await it.decide(db.sql, "1", () => []);
    assert.deepEqual(state, { it: new Date(0) });
  });

  test("is not refused without snapshots", async () => {
    const it = entity({ category: "free", init: () => new Date(0), evolve: (at) => at });
    await it.decide(db.sql, "1", () => ({ type: "Odd" }));
    assert.equal(await streamVersion(db.sql, "free-1"), 0);
  });
});

test("a state that holds its messages is made once, though its snapshot is checked before they are written", async () => {
  let folds = 0;
  const at = z.codec(z.string(), z.date(), {
    decode: (text) => new Date(text),
    encode: (date) => {
      // The message's time must be the same in the next millisecond.
      for (const end = performance.now() + 2; performance.now() < end;);
      return date.toISOString();
    },
  });
  const last = z.object({ time: at, globalPosition: z.number() }).loose();
  const it = entity({
    category: "holding",
    init: (): { last: Message | null } => ({ last: null }),
    evolve: (_, last: Message) => {
      folds++;
      return { last };
    },
    snapshot: { every: 100, version: 1, schema: z.object({ last: last.nullable() }) as never },
  });
  const { state, globalPosition } = await it.decide(db.sql, "1", () => ({ type: "Held" }));
  assert.equal(folds, 1);
  const [stored] = await readStream(db.sql, "holding-1");
  assert.equal(state.last!.globalPosition, globalPosition);
  assert.deepEqual(state.last!.time, stored!.time);
});

describe("what is no snapshot, in the stream of snapshots,", () => {
  test("is passed over", async () => {
    const it = entity({ ...counter, category: "garbage", snapshot: { every: 100, version: 1 } });
    await writeBatch(db.sql, "garbage-1", numbered(3));
    const [first, second] = await readStream(db.sql, "garbage-1");
    const { id: messageId, globalPosition: messageGlobalPosition } = second!;
    const said = { entityData: 1000, entityVersion: 1, messageId, messageGlobalPosition };
    const { entityVersion: _, ...unversioned } = said;
    for (
      const data of [
        null,
        "text",
        5,
        [],
        [1, 2],
        {},
        { entityData: 1000 },
        unversioned,
        { ...unversioned, entityVersion: null },
        { ...said, entityVersion: "1" },
        { ...said, entityVersion: -1 },
        { ...said, entityVersion: 1.5 },
        { ...said, entityVersion: 1e300 },
        { ...said, entityVersion: 0 },
        { ...said, entityVersion: 7 },
        { ...said, messageId: null },
        { ...said, messageId: first!.id },
        { ...said, messageId: crypto.randomUUID() },
        { ...said, messageGlobalPosition: messageGlobalPosition + 1 },
        { ...said, messageGlobalPosition: undefined },
        { entityVersion: 1, messageId, messageGlobalPosition },
      ]
    ) {
      await write(db.sql, "garbage:snapshot-1", { type: "Recorded:1", data });
      const cached = entity({
        ...counter,
        category: "garbage",
        snapshot: { every: 100, version: 1 },
        cache: new Map(),
      });
      for (const reader of [it, cached, cached]) {
        assert.deepEqual(
          await reader.fetch(db.sql, "1"),
          { state: 3, version: 2 },
          JSON.stringify(data),
        );
      }
    }
    // What is one is used: these were passed over for what they lack.
    await write(db.sql, "garbage:snapshot-1", { type: "Recorded:1", data: said });
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: 1001, version: 2 });
  });

  test("is replaced when the next one is due", async () => {
    const it = entity({ ...counter, category: "mended", snapshot: { every: 2, version: 1 } });
    await writeBatch(db.sql, "mended-1", numbered(4));
    await write(db.sql, "mended:snapshot-1", { type: "Recorded:1", data: { entityVersion: 9 } });
    await it.fetch(db.sql, "1");
    const sql = counting(db.sql);
    assert.deepEqual(await it.fetch(sql, "1"), { state: 4, version: 3 });
    assert.equal(sql.rows, 2);
  });

  test("of Eventide, which has a type of its own, is left alone", async () => {
    const it = entity({ ...counter, category: "ruby", snapshot: { every: 2 } });
    const data = { entityData: { count: 50 }, entityVersion: 0, time: "2026-01-01T00:00:00Z" };
    await write(db.sql, "ruby:snapshot-1", { type: "Recorded", data });
    await writeBatch(db.sql, "ruby-1", numbered(2));
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: 2, version: 1 });
    assert.deepEqual(await snapshotsOf("ruby:snapshot-1"), [0, 1]);
  });
});

describe("a stream that was deleted by hand", () => {
  const remove = (streamName: string) =>
    db.sql`delete from message_store.messages where stream_name = ${streamName}`;

  test("has no state, whatever the snapshot says, and a new one when it is written anew", async () => {
    for (const cache of [undefined, new Map()]) {
      const category = cache ? "cachedly" : "deleted";
      const it = entity({
        category,
        init: (): unknown[] => [],
        evolve: (seen, { data }: Message) => [...seen, data],
        snapshot: { every: 2 },
        cache,
      });
      await writeBatch(db.sql, `${category}-1`, numbered(4));
      assert.equal((await it.fetch(db.sql, "1")).version, 3);
      await remove(`${category}-1`);
      assert.deepEqual(await it.fetch(db.sql, "1"), { state: [], version: -1 });

      await writeBatch(db.sql, `${category}-1`, numbered(1, 50));
      assert.deepEqual(await it.fetch(db.sql, "1"), { state: [50], version: 0 });
      await writeBatch(db.sql, `${category}-1`, numbered(5, 51));
      const renewed = { state: [50, 51, 52, 53, 54, 55], version: 5 };
      assert.deepEqual(await it.fetch(db.sql, "1"), renewed);
      assert.deepEqual(await it.fetch(db.sql, "1"), renewed);
      // There are snapshots again.
      assert.equal((await snapshotsOf(`${category}:snapshot-1`)).at(-1), 5);
    }
  });

  test("and written anew with the same ids is read anew", async () => {
    const it = entity({
      category: "imported",
      init: (): unknown[] => [],
      evolve: (seen, { data }: Message) => [...seen, data],
      snapshot: { every: 1 },
      cache: new Map(),
    });
    const ids = [crypto.randomUUID(), crypto.randomUUID()];
    const messages = (word: string) => ids.map((id) => ({ id, type: "Noted", data: word }));
    await writeBatch(db.sql, "imported-1", messages("old"));
    await it.fetch(db.sql, "1");
    await remove("imported-1");
    await writeBatch(db.sql, "imported-1", messages("new"));
    assert.deepEqual((await it.fetch(db.sql, "1")).state, ["new", "new"]);
  });

  test("goes on having snapshots when the snapshots are deleted", async () => {
    for (const cache of [undefined, new Map()]) {
      const id = cache ? "cached" : "plain";
      const it = entity({ ...counter, category: "swept", snapshot: { every: 2 }, cache });
      await writeBatch(db.sql, `swept-${id}`, numbered(2));
      await it.fetch(db.sql, id);
      await remove(`swept:snapshot-${id}`);
      for (let more = 0; more < 3; more++) {
        await writeBatch(db.sql, `swept-${id}`, numbered(2));
        await it.fetch(db.sql, id);
      }
      const versions = await snapshotsOf(`swept:snapshot-${id}`);
      assert.equal(versions.at(-1), 7, `${id}: ${versions}`);
    }
  });
});

describe("snapshots of an entity whose catalogue has a codec", () => {
  let lost = false;
  const seen: unknown[] = [];
  const seal = (data: unknown) => Buffer.from(JSON.stringify(data)).toString("base64");
  const messages = defineMessages({ Named: z.object({ name: z.string() }) }, {
    codec: {
      encode: (data, message) => {
        seen.push(message);
        return Promise.resolve({ sealed: seal(data) });
      },
      decode: (data, message) => {
        if (lost && message.type !== "Named") throw new Error("The key is gone");
        const { sealed } = data as { sealed: string };
        return Promise.resolve(JSON.parse(Buffer.from(sealed, "base64").toString()));
      },
    },
  });
  const person = entity({
    category: "person",
    messages,
    init: () => ({ name: "" }),
    handlers: { Named: (_, { data }) => data },
    snapshot: { every: 1, version: 1 },
  });

  test("are stored as it makes them, and read again", async () => {
    await person.decide(db.sql, "1", () => messages.Named({ name: "Ada" }));
    seen.length = 0;
    await person.fetch(db.sql, "1");
    assert.deepEqual(seen, [{
      type: "Recorded:1",
      streamName: "person:snapshot-1",
      metadata: { schemaVersion: "1" },
      isSnapshot: true,
    }]);
    const [snapshot] = await readStream<Recorded>(db.sql, "person:snapshot-1");
    assert.deepEqual(snapshot!.data.entityData, { sealed: seal({ name: "Ada" }) });
    assert.doesNotMatch(JSON.stringify(await readStream(db.sql, "person:snapshot-1")), /Ada/);
    const sql = counting(db.sql);
    assert.deepEqual(await person.fetch(sql, "1"), { state: { name: "Ada" }, version: 0 });
    assert.equal(sql.statements, 2);
  });

  test("are made anew where it can no more read them", async () => {
    lost = true;
    try {
      assert.deepEqual(await person.fetch(db.sql, "1"), { state: { name: "Ada" }, version: 0 });
    } finally {
      lost = false;
    }
  });
});

describe("writing a snapshot", () => {
  test("does not wait for who has the lock of the snapshots, and goes on without", async () => {
    const it = entity({ ...counter, category: "held", snapshot: { every: 2 } });
    const fetched = await db.sql.begin(async (holder) => {
      await lockCategory(holder, "held:snapshot-1");
      await writeBatch(db.sql, "held-1", numbered(2));
      return await it.fetch(db.connect(), "1");
    });
    assert.deepEqual(fetched, { state: 2, version: 1 });
    assert.deepEqual(await snapshotsOf("held:snapshot-1"), []);
    await it.fetch(db.sql, "1");
    assert.deepEqual(await snapshotsOf("held:snapshot-1"), [1]);
  });

  test("does not deadlock with who has the other lock", async () => {
    const it = entity({ ...counter, category: "cross", snapshot: { every: 1 } });
    const other = entity({ ...counter, category: "other", snapshot: { every: 1 } });
    await writeBatch(db.sql, "cross-1", numbered(1));
    await writeBatch(db.sql, "other-1", numbered(1));
    let first = () => {};
    const hasSnapshotLock = new Promise<void>((resolve) => first = resolve);
    let second = () => {};
    const hasStreamLock = new Promise<void>((resolve) => second = resolve);
    const sql = db.connect();
    const [one, two] = await Promise.all([
      sql.begin(async (sql) => {
        // It writes the snapshot, whose lock it has until it ends.
        await it.fetch(sql, "1");
        first();
        await hasStreamLock;
        await write(sql, "cross-2", { type: "Counted" });
        return "done";
      }),
      sql.begin(async (sql) => {
        await hasSnapshotLock;
        await write(sql, "cross-1", { type: "Counted" });
        second();
        await turn();
        const { state } = await it.fetch(sql, "1");
        await other.fetch(sql, "1");
        return state;
      }),
    ]);
    assert.deepEqual([one, two], ["done", 2]);
  });

  test("never makes many transactions, that write and read two categories, wait in a circle", async () => {
    const sql = db.connect({ max: 8 });
    const entities = ["ring", "ring:snapshot", "gnir"].map((category) =>
      entity({ ...counter, category, snapshot: { every: 1 } })
    );
    // One writes "ring" and may write "ring:snapshot"; the other writes that and may write "ring:snapshot+snapshot".
    await Promise.all(Array.from({ length: 200 }, (_, at) =>
      sql.begin(async (sql) => {
        await entities[at % 3]!.fetch(sql, "1");
        await write(sql, "ring-1", { type: "Counted" });
        await entities[0]!.fetch(sql, "1");
      })));
    assert.equal(await streamVersion(db.sql, "ring-1"), 199);
    assert.equal((await entities[0]!.fetch(db.sql, "1")).state, 200);
  });

  test("is left out of a transaction that only reads", async () => {
    const it = entity({ ...counter, category: "reader", snapshot: { every: 1 } });
    await writeBatch(db.sql, "reader-1", numbered(3));
    await db.sql.begin("read only", async (sql) => {
      assert.deepEqual(await it.fetch(sql, "1"), { state: 3, version: 2 });
      assert.deepEqual(await it.fetch(sql, "1"), { state: 3, version: 2 });
    });
    assert.deepEqual(await snapshotsOf("reader:snapshot-1"), []);
  });

  test("is left out where the role may only read", async () => {
    const it = entity({ ...counter, category: "restricted", snapshot: { every: 1 } });
    await writeBatch(db.sql, "restricted-1", numbered(3));
    const role = `reader_${crypto.randomUUID().replaceAll("-", "")}`;
    await db.sql.unsafe(`
      create role ${role};
      grant usage on schema message_store to ${role};
      grant select on message_store.messages to ${role}`);
    try {
      await db.sql.begin(async (sql) => {
        await sql.unsafe(`set local role ${role}`);
        assert.deepEqual(await it.fetch(sql, "1"), { state: 3, version: 2 });
        assert.deepEqual(await it.fetch(sql, "1"), { state: 3, version: 2 });
      });
      const sql = db.connect({ connection: { role } as never });
      assert.deepEqual(await it.fetch(sql, "1"), { state: 3, version: 2 });
      await sql.end();
      assert.deepEqual(await snapshotsOf("restricted:snapshot-1"), []);
    } finally {
      await db.sql.unsafe(`drop owned by ${role}; drop role ${role}`);
    }
  });

  test("breaks no transaction that cannot see a newer snapshot", async () => {
    const it = entity({ ...counter, category: "earlier", snapshot: { every: 1 } });
    await writeBatch(db.sql, "earlier-1", numbered(3));
    for (const isolation of ["repeatable read", "serializable"]) {
      await db.sql.begin(`isolation level ${isolation}`, async (sql) => {
        // What it sees is settled now.
        assert.equal(await streamVersion(sql, "earlier-1"), 2);
        await db.sql`delete from message_store.messages where stream_name = 'earlier:snapshot-1'`;
        await it.fetch(db.sql, "1");
        assert.deepEqual(await it.fetch(sql, "1"), { state: 3, version: 2 });
        await write(sql, "elsewhere-1", { type: "Written" });
      });
      assert.deepEqual(await snapshotsOf("earlier:snapshot-1"), [2]);
    }
  });

  test("of a transaction that is rolled back leaves none, and the next is written", async () => {
    for (const cache of [undefined, new Map()]) {
      const id = cache ? "cached" : "plain";
      const it = entity({ ...counter, category: "undone", snapshot: { every: 2 }, cache });
      await writeBatch(db.sql, `undone-${id}`, numbered(2));
      await assert.rejects(
        db.sql.begin(async (sql) => {
          await it.fetch(sql, id);
          throw new Error("rolled back");
        }),
        /rolled back/,
      );
      assert.deepEqual(await snapshotsOf(`undone:snapshot-${id}`), []);
      for (let more = 0; more < 3; more++) {
        await writeBatch(db.sql, `undone-${id}`, numbered(2));
        await it.fetch(db.sql, id);
      }
      const versions = await snapshotsOf(`undone:snapshot-${id}`);
      assert.equal(versions.at(-1), 7, `${id}: ${versions}`);
    }
  });

  test("of messages that are rolled back with it tells nobody of them", async () => {
    const it = entity({ ...counter, category: "ghost", snapshot: { every: 1 } });
    await write(db.sql, "ghost-1", { type: "Counted" });
    await db.sql.begin(async (sql) => {
      await sql.savepoint(async (inner) => {
        await writeBatch(inner, "ghost-1", numbered(2));
        assert.equal((await it.fetch(inner, "1")).state, 3);
        throw new Error("rolled back");
      }).catch((error) => assert.match(error.message, /rolled back/));
      assert.deepEqual(await it.fetch(sql, "1"), { state: 1, version: 0 });
    });
    assert.deepEqual(await it.fetch(db.sql, "1"), { state: 1, version: 0 });
  });
});

test("a snapshot whose schema would leave something out, or put something in, is refused", async () => {
  const messages = defineMessages({ Named: z.object({ name: z.string() }) });
  const schemas = [
    z.object({}),
    z.object({ name: z.string(), more: z.number().default(1) }),
  ];
  for (const schema of schemas) {
    const person = entity({
      category: "lossy",
      messages,
      init: () => ({ name: "" }),
      handlers: { Named: (_, { data }) => data },
      snapshot: { every: 1, schema: schema as never },
    });
    const id = crypto.randomUUID();
    const refusal = {
      name: "TypeError",
      message: /its schema (makes something else of|refuses) the state/,
    };
    const named = messages.Named({ name: "Ada" });
    await assert.rejects(person.decide(db.sql, id, () => named), refusal);
    await write(db.sql, `lossy-${id}`, named);
    assert.equal(await streamVersion(db.sql, `lossy-${id}`), 0);
    await assert.rejects(person.fetch(db.sql, id), refusal);
  }
});

test("a snapshot whose schema would change what a Map or a Set holds is refused", async () => {
  const text = z.string();
  const map = z.codec(z.array(z.tuple([text, z.number()])), z.map(text, z.number()), {
    decode: (entries) => new Map(entries),
    encode: (it) => [...it].slice(0, 1),
  });
  const set = z.codec(z.array(text), z.set(text), {
    decode: (members) => new Set(members),
    encode: (it) => [...it].map((member) => member.toLowerCase()),
  });
  const first = new Map([["A", 1], ["B", 2]]);
  for (const [state, schema] of [[first, map], [new Set(["A"]), set]] as const) {
    const id = crypto.randomUUID();
    const kept = entity<unknown>({
      category: "collection",
      init: () => state,
      evolve: (it) => it,
      snapshot: { every: 1, schema: schema as never },
    });
    await write(db.sql, `collection-${id}`, { type: "Any" });
    await assert.rejects(kept.fetch(db.sql, id), {
      name: "TypeError",
      message: /its schema (makes something else of|refuses) the state/,
    });
  }
});

test.each([
  ["a bigint", 1n],
  ["a Map", new Map()],
  ["an object without a prototype", Object.create(null)],
  ["a list with members of its own", Object.assign([1], { total: 1 })],
  ["an object that says itself what its JSON is", { toJSON: () => 1 }],
  ["an object with a symbol", { [Symbol("hidden")]: 1 }],
])("a state with %s takes a snapshot schema", (_, it) => {
  const definition = { category: "odd", evolve: <T>(state: T) => state, snapshot: { every: 1 } };
  assert.throws(() => entity({ ...definition, init: () => ({ it }) }), {
    name: "TypeError",
    message: /"it" is .*which JSON does not bring back: give the snapshot a schema that does$/,
  });
});

test("an entity is read in batches of the size that is said", async () => {
  const each = entity({ category: "batched", init: () => 0, evolve: (n) => n + 1, batchSize: 2 });
  await writeBatch(db.sql, "batched-1", [{ type: "A" }, { type: "A" }, { type: "A" }]);
  const sql = counting(db.sql);
  assert.deepEqual(await each.fetch(sql, "1"), { state: 3, version: 2 });
  assert.equal(sql.statements, 2);
});
