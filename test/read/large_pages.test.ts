import assert from "node:assert/strict";
import { beforeAll, describe, test } from "vitest";
import {
  aggregate,
  consume,
  drain,
  entity,
  fromQuery,
  iterateAll,
  iterateCategory,
  iterateMatching,
  iterateStream,
  type Message,
  projectCategory,
  readAggregate,
  readAll,
  readCategory,
  readMatching,
  readMessages,
  readStream,
  type Sql,
  subscribe,
  write,
  writeBatch,
} from "../../mod.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** What is said of a text that is too long: by Node, V8, Deno, JavaScriptCore, PostgreSQL and gateways. */
const errors: Record<string, () => unknown> = {
  node: () =>
    Object.assign(new Error("Cannot create a string longer than 0x1fffffe8 characters"), {
      code: "ERR_STRING_TOO_LONG",
    }),
  v8: () => new RangeError("Invalid string length"),
  deno: () => new RangeError("Buffer exceeds maximum length"),
  bun: () => new RangeError("Out of memory"),
  buffer: () => ({ code: "54000", message: "string buffer exceeds maximum allowed length" }),
  buffer15: () => ({ code: "54000", message: "Speicher aufgebraucht" }),
  allocation: () => ({ code: "XX000", message: "invalid memory alloc request size 1073741824" }),
  "allocation of Bun": () => ({ errno: "XX000", message: "invalid memory alloc request size 1" }),
  memory: () => ({ code: "53200", message: "out of memory" }),
  neon: () =>
    new Error(
      'Server error (HTTP status 507): {"message":"response is too large (max is 1 bytes)"}',
    ),
  gateway: () =>
    Object.assign(new Error("Cannot get rows"), {
      code: "FETCH_FAILED",
      cause: { code: "ANSWER_TOO_LARGE" },
    }),
};

/** A handle whose texts are limited. */
function limited(length: number, error = errors["node"]!) {
  let refused = 0;
  const sql = fromQuery(async (text, parameters) => {
    const rows = await db.sql.unsafe(text, parameters);
    if (rows.flatMap((row) => Object.values(row)).join("").length <= length) return rows;
    refused++;
    throw error();
  });
  return { sql, refused: () => refused };
}

async function collect(messages: AsyncIterable<Message>): Promise<Message[]> {
  const all: Message[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

const stream = "large-1";
const condition = undefined;
const reads: Record<string, (sql: Sql) => Promise<unknown[]>> = {
  readStream: (sql) => readStream(sql, stream),
  "readStream from a position": (sql) => readStream(sql, stream, { position: 7, batchSize: 90 }),
  "readStream backward": (sql) => readStream(sql, stream, { direction: "backward", condition }),
  "readStream backward from a position": (sql) =>
    readStream(sql, stream, { direction: "backward", position: 50, batchSize: 51 }),
  readCategory: (sql) => readCategory(sql, "large"),
  "readCategory of a member": (sql) =>
    readCategory(sql, "large", { consumerGroup: { member: 1, size: 2 }, batchSize: 70 }),
  "readCategory backward": (sql) =>
    readCategory(sql, "large", { direction: "backward", batchSize: 100 }),
  readAll: (sql) => readAll(sql),
  "readAll backward": (sql) => readAll(sql, { direction: "backward", batchSize: 290 }),
  readMatching: (sql) => readMatching(sql, "large-%", { batchSize: 101 }),
  readMessages: async (sql) => {
    const ids = (await readStream(db.sql, stream)).map(({ id }) => id).toReversed();
    return await readMessages(sql, [...ids, crypto.randomUUID(), ids[0]!]);
  },
  readAggregate: (sql) => readAggregate(sql, "ledger"),
  "readAggregate of a partition": (sql) =>
    readAggregate(sql, "ledger", { partition: 0, position: 3, batchSize: 100 }),
  iterateStream: (sql) => collect(iterateStream(sql, stream)),
  iterateCategory: (sql) => collect(iterateCategory(sql, "large", { direction: "backward" })),
  iterateAll: (sql) => collect(iterateAll(sql, { limit: 120 })),
  iterateMatching: (sql) => collect(iterateMatching(sql, "large%")),
  project: async (sql) => [
    await projectCategory(sql, "large", {
      init: () => 0,
      evolve: (count: number) => count + 1,
    }),
  ],
  entity: async (sql) => [
    await entity({ category: "large", init: () => 0, evolve: (count: number) => count + 1 })
      .fetch(sql, "1"),
  ],
  ...Object.fromEntries(
    [stream, "large", "$all", { aggregate: "ledger" }].map((source) => [
      `subscribe to ${JSON.stringify(source)}`,
      async (sql: Sql) => {
        const ending = new AbortController();
        const onCaughtUp = () => ending.abort();
        return await collect(subscribe(sql, source, { signal: ending.signal, onCaughtUp }));
      },
    ]),
  ),
};

beforeAll(async () => {
  for (let at = 0; at < 150; at++) {
    const length = at % 50 === 49 ? 8000 : 500;
    await write(db.sql, at % 5 === 4 ? "large-2" : stream, {
      type: "Large",
      data: { at, text: "x".repeat(length) },
    });
  }
  await aggregate(db.sql, { name: "ledger", from: ["large"], partition: () => 0 }, { once: true });
});

describe.each(Object.entries(reads))("%s", (what, read) => {
  test("answers the same where a page is more than one text can hold", async () => {
    const whole = await read(db.sql);
    for (const length of [10_000, 25_000]) {
      const { sql, refused } = limited(length);
      assert.deepEqual(await read(sql), whole, what);
      assert.ok(refused() > 0);
    }
  });
});

test.each(Object.entries(errors))(
  "a text that is too long is known as %s says it",
  async (_, error) => {
    const whole = await readStream(db.sql, stream);
    assert.deepEqual(await readStream(limited(20_000, error).sql, stream), whole);
  },
);

test("a message that is too large alone is an error that says where", async () => {
  for (const name of ["node", "allocation", "gateway"]) {
    const { sql } = limited(7000, errors[name]);
    await assert.rejects(readCategory(sql, "large"), {
      name: "RangeError",
      message:
        /^Cannot read category "large" at position \d+: the message there is longer than a text/,
    });
    await assert.rejects(readStream(sql, "large-2"), {
      message: 'Cannot read stream "large-2" at position 9: the message there is longer than a ' +
        "text can be: read on behind it, or read it in parts with SQL of your own",
    });
    const consumer = { category: "large", consumerId: `c${name}`, handle() {} };
    await assert.rejects(drain(sql, consumer), /at position \d+: the message there is longer/);
  }
});

test("an error that is none of a text's length is thrown as it is, after one statement", async () => {
  let statements = 0;
  for (const error of [new RangeError("mine"), { code: "XX000", message: "cache lookup failed" }]) {
    const sql = fromQuery(() => {
      statements++;
      return Promise.reject(error);
    });
    await assert.rejects(readStream(sql, stream), (thrown) => thrown === error);
  }
  assert.equal(statements, 2);
});

test("in a transaction that the error has ended, the error says to read fewer", async () => {
  let statements = 0;
  const sql = fromQuery(() =>
    Promise.reject(++statements === 1 ? errors["buffer"]!() : { code: "25P02", message: "aborted" })
  );
  await assert.rejects(readStream(sql, stream), {
    name: "RangeError",
    message: /^Cannot read stream "large-1" at its first message: .* smaller "batchSize"$/,
  });
});

test("a consumer and an aggregate go on, and hold no more than what fits", async () => {
  const { sql, refused } = limited(10_000);
  const seen: number[] = [];
  const handle = ({ data }: Message) => void seen.push((data as { at: number }).at);
  await drain(sql, { category: "large", consumerId: "plain", handle });
  assert.deepEqual(seen, Array.from({ length: 150 }, (_, at) => at));
  // It does not begin each page with a thousand again.
  assert.ok(refused() < 25, String(refused()));
  await aggregate(sql, { name: "again", from: ["large"], partition: () => 0 }, { once: true });
  assert.equal((await readAggregate(db.sql, "again")).length, 150);
  const ending = new AbortController();
  const counted: number[] = [];
  const running = consume(sql, {
    category: "$all",
    consumerId: "all",
    types: ["Large"],
    startAt: 1,
    handle: ({ data }) => void counted.push((data as { at: number } | null)?.at ?? -1),
  }, { signal: ending.signal });
  await until(() => counted.filter((at) => at >= 0).length === 150);
  await writeBatch(db.sql, "large-3", [{ type: "Large", data: { at: 150 } }]);
  await until(() => counted.includes(150));
  ending.abort();
  await running;
});

test("600 messages of a megabyte are consumed over postgres.js, whose connection goes on", async () => {
  // A thousand, as a page asks for, are more than V8's half a gigabyte.
  await db.sql`
    insert into message_store.messages (stream_name, position, type, data)
    select 'huge-1', number, 'Huge', jsonb_build_object('text', repeat('x', 1000000))
    from generate_series(0, 599) as number`;
  const sql = db.connect({ max: 1 });
  const positions: number[] = [];
  await drain(sql, {
    category: "huge",
    consumerId: "it",
    handle: ({ position }) => void positions.push(position),
  });
  assert.deepEqual(positions, Array.from({ length: 600 }, (_, at) => at));
  const [last] = await readStream(sql, "huge:position-it", { direction: "backward" });
  assert.ok(last!.type === "Recorded");
});
