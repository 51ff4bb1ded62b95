import {
  type Consumer,
  drain,
  fromQuery,
  partitioned,
  readStream,
  type Sql,
  streamVersion,
  write,
  writeBatch,
} from "@messagedb/client";
import { install } from "@messagedb/client/install";
import { studio } from "@messagedb/client/studio";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { asking, requestOf } from "./_ask.ts";
import { balances, fillStore, HOSTILE_TEXTS, letters, theAccount } from "./_store.ts";

const db = useDatabase();
let ask: ReturnType<typeof asking>;

beforeAll(async () => {
  await fillStore(db.sql);
  ask = asking(db.sql, {
    readOnly: false,
    entities: [theAccount],
    consumers: [letters, balances] as Consumer[],
  });
});

const answered = async (operation: string, given?: unknown) => {
  const { status, json } = await ask(operation, given);
  expect([status, json]).toEqual([200, json]);
  return json;
};

describe("a look", () => {
  test("open, pulse, storeStatus, consumers, diagnose and messageTypes tell of the store", async () => {
    expect(await answered("open")).toMatchObject({
      readOnly: false,
      entities: ["account"],
      consumers: [{ category: "account", consumerId: "letters" }, balancesName],
      schema: "message_store",
      partitions: 1,
    });
    const { lastGlobalPosition } = await answered("pulse");
    const [last] =
      (await answered("findMessages", { source: "$all", direction: "backward" })).messages;
    expect(lastGlobalPosition).toBe(last.globalPosition);
    const { stores } = await answered("storeStatus");
    expect(stores).toMatchObject([{ messages: { lastGlobalPosition } }]);
    const { consumers } = await answered("consumers");
    expect(consumers.map(({ consumerId }: { consumerId: string }) => consumerId))
      .toEqual(["audit", "letters"]);
    expect((await answered("diagnose")).length).toBeGreaterThan(5);
    expect(await answered("messageTypes", { category: "transfer:command" }))
      .toMatchObject([{ type: "Transfer", count: 30 }]);
  });

  const balancesName = { category: "account", consumerId: "balances" };

  test("activity counts all that came", async () => {
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const { buckets } = await answered("activity", { since, until, buckets: 120 });
    const sum = buckets.reduce((total: number, { count }: { count: number }) => total + count, 0);
    expect(sum).toBe((await answered("pulse")).lastGlobalPosition);
    expect(Date.parse(buckets[0].from)).toBeLessThanOrEqual(Date.parse(since));
    expect(Date.parse(buckets.at(-1).to)).toBeGreaterThanOrEqual(Date.parse(until));
  });

  test("streams goes on behind a page as it was answered", async () => {
    for (const sort of ["last", "count", "name"]) {
      const names: string[] = [];
      let after: object | undefined;
      while (true) {
        const page = await answered("streams", { category: "account", sort, limit: 7, after });
        if (page.length === 0) break;
        names.push(...page.map(({ streamName }: { streamName: string }) => streamName));
        after = page.at(-1);
      }
      expect(new Set(names).size).toBe(20);
      expect(names).toHaveLength(20);
    }
  });

  test("trace finds cause and effect", async () => {
    const { messages } = await answered("trace", { streamName: "transfer:command-7" });
    expect(messages.map(({ type, depth }: { type: string; depth: number }) => [type, depth]))
      .toEqual([["Transfer", 0], ["Initiated", 1], ["Withdrawn", 2], ["Deposited", 3], [
        "Completed",
        4,
      ]]);
  });

  test("kinds tell what a message is", async () => {
    const kinds = async (source: string) =>
      (await answered("findMessages", { source, limit: 1 })).messages[0]?.kind;
    expect(await kinds("account")).toBe("message");
    expect(await kinds("transfer:command")).toBe("command");
    expect(await kinds("account:position")).toBe("position");
    expect(await kinds("account:parked")).toBe("parked");
    expect(await kinds("account:snapshot")).toBe("snapshot");
  });
});

describe("states", () => {
  test("of an entity are folded by what the studio was given", async () => {
    const { by, states, first, last, isCut, error } = await answered("states", {
      streamName: "account-101",
    });
    expect([by, first, isCut, error]).toEqual(["entity", 0, false, null]);
    expect(last).toBe(await streamVersion(db.sql, "account-101"));
    expect(states).toHaveLength(last + 1);
    expect(states.slice(0, 2).map(({ state }: { state: string }) => JSON.parse(state)))
      .toEqual([{ balance: 0, holder: "Holder 1" }, { balance: 100, holder: "Holder 1" }]);
  });

  test("of others are merged as JSON merges, and __proto__ is a name like any other", async () => {
    await writeBatch(db.sql, "merge-1", [
      { type: "A", data: JSON.parse('{"a":{"b":1,"c":[1]},"__proto__":{"x":1}}') },
      { type: "B", data: JSON.parse('{"a":{"b":null,"c":[2]},"__proto__":{"y":2}}') },
      { type: "C", data: null },
      { type: "D", data: 7 },
    ]);
    const { by, states } = await answered("states", { streamName: "merge-1" });
    expect(by).toBe("merge");
    expect(states.map(({ state }: { state: string }) => state)).toEqual([
      '{"a":{"b":1,"c":[1]},"__proto__":{"x":1}}',
      '{"a":{"c":[2]},"__proto__":{"x":1,"y":2}}',
      '{"a":{"c":[2]},"__proto__":{"x":1,"y":2}}',
      "7",
    ]);
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test("are those around a position, of the first 10,000 messages", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'long-1', n, 'A', jsonb_build_object('n', n) from generate_series(0, 10001) as n`;
    const around = async (position?: number) => {
      const { states, last, isCut } = await answered("states", { streamName: "long-1", position });
      return [states.length, states[0].position, states.at(-1).position, last, isCut];
    };
    expect(await around()).toEqual([500, 9500, 9999, 9999, true]);
    expect(await around(0)).toEqual([500, 0, 499, 9999, true]);
    expect(await around(5000)).toEqual([500, 4750, 5249, 9999, true]);
    expect(await around(20_000)).toEqual([500, 9500, 9999, 9999, true]);
  });

  test("end where a message does not fit the fold, and states that are no JSON are shown", async () => {
    const strange = asking(db.sql, {
      entities: [{
        category: "strange",
        init: () => new Map<string, unknown>(),
        evolve: (state: Map<string, unknown>, { type }: { type: string }) => {
          if (type === "Bad") throw new Error("no such thing");
          if (type === "Cycle") state.set("self", { state: 1n, again: new Set([state.size]) });
          return state;
        },
      }],
    });
    await writeBatch(db.sql, "strange-1", [{ type: "Cycle" }, { type: "Bad" }, { type: "Cycle" }]);
    const { json } = await strange("states", { streamName: "strange-1" });
    expect(json).toMatchObject({
      states: [{ state: '{"self":{"state":"1n","again":[0]}}' }],
      last: 0,
      error: 'Cannot fold message "Bad" at position 1: Error: no such thing',
    });
  });

  test("of nothing are none", async () => {
    expect(await answered("states", { streamName: "account-none" }))
      .toMatchObject({ states: [], first: null, last: null, isCut: false });
  });
});

describe("hostile messages", () => {
  test.each(HOSTILE_TEXTS.map((text) => [text]))("%j comes as it is", async (text) => {
    const given = { source: `hostile-${text}` };
    const [message] = (await answered("findMessages", given)).messages;
    expect(message).toMatchObject({ streamName: given.source, type: text });
    expect(Object.keys(JSON.parse(message.data)).sort()).toEqual(["__proto__", text].sort());
    expect((await answered("readMessage", { id: message.id })).data).toBe(message.data);
    expect((await answered("states", { streamName: given.source })).states).toHaveLength(1);
    const { messages } = await answered("findMessages", { source: "hostile", types: [text] });
    expect(messages).toHaveLength(1);
  });

  test("10 MB are cut, and come whole as a file with their numbers as they are", async () => {
    const id = crypto.randomUUID();
    await db.sql`
      insert into message_store.messages (id, stream_name, position, type, data) values
      (${id}, 'huge-1', 0, 'Huge', jsonb_build_object('n', 12345678901234567890, 'text', repeat('<b>', 3500000)))`;
    const [message] = (await answered("findMessages", { source: "huge" })).messages;
    expect([message.isCut, message.data.length]).toEqual([true, 2000]);
    expect(message.size).toBeGreaterThan(10_000_000);
    const whole = await answered("readMessage", { id });
    expect([whole.isCut, whole.data.length]).toEqual([true, 1_000_000]);
    const { states } = await answered("states", { streamName: "huge-1" });
    expect([states[0].isCut, states[0].state.length]).toEqual([true, 64_000]);

    const handle = studio(db.sql, { authorize: () => true });
    const url = `http://studio.test/api/messages/${id}`;
    const response = await handle(new Request(url));
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("content-disposition"))
      .toBe(`attachment; filename="message-${id}.json"`);
    const text = await response.text();
    expect(text).toContain('"n": 12345678901234567890');
    expect(JSON.parse(text).data.text).toHaveLength(10_500_000);
    const foreign = new Request(url, { headers: { "sec-fetch-site": "cross-site" } });
    expect((await handle(foreign)).status).toBe(403);
    expect((await handle(new Request("http://studio.test/api/messages/x"))).status).toBe(422);
    const none = `http://studio.test/api/messages/${crypto.randomUUID()}`;
    expect((await handle(new Request(none))).status).toBe(404);
  });

  test("a time that no Date has is null", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, time)
      values ('forever-1', 0, 'A', 'infinity')`;
    expect((await answered("findMessages", { source: "forever" })).messages[0].time).toBeNull();
  });
});

describe("what writes", () => {
  const consumer = { category: "account", consumerId: "letters" };

  test("replays, discards, rewinds, parks, skips and writes", async () => {
    const parked = await answered("parked", { consumer });
    expect(parked.length).toBeGreaterThan(1);
    const [one, two] = parked.map((it: { message: { id: string } }) => it.message.id);
    expect(await answered("replayParked", { consumer, ids: [one] }))
      .toEqual({ replayed: 1, parked: 1, busy: false });
    expect(await answered("discardParked", { consumer, ids: [two], reason: "a test" }))
      .toEqual({ discarded: 1 });
    const plan = await answered("planRewind", { consumer, position: "beginning" });
    expect(plan.members[0].again).toBeGreaterThan(10);
    expect(await answered("rewind", { consumer, position: "beginning" })).toEqual({ position: 1 });
    const first = await answered("nextMessage", { consumer });
    expect(first).toMatchObject({ globalPosition: 1, kind: "message" });
    await answered("park", { consumer, id: first.id, reason: "a test" });
    const second = await answered("nextMessage", { consumer });
    expect(second.globalPosition).toBe(2);
    await answered("skip", { consumer, id: second.id, reason: "a test" });
    expect((await answered("nextMessage", { consumer })).globalPosition).toBe(3);

    const message = { streamName: "written-1", type: "A", data: JSON.parse('{"__proto__":1}') };
    expect(await answered("write", { ...message, expectedVersion: -1 })).toEqual({ position: 0 });
    expect(Object.keys((await readStream(db.sql, "written-1"))[0]!.data as object))
      .toEqual(["__proto__"]);
    const { status, json } = await ask("write", { ...message, expectedVersion: -1 });
    expect([status, json.code]).toEqual([409, "WRONG_EXPECTED_VERSION"]);
  });

  test("says why it cannot", async () => {
    const audit = { category: "account", consumerId: "audit" };
    for (
      const [operation, given, words] of [
        ["replayParked", { consumer: audit }, "was not given its handlers"],
        ["rewind", { consumer: { ...audit, consumerId: "none" }, position: 1 }, "no position"],
        ["skip", { consumer: audit, id: crypto.randomUUID(), reason: "x" }, "no such message"],
        [
          "discardParked",
          { consumer: audit, ids: [crypto.randomUUID()], reason: "x" },
          "not parked",
        ],
        ["discardParked", { consumer: audit, reason: "x" }, '"messageIds"'],
        ["write", { streamName: "account", type: "A" }, '"streamName"'],
        ["write", { streamName: "account-1", type: "A", metadata: [] }, '"metadata"'],
      ] as const
    ) {
      const { status, json } = await ask(operation, given);
      expect([operation, status, json.detail])
        .toEqual([operation, 422, expect.stringContaining(words)]);
    }
  });
});

/** A handle that counts the statements that go through it. */
function counting(): { readonly sql: Sql; count: number } {
  const counted = {
    count: 0,
    sql: fromQuery((text, parameters) => {
      counted.count++;
      return db.sql.unsafe(text, parameters);
    }),
  };
  return counted;
}

test("20 pages that are open cost a statement a second together", async () => {
  const counted = counting();
  const handle = studio(counted.sql, { authorize: () => true });
  const since = new Date().toISOString();
  const until = new Date(Date.now() + 3_600_000).toISOString();
  const looks = () =>
    Array.from({ length: 20 }, () => [
      handle(requestOf("pulse")),
      handle(requestOf("consumers")),
      handle(requestOf("storeStatus")),
      handle(requestOf("activity", { since, until })),
      handle(requestOf("messageTypes")),
    ]).flat();
  const begun = performance.now();
  for (let round = 0; round < 30; round++) {
    for (const { status } of await Promise.all(looks())) expect(status).toBe(200);
    // The pages are open for a while. What is held is a rate: the time that passed is measured.
    await sleep(100);
  }
  const seconds = (performance.now() - begun) / 1000;
  expect(counted.count).toBeGreaterThan(4);
  // Five may come at once after a while without any.
  expect(counted.count).toBeLessThanOrEqual(5 + Math.ceil(seconds));
});

test("a look that was given up is not waited for", async () => {
  let send: () => void = () => {};
  const sent = new Promise<void>((resolve) => send = resolve);
  const silent = fromQuery(() => {
    send();
    return new Promise(() => {});
  });
  const told: unknown[] = [];
  const options = { authorize: () => true, onError: (error: unknown) => void told.push(error) };
  const stop = new AbortController();
  const handle = studio(silent, { ...options, signal: stop.signal });
  const left = new AbortController();
  const asked = [
    handle(requestOf("findMessages", { source: "$all", text: "a" }, { signal: left.signal })),
    handle(requestOf("trace", { streamName: "account-1" })),
    handle(requestOf("states", { streamName: "account-1" })),
  ];
  await sent;
  left.abort();
  expect((await asked[0]!).status).toBe(503);
  stop.abort();
  expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([503, 503, 503]);
  expect(told).toEqual([]);
});

test("a consumer that was rewound by the page goes on from there", async () => {
  const seen: number[] = [];
  const again: Consumer = {
    category: "merge",
    consumerId: "again",
    handle: ({ position }) => void seen.push(position),
  };
  await write(db.sql, "merge-2", { type: "A" });
  await drain(db.sql, again);
  const before = seen.length;
  await answered("rewind", {
    consumer: { category: "merge", consumerId: "again" },
    position: "beginning",
  });
  await drain(db.sql, again);
  expect(seen).toHaveLength(2 * before);
});

test("over partitions, what is in one works, and what is in none is refused", async () => {
  await install(db.sql, { partition: { number: 0, of: 1 } });
  const parts = asking(partitioned([db.sql]));
  expect((await parts("open")).json).toMatchObject({ partitions: 1 });
  expect((await parts("storeStatus")).json.stores).toHaveLength(1);
  expect((await parts("pulse")).json.lastGlobalPosition).toBeGreaterThan(0);
  expect((await parts("findMessages", { source: "account" })).status).toBe(200);
  expect((await parts("states", { streamName: "account-101" })).status).toBe(200);
  const { status, json } = await parts("findMessages", { source: "$all" });
  expect([status, json.code]).toEqual([422, "PARTITION"]);
});
