import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import {
  append,
  groupCommit,
  NO_STREAM,
  type Sql,
  STREAM_EXISTS,
  streamVersion,
  synchronize,
  write,
  writeBatch,
  type WriteOptions,
  writeStreams,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
let streams = 0;
const newStream = () => `exists${++streams}-1`;
const message = { type: "Written" };
const exists: WriteOptions = { expectedVersion: STREAM_EXISTS };
const ids = Array.from({ length: 7 }, () => crypto.randomUUID());

/** Each write of a message behind the messages that `fill` writes,. */
const writes: Record<string, (sql: Sql, streamName: string, count: number) => Promise<number>> = {
  "write()": (sql, name) => write(sql, name, message, exists),
  "write() of an id": (sql, name) =>
    write(sql, name, { ...message, id: crypto.randomUUID() }, exists),
  "writeBatch()": (sql, name) => writeBatch(sql, name, [message], exists),
  "append()": async (sql, name) => (await append(sql, name, message, exists)).position,
  "writeStreams()": async (sql, name) =>
    (await writeStreams(sql, [{ streamName: name, messages: [message], ...exists }]))[0]!,
  "writeStreams() elsewhere": async (sql, name) => {
    const elsewhere = { streamName: newStream(), messages: [message] };
    const [version, position] = await writeStreams(sql, [
      { streamName: name, messages: [], ...exists },
      elsewhere,
    ]);
    assert.equal(position, 0);
    return version! + 1;
  },
  "groupCommit()": (sql, name) => groupCommit(sql)(name, message, exists),
  "groupCommit() with others": async (sql, name) => {
    const grouped = groupCommit(sql);
    const [own] = await Promise.all([
      grouped(name, message, exists),
      grouped(newStream(), message),
    ]);
    return own;
  },
};

async function fill(streamName: string, count: number): Promise<void> {
  await synchronize(db.sql, streamName, idsOf(streamName).slice(0, count));
}

/** Messages whose ids are of the stream alone. */
const idsOf = (streamName: string) =>
  ids.map((id) => ({
    ...message,
    id: id.slice(0, -6) + streamName.replace(/\D/g, "").padStart(6, "0"),
  }));

const refusal = (streamName: string) => ({
  name: "WrongExpectedVersionError",
  message: `Cannot write to stream "${streamName}" at expected version STREAM_EXISTS: ` +
    "the stream has no message",
  streamName,
  expectedVersion: STREAM_EXISTS,
  actualVersion: NO_STREAM,
});

describe.each(Object.entries(writes))("%s at STREAM_EXISTS", (name, writeOne) => {
  test("writes to a stream at any version", async () => {
    for (const count of [1, 2, 6]) {
      const streamName = newStream();
      await fill(streamName, count);
      assert.equal(await writeOne(db.sql, streamName, count), count);
    }
  });

  test("writes nothing to a stream without a message, and says so", async () => {
    const streamName = newStream();
    const before = streams;
    await assert.rejects(writeOne(db.sql, streamName, 0), refusal(streamName));
    assert.equal(await streamVersion(db.sql, streamName), NO_STREAM);
    if (/elsewhere/.test(name)) {
      assert.equal(await streamVersion(db.sql, `exists${before + 1}-1`), NO_STREAM);
    }
  });

  test("sees the message that is written while it waits for the lock", async () => {
    const streamName = newStream();
    const position = await whileLocked(
      db,
      streamName,
      1,
      (sql) => writeOne(sql, streamName, 1),
      (holder) => write(holder, streamName, message),
    );
    assert.equal(position, 1);
  });

  test("is the same within a transaction, at each isolation level", async () => {
    for (const level of ["read committed", "repeatable read", "serializable"]) {
      const [filled, empty] = [newStream(), newStream()];
      await fill(filled, 2);
      await db.sql.begin(`isolation level ${level}`, async (sql) => {
        assert.equal(await writeOne(sql, filled, 2), 2);
        await assert.rejects(
          sql.savepoint((sql) => writeOne(sql, empty, 0)),
          /Cannot (write to|check the version of) stream/,
        );
      });
      assert.equal(await streamVersion(db.sql, empty), NO_STREAM);
    }
  });

  test("refuses what a transaction cannot see, with a version error", async () => {
    if (/elsewhere/.test(name)) return;
    for (const level of ["repeatable read", "serializable"]) {
      const streamName = newStream();
      const other = db.connect({ max: 1 });
      const running = db.sql.begin(`isolation level ${level}`, async (sql) => {
        await sql`select count(*) from message_store.messages`;
        await write(other, streamName, message);
        return await writeOne(sql, streamName, 1);
      });
      await assert.rejects(running, { name: "WrongExpectedVersionError", streamName });
      assert.equal(await streamVersion(db.sql, streamName), 0);
    }
  });

  test("is the same over HTTP", async () => {
    const handle = gateway(db.sql, { authorize: () => true });
    const sql = fetchSql("http://gateway/sql", {
      fetch: (input, init) => handle(new Request(input as string, init)),
    });
    const streamName = newStream();
    await assert.rejects(writeOne(sql, streamName, 0), refusal(streamName));
    await fill(streamName, 1);
    assert.equal(await writeOne(sql, streamName, 1), 1);
  });
});

describe("synchronize() at STREAM_EXISTS", () => {
  test("goes on with a stream, and does not begin one", async () => {
    const streamName = newStream();
    const list = idsOf(streamName);
    await assert.rejects(synchronize(db.sql, streamName, list, exists), refusal(streamName));
    assert.equal(await synchronize(db.sql, streamName, [], exists), NO_STREAM);
    await fill(streamName, 2);
    assert.equal(await synchronize(db.sql, streamName, list, exists), list.length - 1);
  });
});

describe("a message that comes again at STREAM_EXISTS", () => {
  test("is written once, and answers its first position", async () => {
    const streamName = newStream();
    await fill(streamName, 1);
    const once = { ...message, id: crypto.randomUUID() };
    const again = [
      () => write(db.sql, streamName, once, exists),
      () => writeBatch(db.sql, streamName, [once], exists),
      () => groupCommit(db.sql)(streamName, once, exists),
    ];
    for (const send of again) assert.equal(await send(), 1);
    assert.equal(await streamVersion(db.sql, streamName), 1);
  });

  test("beside streams that are only checked, answers their versions now", async () => {
    const [customer, order, none] = [newStream(), newStream(), newStream()];
    await fill(customer, 2);
    const streams = [
      { streamName: none, messages: [], expectedVersion: NO_STREAM },
      { streamName: order, messages: [{ ...message, id: crypto.randomUUID() }] },
      { streamName: customer, messages: [], ...exists },
    ];
    assert.deepEqual(await writeStreams(db.sql, streams), [-1, 0, 1]);
    await write(db.sql, customer, message);
    await write(db.sql, none, message);
    assert.deepEqual(await writeStreams(db.sql, streams), [-1, 0, 2]);
    assert.equal(await streamVersion(db.sql, order), 0);
  });
});

test("of 20 writers that create a stream or go on with it, those after the first go on", async () => {
  const streamName = newStream();
  const sql = db.connect({ max: 20 });
  const outcomes = await Promise.allSettled(
    Array.from(
      { length: 20 },
      (_, at) =>
        write(sql, streamName, message, at === 10 ? { expectedVersion: NO_STREAM } : exists),
    ),
  );
  const positions = outcomes.flatMap((it) => it.status === "fulfilled" ? [it.value] : []);
  assert.deepEqual(positions.toSorted((a, b) => a - b), [...positions.keys()]);
  assert.equal(outcomes[10]!.status, "fulfilled");
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") {
      assert.equal(outcome.reason.message, refusal(streamName).message);
    }
  }
});
