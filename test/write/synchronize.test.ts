import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  type IdentifiedMessageInput,
  NO_STREAM,
  readStream,
  streamVersion,
  synchronize,
  write,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const once = (type: string) => ({
  type,
  data: { type },
  id: crypto.randomUUID(),
});

describe("synchronize()", () => {
  test("writes those messages that the stream does not have yet", async () => {
    const all = [once("One"), once("Two"), once("Three"), once("Four")];
    assert.equal(
      await synchronize(db.sql, "s-1", [], { expectedVersion: 5 }),
      NO_STREAM,
    );
    assert.equal(
      await synchronize(db.sql, "s-1", all.slice(0, 2), {
        expectedVersion: -1,
      }),
      1,
    );
    assert.equal(
      await synchronize(db.sql, "s-1", all, { expectedVersion: 1 }),
      3,
    );
    assert.equal(
      await synchronize(db.sql, "s-1", all, { expectedVersion: 1 }),
      3,
    );
    assert.equal(await synchronize(db.sql, "s-1", all.slice(0, 1)), 3);
    const stored = await readStream(db.sql, "s-1");
    assert.deepEqual(
      stored.map(({ id, type, data }) => ({ type, data, id })),
      all,
    );
  });

  test("refuses a stream that holds other messages in their place", async () => {
    const [one, two, three] = [once("One"), once("Two"), once("Three")];
    await synchronize(db.sql, "s-2", [one, two]);
    await assert.rejects(synchronize(db.sql, "s-2", [one, three, two]), {
      name: "MessageMismatchError",
      code: "MESSAGE_MISMATCH",
      streamName: "s-2",
      position: 1,
      id: three.id,
      actualId: two.id,
    });
    assert.equal(await streamVersion(db.sql, "s-2"), 1);
  });

  test("refuses to write at another version than the expected one", async () => {
    const [one, two] = [once("One"), once("Two")];
    await synchronize(db.sql, "s-3", [one]);
    await assert.rejects(
      synchronize(db.sql, "s-3", [one, two], { expectedVersion: -1 }),
      {
        name: "WrongExpectedVersionError",
        expectedVersion: -1,
        actualVersion: 0,
      },
    );
    assert.equal(await streamVersion(db.sql, "s-3"), 0);
  });

  test("refuses a message that the store has in another place", async () => {
    const [one, two] = [once("One"), once("Two")];
    await write(db.sql, "elsewhere-1", two);
    await assert.rejects(synchronize(db.sql, "s-4", [one, two]), {
      name: "DuplicateMessageError",
      id: two.id,
    });
    assert.equal(await streamVersion(db.sql, "s-4"), NO_STREAM);
  });

  test("agrees with 20 others who synchronize the same list at once", async () => {
    const sql = db.connect({ max: 20 });
    const all = Array.from({ length: 12 }, (_, at) => once(`Number ${at}`));
    const answers = await Promise.all(
      Array.from(
        { length: 20 },
        (_, at) => synchronize(sql, "s-5", all.slice(0, 3 + at % 10)),
      ),
    );
    assert.ok(answers.every((version, at) => version >= 2 + at % 10));
    assert.deepEqual(
      (await readStream(sql, "s-5")).map(({ id }) => id),
      all.map(({ id }) => id),
    );
  });

  test("sees what is written while it waits for the lock", async () => {
    const [one, two, other] = [once("One"), once("Two"), once("Other")];
    await assert.rejects(
      whileLocked(
        db,
        "s-7",
        1,
        (sql) => synchronize(sql, "s-7", [one, two]),
        (holder) => write(holder, "s-7", other),
      ),
      { name: "MessageMismatchError", position: 0, id: one.id, actualId: other.id },
    );
    assert.equal(await streamVersion(db.sql, "s-7"), 0);
  });

  test("refuses a message without an id", async () => {
    const messages = [{ type: "One" }] as unknown as IdentifiedMessageInput[];
    await assert.rejects(synchronize(db.sql, "s-6", messages), TypeError);
  });
});
