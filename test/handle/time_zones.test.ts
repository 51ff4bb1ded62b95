import assert from "node:assert/strict";
import * as client from "@messagedb/client";
import type postgres from "postgres";
import { describe, test } from "vitest";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const message = { type: "Written" };
const once = () => ({ ...message, id: crypto.randomUUID() });

/** Every way to write a message that gets its time from the server. */
const writes: Record<string, (sql: client.Sql, streamName: string) => Promise<unknown>> = {
  write: (sql, streamName) => client.write(sql, streamName, message),
  "write with an id": (sql, streamName) => client.write(sql, streamName, once()),
  writeBatch: (sql, streamName) => client.writeBatch(sql, streamName, [message]),
  writeStreams: (sql, streamName) =>
    client.writeStreams(sql, [{ streamName, messages: [message] }]),
  append: (sql, streamName) => client.append(sql, streamName, message),
  groupCommit: (sql, streamName) => client.groupCommit(sql)(streamName, message),
  importMessages: (sql, streamName) => client.importMessages(sql, [{ ...once(), streamName }]),
  synchronize: (sql, streamName) => client.synchronize(sql, streamName, [once()]),
  snapshot: async (sql, streamName) => {
    const category = `entity${crypto.randomUUID().replaceAll("-", "")}`;
    await client.write(sql, `${category}-1`, message);
    const state = { init: () => 0, evolve: (state: number) => state + 1 };
    await client.entity({ category, ...state, snapshot: { every: 1 } }).fetch(sql, "1");
    const snapshot = await client.readLastMessage(sql, `${category}:snapshot-1`);
    await client.importMessages(sql, [{ ...snapshot!, id: crypto.randomUUID(), streamName }]);
  },
};

/** The time by the server's clock, in milliseconds. */
async function serverTime(): Promise<number> {
  const [row] = await db
    .sql`select floor(extract(epoch from clock_timestamp()) * 1000)::text as now`;
  return Number(row!["now"]);
}

async function zoneOf(sql: postgres.Sql | postgres.TransactionSql): Promise<string> {
  const [row] = await sql`select current_setting('TimeZone') as zone`;
  return row!["zone"];
}

describe.each([
  "UTC+3",
  "UTC-5",
  "UTC0UTC",
  "utc+3",
  "<UTC>-7",
  "GMT+3",
  "<+03>-3",
  "Z+4",
  "EST5EDT",
  "Europe/Berlin",
  "Asia/Kathmandu",
  "UTC",
])("where the session's time zone is %s", (TimeZone) => {
  test.each(Object.entries(writes))("%s() writes the time that it is", async (_, write) => {
    const sql = db.connect({ max: 1, connection: { TimeZone } });
    const zone = await zoneOf(sql);
    const streamName = `zone-${crypto.randomUUID()}`;
    const from = await serverTime();
    await write(sql, streamName);
    await sql.begin(async (tx) => {
      await write(tx, `${streamName}+2`);
      assert.equal(await zoneOf(tx), zone);
      await tx`set local time zone -2`;
      await write(tx, `${streamName}+3`);
      assert.equal(await zoneOf(tx), "<-02>+02");
    });
    assert.equal(await zoneOf(sql), zone);
    const to = await serverTime();
    for (const name of [streamName, `${streamName}+2`, `${streamName}+3`]) {
      const time = Number((await client.readLastMessage(sql, name))!.time);
      assert.ok(from <= time && time <= to, `${time} from ${from} to ${to}`);
    }
  });

  test("a read that starts at a time finds what was written since", async () => {
    const sql = db.connect({ connection: { TimeZone } });
    const category = `start${crypto.randomUUID().replaceAll("-", "")}`;
    await client.importMessages(sql, [
      { ...once(), streamName: `${category}-1`, time: new Date(Date.now() - 1000) },
    ]);
    await client.write(db.sql, `${category}-1`, message, { expectedVersion: 0 });
    const startAt = new Date(Number((await client.readLastMessage(sql, `${category}-1`))!.time));
    for (const source of [category, `${category}-1`, "$all"]) {
      for await (const { streamName, position } of client.subscribe(sql, source, { startAt })) {
        if (streamName !== `${category}-1`) continue;
        assert.equal(position, 1);
        break;
      }
    }
  });

  test("a lease that a session of another zone holds lasts as long", async () => {
    const sql = db.connect({ connection: { TimeZone } });
    const category = `lease${crypto.randomUUID().replaceAll("-", "")}`;
    const owner = crypto.randomUUID();
    const metadata = { owner, leaseDuration: 600_000 };
    await client.write(sql, `${category}-1`, message);
    const positionStream = `${category}:position-it+0+1`;
    await client.write(sql, positionStream, { type: "Recorded", data: { position: 0 }, metadata });
    for (const other of [db.sql, sql]) {
      let handled = 0;
      const { caughtUp } = await client.drain(other, {
        category,
        consumerId: "it",
        consumerGroup: { size: 1 },
        handle: () => void handled++,
      });
      assert.deepEqual([handled, caughtUp], [0, false]);
    }
  });
});
