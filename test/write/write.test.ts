import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  DuplicateMessageError,
  NO_STREAM,
  readMessage,
  readStream,
  streamVersion,
  write,
  writeBatch,
  WrongExpectedVersionError,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const newId = () => crypto.randomUUID();

describe("write()", () => {
  test("answers positions from 0 and stores what it was given", async () => {
    const id = newId();
    const metadata = { correlationStreamName: "transfer-1", own: [1, null] };
    assert.equal(await write(db.sql, "account-1", { type: "Opened" }), 0);
    assert.equal(
      await write(db.sql, "account-1", {
        type: "Deposited",
        data: { amount: 11 },
        metadata,
        id,
      }),
      1,
    );
    const before = Date.now();
    const message = await readMessage(db.sql, id);
    assert.ok(message && Math.abs(message.time.getTime() - before) < 60_000);
    assert.deepEqual({ ...message, time: null, globalPosition: null }, {
      id,
      streamName: "account-1",
      type: "Deposited",
      position: 1,
      globalPosition: null,
      data: { amount: 11 },
      metadata,
      time: null,
    });
  });

  test("makes an id where there is none: a UUID that holds the time", async () => {
    const before = Date.now();
    await write(db.sql, "ids-1", { type: "First" });
    await write(db.sql, "ids-1", { type: "Second" });
    const ids = (await readStream(db.sql, "ids-1")).map(({ id }) => id);
    assert.notEqual(ids[0], ids[1]);
    for (const id of ids) {
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      const time = parseInt(id.replaceAll("-", "").slice(0, 12), 16);
      assert.ok(time >= before && time <= Date.now());
    }
  });

  test("stores no data as null and an empty object as an empty object", async () => {
    await write(db.sql, "empty-1", { type: "Nothing" });
    await write(db.sql, "empty-1", {
      type: "Null",
      data: null,
      metadata: null,
    });
    await write(db.sql, "empty-1", { type: "Empty", data: {}, metadata: {} });
    const messages = await readStream(db.sql, "empty-1");
    assert.deepEqual(messages.map(({ data, metadata }) => [data, metadata]), [
      [null, null],
      [null, null],
      [{}, {}],
    ]);
  });

  test("writes at the expected version, 0 and -1 being versions, too", async () => {
    const at = (expectedVersion: number) =>
      write(db.sql, "versioned-1", { type: "Written" }, { expectedVersion });
    await assert.rejects(at(0), WrongExpectedVersionError);
    assert.equal(await at(NO_STREAM), 0);
    await assert.rejects(at(NO_STREAM), WrongExpectedVersionError);
    assert.equal(await at(0), 1);
    await assert.rejects(at(0), {
      name: "WrongExpectedVersionError",
      code: "WRONG_EXPECTED_VERSION",
      streamName: "versioned-1",
      expectedVersion: 0,
      actualVersion: 1,
      message:
        'Cannot write to stream "versioned-1" at expected version 0: the stream is at version 1',
    });
    assert.equal(await streamVersion(db.sql, "versioned-1"), 1);
  });

  test("lets one of 20 writers that expect the same version through", async () => {
    const sql = db.connect({ max: 20 });
    const outcomes = await Promise.allSettled(
      Array.from(
        { length: 20 },
        () => write(sql, "race-1", { type: "Won" }, { expectedVersion: NO_STREAM }),
      ),
    );
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.equal(lost.length, 19);
    for (const { reason } of lost) {
      assert.ok(reason instanceof WrongExpectedVersionError);
    }
  });

  test("carries the driver's error as its cause", async () => {
    const error = await write(db.sql, "cause-1", { type: "Written" }, {
      expectedVersion: 3,
    })
      .catch((error: unknown) => error);
    assert.ok(error instanceof WrongExpectedVersionError);
    assert.equal((error.cause as { code: string }).code, "P0001");
  });

  test("names a stream whose name has the words of the error in it", async () => {
    const name = "odd-, Stream Version: 9)\n(Stream: x";
    await assert.rejects(
      write(db.sql, name, { type: "Written" }, { expectedVersion: 3 }),
      {
        streamName: name,
        actualVersion: NO_STREAM,
      },
    );
  });

  test("names a stream that a REPEATABLE READ transaction cannot see the end of", async () => {
    await write(db.sql, "snapshot-1", { type: "First" });
    const other = db.connect();
    await assert.rejects(
      db.sql.begin("isolation level repeatable read", async (sql) => {
        assert.equal(await streamVersion(sql, "snapshot-1"), 0);
        await write(other, "snapshot-1", { type: "Second" });
        await write(sql, "snapshot-1", { type: "Third" }, {
          expectedVersion: 0,
        });
      }),
      {
        name: "WrongExpectedVersionError",
        streamName: "snapshot-1",
        expectedVersion: 0,
        actualVersion: 1,
      },
    );
  });

  test("leaves nothing when the caller's transaction rolls back", async () => {
    await assert.rejects(
      db.sql.begin(async (sql) => {
        assert.equal(await write(sql, "rolled-1", { type: "Written" }), 0);
        assert.equal((await readStream(sql, "rolled-1")).length, 1);
        throw new Error("changed my mind");
      }),
      /changed my mind/,
    );
    assert.equal(await streamVersion(db.sql, "rolled-1"), NO_STREAM);
  });

  test("passes an error of the database that is none of ours through untouched", async () => {
    const error = await db.sql.begin(
      "read only",
      (sql) => write(sql, "account-1", { type: "No" }),
    )
      .catch((error: unknown) => error);
    assert.equal((error as { code: string }).code, "25006");
    assert.equal((error as Error).constructor.name, "PostgresError");
  });
});

describe("write() with an id", () => {
  test("answers the first position when the same id is written again", async () => {
    const message = { type: "Once", id: newId() };
    await write(db.sql, "again-1", { type: "Before" });
    assert.equal(await write(db.sql, "again-1", message), 1);
    await write(db.sql, "again-1", { type: "After" });
    assert.equal(await write(db.sql, "again-1", message), 1);
    assert.equal(
      await write(db.sql, "again-1", {
        ...message,
        id: message.id.toUpperCase(),
      }),
      1,
    );
    assert.equal((await readStream(db.sql, "again-1")).length, 3);
  });

  test("answers the first position whatever version is expected by then", async () => {
    const message = { type: "Once", id: newId() };
    for (const expectedVersion of [NO_STREAM, NO_STREAM, 0, 7]) {
      assert.equal(
        await write(db.sql, "again-2", message, { expectedVersion }),
        0,
      );
    }
    assert.equal(await streamVersion(db.sql, "again-2"), 0);
  });

  for (const expectedVersion of [undefined, 4]) {
    test(`is written once by 20 retries that wait for the same lock, expected version ${expectedVersion}`, async () => {
      const stream = `retried${expectedVersion}-1`;
      for (let at = 0; at < 5; at++) await write(db.sql, stream, { type: "Before" });
      const message = { type: "Once", id: newId() };
      const answers = await whileLocked(db, stream, 20, (sql) =>
        Promise.all(
          Array.from({ length: 20 }, () => write(sql, stream, message, { expectedVersion })),
        ));
      assert.deepEqual(answers, Array(20).fill(5));
      assert.equal(await streamVersion(db.sql, stream), 5);
    });
  }

  test("refuses an id that another stream has, whatever version is expected", async () => {
    const message = { type: "Once", id: newId() };
    await write(db.sql, "first-1", message);
    for (
      const options of [{}, { expectedVersion: NO_STREAM }, {
        expectedVersion: 5,
      }]
    ) {
      await assert.rejects(write(db.sql, "second-1", message, options), {
        name: "DuplicateMessageError",
        code: "DUPLICATE_MESSAGE",
        id: message.id,
      });
    }
    assert.equal(await streamVersion(db.sql, "second-1"), NO_STREAM);
  });

  test("refuses all but one of 20 streams that race with one id", async () => {
    const sql = db.connect({ max: 20 });
    const message = { type: "Once", id: newId() };
    const outcomes = await Promise.allSettled(
      Array.from(
        { length: 20 },
        (_, at) => write(sql, `racer${at}-1`, message),
      ),
    );
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.equal(refused.length, 19);
    for (const { reason } of refused) {
      assert.ok(reason instanceof DuplicateMessageError);
      assert.equal(reason.id, message.id);
    }
  });

  test("does not end the transaction that it refuses a known id in", async () => {
    const message = { type: "Once", id: newId() };
    await write(db.sql, "first-2", message);
    await db.sql.begin(async (sql) => {
      await assert.rejects(
        write(sql, "second-2", message),
        DuplicateMessageError,
      );
      await write(sql, "second-2", { type: "Instead" });
    });
    assert.equal(await streamVersion(db.sql, "second-2"), 0);
  });
});

test("what is changed after the call is not what is written", async () => {
  const message = { type: "Counted", data: { count: 0 } };
  const writing = [];
  for (let count = 0; count < 5; count++) {
    message.data.count = count;
    writing.push(write(db.sql, "reused-1", message));
  }
  const batch = [{ type: "Counted", data: 5 }];
  const last = Promise.all(writing).then(() => readStream(db.sql, "reused-1"));
  const flushed = writeBatch(db.sql, "reused-2", batch);
  batch.length = 0;
  assert.equal(await flushed, 0);
  const counts = (await last).map(({ data }) => (data as { count: number }).count);
  assert.deepEqual(counts.sort(), [0, 1, 2, 3, 4]);
});
