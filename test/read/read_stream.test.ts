import assert from "node:assert/strict";
import { beforeAll, describe, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  readLastMessage,
  readMessage,
  readMessages,
  readStream,
  streamVersion,
} from "../../mod.ts";
import { NO_STREAM, read, write, writeBatch } from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const positions = (messages: readonly { position: number }[]) =>
  messages.map(({ position }) => position);

beforeAll(async () => {
  await writeBatch(
    db.sql,
    "account-1",
    Array.from(
      { length: 10 },
      (_, at) => ({ type: at % 2 ? "Odd" : "Even", data: { at } }),
    ),
  );
  await write(db.sql, "account-2", { type: "Other" });
});

describe("readStream()", () => {
  test("reads one stream from its beginning, in order", async () => {
    const messages = await readStream<{ at: number }>(db.sql, "account-1");
    assert.deepEqual(positions(messages), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(messages.map(({ data }) => data.at), positions(messages));
    assert.ok(messages.every(({ streamName }) => streamName === "account-1"));
  });

  test("starts at the position, which is included, and reads a batch", async () => {
    assert.deepEqual(
      positions(
        await readStream(db.sql, "account-1", { position: 4, batchSize: 3 }),
      ),
      [4, 5, 6],
    );
    assert.deepEqual(
      await readStream(db.sql, "account-1", { position: 10 }),
      [],
    );
  });

  test("reads 1000 messages unless told otherwise", async () => {
    await writeBatch(db.sql, "long-1", Array(1001).fill({ type: "Written" }));
    assert.equal((await readStream(db.sql, "long-1")).length, 1000);
    assert.equal(
      (await readStream(db.sql, "long-1", { direction: "backward" })).length,
      1000,
    );
    assert.equal(
      (await readStream(db.sql, "long-1", { batchSize: 5000 })).length,
      1001,
    );
  });

  test("reads backward from the end, or from a position on, which is included", async () => {
    const backward = async (
      options: { position?: number; batchSize?: number },
    ) =>
      positions(
        await readStream(db.sql, "account-1", {
          direction: "backward",
          ...options,
        }),
      );
    assert.deepEqual(await backward({ batchSize: 3 }), [9, 8, 7]);
    assert.deepEqual(await backward({ position: 2 }), [2, 1, 0]);
    assert.deepEqual(await backward({ position: 0 }), [0]);
  });

  test("answers none for a stream that is not there", async () => {
    assert.deepEqual(await readStream(db.sql, "account-3"), []);
    assert.deepEqual(
      await readStream(db.sql, "account-3", { direction: "backward" }),
      [],
    );
  });

  test("takes a SQL condition where the server allows it, either way", async () => {
    const condition = "type = 'Odd'";
    await assert.rejects(readStream(db.sql, "account-1", { condition }), {
      name: "ConditionNotActivatedError",
      code: "CONDITION_NOT_ACTIVATED",
    });
    const sql = db.connect({
      connection: { "message_store.sql_condition": "on" },
    });
    assert.deepEqual(
      positions(await readStream(sql, "account-1", { condition })),
      [1, 3, 5, 7, 9],
    );
    assert.deepEqual(
      positions(
        await readStream(sql, "account-1", {
          condition,
          direction: "backward",
          position: 8,
          batchSize: 2,
        }),
      ),
      [7, 5],
    );
  });

  test("answers positions beyond 2^32 and refuses those that a number cannot hold", async () => {
    const insert = (stream: string, position: string) =>
      db.sql`
        insert into message_store.messages (stream_name, position, type)
        values (${stream}, ${position}, 'Far')`;
    await insert("far-1", "9007199254740991");
    assert.deepEqual(positions(await readStream(db.sql, "far-1")), [
      Number.MAX_SAFE_INTEGER,
    ]);
    await insert("far-1", "9007199254740993");
    await assert.rejects(readStream(db.sql, "far-1"), RangeError);
    await assert.rejects(streamVersion(db.sql, "far-1"), RangeError);
    await assert.rejects(
      write(db.sql, "far-1", { type: "Farther" }),
      RangeError,
    );
  });

  test("answers the time in UTC whatever the time zone of the session", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, time)
      values ('time-1', 0, 'Timed', '2026-03-29 02:30:00.123987')`;
    const sql = db.connect({
      connection: { TimeZone: "America/New_York", DateStyle: "German" },
    });
    const [message] = await readStream(sql, "time-1");
    assert.equal(message!.time.toISOString(), "2026-03-29T02:30:00.123Z");
  });
});

describe("readLastMessage()", () => {
  test("looks through the stream once, for however many types", async () => {
    const types = Array.from({ length: 1000 }, (_, at) => `None${at}`);
    const messages = defineMessages(
      Object.fromEntries(types.map((type) => [type, z.unknown()])),
      { unknown: "skip" },
    );
    const scans = await db.connect().begin(async (tx) => {
      assert.equal(await readLastMessage(tx, "account-1", { messages }), null);
      const [row] = await tx`
        select (seq_scan + coalesce(idx_scan, 0))::int as scans
        from pg_stat_xact_user_tables
        where relname = 'messages'`;
      return row!["scans"];
    });
    assert.equal(scans, 1);
  });

  test("answers the last message, the last of a type, or null", async () => {
    assert.equal((await readLastMessage(db.sql, "account-1"))!.position, 9);
    assert.equal(
      (await readLastMessage(db.sql, "account-1", { type: "Even" }))!.position,
      8,
    );
    assert.equal(
      await readLastMessage(db.sql, "account-1", { type: "None" }),
      null,
    );
    assert.equal(await readLastMessage(db.sql, "account-3"), null);
  });
});

describe("readMessages()", () => {
  test("answers those that exist, in the order asked for", async () => {
    const [a, b, c] = await readStream(db.sql, "account-1");
    const none = crypto.randomUUID();
    assert.deepEqual(
      await readMessages(db.sql, [c!.id, none, a!.id.toUpperCase(), b!.id]),
      [c, a, b],
    );
    assert.deepEqual(await readMessages(db.sql, []), []);
    assert.deepEqual(await readMessage(db.sql, b!.id), b);
    assert.equal(await readMessage(db.sql, none), null);
  });
});

describe("streamVersion()", () => {
  test("is the position of the last message, NO_STREAM where there is none", async () => {
    assert.equal(await streamVersion(db.sql, "account-1"), 9);
    assert.equal(await streamVersion(db.sql, "account-3"), NO_STREAM);
    const expectedVersion = await streamVersion(db.sql, "account-4");
    assert.equal(
      await write(db.sql, "account-4", { type: "Opened" }, { expectedVersion }),
      0,
    );
  });
});

describe("read()", () => {
  test("picks by the name: all, a stream, a category", async () => {
    assert.equal((await read(db.sql, "account-2")).length, 1);
    assert.ok((await read(db.sql, "account", { batchSize: 11 })).length === 11);
    assert.equal((await read(db.sql, "$all", { batchSize: 12 })).length, 12);
    assert.equal(
      (await read(db.sql, "account", {
        consumerGroup: { member: 0, size: 1 },
        batchSize: 5,
      }))
        .length,
      5,
    );
  });

  test("refuses an option that the read does not take", async () => {
    const consumerGroup = { member: 0, size: 1 };
    await assert.rejects(
      read(db.sql, "account-1", { consumerGroup }),
      TypeError,
    );
    await assert.rejects(
      read(db.sql, "account-1", { correlation: "transfer" }),
      TypeError,
    );
    await assert.rejects(read(db.sql, "$all", { consumerGroup }), TypeError);
    await assert.rejects(
      read(db.sql, "$all", { condition: "true" }),
      TypeError,
    );
  });
});
