import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { drain, HandlerFailedError, type Message, readStream, type Sql } from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { stored, writeCounted } from "./_consuming.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

/** Notes the numbers that are handled. */
function noting() {
  const seen: number[] = [];
  return { seen, handle: ({ data }: Message) => void seen.push(data as number) };
}

describe("drain()", () => {
  test("handles all there is, once, and answers how far it has come", async () => {
    const { seen, handle } = noting();
    const consumer = { category: "all", consumerId: "it", handle };
    assert.deepEqual(await drain(db.sql, consumer), {
      handled: 0,
      position: 0,
      caughtUp: true,
      busy: false,
    });
    const positions = await writeCounted(db.sql, "all", 25);
    const done = { position: positions[24], caughtUp: true, busy: false };
    assert.deepEqual(await drain(db.sql, { ...consumer, batchSize: 10 }), { handled: 25, ...done });
    assert.deepEqual(await drain(db.sql, consumer), { handled: 0, ...done });
    assert.deepEqual(seen, numbers(25));
    assert.deepEqual(await stored(db.sql, "all:position-it"), [0, positions[24]]);
  });

  test("leaves no read behind at its limit", async () => {
    const positions = await writeCounted(db.sql, "left", 2);
    let reads = 0;
    const isPage = /"standing":/;
    // The database is away after the first page.
    const sql = (async (strings, ...parameters) => {
      if (isPage.test(strings.join("")) && reads++ > 0) {
        throw Object.assign(new Error("lost"), { code: "ECONNRESET" });
      }
      return await db.sql(strings, ...parameters);
    }) as Sql;
    const consumer = { category: "left", consumerId: "it", batchSize: 1, handle: () => {} };
    const { position } = await drain(sql, consumer, { limit: 1 });
    assert.equal(position, positions[0]);
    assert.equal(reads, 2);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(reads, 2);
  });

  test("runs over the fetch handle", async () => {
    const positions = await writeCounted(db.sql, "fetch", 5);
    const sql: Sql = fetchSql("http://gateway/sql", {
      fetch: (url, init) => gateway(db.sql, { authorize: () => true })(new Request(url, init)),
    });
    const { seen, handle } = noting();
    const consumer = { category: "fetch", consumerId: "it", handle };
    const some = await drain(sql, consumer, { limit: 2 });
    assert.deepEqual(some, { handled: 2, position: positions[1], caughtUp: false, busy: false });
    const rest = await drain(sql, consumer);
    assert.deepEqual(rest, { handled: 3, position: positions[4], caughtUp: true, busy: false });
    assert.deepEqual(seen, numbers(5));
  });

  test.each([1, 3])(
    "stops at its limit in the middle of a page, %i streams side by side",
    async (concurrency) => {
      const category = `limit${concurrency}`;
      const positions = await writeCounted(db.sql, category, 30, { streams: 4 });
      const { seen, handle } = noting();
      const consumer = { category, consumerId: "it", concurrency, batchSize: 10, handle };
      for (const [limit, total] of [[7, 7], [10, 17], [3, 20], [1, 21]] as const) {
        const drained = await drain(db.sql, consumer, { limit });
        const position = positions[total - 1];
        assert.deepEqual(drained, { handled: limit, position, caughtUp: false, busy: false });
        assert.equal((await stored(db.sql, `${category}:position-it`)).at(-1), position);
        assert.deepEqual([...seen].sort((a, b) => a - b), numbers(total));
      }
      const rest = await drain(db.sql, consumer, { limit: 9 });
      assert.equal(rest.handled, 9);
      assert.deepEqual([...seen].sort((a, b) => a - b), numbers(30));
    },
  );

  test("begins nothing after its deadline, and says that there is more", async () => {
    const positions = await writeCounted(db.sql, "deadline", 3);
    const { seen, handle } = noting();
    const consumer = { category: "deadline", consumerId: "it", handle };
    for (const deadline of [Date.now() - 1, new Date(0), Date.now() - 1e9]) {
      const drained = await drain(db.sql, consumer, { deadline });
      assert.deepEqual(drained, { handled: 0, position: 0, caughtUp: false, busy: false });
    }
    const deadline = Date.now() + 500;
    const untilOver = async (message: Message) => {
      handle(message);
      while (Date.now() <= deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const late = await drain(db.sql, { ...consumer, handle: untilOver }, { deadline });
    assert.deepEqual(late, { handled: 1, position: positions[0], caughtUp: false, busy: false });
    assert.deepEqual(await stored(db.sql, "deadline:position-it"), [0, positions[0]]);
    const far = new Date(Date.now() + 2 ** 40);
    assert.equal((await drain(db.sql, consumer, { deadline: far })).caughtUp, true);
    assert.deepEqual(seen, [0, 1, 2]);
  });

  test("begins nothing after its deadline where no timer has a turn", async () => {
    const positions = await writeCounted(db.sql, "busy", 3);
    const deadline = Date.now() + 500;
    const untilOver = () => {
      while (Date.now() <= deadline);
    };
    const consumer = { category: "busy", consumerId: "it", handle: untilOver };
    const late = await drain(db.sql, consumer, { deadline });
    assert.deepEqual(late, { handled: 1, position: positions[0], caughtUp: false, busy: false });
  });

  test.each([
    ["at once", () => {}],
    ["in a while", () => new Promise<void>((resolve) => setImmediate(resolve))],
  ])(
    "has nothing to handle again after its deadline, streams side by side, done %s",
    async (when, rest) => {
      const category = `ahead ${when}`;
      const positions = await writeCounted(db.sql, category, 40, { streams: 10 });
      const deadline = Date.now() + 500;
      let count = 0;
      const handle = () => {
        if (++count === 12) { while (Date.now() <= deadline); }
        return rest();
      };
      const consumer = { category, consumerId: "it", concurrency: 2, handle };
      const { handled, position } = await drain(db.sql, consumer, { deadline });
      assert.equal(position, positions[handled - 1]);
    },
  );

  test("counts what is passed over and put aside, and not what stops it", async () => {
    await writeCounted(db.sql, "counts", 4);
    const consumer = {
      category: "counts",
      consumerId: "it",
      handle: ({ data }: Message) => (["skip", "park", undefined, "stop"] as const)[data as number],
    };
    const drained = await drain(db.sql, consumer, { limit: 3 });
    assert.deepEqual([drained.handled, drained.caughtUp], [3, false]);
    await assert.rejects(drain(db.sql, consumer), HandlerFailedError);
  });

  test("tries what is lost five times, and then throws it", async () => {
    await writeCounted(db.sql, "five", 2);
    let isDown = false;
    const sql = new Proxy(db.sql, {
      apply: (target, self, parameters) =>
        isDown
          ? Promise.reject(Object.assign(new Error("down"), { code: "ECONNREFUSED" }))
          : Reflect.apply(target, self, parameters),
    });
    const errors: unknown[] = [];
    const draining = drain(sql, {
      category: "five",
      consumerId: "it",
      batchSize: 1,
      positionUpdateInterval: 1,
      onRetry: (error) => errors.push((error as Error).message),
      handle: () => {
        isDown = true;
      },
    });
    await assert.rejects(draining, { message: "down" });
    assert.ok(errors.length >= 4, String(errors.length));
  });

  test("handles 100,000 messages in order, with a statement or two a page", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'many-' || n % 50, n / 50, 'Counted', to_jsonb(n)
      from generate_series(0, 99999) as n order by n`;
    for (const concurrency of [1, 8]) {
      let statements = 0;
      const sql = new Proxy(db.sql, {
        apply: (target, self, parameters) => {
          statements++;
          return Reflect.apply(target, self, parameters);
        },
      });
      const next = new Map<string, number>();
      const { handled, caughtUp } = await drain(sql, {
        category: "many",
        consumerId: `of${concurrency}`,
        concurrency,
        handle: ({ streamName, position }) => {
          assert.equal(position, next.get(streamName) ?? 0);
          next.set(streamName, position + 1);
        },
      });
      assert.deepEqual([handled, caughtUp, next.size], [100_000, true, 50]);
      assert.ok(statements <= 220, String(statements));
      const positions = await readStream(db.sql, `many:position-of${concurrency}`);
      assert.ok(positions.length >= 100 && positions.length <= 110, String(positions.length));
    }
  });
});
