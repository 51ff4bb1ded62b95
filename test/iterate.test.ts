import assert from "node:assert/strict";
import { beforeAll, describe, test } from "vitest";
import {
  fromQuery,
  iterateAll,
  iterateCategory,
  iterateMatching,
  iterateStream,
  type Message,
  type Sql,
  writeStreams,
} from "../mod.ts";
import { useDatabase } from "./database.ts";

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

    test("reads one page at a time", async () => {
      let statements = 0;
      const counted = fromQuery((text, parameters) => {
        statements++;
        return db.sql.unsafe(text, parameters);
      });
      const messages = iterate({ batchSize: 5 }, counted);
      assert.equal(statements, 0);
      for (let at = 0; at < 5; at++) await messages.next();
      assert.equal(statements, 1);
      await messages.return(undefined);
      assert.equal((await messages.next()).done, true);
      assert.equal(statements, 1);
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
