/** Handlers that decide in their transaction, on a stream that somebody else writes to all the time. */
import assert from "node:assert/strict";
import type postgres from "postgres";
import { describe, test } from "vitest";
import {
  type Consumer,
  drain,
  entity,
  type Message,
  readStream,
  replayParked,
  write,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let names = 0;
const counter = () =>
  entity({ category: `decided${++names}`, init: () => 0, evolve: (count: number) => count + 1 });
type Counter = ReturnType<typeof counter>;

async function ask(category: string, count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    await write(db.sql, `${category}:command-${at}`, { type: "Asked" });
  }
}

/** Does the work while somebody else decides on the counter. Answers the counter's types without the others. */
async function beside(other: Counter, work: () => Promise<unknown>): Promise<string[]> {
  const sql = db.connect({ max: 1 });
  let isOver = false;
  const writing = (async () => {
    while (!isOver) {
      await other.decide(sql, "1", () => ({ type: "Other" })).catch(() => {});
      await pause(1);
    }
  })();
  await work().finally(() => isOver = true);
  await writing;
  const messages = await readStream(db.sql, `${other.category}-1`, { batchSize: 100_000 });
  const types = messages.map(({ type }) => type);
  assert.ok(types.includes("Other"));
  return types.filter((type) => type !== "Other");
}

/** The ways to handle in a transaction. */
const ways: Record<string, (decide: Decide) => object> = {
  "a message": (decide) => ({ commitInterval: 0, handle: decide }),
  "a page": (decide) => ({ handle: decide }),
  "handlePage": (decide) => ({
    handlePage: async (messages: Message[], context: { sql: postgres.TransactionSql }) => {
      for (const message of messages) await decide(message, context);
    },
  }),
};
type Decide = (message: Message, context: { readonly sql: postgres.TransactionSql }) => unknown;

const consumerOf = ({ category }: Counter, options: object) => ({
  category: `${category}:command`,
  consumerId: "it",
  transactional: true,
  onError: "park",
  ...options,
} as unknown as Consumer<postgres.Sql>);

/** Decides on the counter, in so many milliseconds. */
const decideIn = (milliseconds: number, it: Counter): Decide => ({ streamName }, { sql }) =>
  it.decide(sql, "1", async () => {
    await pause(milliseconds);
    return { type: streamName };
  });

const asked = ({ category }: Counter, count: number) =>
  Array.from({ length: count }, (_, at) => `${category}:command-${at}`);

describe.each(Object.entries(ways))("where a transaction is of %s", (_, give) => {
  test.each([[200, 2], [20, 30]])(
    "each of %i commands is handled once, in %i ms",
    async (count, ms) => {
      const it = counter();
      await ask(it.category, count);
      const consumer = consumerOf(it, give(decideIn(ms, it)));
      const decided = await beside(it, async () => {
        assert.equal((await drain(db.sql, consumer)).handled, count);
      });
      assert.deepEqual(decided, asked(it, count));
      assert.deepEqual(await readStream(db.sql, `${consumer.category}+parked-it`), []);
    },
    120_000,
  );

  test("parked commands are handled once, too", async () => {
    const it = counter();
    await ask(it.category, 10);
    await drain(db.sql, consumerOf(it, { handle: () => "park" }));
    const consumer = consumerOf(it, give(decideIn(20, it)));
    const decided = await beside(it, async () => {
      const all = { parked: 0, busy: false };
      assert.deepEqual(await replayParked(db.sql, consumer), { replayed: 10, ...all });
    });
    assert.deepEqual(decided, asked(it, 10));
  });

  test("a message that others have written since the snapshot is no failure", async () => {
    const it = counter();
    await ask(it.category, 1);
    const connection = { default_transaction_isolation: "repeatable read" } as const;
    const sql = db.connect({ connection, max: 2 });
    const message = { id: crypto.randomUUID(), type: `${it.category}:command-0` };
    const consumer = consumerOf(
      it,
      give(async (_, { sql }) => {
        await sql`select`;
        // The first time, the transaction does not see this.
        await write(db.sql, `${it.category}-1`, message);
        await write(sql, `${it.category}-1`, message);
      }),
    );
    assert.equal((await drain(sql, consumer)).handled, 1);
    assert.deepEqual(await readStream(db.sql, `${consumer.category}+parked-it`), []);
    const types = (await readStream(db.sql, `${it.category}-1`)).map(({ type }) => type);
    assert.deepEqual(types, asked(it, 1));
  });

  test("a command whose own version is wrong each time is parked, alone", async () => {
    const it = counter();
    await ask(it.category, 5);
    await write(db.sql, `${it.category}-1`, { type: "Other" });
    const consumer = consumerOf(
      it,
      give(async ({ streamName }, { sql }) => {
        const expectedVersion = streamName.endsWith("-2") ? -1 : undefined;
        await write(sql, `${it.category}-1`, { type: streamName }, { expectedVersion });
      }),
    );
    assert.equal((await drain(db.sql, consumer)).handled, 5);
    const parked = await readStream<{ attempts: number; error: { name: string } }>(
      db.sql,
      `${consumer.category}+parked-it`,
    );
    assert.deepEqual(parked.map(({ data: { attempts, error } }) => [attempts, error.name]), [
      [1, "WrongExpectedVersionError"],
    ]);
    assert.equal((await readStream(db.sql, `${it.category}-1`)).length, 5);
  });
});

test("a consumer without transactions leaves a conflict to the policy", async () => {
  const it = counter();
  await ask(it.category, 1);
  await write(db.sql, `${it.category}-1`, { type: "Other" });
  let calls = 0;
  const consumer = {
    category: `${it.category}:command`,
    consumerId: "it",
    handle: async () => {
      calls++;
      await write(db.sql, `${it.category}-1`, { type: "Mine" }, { expectedVersion: -1 });
    },
  };
  await assert.rejects(drain(db.sql, consumer), { name: "HandlerFailedError" });
  assert.equal(calls, 1);
});
