import assert from "node:assert/strict";
import postgres from "postgres";
import { afterAll, beforeAll, test } from "vitest";
import { readAll, readCategory, readStream, type Sql, subscribe, writeBatch } from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { useDatabase } from "../database.ts";

// A statement that fails after its first rows must leave nothing behind for the connection's next statement.

const db = useDatabase();
let sql: postgres.Sql;

beforeAll(async () => {
  sql = postgres(db.url, { max: 1, onnotice: () => {} });
  await writeBatch(sql, "broken-1", Array.from({ length: 300 }, () => ({ type: "T" })));
  // A time that no number of milliseconds can say.
  await sql`update message_store.messages set time = 'infinity' where position = 200`;
});
afterAll(() => sql.end());

const reads: Record<string, (sql: Sql) => Promise<unknown>> = {
  readStream: (sql) => readStream(sql, "broken-1"),
  readCategory: (sql) => readCategory(sql, "broken"),
  readAll: (sql) => readAll(sql),
  "readAll backward": (sql) => readAll(sql, { direction: "backward" }),
  subscribe: (sql) => subscribe(sql, "broken").next(),
  "a read by a gateway": (sql) => {
    const handler = gateway(sql, { authorize: () => true, onError: () => {} });
    return readStream(
      fetchSql("http://gateway/sql", { fetch: (url, init) => handler(new Request(url, init)) }),
      "broken-1",
    );
  },
};

test.each(Object.entries(reads))("%s that fails midway", async (_, read) => {
  await assert.rejects(read(sql), /out of range/);
  assert.deepEqual([...await sql`select 1 as one`], [{ one: 1 }]);
  await assert.rejects(
    sql.begin((sql) => sql.savepoint((sql) => read(sql))),
    /out of range/,
  );
  assert.deepEqual([...await sql`select 2 as two`], [{ two: 2 }]);
});

test("a read after a statement of the caller's that has failed midway", async () => {
  for (let round = 0; round < 2; round++) {
    await assert.rejects(
      sql`select 1000 / (200 - position) from message_store.messages order by position`,
      /division by zero/,
    );
    const before = { position: 100, direction: "backward", batchSize: 3 } as const;
    const messages = await readStream(sql, "broken-1", before);
    assert.deepEqual(messages.map(({ position }) => position), [100, 99, 98]);
  }
});
