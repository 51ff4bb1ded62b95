import assert from "node:assert/strict";
import { beforeAll, describe, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  fromQuery,
  iterateAll,
  iterateCategory,
  iterateMatching,
  iterateStream,
  type Message,
  readAll,
  readStream,
  type Sql,
  write,
  writeStreams,
} from "../../mod.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

beforeAll(async () => {
  await writeStreams(
    db.sql,
    Array.from({ length: 4 }, (_, at) => ({
      streamName: `account-${at}`,
      messages: Array(25).fill({ type: "Written" }),
    })),
  );
});

async function collect<T>(
  messages: AsyncIterable<Message>,
  key: (message: Message) => T,
) {
  const keys: T[] = [];
  for await (const message of messages) keys.push(key(message));
  return keys;
}
const range = (from: number, to: number) =>
  Array.from(
    { length: Math.abs(to - from) + 1 },
    (_, at) => from < to ? from + at : from - at,
  );

const key = (message: Message) => message.globalPosition;
const whole = { key, first: 1, last: 100 };
const sources = {
  iterateMatching: {
    iterate: (options: object, sql: Sql = db.sql) => iterateMatching(sql, "account-%", options),
    ...whole,
  },
  iterateStream: {
    iterate: (options: object, sql: Sql = db.sql) => iterateStream(sql, "account-2", options),
    key: (message: Message) => message.position,
    first: 0,
    last: 24,
  },
  iterateCategory: {
    iterate: (options: object, sql: Sql = db.sql) => iterateCategory(sql, "account", options),
    ...whole,
  },
  iterateAll: {
    iterate: (options: object, sql: Sql = db.sql) => iterateAll(sql, options),
    ...whole,
  },
};

for (const [name, { iterate, key, first, last }] of Object.entries(sources)) {
  describe(`${name}()`, () => {
    for (const batchSize of [1, 7, 25, 1000]) {
      test(`goes to the end and back in pages of ${batchSize}`, async () => {
        assert.deepEqual(
          await collect(iterate({ batchSize }), key),
          range(first, last),
        );
        assert.deepEqual(
          await collect(iterate({ batchSize, position: 10 }), key),
          range(10, last),
        );
        if (name === "iterateMatching") return;
        assert.deepEqual(
          await collect(iterate({ batchSize, direction: "backward" }), key),
          range(last, first),
        );
        assert.deepEqual(
          await collect(
            iterate({ batchSize, position: 10, direction: "backward" }),
            key,
          ),
          range(10, first),
        );
      });
    }

    test("stops at the limit, reading no more than that", async () => {
      let statements = 0;
      const counted = fromQuery((text, parameters) => {
        statements++;
        return db.sql.unsafe(text, parameters);
      });
      assert.deepEqual(
        await collect(iterate({ limit: 10, batchSize: 5 }, counted), key),
        range(first, first + 9),
      );
      assert.equal(statements, 2);
      assert.deepEqual(
        await collect(iterate({ limit: 1000 }), key),
        range(first, last),
      );
    });

    test("asks for the next page when it begins to yield this one, and for no more", async () => {
      let statements = 0;
      const counted = fromQuery((text, parameters) => {
        statements++;
        return db.sql.unsafe(text, parameters);
      });
      const messages = iterate({ batchSize: 5 }, counted);
      assert.equal(statements, 0);
      const counts: number[] = [];
      for (let at = 0; at < 11; at++) {
        await messages.next();
        // Whatever else it might ask for, it has asked for then.
        await db.sql`select 1`;
        counts.push(statements);
      }
      assert.deepEqual(counts, [2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]);
      await messages.return(undefined);
      assert.equal((await messages.next()).done, true);
      assert.equal(statements, 4);
    });

    test("asks for nothing behind a limit, a page that is not full, or an empty one", async () => {
      const statementsOf = async (options: object) => {
        let statements = 0;
        const counted = fromQuery((text, parameters) => {
          statements++;
          return db.sql.unsafe(text, parameters);
        });
        await collect(iterate(options, counted), key);
        return statements;
      };
      const count = last - first + 1;
      assert.equal(await statementsOf({ limit: 5, batchSize: 5 }), 1);
      assert.equal(await statementsOf({ limit: 6, batchSize: 5 }), 2);
      assert.equal(await statementsOf({ batchSize: count + 1 }), 1);
      assert.equal(await statementsOf({ batchSize: count }), 2);
      assert.equal(await statementsOf({ position: last + 1, batchSize: 5 }), 1);
      // The catalogue skips some: the limit may be reached in this page, or not.
      const messages = defineMessages({ Written: z.null() }, { unknown: "skip" });
      assert.equal(await statementsOf({ limit: 5, batchSize: 5, messages }), 1);
      assert.equal(await statementsOf({ limit: 6, batchSize: 5, messages }), 2);
      const others = defineMessages({ Other: z.null() }, { unknown: "skip" });
      assert.equal(await statementsOf({ limit: 1, batchSize: count, messages: others }), 2);
    });

    test("ends at once for who leaves before the next page is there, or fails", async () => {
      const never = () => new Promise<never>(() => {});
      const lost = () => Promise.reject(new Error("Lost"));
      for (const next of [never, lost]) {
        let statements = 0;
        const failing = fromQuery((text, parameters) =>
          ++statements === 2 ? next() : db.sql.unsafe(text, parameters)
        );
        const keys: number[] = [];
        for await (const message of iterate({ batchSize: 5 }, failing)) {
          keys.push(key(message));
          if (keys.length === 2) break;
        }
        assert.deepEqual(keys, range(first, first + 1));
        assert.equal(statements, 2);
      }
    });

    test("ends a wait for a page by return() and throw(), and reads no more", async () => {
      const ends = [
        (it: AsyncGenerator<Message>) => it.return(undefined),
        (it: AsyncGenerator<Message>) => assert.rejects(it.throw(new Error("left")), /left/),
      ];
      for (const end of ends) {
        let statements = 0;
        const silent = fromQuery(() => {
          statements++;
          return new Promise<never>(() => {});
        });
        const messages = iterate({}, silent);
        const next = messages.next();
        await until(() => statements === 1);
        await end(messages);
        assert.deepEqual(await next, { value: undefined, done: true });
        assert.equal(statements, 1);
      }
    });

    test("yields all of a page before it throws what the next one has failed with", async () => {
      let statements = 0;
      const failing = fromQuery((text, parameters) =>
        ++statements === 2
          ? Promise.reject(new Error("Cannot go on"))
          : db.sql.unsafe(text, parameters)
      );
      const keys: number[] = [];
      await assert.rejects(async () => {
        for await (const message of iterate({ batchSize: 5 }, failing)) {
          // Nobody has waited for the next page: its rejection is not to be unhandled.
          await db.sql`select 1`;
          keys.push(key(message));
        }
      }, /Cannot go on/);
      assert.deepEqual(keys, range(first, first + 4));
    });

    test("goes on beside writes on the same connection, in a transaction and not", async () => {
      const single = db.connect({ max: 1 });
      try {
        const copy = async (sql: Sql, to: string) => {
          for await (const message of iterate({ batchSize: 5, limit: 24 }, sql)) {
            await write(sql, to, { type: "Copied", data: key(message) });
          }
          return (await readStream(sql, to)).map(({ data }) => data);
        };
        const wanted = range(first, first + 23);
        assert.deepEqual(await copy(single, `${name}Copy-1`), wanted);
        assert.deepEqual(await single.begin((tx) => copy(tx, `${name}Copy-2`)), wanted);
        await single.begin(async (tx) => {
          for await (const _ of iterate({ batchSize: 5 }, tx)) break;
          await write(tx, `${name}Copy-3`, { type: "Left" });
          for await (const _ of iterate({ batchSize: 5 }, tx)) break;
        });
        assert.equal((await readStream(single, `${name}Copy-3`)).length, 1);
      } finally {
        await db.sql`delete from message_store.messages where type in ('Copied', 'Left')`;
      }
    });

    test("refuses what the read refuses, and a limit of 0", async () => {
      await assert.rejects(collect(iterate({ batchSize: 0 }), key), RangeError);
      await assert.rejects(collect(iterate({ position: -1 }), key), RangeError);
      await assert.rejects(collect(iterate({ limit: 0 }), key), RangeError);
      await assert.rejects(collect(iterate({ limit: 1.5 }), key), RangeError);
    });
  });
}

test("iterateAll() goes over positions that were rolled back at a few statements in all", async () => {
  for (let at = 0; at < 30; at++) {
    await db.sql`select nextval('message_store.messages_global_position_seq')`;
    await writeStreams(db.sql, [{
      streamName: "gaps-1",
      messages: [{ type: "Written" }],
    }]);
  }
  let statements = 0;
  const counted = fromQuery((text, parameters) => {
    statements++;
    return db.sql.unsafe(text, parameters);
  });
  const messages = await collect(iterateAll(counted, { batchSize: 10 }), key);
  assert.equal(messages.length, 130);
  // 14 pages, and once: who is writing, and the page again.
  assert.equal(statements, 14 + 2);
});

test("iterateAll() waits no more for a writer, and asks no more, when it is ended by return()", async () => {
  const [last] = await readAll(db.sql, { direction: "backward", batchSize: 1 });
  let statements = 0;
  const counted = fromQuery((text, parameters) => {
    statements++;
    return db.sql.unsafe(text, parameters);
  });
  const writer = db.connect({ max: 1 });
  await writer.begin(async (transaction) => {
    await write(transaction, "open-1", { type: "Written" });
    await write(db.sql, "gaps-1", { type: "Written" });
    const messages = iterateAll(counted, { position: last!.globalPosition + 1 });
    const next = messages.next();
    await until(() => statements > 3);
    await messages.return();
    assert.deepEqual(await next, { value: undefined, done: true });
    // One look may be under way.
    const looks = statements;
    for (let at = 0; at < 10; at++) await db.sql`select pg_sleep(0.03)`;
    assert.ok(statements <= looks + 1);
  });
});
