import { inspectMessage } from "@messagedb/client/operate";
import { expect, test } from "vitest";
import { partitioned, write } from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const [first, second] = [useDatabase(), useDatabase()];

const id = "e1a3b0ee-6a5c-4e2b-8a4e-5b1d1f6a3f10";

test("inspectMessage() answers a message as the store has it, or null", async () => {
  expect(await inspectMessage(db.sql, id)).toBe(null);
  await write(db.sql, "number-1", { type: "Before" });
  await write(db.sql, "number-1", { id, type: "A", metadata: { text: "Zoë" } });
  await db.sql`
    update message_store.messages
    set data = '{"__proto__": 12345678901234567890.10}', time = '2026-01-01 00:00:00.0019'
    where id = ${id}`;
  const message = {
    id,
    streamName: "number-1",
    type: "A",
    position: 1,
    globalPosition: 2,
    time: new Date("2026-01-01T00:00:00.001Z"),
    data: '{"__proto__": 12345678901234567890.10}',
    metadata: '{"text": "Zoë"}',
    isCut: false,
    size: 54,
  };
  expect(await inspectMessage(db.sql, id)).toEqual(message);
  expect(await inspectMessage(db.sql, id.toUpperCase())).toEqual(message);
  expect(await inspectMessage(db.sql, id, { textLength: 38 })).toEqual(message);
  expect(await inspectMessage(db.sql, id, { textLength: 14 }))
    .toEqual({ ...message, data: '{"__proto__": ', metadata: '{"text": "Zoë"', isCut: true });
  expect(await inspectMessage(db.sql, id, { textLength: 0 }))
    .toEqual({ ...message, data: "", metadata: "", isCut: true });
  for (const time of ["infinity", "-infinity", "290000-01-01"]) {
    await db.sql`update message_store.messages set time = ${time}::text::timestamp`;
    expect(await inspectMessage(db.sql, id)).toEqual({ ...message, time: null });
  }
});

test("inspectMessage() cuts a large message in the database", async () => {
  const id = "e1a3b0ee-6a5c-4e2b-8a4e-5b1d1f6a3f11";
  await write(db.sql, "large-1", { id, type: "A", data: { text: "é".repeat(10_000_000) } });
  const cut = await inspectMessage(db.sql, id, { textLength: 100 });
  expect(cut).toMatchObject({ isCut: true, size: 20_000_012, metadata: null });
  expect(cut!.data).toBe(`{"text": "${"é".repeat(90)}`);
  const whole = await inspectMessage(db.sql, id);
  expect(whole).toMatchObject({ isCut: false, size: 20_000_012 });
  expect(whole!.data!.length).toBe(10_000_012);
});

test("inspectMessage() finds a message in any partition", async () => {
  for (const [number, { sql }] of [first, second].entries()) {
    await install(sql, { partition: { number, of: 2 } });
  }
  const sql = partitioned([first.sql, second.sql]);
  for (const name of ["p0", "p1", "p2", "p3", "p4"]) {
    const id = crypto.randomUUID();
    await write(sql, `${name}-1`, { id, type: "A" });
    expect(await inspectMessage(sql, id)).toMatchObject({ streamName: `${name}-1`, data: null });
  }
  expect(await inspectMessage(sql, id)).toBe(null);
});

test.each<[string, unknown, unknown, ErrorConstructor, string]>([
  ["no UUID", "1", {}, TypeError, '"1"'],
  ["a negative length", id, { textLength: -1 }, RangeError, '"textLength"'],
  ["a length as text", id, { textLength: "1" }, TypeError, '"textLength"'],
  ["another member", id, { length: 1 }, TypeError, '"length"'],
])("inspectMessage() refuses %s", async (_, wanted, options, kind, words) => {
  const error = await inspectMessage(db.sql, wanted as string, options as object).catch((it) => it);
  expect(error).toBeInstanceOf(kind);
  expect(error.message).toContain(words);
});
