/** What handlers answer that is neither a verdict nor nothing. */
import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { type Consumer, drain, readStream, replayParked } from "../../mod.ts";
import { useDatabase } from "../database.ts";
import { writeCounted } from "./_consuming.ts";

const db = useDatabase();

/** The ways to give a handler: each gets what the handler is to answer. */
const ways: Record<string, (handler: () => unknown) => object> = {
  "handle": (handle) => ({ handle }),
  "handlers": (handle) => ({ handlers: { Counted: handle } }),
  "handlePage": (handlePage) => ({ handlePage }),
  "handle in a transaction": (handle) => ({ handle, transactional: true, commitInterval: 0 }),
  "handle in a page's transaction": (handle) => ({ handle, transactional: true }),
  "handlePage in a transaction": (handlePage) => ({ handlePage, transactional: true }),
};

let names = 0;
async function newConsumer(options: object): Promise<Consumer<typeof db.sql>> {
  const category = `answered${++names}`;
  await writeCounted(db.sql, category, 4, { streams: 2 });
  const policy = { retry: 3, delay: 1, then: "park" };
  return { category, consumerId: "it", onError: policy, ...options } as Consumer<typeof db.sql>;
}

async function typesIn(streamName: string): Promise<string[]> {
  return (await readStream(db.sql, streamName)).map(({ type }) => type);
}

describe.each(Object.entries(ways))("%s", (_, give) => {
  test.each([
    ["a text", "OK"],
    ["the promise of a text", Promise.resolve("OK")],
    ["an empty text", ""],
    ["rows", [{ id: 1 }]],
    ["a number", 5],
    ["null", null],
    ["a text that has a verdict in it", "parking lot"],
    ["an object", { next: null, execute: true }],
  ])("is done if it answers %s", async (_, answer) => {
    let calls = 0;
    const handler = () => {
      calls++;
      return answer;
    };
    const consumer = await newConsumer(give(handler));
    assert.deepEqual([(await drain(db.sql, consumer)).handled, calls], [
      4,
      "handlePage" in consumer ? 1 : 4,
    ]);
    assert.deepEqual(await typesIn(`${consumer.category}:parked-it`), []);
    assert.equal((await drain(db.sql, consumer)).handled, 0);
  });

  test.each<[string, () => unknown, RegExp]>([
    ["is a generator", function* () {}, /a generator .* "async" in place of "\*"/],
    ["is an async generator", async function* () {}, /a generator .* "async" in place of "\*"/],
    [
      "answers the promise of an iterator",
      () => Promise.resolve([1].values()),
      /an iterator has not run/,
    ],
    ["answers a function", () => () => {}, /a function .* has not run/],
    ["answers the promise of a function", () => Promise.resolve(() => {}), /has not run/],
    ["answers an observable", () => ({ subscribe() {} }), /subscribe\(\) has not run/],
    ["answers an effect", () => Object.create({ pipe() {} }), /pipe\(\) has not run/],
    ["answers a query to execute", () => ({ execute() {} }), /execute\(\) has not run/],
    ["answers an error", () => new RangeError("no"), /an object of RangeError .* thrown/],
    ["answers the promise of an error", () => Promise.resolve(new Error("no")), /thrown/],
    ["answers another verdict", () => "parked", /"parked" .* "retry", "skip", "park" or "stop"/],
    ["answers another case", () => Promise.resolve("SKIP"), /"SKIP" .* "skip"/],
  ])("stops the consumer with a TypeError if it %s", async (_, handler, message) => {
    const consumer = await newConsumer(give(handler));
    await assert.rejects(drain(db.sql, consumer), { name: "TypeError", message });
    assert.deepEqual(await typesIn(`${consumer.category}:parked-it`), []);
    const counting = { ...consumer, ...give(() => {}) } as typeof consumer;
    assert.equal((await drain(db.sql, counting)).handled, 4);
  });

  test("is asked again by replayParked(), in turn and out of turn", async () => {
    const consumer = await newConsumer(give(() => "park"));
    assert.equal((await drain(db.sql, consumer)).handled, 4);
    const parked = await readStream<{ message: { id: string } }>(
      db.sql,
      `${consumer.category}:parked-it`,
    );
    const ids = [parked[2]!.data.message.id];
    for (const options of [{}, { ids }]) {
      const lazy = { ...consumer, ...give(() => () => {}) } as typeof consumer;
      await assert.rejects(replayParked(db.sql, lazy, options), /has not run/);
    }
    const replaying = { ...consumer, ...give(() => "OK") } as typeof consumer;
    const all = { parked: 0, busy: false };
    assert.deepEqual(await replayParked(db.sql, replaying, { ids }), { replayed: 1, ...all });
    assert.deepEqual(await replayParked(db.sql, replaying), { replayed: 3, ...all });
  });
});
