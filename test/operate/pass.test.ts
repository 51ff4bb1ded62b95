import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  aggregate,
  type Consumer,
  type ConsumerIdentity,
  drain,
  HandlerFailedError,
  idFrom,
  type Message,
  readAll,
  readLastMessage,
  readMessage,
  readStream,
  replayParked,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { discardParked, nextMessage, park, parked, rewind, skip } from "../../src/operate/mod.ts";
import { whileLocked } from "../_locks.ts";
import { writeCounted } from "../consume/_consuming.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const reason = 'it\'s "known" ☃';

/** Handles until it fails, or has caught up: what was handled, and the message that failed. */
async function run(
  consumer: Partial<Consumer> & ConsumerIdentity,
  ...failing: readonly unknown[]
): Promise<{ handled: unknown[]; failed: Message | undefined }> {
  const handled: unknown[] = [];
  const handle = ({ data }: Message) => {
    if (failing.includes(data)) throw new Error(`failed on ${data}`);
    handled.push(data);
  };
  const whole = consumer.handlers === undefined ? { ...consumer, handle } : consumer;
  try {
    await drain(db.sql, whole as Consumer<typeof db.sql>);
    return { handled, failed: undefined };
  } catch (error) {
    assert.ok(error instanceof HandlerFailedError, String(error));
    return { handled, failed: error.failedMessage };
  }
}

/** A consumer that hangs on the third of five messages. */
async function hanging(category: string) {
  await writeCounted(db.sql, category, 5);
  const consumer = { category, consumerId: "it" };
  const { failed } = await run(consumer, 2);
  return { consumer, id: failed!.id, failed: failed! };
}

async function count(): Promise<number> {
  return (await readAll(db.sql, { batchSize: 1_000_000 })).length;
}

describe("park()", () => {
  test("has the consumer go on, and replayParked handle the message", async () => {
    const { consumer, id, failed } = await hanging("park");
    assert.deepEqual(await park(db.sql, consumer, id.toUpperCase(), { reason }), undefined);
    assert.deepEqual((await run(consumer, 2)).handled, [3, 4]);
    const [it, ...others] = await parked(db.sql, consumer);
    const { type, streamName, position, globalPosition } = failed;
    assert.deepEqual(others, []);
    assert.deepEqual(it, {
      message: { id, type, streamName, position, globalPosition },
      error: null,
      attempts: 0,
      reason,
      position: 0,
      time: (await readStream(db.sql, "park:parked-it"))[0]!.time,
    });
    const seen: unknown[] = [];
    const handle = (message: Message) => void seen.push(message);
    await replayParked(db.sql, { ...consumer, handle });
    assert.deepEqual(seen, [failed]);
    assert.deepEqual(await parked(db.sql, consumer), []);
  });

  test("keeps who holds the position, and adds that it was set", async () => {
    const { consumer, id } = await hanging("parkclaim");
    const name = "parkclaim:position-it";
    const last = await readLastMessage<{ position: number }>(db.sql, name);
    const claim = { owner: "somebody", leaseDuration: 60_000, answers: true };
    await write(db.sql, name, { type: "Recorded", data: last!.data, metadata: claim });
    await park(db.sql, consumer, id, { reason });
    const { data, metadata } = (await readLastMessage(db.sql, name))!;
    const place = (await readMessage(db.sql, id))!.globalPosition;
    assert.deepEqual([data, metadata], [{ position: place }, { ...claim, reset: true }]);
  });

  test("writes nothing when it is repeated", async () => {
    const { consumer, id } = await hanging("parkagain");
    await park(db.sql, consumer, id, { reason });
    const before = await count();
    await park(db.sql, consumer, id, { reason: "another" });
    assert.equal(await count(), before);
    await run(consumer);
    await park(db.sql, consumer, id, { reason });
    assert.equal((await parked(db.sql, consumer)).length, 1);
    assert.equal((await parked(db.sql, consumer))[0]!.reason, reason);
  });

  test("parks a message again that was replayed before the consumer was rewound", async () => {
    const { consumer, id } = await hanging("parktwice");
    for (let times = 1; times < 4; times++) {
      await park(db.sql, consumer, id, { reason });
      assert.deepEqual((await parked(db.sql, consumer)).map(({ position }) => position), [
        times - 1,
      ]);
      await replayParked(db.sql, { ...consumer, handle: () => {} });
      await rewind(db.sql, consumer, "beginning");
      assert.deepEqual((await run(consumer, 2)).handled, [0, 1]);
    }
  });

  test("parks once what the consumer parks at the same time", async () => {
    const { consumer, id, failed } = await hanging("parkboth");
    const { type, streamName, position, globalPosition } = failed;
    const message = { id, type, streamName, position, globalPosition };
    const name = "parkboth:parked-it";
    // As a consumer does that has not stored its position yet.
    const start = (sql: Sql) => park(sql, consumer, id, { reason });
    await whileLocked(db, name, 1, start, async (sql) => {
      await write(sql, name, {
        id: await idFrom(`${name} ${id} ${globalPosition}`),
        type: "Parked",
        data: { message, error: null, attempts: 1 },
      });
    });
    assert.equal((await readStream(db.sql, name)).length, 1);
    assert.deepEqual((await run(consumer, 2)).handled, [3, 4]);
  });

  test("looks again when a running consumer stores its position", async () => {
    const { consumer, id } = await hanging("parkrace");
    const name = "parkrace:position-it";
    const { data, position } = (await readLastMessage(db.sql, name))!;
    const start = (sql: Sql) => park(sql, consumer, id, { reason });
    await whileLocked(db, name, 1, start, async (sql) => {
      const metadata = { owner: "renewed", leaseDuration: 30_000 };
      const renewed = { type: "Recorded", data: data as object, metadata };
      await write(sql, name, renewed, { expectedVersion: position });
    });
    const { data: recorded, metadata } = (await readLastMessage(db.sql, name))!;
    assert.equal(metadata!["owner"], "renewed");
    await write(db.sql, name, { type: "Recorded", data: recorded as object });
    assert.deepEqual((await run(consumer, 2)).handled, [3, 4]);
    assert.equal((await parked(db.sql, consumer)).length, 1);
  });

  test("does not park what the consumer handles at the same time", async () => {
    const { consumer, id, failed } = await hanging("parklate");
    const name = "parklate:position-it";
    const { position } = (await readLastMessage(db.sql, name))!;
    const start = (sql: Sql) => park(sql, consumer, id, { reason });
    const late = whileLocked(db, name, 1, start, async (sql) => {
      const recorded = { type: "Recorded", data: { position: failed.globalPosition } };
      await write(sql, name, recorded, { expectedVersion: position });
    });
    await assert.rejects(late, /and has passed the message, which is at/);
    assert.deepEqual(await parked(db.sql, consumer), []);
  });

  test("tells of a conflict that has ended the caller's transaction", async () => {
    const { consumer, id } = await hanging("parktx");
    const name = "parktx:position-it";
    const { data, position } = (await readLastMessage(db.sql, name))!;
    const parking = whileLocked(
      db,
      name,
      1,
      (sql) => sql.begin((sql) => park(sql, consumer, id, { reason })),
      async (sql) => {
        const recorded = { type: "Recorded", data: data as object };
        await write(sql, name, recorded, { expectedVersion: position });
      },
    );
    await assert.rejects(parking, { name: "WrongExpectedVersionError" });
    await db.sql.begin((sql) => park(sql, consumer, id, { reason }));
    assert.equal((await parked(db.sql, consumer)).length, 1);
  });

  test("finds the member of a group that reads the message", async () => {
    await writeCounted(db.sql, "parkgroup", 40, { streams: 20 });
    for (const size of [1, 2, 3]) {
      const consumer = { category: "parkgroup", consumerId: `it${size}`, consumerGroup: { size } };
      const handled = new Set<unknown>();
      const failing = new Map<string, unknown>();
      for (;;) {
        const ran = await run(consumer, 3, 8, 21);
        ran.handled.forEach((it) => handled.add(it));
        if (ran.failed === undefined) break;
        failing.set(ran.failed.id, ran.failed.data);
        await park(db.sql, consumer, ran.failed.id, { reason });
      }
      assert.equal(handled.size, 37, `size ${size}`);
      assert.deepEqual([...failing.values()].map(Number).toSorted((a, b) => a - b), [3, 8, 21]);
      assert.deepEqual((await parked(db.sql, consumer)).map(({ message }) => message.id), [
        ...failing.keys(),
      ]);
    }
  });

  test("parks the messages of an aggregate, of a member too, and of $all", async () => {
    await writeCounted(db.sql, "origin", 12, { streams: 6 });
    await aggregate(db.sql, {
      name: "ledger",
      from: ["origin"],
      partition: ({ streamName }) => streamName.endsWith("3") ? "three" : Number(streamName.at(-1)),
    }, { once: true });
    for (const consumerGroup of [undefined, { size: 2 }, { size: 3 }]) {
      const consumerId = `it${consumerGroup?.size}`;
      const consumer = { aggregate: "ledger", consumerId, consumerGroup };
      const handled = new Set<unknown>();
      for (;;) {
        const ran = await run(consumer, 3, 4);
        ran.handled.forEach((it) => handled.add(it));
        if (ran.failed === undefined) break;
        await park(db.sql, consumer, ran.failed.id, { reason });
      }
      assert.equal(handled.size, 10, consumerId);
      const seen: unknown[] = [];
      const handle = ({ data }: Message) => void seen.push(data);
      await replayParked(db.sql, { ...consumer, handle } as Consumer);
      assert.deepEqual(seen.toSorted(), [3, 4]);
    }
    const all = { category: "$all", consumerId: "it" };
    await writeCounted(db.sql, "inall", 3);
    const { failed } = await run(all, 11);
    await park(db.sql, all, failed!.id, { reason });
    assert.equal((await run(all, "none")).failed, undefined);
    assert.equal((await parked(db.sql, all)).length, 1);
  });

  test.each([
    ["recorded with its position", undefined],
    ["given", ["Read", "Unknown"]],
  ])("passes the messages that the consumer's types leave out: %s", async (_, types) => {
    const category = types === undefined ? "recordedtypes" : "giventypes";
    const names = ["Other", "Read", "Other", "Other", "Read", "Read"];
    await writeBatch(db.sql, `${category}-1`, names.map((type, data) => ({ type, data })));
    const consumer = { category, consumerId: "it" };
    const handled: unknown[] = [];
    const Read = ({ data }: Message) => {
      if (data !== 5) throw new Error("failed");
      handled.push(data);
    };
    for (let hanging = 0; hanging < 2; hanging++) {
      const { failed } = await run({ ...consumer, handlers: { Read } });
      if (types !== undefined) {
        // As a consumer that has recorded no types.
        const data = { position: failed!.globalPosition - 2 };
        await write(db.sql, `${category}:position-it`, { type: "Recorded", data });
      }
      await park(db.sql, consumer, failed!.id, { reason, types });
    }
    await run({ ...consumer, handlers: { Read } });
    assert.deepEqual(handled, [5]);
  });

  test("takes any name", async () => {
    for (const category of ["a'b", 'a"b', "a\\b", "a%b", "ä ☃", "a:command", "a:b+c"]) {
      for (const consumerId of ["o'it", 'i"t', "i\\t", "%", "-", "☃-1"]) {
        // Where the consumer hangs on its first message, it may have recorded nothing.
        await writeBatch(db.sql, `${category}-1`, [{ type: "it's", data: 1 }, { type: "☃" }]);
        const consumer = { category, consumerId };
        const { failed } = await run(consumer, 1);
        await park(db.sql, consumer, failed!.id, { reason });
        assert.deepEqual((await run(consumer, -1)).failed, undefined);
        assert.equal(await discardParked(db.sql, consumer, [failed!.id], { reason }), 1);
        await rewind(db.sql, consumer, "end");
      }
    }
  });
});

describe("skip()", () => {
  test("has the consumer go on, and keeps the reason", async () => {
    const { consumer, id } = await hanging("skip");
    assert.deepEqual(await skip(db.sql, consumer, id, { reason }), undefined);
    assert.deepEqual((await run(consumer, 2)).handled, [3, 4]);
    assert.deepEqual(await parked(db.sql, consumer), []);
    const [told, discarded] = await readStream(db.sql, "skip:parked-it");
    assert.deepEqual([told!.type, (told!.data as { reason: string }).reason], ["Parked", reason]);
    assert.deepEqual([discarded!.type, discarded!.data], ["Discarded", { position: 0, reason }]);
  });

  test("writes nothing when it is repeated", async () => {
    const { consumer, id } = await hanging("skipagain");
    await skip(db.sql, consumer, id, { reason });
    await run(consumer);
    const before = await count();
    await skip(db.sql, consumer, id, { reason });
    assert.equal(await count(), before);
  });

  test("discards a message that the consumer has parked without storing its position", async () => {
    const { consumer, id, failed } = await hanging("skipparked");
    const { type, streamName, position, globalPosition } = failed;
    const message = { id, type, streamName, position, globalPosition };
    const name = "skipparked:parked-it";
    await write(db.sql, name, { type: "Parked", data: { message, error: null, attempts: 1 } });
    await skip(db.sql, consumer, id, { reason });
    assert.deepEqual(
      (await readStream(db.sql, name)).map(({ type, data }) => [type, Object.keys(data as object)]),
      [["Parked", ["error", "message", "attempts"]], ["Discarded", ["reason", "position"]]],
    );
  });

  test("looks again when something else is parked", async () => {
    const { consumer, id } = await hanging("skiprace");
    const name = "skiprace:parked-it";
    const start = (sql: Sql) => skip(sql, consumer, id, { reason });
    await whileLocked(db, name, 1, start, async (sql) => {
      await write(sql, name, { type: "Parked", data: { street: "Main" } });
    });
    assert.deepEqual((await readLastMessage(db.sql, name))!.data, { position: 1, reason });
    assert.deepEqual(await parked(db.sql, consumer), []);
  });

  test("is one with the position: both, or neither", async () => {
    const { consumer, id } = await hanging("skipundone");
    const before = await count();
    await assert.rejects(
      db.sql.begin(async (sql) => {
        await skip(sql, consumer, id, { reason });
        throw new Error("undone");
      }),
      /undone/,
    );
    assert.equal(await count(), before);
    assert.equal((await run(consumer, 2)).failed!.id, id);
  });
});

describe("park() and skip() refuse", () => {
  const what = (verb: string, id: string, category: string) =>
    `Cannot ${verb} message "${id}" for consumer "it" of category "${category}": `;

  test("a message that is not the next one, and say where the consumer is", async () => {
    const { consumer, failed } = await hanging("notnext");
    const [first, , third, fourth] = await readStream(db.sql, "notnext-0");
    const at = third!.globalPosition - 1;
    const before = await count();
    await assert.rejects(park(db.sql, consumer, fourth!.id, { reason }), {
      name: "Error",
      message: what("park", fourth!.id, "notnext") +
        `the consumer is at position ${at} and meets message "${failed.id}" of type "Counted" ` +
        `at ${third!.globalPosition} first: park or skip that one, or give the types that the ` +
        "consumer handles if that type is none of them",
    });
    await assert.rejects(skip(db.sql, consumer, first!.id, { reason }), {
      message: what("skip", first!.id, "notnext") +
        `the consumer is at position ${at} and has passed the message, which is at ${
          first!.globalPosition
        }`,
    });
    assert.equal(await count(), before);
    await park(db.sql, consumer, third!.id, { reason });
    await assert.rejects(skip(db.sql, consumer, third!.id, { reason }), {
      message: what("skip", third!.id, "notnext") +
        "it is parked, and discardParked discards it",
    });
    await replayParked(db.sql, { ...consumer, handle: () => {} });
    await assert.rejects(park(db.sql, consumer, third!.id, { reason }), /has passed the message/);
  });

  test("a message that the consumer does not read", async () => {
    const { consumer, id } = await hanging("notread");
    const none = crypto.randomUUID();
    await assert.rejects(park(db.sql, consumer, none, { reason }), {
      message: what("park", none, "notread") + "the store has no such message",
    });
    await assert.rejects(park(db.sql, { ...consumer, category: "another" }, id, { reason }), {
      message: what("park", id, "another") + 'the consumer does not read stream "notread-0"',
    });
    await assert.rejects(
      park(db.sql, { aggregate: "ledger", consumerId: "it" }, id, { reason }),
      {
        message: `Cannot park message "${id}" for consumer "it" of aggregate "ledger": ` +
          'the consumer does not read stream "notread-0"',
      },
    );
    const own = (await readStream(db.sql, "notread:position-it"))[0]!;
    const all = { category: "$all", consumerId: "notread" };
    await write(db.sql, "$all:position-notread", {
      type: "Recorded",
      data: { position: own.globalPosition - 1 },
    });
    await assert.rejects(skip(db.sql, all, own.id, { reason }), {
      message: `Cannot skip message "${own.id}" for consumer "notread" of "$all": ` +
        "it is none that the consumer handles",
    });
  });

  test("a consumer or member that has no position, and the wrong member", async () => {
    const { consumer, id } = await hanging("noposition");
    const why = "the store has no position of it: check its names; " +
      "a consumer that has never run starts at its startAt";
    const [first] = await readStream(db.sql, "noposition-0");
    await assert.rejects(
      park(db.sql, { ...consumer, consumerId: "that" }, id, { reason }),
      new RegExp(`the consumer is at position 0 and meets message "${first!.id}" of type`),
    );
    const sized = (member?: number) => ({ ...consumer, consumerGroup: { size: 2, member } });
    await assert.rejects(park(db.sql, sized(), id, { reason }), {
      message: what("park", id, "noposition") + why,
    });
    const wrong = [0, 1].map((member) => park(db.sql, sized(member), id, { reason }));
    const reasons = (await Promise.allSettled(wrong)).map((it) =>
      it.status === "rejected" ? it.reason.message : ""
    );
    const member = reasons.findIndex((it) => it.endsWith(why));
    assert.equal(
      reasons[1 - member],
      what("park", id, "noposition") +
        `member ${member} reads stream "noposition-0", and not member ${1 - member}`,
    );
    await run({ ...consumer, consumerId: "grouped", consumerGroup: { size: 2 } });
    await assert.rejects(
      park(db.sql, { ...consumer, consumerId: "grouped" }, id, { reason }),
      /: the consumer has run in a group: give the size of its consumerGroup$/,
    );
    await db.sql`
      insert into message_store.messages (stream_name, position, type)
      values ('noposition', 0, 'Written')`;
    const [bare] = await db.sql`
      select id from message_store.messages where stream_name = 'noposition'`;
    await assert.rejects(park(db.sql, sized(), bare!["id"], { reason }), {
      message: what("park", bare!["id"], "noposition") + 'no member reads stream "noposition"',
    });
  });

  test("arguments of the wrong type, before anything is sent", async () => {
    const sql: Sql = () => assert.fail("sent");
    const consumer = { category: "account", consumerId: "it" };
    const id = crypto.randomUUID();
    for (const operation of [park, skip]) {
      const fails = (args: unknown[], message: string) =>
        assert.rejects(
          (operation as (...args: unknown[]) => Promise<void>)(sql, ...args),
          { name: "TypeError", message },
        );
      await fails(
        [consumer, "1", { reason }],
        'Cannot use "1" as "id": it must be a UUID',
      );
      await fails([consumer, id], 'Cannot use undefined as "options": it must be an object');
      const text = "it must be text that is not empty and holds no NUL and no lone surrogate";
      await fails([consumer, id, {}], `Cannot use undefined as "reason": ${text}`);
      await fails([consumer, id, { reason: "" }], `Cannot use "" as "reason": ${text}`);
      await fails(
        [consumer, id, { reason, types: [] }],
        'Cannot use [] as "types": it must be an array of at least one message type',
      );
    }
    const { consumer: known, id: knownId } = await hanging("wrongtypes");
    await assert.rejects(park(db.sql, known, knownId, { reason, types: ["A"] }), {
      name: "TypeError",
      message: 'Cannot use an array as "types": it must be with "Counted", the type of the message',
    });
  });
});

describe("parked()", () => {
  test("reads page by page what is open", async () => {
    const category = "pages";
    await writeCounted(db.sql, category, 10, { streams: 3 });
    const consumer = { category, consumerId: "it" };
    await drain(db.sql, { ...consumer, handle: () => "park" as const });
    await replayParked(db.sql, { ...consumer, handle: () => {} }, { limit: 2 });
    const all = await parked(db.sql, consumer);
    assert.deepEqual(all.map(({ position }) => position), [2, 3, 4, 5, 6, 7, 8, 9]);
    await discardParked(db.sql, consumer, [all[1]!.message.id], { reason });
    // As replayParked does with a message out of turn.
    await write(db.sql, "pages:parked-it", { type: "Replayed", data: { position: 5 } });
    const paged: number[] = [];
    for (let position = 0;;) {
      const page = await parked(db.sql, consumer, { position, batchSize: 2 });
      paged.push(...page.map(({ position }) => position));
      if (page.length === 0) break;
      position = page.at(-1)!.position + 1;
    }
    assert.deepEqual(paged, [2, 4, 6, 7, 8, 9]);
    assert.deepEqual(
      await parked(db.sql, { ...consumer, consumerGroup: { size: 3, member: 1 } }),
      await parked(db.sql, consumer),
    );
    assert.deepEqual(await parked(db.sql, { ...consumer, consumerId: "none" }), []);
  });

  test("has the error, the attempts and the reference", async () => {
    await writeCounted(db.sql, "parkedorigin", 1);
    await aggregate(db.sql, { name: "parkedledger", from: ["parkedorigin"], partition: () => 0 }, {
      once: true,
    });
    const consumer = { aggregate: "parkedledger", consumerId: "it" };
    await drain(db.sql, {
      ...consumer,
      handle: () => Promise.reject(new RangeError("it's too far")),
      onError: { retry: 1, delay: 0, then: "park" },
    });
    const [it] = await parked(db.sql, consumer);
    assert.deepEqual(it!.error, { name: "RangeError", message: "it's too far" });
    assert.equal(it!.attempts, 2);
    const [reference] = await readStream(db.sql, "parkedledger-0");
    assert.equal(it!.reference!.globalPosition, reference!.globalPosition);
  });

  test("leaves out what an application has written to such a stream", async () => {
    const name = "vehicle:parked-17";
    await writeBatch(db.sql, name, [
      { type: "Parked", data: { street: "Main" } },
      { type: "Parked" },
      { type: "Discarded", data: { position: { lat: 1 } } },
      { type: "Discarded", data: { position: "0" } },
    ]);
    const consumer = { category: "vehicle", consumerId: "17" };
    await write(db.sql, "vehicle:position-17+parked", { type: "Recorded", data: { lat: 1 } });
    assert.deepEqual(await parked(db.sql, consumer), []);
    await write(db.sql, "vehicle-1", { type: "Moved" });
    await drain(db.sql, { ...consumer, handle: () => "park" as const });
    assert.deepEqual((await parked(db.sql, consumer)).map(({ position }) => position), [4]);
  });

  test("refuses options out of range", async () => {
    const consumer = { category: "account", consumerId: "it" };
    const sql: Sql = () => assert.fail("sent");
    for (const options of [{ position: -1 }, { batchSize: 0 }]) {
      await assert.rejects(parked(sql, consumer, options), RangeError);
    }
    await assert.rejects(parked(sql, consumer, null as never), TypeError);
  });
});

describe("discardParked()", () => {
  async function withParked(category: string) {
    await writeCounted(db.sql, category, 4);
    const consumer = { category, consumerId: "it" };
    await drain(db.sql, { ...consumer, handle: () => "park" as const });
    const ids = (await readStream(db.sql, `${category}-0`)).map(({ id }) => id);
    return { consumer, ids };
  }

  test("takes messages out of what is parked, and keeps the reason", async () => {
    const { consumer, ids } = await withParked("discard");
    const some = [ids[2]!, ids[0]!.toUpperCase()];
    assert.equal(await discardParked(db.sql, consumer, some, { reason }), 2);
    assert.deepEqual((await parked(db.sql, consumer)).map(({ message }) => message.id), [
      ids[1],
      ids[3],
    ]);
    const told = (await readStream(db.sql, "discard:parked-it")).slice(4);
    assert.deepEqual(told.map(({ type, data }) => [type, data]), [
      ["Discarded", { position: 0, reason }],
      ["Discarded", { position: 2, reason }],
    ]);
    assert.equal(await discardParked(db.sql, consumer, ids, { reason }), 2);
    assert.equal(await discardParked(db.sql, consumer, ids, { reason }), 0);
    assert.equal(await discardParked(db.sql, consumer, [], { reason }), 0);
  });

  test("discards all or none", async () => {
    const { consumer, ids } = await withParked("discardnone");
    const none = crypto.randomUUID();
    await assert.rejects(discardParked(db.sql, consumer, [ids[0]!, none], { reason }), {
      name: "Error",
      message: `Cannot discard message "${none}" of consumer "it" of category "discardnone": ` +
        "it is not parked",
    });
    assert.equal((await parked(db.sql, consumer)).length, 4);
    await replayParked(db.sql, { ...consumer, handle: () => {} }, { limit: 1 });
    await assert.rejects(discardParked(db.sql, consumer, ids, { reason }), {
      message: `Cannot discard message "${ids[0]}" of consumer "it" of category "discardnone": ` +
        "it is replayed already",
    });
  });

  test("does not discard what is replayed meanwhile", async () => {
    const { consumer, ids } = await withParked("discardrace");
    const start = (sql: Sql) => discardParked(sql, consumer, [ids[0]!], { reason });
    const name = "discardrace:position-it+parked";
    const late = whileLocked(db, name, 1, start, async (sql) => {
      await write(sql, name, { type: "Recorded", data: { position: 1 } });
    });
    await assert.rejects(late, /it is replayed already/);
  });

  test("refuses arguments of the wrong type, before anything is sent", async () => {
    const consumer = { category: "account", consumerId: "it" };
    const sql: Sql = () => assert.fail("sent");
    const fails = (args: unknown[], message: RegExp) =>
      assert.rejects(
        (discardParked as (...args: unknown[]) => Promise<unknown>)(sql, consumer, ...args),
        { name: "TypeError", message },
      );
    await fails(["all", { reason }], /^Cannot use "all" as "messageIds": it must be an array$/);
    await fails([["1"], { reason }], /^Cannot use "1" as "id": it must be a UUID$/);
    await fails([[]], /"options"/);
    await fails([[], {}], /"reason"/);
  });
});

describe("nextMessage()", () => {
  test("is the message on which a consumer hangs", async () => {
    const { consumer, failed } = await hanging("next");
    assert.deepEqual(await nextMessage(db.sql, consumer), failed);
    await park(db.sql, consumer, failed.id, { reason });
    assert.equal((await nextMessage(db.sql, consumer))!.data, 3);
    await run(consumer);
    assert.equal(await nextMessage(db.sql, consumer), null);
  });

  test("is the first message for a consumer that has never run", async () => {
    await writeCounted(db.sql, "nextfirst", 2);
    const next = await nextMessage(db.sql, { category: "nextfirst", consumerId: "new" });
    assert.equal(next!.data, 0);
  });

  test("is of the types that the consumer recorded, or of those that are given", async () => {
    const consumer = { category: "nexttypes", consumerId: "it" };
    await write(db.sql, "nexttypes-1", { type: "B" });
    await run({ ...consumer, handlers: { B: () => {} } });
    await writeBatch(db.sql, "nexttypes-1", ["A", "B", "C"].map((type) => ({ type })));
    assert.equal((await nextMessage(db.sql, consumer))!.type, "B");
    assert.equal((await nextMessage(db.sql, consumer, { types: ["C"] }))!.type, "C");
  });

  test("is found after many of other types, in few statements, unless a limit or a signal ends it", async () => {
    const consumer = { category: "nextrare", consumerId: "it" };
    await db.sql`
      insert into message_store.messages (stream_name, position, type)
      select 'nextrare-1', number, case when number = 5999 then 'Rare' else 'A' end
      from generate_series(0, 5999) as number`;
    let statements = 0;
    const end = new AbortController();
    const counting = (endAt: number): Sql => (strings, ...parameters) => {
      if (++statements === endAt) end.abort(new Error("closed"));
      return db.sql(strings, ...parameters);
    };
    const types = ["Rare"];
    assert.equal((await nextMessage(counting(-1), consumer, { types }))!.type, "Rare");
    assert(statements < 12, `${statements} statements`);
    assert.equal((await nextMessage(db.sql, consumer, { types, scanLimit: 6000 }))!.type, "Rare");
    await assert.rejects(nextMessage(db.sql, consumer, { types, scanLimit: 5999 }), {
      name: "RangeError",
      message:
        'Cannot read the next message of consumer "it" of category "nextrare": none of the ' +
        "5999 messages after position 0 is one that it handles",
    });
    statements = 0;
    await assert.rejects(
      nextMessage(counting(4), consumer, { types, signal: end.signal }),
      /^Error: closed$/,
    );
    await nextMessage(db.sql, consumer);
    assert.equal(statements, 4);
  });

  test("is the member's own", async () => {
    await writeCounted(db.sql, "nextgroup", 10, { streams: 5 });
    const group = { category: "nextgroup", consumerId: "it" };
    const members = [0, 1].map((member) => ({ ...group, consumerGroup: { member, size: 2 } }));
    const failed = await Promise.all(members.map(async (member) => {
      const handle = () => Promise.reject(new Error("failed"));
      return (await drain(db.sql, { ...member, handle }).catch((error) => error)).failedMessage;
    }));
    assert.deepEqual(
      await Promise.all(members.map((member) => nextMessage(db.sql, member))),
      failed,
    );
    assert.notEqual(failed[0].id, failed[1].id);
  });

  test("of a group that has never run is an error, and nothing is written", async () => {
    const before = await count();
    const group = { category: "nextgroup", consumerId: "none" };
    const member = { ...group, consumerGroup: { member: 0, size: 2 } };
    await assert.rejects(nextMessage(db.sql, member), /the store has no position of it/);
    await assert.rejects(
      nextMessage(db.sql, { ...group, consumerGroup: { size: 2 } }),
      TypeError,
    );
    assert.equal(await count(), before);
  });

  test("leaves out bookkeeping among all messages", async () => {
    const consumer = { category: "$all", consumerId: "next" };
    await run(consumer);
    await run({ category: "next", consumerId: "other" });
    await write(db.sql, "nextall-1", { type: "A" });
    assert.equal((await nextMessage(db.sql, consumer))!.streamName, "nextall-1");
  });
});
