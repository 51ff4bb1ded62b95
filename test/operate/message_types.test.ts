import { messageTypes } from "@messagedb/client/operate";
import { expect, test } from "vitest";
import { write, writeBatch } from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

test("messageTypes() counts the messages of a store, and of a category", async () => {
  const none = { types: [], scanned: 0, isComplete: true };
  expect(await messageTypes(db.sql)).toEqual(none);
  expect(await messageTypes(db.sql, { category: "account" })).toEqual(none);
  await writeBatch(db.sql, "account-1", [{ type: "Opened" }, { type: "Deposited" }]);
  await write(db.sql, "order-1", { type: "Opened" });
  await write(db.sql, "account:command-1", { type: "\x1b[2J%" });
  await write(db.sql, "account-2", { type: "Closed" });
  await write(db.sql, "account-3", { type: "Opened" });
  await db.sql`
    update message_store.messages
    set time = '2026-01-01'::timestamp + global_position * interval '1 s'`;
  const typeAt = (type: string, count: number, first: number, last: number) => ({
    type,
    count,
    firstAt: new Date(Date.UTC(2026, 0, 1, 0, 0, first)),
    lastAt: new Date(Date.UTC(2026, 0, 1, 0, 0, last)),
    lastGlobalPosition: last,
  });
  expect(await messageTypes(db.sql)).toEqual({
    types: [
      typeAt("Opened", 3, 1, 6),
      typeAt("\x1b[2J%", 1, 4, 4),
      typeAt("Closed", 1, 5, 5),
      typeAt("Deposited", 1, 2, 2),
    ],
    scanned: 6,
    isComplete: true,
  });
  const types = [
    typeAt("Opened", 2, 1, 6),
    typeAt("Closed", 1, 5, 5),
    typeAt("Deposited", 1, 2, 2),
  ];
  expect(await messageTypes(db.sql, { category: "account" }))
    .toEqual({ types, scanned: 4, isComplete: true });
  expect(await messageTypes(db.sql, { category: "account", scanLimit: 4 }))
    .toEqual({ types, scanned: 4, isComplete: true });
  expect(await messageTypes(db.sql, { category: "acc%" })).toEqual(none);

  // The last messages alone
  expect(await messageTypes(db.sql, { scanLimit: 2 })).toEqual({
    types: [typeAt("Closed", 1, 5, 5), typeAt("Opened", 1, 6, 6)],
    scanned: 2,
    isComplete: false,
  });
  expect(await messageTypes(db.sql, { category: "account", scanLimit: 3 })).toMatchObject({
    types: [{ type: "Closed" }, { type: "Deposited" }, { type: "Opened" }],
    scanned: 3,
    isComplete: false,
  });
  await db.sql`update message_store.messages set time = 'infinity' where type = 'Closed'`;
  expect((await messageTypes(db.sql)).types[2]).toMatchObject({ firstAt: null, lastAt: null });
});

test("messageTypes() counts long types by their first 1,000 characters", async () => {
  const long = db.connect({ max: 1 });
  await long.unsafe("begin");
  await long.unsafe(`
    insert into message_store.messages (stream_name, position, type)
    select 'long-1', length, repeat('é', length)
    from unnest(array[999, 1000, 1001, 10000000]) as length`);
  for (const options of [{}, { category: "long" }]) {
    const { types } = await messageTypes(long, options);
    const counted = types.filter(({ type }) => type.startsWith("é"));
    expect(counted.map(({ type, count }) => [type.length, type.at(-1), count]))
      .toEqual([[1003, ".", 2], [999, "é", 1], [1000, "é", 1]]);
  }
  await long.unsafe("rollback");
});

test("messageTypes() refuses a limit of 0", async () => {
  await expect(messageTypes(db.sql, { scanLimit: 0 })).rejects.toThrow(
    'Cannot use 0 as "scanLimit"',
  );
});

test.each(["account-1", "$all", "", 7])("messageTypes() refuses %j as the category", async (it) => {
  await expect(messageTypes(db.sql, { category: it as string })).rejects.toThrow('as "category"');
});
