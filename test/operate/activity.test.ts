import { activity, type ActivityOptions } from "@messagedb/client/operate";
import { expect, test } from "vitest";
import { partitioned, write, writeBatch } from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const [first, second] = [useDatabase(), useDatabase()];

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000);
const counts = async (options: ActivityOptions, sql = db.sql) =>
  (await activity(sql, options)).map(({ count }) => count);

test("activity() of an empty store is 0 in each span", async () => {
  expect(await activity(db.sql, { since: at(0), until: at(2), buckets: 2 })).toEqual([
    { from: at(0), to: at(1), count: 0 },
    { from: at(1), to: at(2), count: 0 },
  ]);
  // The default is 60 spans, up to now.
  const spans = await activity(db.sql, { since: new Date(Date.now() - 60_000) });
  expect(spans.length).toBe(60);
  expect(Math.abs(Number(spans.at(-1)!.to) - Date.now())).toBeLessThan(50_000);
});

test("activity() counts the messages of each span, as a count of them does", async () => {
  await db.sql`
    insert into message_store.messages (stream_name, position, type, time)
    select 'a-1', number, 'A', '2026-01-01'::timestamp + number * number * interval '10 ms'
    from generate_series(0, 99) as number`;
  for (const buckets of [1, 7, 98, 120]) {
    for (const [since, until] of [[0, 100], [-50, 0], [-50, 10], [90, 200], [200, 300], [7, 8]]) {
      const spans = await activity(db.sql, { since: at(since!), until: at(until!), buckets });
      expect(spans.length).toBe(buckets);
      for (const [index, { from, to, count }] of spans.entries()) {
        expect(from).toEqual(index === 0 ? at(since!) : spans[index - 1]!.to);
        const [row] = await db.sql<[{ count: number }]>`
          select count(*)::int
          from message_store.messages
          where time >= ${from.toISOString()}::text::timestamp
            and time < ${to.toISOString()}::text::timestamp`;
        expect(count, `${buckets} from ${from.toISOString()}`).toBe(row.count);
      }
      expect(spans.at(-1)!.to).toEqual(at(until!));
    }
  }
});

test("activity() counts positions that are not there, and is never below 0", async () => {
  const options = { since: at(-1), until: at(100), buckets: 1 };
  const [row] = await db.sql<[{ count: number }]>`
    delete from message_store.messages where position between 40 and 49
    returning 1 as count`;
  expect(row.count).toBe(1);
  expect(await counts(options)).toEqual([100]);
  await write(db.sql, "later-1", { type: "A" });
  // As if its transaction had begun long before.
  await db.sql`
    update message_store.messages set time = '2026-01-01' where stream_name = 'later-1'`;
  for (const count of await counts({ ...options, buckets: 13 })) {
    expect(count).toBeGreaterThanOrEqual(0);
  }
  await db.sql`update message_store.messages set time = 'infinity' where stream_name = 'later-1'`;
  expect(await counts(options)).toEqual([100]);
});

test("activity() adds the counts of partitions", async () => {
  for (const [number, { sql }] of [first, second].entries()) {
    await install(sql, { partition: { number, of: 2 } });
    const type = "A";
    await writeBatch(sql, "a-1", Array.from({ length: number + 2 }, () => ({ type })));
    await sql`update message_store.messages set time = '2026-01-01 00:00:01'`;
  }
  const options = { since: at(0), until: at(2), buckets: 2 };
  const sql = partitioned([first.sql, second.sql]);
  expect((await activity(sql, options)).map(({ count }) => count)).toEqual([0, 5]);
});

test.each<[string, unknown, ErrorConstructor, string]>([
  ["no time", {}, TypeError, '"since"'],
  ["nothing", undefined, TypeError, "options"],
  ["a time as text", { since: "2026" }, TypeError, "2026"],
  ["an invalid time", { since: new Date(NaN) }, TypeError, "Date"],
  ["an end before the beginning", { since: at(1), until: at(0) }, RangeError, '"until"'],
  ["no time between them", { since: at(1), until: at(1) }, RangeError, '"until"'],
  ["no spans", { since: at(0), buckets: 0 }, RangeError, '"buckets"'],
  ["1001 spans", { since: at(0), buckets: 1001 }, RangeError, '"buckets"'],
  ["another member", { since: at(0), bucket: 1 }, TypeError, '"bucket"'],
])("activity() refuses %s", async (_, options, kind, words) => {
  const error = await activity(db.sql, options as ActivityOptions).catch((it) => it);
  expect(error).toBeInstanceOf(kind);
  expect(error.message).toContain(words);
});
