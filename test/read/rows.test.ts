import assert from "node:assert/strict";
import postgres from "postgres";
import { onTestFinished, test } from "vitest";
import {
  importMessages,
  iterateCategory,
  readAll,
  readCategory,
  readStream,
  type Sql,
  subscribe,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** What a program may make of the rows of its driver. */
const TRANSFORMS: Record<
  string,
  NonNullable<postgres.Options<Record<string, never>>["transform"]>
> = {
  "undefined for null": { value: { from: (value: unknown) => value ?? undefined } },
  "no members that are null": {
    row: {
      from: (row: object) =>
        Object.fromEntries(Object.entries(row).filter(([, it]) => it !== null)),
    },
  },
  "another name for one column": {
    column: { from: (name: string) => name === "data" ? "payload" : name },
  },
  "another name for another": {
    column: { from: (name: string) => name === "head" ? "kopf" : name },
  },
};

const READS: Record<string, (sql: Sql, category: string) => Promise<unknown[]>> = {
  readStream: (sql, category) => readStream(sql, `${category}-1`),
  readCategory: (sql, category) => readCategory(sql, category),
  readAll: (sql) => readAll(sql, { batchSize: 100_000 }),
  iterateCategory: async (sql, category) => {
    const messages = [];
    for await (const message of iterateCategory(sql, category)) messages.push(message);
    return messages;
  },
  subscribe: async (sql, category) => {
    for await (const message of subscribe(sql, category, { types: ["Last"] })) return [message];
    return [];
  },
};

for (const [name, transform] of Object.entries(TRANSFORMS)) {
  test(`messages are the same where a driver makes of its rows: ${name}`, async () => {
    const category = `made${crypto.randomUUID().slice(0, 8)}`;
    const types = ["First", "With spaces in it", "Last"];
    await writeBatch(db.sql, `${category}-1`, [
      { type: types[0]! },
      { type: types[1]!, data: null, metadata: { userId: 7 } },
      { type: types[2]!, data: [11] },
    ]);
    const sql = postgres(db.url, { transform, onnotice: () => {}, max: 1 });
    onTestFinished(() => sql.end());
    for (const [read, from] of Object.entries(READS)) {
      assert.deepEqual(await from(sql, category), await from(db.sql, category), read);
    }
    assert.deepEqual((await readStream(sql, `${category}-1`)).map(({ type }) => type), types);
  });
}

test("a time is read to the millisecond, whatever its year, and copied so", async () => {
  const category = `timed${crypto.randomUUID().slice(0, 8)}`;
  const years = [1, 1900, 1970, 2004, 2026, 2038, 2241, 2254, 9998];
  const times = years.flatMap((year) =>
    Array.from({ length: 100 }, (_, at) => {
      const time = new Date(
        Date.UTC(2000, at % 12, 1 + at % 28, at % 24, at % 60, at % 60, at * 9 + 7),
      );
      time.setUTCFullYear(year);
      return time;
    })
  );
  await importMessages(
    db.sql,
    times.map((time) => ({
      ...{ streamName: `${category}-1`, type: "Timed", data: null, time },
      id: crypto.randomUUID(),
    })),
  );
  // As others write them, to the microsecond.
  await db.sql`
    update message_store.messages
    set time = time + interval '999 microseconds'
    where stream_name = ${`${category}-1`} and position % 2 = 0`;
  const stored = await readStream(db.sql, `${category}-1`);
  assert.deepEqual(
    stored.map(({ time }) => time.toISOString()),
    times.map((it) => it.toISOString()),
  );
});
