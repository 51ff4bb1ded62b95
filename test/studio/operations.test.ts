import { beforeAll, describe, expect, test } from "vitest";
import {
  aggregate,
  type Consumer,
  drain,
  entity,
  fromQuery,
  type Message,
  partitioned,
  readLastMessage,
  readStream,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import * as operate from "../../src/operate/mod.ts";
import { useDatabase } from "../database.ts";
import { testStudio } from "./_ask.ts";

const db = useDatabase();
const [first, second] = [useDatabase(), useDatabase()];

const balance = entity({
  category: "account",
  init: () => ({ balance: 0, seen: new Map<string, bigint>() }),
  evolve: (state, { type, data }: Message) => {
    if (type === "Broken") throw new TypeError("no such amount");
    const { amount } = data as { readonly amount: number };
    // The same object, changed: states before it must stay as they were.
    state.balance += amount;
    state.seen.set(type, 1n);
    return state;
  },
});

/** What the handler of the consumer does, until a test says otherwise. */
let isFailing = true;
const handled: string[] = [];
const letters: Consumer<Sql> = {
  category: "account",
  consumerId: "letters",
  onError: "park",
  handle: ({ id }) => {
    if (isFailing) throw new RangeError("no letter");
    handled.push(id);
  },
};
const consumer = { category: "account", consumerId: "letters" };

const looking = testStudio(db, { entities: [balance], consumers: [letters] });
const changing = testStudio(db, { consumers: [letters], readOnly: false });

/** An answer as it comes over the wire. */
const wired = (answer: unknown) => JSON.parse(JSON.stringify(answer));

beforeAll(async () => {
  for (let number = 0; number < 6; number++) {
    await write(db.sql, `account-${number % 2}`, { type: "Deposited", data: { amount: number } });
  }
  await drain(db.sql, letters);
  await aggregate(db.sql, { name: "ledger", from: ["account"], partition: () => 1 }, {
    once: true,
  });
});

describe("what the studio answers is what operators get:", () => {
  test.each<[string, object, () => Promise<unknown>]>([
    [
      "streams",
      { category: "account", sort: "name", limit: 1 },
      () => operate.streams(db.sql, "account", { sort: "name", limit: 1 }),
    ],
    ["messageTypes", {}, () => operate.messageTypes(db.sql)],
    [
      "messageTypes",
      { category: "ledger" },
      () => operate.messageTypes(db.sql, { category: "ledger" }),
    ],
    [
      "trace",
      { streamName: "account-1" },
      () => operate.trace(db.sql, { streamName: "account-1" }, { limit: 200 }),
    ],
    ["parked", { consumer }, () => operate.parked(db.sql, consumer)],
    [
      "planRewind",
      { consumer, position: "beginning" },
      () => operate.planRewind(db.sql, consumer, "beginning"),
    ],
    [
      "planRewind",
      { consumer, position: "2020-01-01T00:00:00Z" },
      () => operate.planRewind(db.sql, consumer, new Date("2020-01-01")),
    ],
  ])("%s %j", async (operation, given, expected) => {
    const { status, body } = await looking.ask(operation, given);
    expect(status).toBe(200);
    expect(body).toEqual(wired(await expected()));
  });

  test("open", async () => {
    expect((await looking.ask("open")).body).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      readOnly: true,
      may: [],
      entities: ["account"],
      consumers: [consumer],
      schema: "message_store",
      partitions: 1,
      databases: [expect.stringMatching(/^messagedb_test_/)],
    });
  });

  test("open, while the store does not answer", async () => {
    const down = testStudio({ sql: fromQuery(() => Promise.reject(new Error("down"))) });
    expect((await down.ask("open")).body).toMatchObject({ partitions: 1, databases: [] });
  });

  test("pulse", async () => {
    const { messages: [last] } = await operate.findMessages(db.sql, "$all", {
      direction: "backward",
      limit: 1,
    });
    expect((await looking.ask("pulse")).body).toEqual({
      heads: [last!.globalPosition],
      time: last!.time!.toISOString(),
      serverTime: expect.any(String),
      silence: null,
    });
  });

  test("storeStatus, consumers and diagnose", async () => {
    const { body: status } = await looking.ask("storeStatus");
    expect(status).toMatchObject({ stores: [{}], at: expect.any(String) });
    const { body: found } = await looking.ask("consumers");
    expect(found.consumers.map((it: { streamName: string }) => it.streamName).sort())
      .toEqual((await operate.consumers(db.sql)).map((it) => it.streamName).sort());
    expect((await looking.ask("diagnose")).body[0]).toMatchObject({
      name: "server",
      partition: null,
    });
  });

  test("streams, page by page", async () => {
    for (const sort of ["last", "count", "name"]) {
      const given = { category: "account", sort, limit: 1 };
      const { body: one } = await looking.ask("streams", given);
      const { body: two } = await looking.ask("streams", { ...given, after: one.next });
      const names = [one, two].map(({ streams: [{ streamName }] }) => streamName);
      expect(names.sort()).toEqual(["account-0", "account-1"]);
      expect(two.next).toBeNull();
    }
  });

  test("activity, from a whole span on", async () => {
    const since = new Date(Date.now() - 60_000).toISOString();
    const until = new Date(Date.now() + 60_000).toISOString();
    const { body: { buckets } } = await looking.ask("activity", { since, until, buckets: 12 });
    expect(buckets.length).toBeGreaterThanOrEqual(12);
    expect(Date.parse(buckets[0].from)).toBeLessThanOrEqual(Date.parse(since));
    expect(Date.parse(buckets.at(-1).to)).toBeGreaterThanOrEqual(Date.parse(until));
    const { body: { heads: [lastGlobalPosition] } } = await looking.ask("pulse");
    const sum = buckets.reduce((sum: number, { count }: { count: number }) => sum + count, 0);
    expect(sum).toBe(lastGlobalPosition);
  });

  test("findMessages, with what each message is", async () => {
    const { body } = await looking.ask("findMessages", { source: "$all", limit: 500 });
    const kinds = Object.fromEntries(
      body.messages.map((it: { streamName: string; kind: string }) => [it.streamName, it.kind]),
    );
    expect(kinds).toEqual({
      "account-0": "message",
      "account-1": "message",
      "account:position-letters": "position",
      "account:parked-letters": "parked",
      "ledger:aggregate-ledger": "aggregate",
      "ledger-1": "reference",
    });
    const { body: others } = await looking.ask("findMessages", { source: "$all", own: false });
    expect(new Set(others.messages.map((it: { kind: string }) => it.kind)))
      .toEqual(new Set(["message"]));
    expect(others).toMatchObject({ next: null, scanned: body.scanned });
    const [third] = await readStream(db.sql, "account-0", { position: 2 });
    const given = { source: "account", direction: "backward", types: ["Deposited"], text: "4" };
    expect((await looking.ask("findMessages", given)).body.messages).toMatchObject([
      { id: third!.id, data: '{"amount": 4}', time: third!.time.toISOString(), kind: "message" },
    ]);
  });

  test("readMessage, and the message as a file", async () => {
    const { id } = (await readLastMessage(db.sql, "account-1"))!;
    const { body } = await looking.ask("readMessage", { id });
    expect(body).toEqual({ ...wired(await operate.inspectMessage(db.sql, id)), kind: "message" });
    const { body: file } = await looking.send(`/api/messages/${id.toUpperCase()}`);
    expect(file).toEqual({
      id,
      streamName: "account-1",
      type: "Deposited",
      position: 2,
      globalPosition: 6,
      time: body.time,
      data: { amount: 5 },
      metadata: null,
    });
  });

  test("readAggregate, with the references", async () => {
    const { body } = await looking.ask("readAggregate", { name: "ledger", batchSize: 2 });
    expect(body).toMatchObject([
      { streamName: "account-0", data: '{"amount": 0}', reference: { streamName: "ledger-1" } },
      { streamName: "account-1", data: '{"amount": 1}', reference: { streamName: "ledger-1" } },
    ]);
  });

  test("all, over partitions", async () => {
    for (const [number, { sql }] of [first, second].entries()) {
      await install(sql, { partition: { number, of: 2 } });
    }
    const sql = partitioned([first.sql, second.sql]);
    for (const name of ["p0", "p1", "p2", "p3"]) await write(sql, `${name}-1`, { type: "A" });
    const asked = testStudio({ sql });
    const { body: opened } = await asked.ask("open");
    expect(opened).toMatchObject({ partitions: 2, databases: expect.any(Array) });
    expect(new Set(opened.databases).size).toBe(2);
    const { body: pulse } = await asked.ask("pulse");
    expect(pulse.heads).toHaveLength(2);
    expect(pulse.heads[0] + pulse.heads[1]).toBe(4);
    expect((await asked.ask("storeStatus")).body.stores.length).toBe(2);
    expect((await asked.ask("findMessages", { source: "p2" })).body.messages.length).toBe(1);
    const { body: findings } = await asked.ask("diagnose");
    expect(new Set(findings.map((it: { partition: number }) => it.partition)))
      .toEqual(new Set([0, 1]));
    const since = new Date(Date.now() - 60_000).toISOString();
    const until = new Date(Date.now() + 60_000).toISOString();
    const { body } = await asked.ask("activity", { since, until });
    expect(body.buckets.reduce((sum: number, it: { count: number }) => sum + it.count, 0)).toBe(4);
    expect(await asked.ask("findMessages", { source: "$all" }))
      .toMatchObject({
        status: 422,
        body: {
          code: "PARTITION",
          detail: "Cannot do this with all partitions at once: each has an order of its own: " +
            "choose a category, a stream or a consumer",
        },
      });
    expect(await asked.ask("messageTypes")).toMatchObject({ status: 422 });
  });
});

describe("states", () => {
  test("are those of the entity that the studio was given", async () => {
    const { body } = await looking.ask("states", { streamName: "account-1" });
    expect(body).toMatchObject({ by: "entity", first: 0, last: 2, isCut: false, error: null });
    expect(body.states.map((it: { state: string }) => JSON.parse(it.state))).toEqual([
      { balance: 1, seen: { Deposited: "1n" } },
      { balance: 4, seen: { Deposited: "1n" } },
      { balance: 9, seen: { Deposited: "1n" } },
    ]);
  });

  test("end at the message that does not fit", async () => {
    await writeBatch(db.sql, "account-broken", [
      { type: "Deposited", data: { amount: 1 } },
      { type: "Broken" },
      { type: "Deposited", data: { amount: 2 } },
    ]);
    const { body } = await looking.ask("states", { streamName: "account-broken" });
    expect(body).toMatchObject({
      first: 0,
      last: 0,
      error: 'Cannot fold message "Broken" at position 1: TypeError: no such amount',
    });
    expect(body.states.length).toBe(1);
  });

  test("before the message that does not fit are answered, wherever they are asked for", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'account-late', number, case when number = 700 then 'Broken' else 'Deposited' end,
        '{"amount": 1}'
      from generate_series(0, 2999) as number`;
    for (const position of [undefined, 2999, 700]) {
      const { body } = await looking.ask("states", { streamName: "account-late", position });
      expect(body).toMatchObject({
        first: 0,
        last: 699,
        error: 'Cannot fold message "Broken" at position 700: TypeError: no such amount',
      });
      const last = body.states.at(-1);
      expect([last.position, JSON.parse(last.state).balance]).toEqual([699, 700]);
    }
  });

  test("of a stream whose first messages are gone begin at the first that is there", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'pruned-1', number, 'A', jsonb_build_object('number', number)
      from generate_series(20000, 120049) as number`;
    const given = { streamName: "pruned-1" };
    const { body } = await looking.ask("states", given);
    expect(body).toMatchObject({ first: 20_000, last: 119_999, isCut: true, error: null });
    expect(body.states.length).toBe(500);
    const { body: early } = await looking.ask("states", { ...given, position: 20_003 });
    expect(early.states[0]).toMatchObject({ position: 20_000, state: '{"number":20000}' });
  });

  test("have numbers as the store has them", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      values ('exact-1', 0, 'A', '{"id": 12345678901234567890, "of": {"amount": 1.50}}'),
        ('exact-1', 1, 'A', '{"of": {"rate": -0.10}, "text": "1.50"}')`;
    const { body } = await looking.ask("states", { streamName: "exact-1" });
    expect(body.states[1].state)
      .toBe('{"id":12345678901234567890,"of":{"amount":1.50,"rate":-0.10},"text":"1.50"}');
    await aggregate(db.sql, { name: "exactly", from: ["exact"], partition: () => 1 }, {
      once: true,
    });
    const { body: [one] } = await looking.ask("readAggregate", { name: "exactly" });
    expect(one.data).toContain('"id": 12345678901234567890');
  });

  test("are a merge of the data elsewhere", async () => {
    await writeBatch(db.sql, "order-1", [
      { type: "A", data: { a: 1, b: { c: 1, d: 1 } } },
      { type: "B", data: { b: { c: null, e: [1] } } },
      { type: "C" },
      { type: "D", data: JSON.parse('{"__proto__": {"x": 1}, "a": null}') },
      { type: "E", data: [1] },
    ]);
    const { body } = await looking.ask("states", { streamName: "order-1" });
    expect(body).toMatchObject({ by: "merge", first: 0, last: 4, isCut: false, error: null });
    expect(body.states.map((it: { state: string }) => it.state)).toEqual([
      '{"a":1,"b":{"c":1,"d":1}}',
      '{"a":1,"b":{"d":1,"e":[1]}}',
      '{"a":1,"b":{"d":1,"e":[1]}}',
      '{"b":{"d":1,"e":[1]},"__proto__":{"x":1}}',
      "[1]",
    ]);
  });

  test("of a stream that is not there are none", async () => {
    expect((await looking.ask("states", { streamName: "none-1" })).body)
      .toEqual({ by: "merge", states: [], first: null, last: null, isCut: false, error: null });
  });

  test("are at most 500, around a position, of 100,000 messages", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'long-1', number, 'A', jsonb_build_object('number', number)
      from generate_series(0, 100049) as number`;
    for (const [position, from] of [[0, 0], [50_000, 49_750], [200_000, 99_500]]) {
      const { body } = await looking.ask("states", { streamName: "long-1", position });
      expect(body).toMatchObject({ first: 0, last: 99_999, isCut: true });
      expect(body.states.length).toBe(500);
      expect(body.states[0]).toMatchObject({ position: from, state: `{"number":${from}}` });
    }
  });

  test("that are large are cut, and fewer", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'wide-1', number, 'A', jsonb_build_object('text', repeat('x', 100000))
      from generate_series(0, 99) as number`;
    const { text, body } = await looking.ask("states", { streamName: "wide-1", position: 50 });
    expect(text.length).toBeLessThan(5_000_000);
    expect(body.states).toContainEqual(expect.objectContaining({ position: 50, isCut: true }));
    expect(body.states.length).toBeLessThan(100);
  });
});

test("what is parked is looked at to its end, but not if that is a million messages away", async () => {
  const names = { category: "mountain", consumerId: "climber" };
  const put = async (streamName: string, position: number, type: string, data: unknown) => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      values (${streamName}, ${position}, ${type}, ${JSON.stringify(data)}::text::jsonb)`;
  };
  await put("mountain:parked-climber", 999_999, "Noted", {});
  expect(await looking.ask("parked", { consumer: names })).toMatchObject({ status: 200, body: [] });
  await put("mountain:parked-climber", 1_000_000, "Noted", {});
  const id = crypto.randomUUID();
  const reason = "too much";
  for (
    const [operation, given] of [
      ["parked", {}],
      ["discardParked", { ids: [id], reason }],
      ["park", { id, reason }],
      ["skip", { id, reason }],
    ] as const
  ) {
    const refused = await changing.ask(operation, { consumer: names, ...given });
    expect(refused, operation).toMatchObject({ status: 422, body: { code: "TOO_MANY_PARKED" } });
    expect(refused.body.detail).toContain("messagedb parked");
  }
  await put("mountain:position-climber+parked", 0, "Recorded", { position: 1 });
  expect(await looking.ask("parked", { consumer: names })).toMatchObject({ status: 200, body: [] });
});

describe("what changes something does it, and only with readOnly: false:", () => {
  const messagesIn = async (streamName: string) =>
    (await readStream(db.sql, streamName)).map(({ type, data }) => [type, data]);

  /** Asks the studio that only reads, which changes nothing, and then the other. */
  async function change(operation: string, given: object): Promise<unknown> {
    const count = async () => {
      const [row] = await db.sql<[{ count: string }]>`select count(*) from message_store.messages`;
      return row.count;
    };
    const before = await count();
    expect(await looking.ask(operation, given))
      .toMatchObject({ status: 403, body: { code: "READ_ONLY" } });
    expect(await count()).toBe(before);
    const { status, body } = await changing.ask(operation, given);
    expect([status, body.detail]).toEqual([200, undefined]);
    return body;
  }

  const parkedIds = async () =>
    (await operate.parked(db.sql, consumer)).map(({ message }) => message.id);

  test("write", async () => {
    const id = crypto.randomUUID();
    const given = {
      streamName: "written-1",
      id,
      type: "Written",
      data: { a: [1, null] },
      metadata: { by: "me" },
      expectedVersion: -1,
    };
    expect(await change("write", given)).toEqual({ position: 0 });
    expect(await readStream(db.sql, "written-1"))
      .toMatchObject([{ id, type: "Written", data: { a: [1, null] }, metadata: { by: "me" } }]);
    expect(await changing.ask("write", { ...given, id: crypto.randomUUID() }))
      .toMatchObject({ status: 409 });
  });

  test("replayParked, one and all", async () => {
    const ids = await parkedIds();
    expect(ids.length).toBe(6);
    expect(await change("replayParked", { consumer, ids: [ids[2]!] }))
      .toMatchObject({ replayed: 1, parked: 1 });
    expect(handled).toEqual([]);
    isFailing = false;
    expect(await change("replayParked", { consumer, ids: [ids[2]!] })).toMatchObject({
      replayed: 1,
    });
    expect(handled).toEqual([ids[2]]);
    expect(await change("replayParked", { consumer, limit: 2 })).toMatchObject({ replayed: 2 });
    expect(handled.length).toBe(3);
    expect((await parkedIds()).length).toBe(3);
    const other = { category: "account", consumerId: "other" };
    expect(await changing.ask("replayParked", { consumer: other }))
      .toMatchObject({ status: 422, body: { code: "NO_HANDLERS" } });
  });

  test("discardParked", async () => {
    const [one, ...rest] = await parkedIds();
    expect(await change("discardParked", { consumer, ids: [one], reason: "it is old" }))
      .toEqual({ discarded: 1 });
    expect(await parkedIds()).toEqual(rest);
    expect((await messagesIn("account:parked-letters")).at(-1))
      .toEqual(["Discarded", { position: expect.any(Number), reason: "it is old" }]);
  });

  test("rewind", async () => {
    expect(await change("rewind", { consumer, position: "beginning" }))
      .toEqual({ position: expect.any(Number) });
    handled.length = 0;
    await drain(db.sql, letters);
    expect(handled.length).toBeGreaterThanOrEqual(6);
  });

  test("skip and park", async () => {
    await writeBatch(db.sql, "queue-1", [{ type: "A" }, { type: "B" }, { type: "C" }]);
    const queue = { category: "queue", consumerId: "it" };
    const next = async () => (await changing.ask("nextMessage", { consumer: queue })).body;
    const one = await next();
    expect(one).toMatchObject({ type: "A", kind: "message" });
    expect(await change("skip", { consumer: queue, id: one.id, reason: "known" })).toEqual({});
    const two = await next();
    expect(two).toMatchObject({ type: "B" });
    expect(await change("park", { consumer: queue, id: two.id, reason: "later" })).toEqual({});
    expect(await next()).toMatchObject({ type: "C" });
    expect((await operate.parked(db.sql, queue)).map(({ message }) => message.type)).toEqual(["B"]);
  });
});
