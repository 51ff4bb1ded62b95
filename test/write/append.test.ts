import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  append,
  type Appended,
  type Message,
  NO_STREAM,
  readAll,
  readCategory,
  readLastMessage,
  readStream,
  type Sql,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const once = (type: string) => ({ type, id: crypto.randomUUID() });

/** What an append of these messages answers. */
function placesOf(...messages: readonly (Message | null | undefined)[]): Appended {
  const { position, globalPosition } = messages.at(-1)!;
  return { position, globalPosition, globalPositions: messages.map((it) => it!.globalPosition) };
}

describe("append()", () => {
  test("answers both positions of a message, and all global positions of several", async () => {
    const one = await append(db.sql, "one-1", { type: "One" });
    assert.deepEqual(one, placesOf(await readLastMessage(db.sql, "one-1")));
    assert.equal(one.position, 0);

    const three = [{ type: "Two" }, { type: "Three" }, { type: "Four" }];
    const several = await append(db.sql, "one-1", three, { expectedVersion: 0 });
    assert.deepEqual(several, placesOf(...(await readStream(db.sql, "one-1")).slice(1)));
    assert.equal(several.position, 3);
    assert.equal(several.globalPosition, one.globalPosition + 3);

    const [first] = await readAll(db.sql, { position: several.globalPosition });
    assert.equal(first!.type, "Four");
  });

  test("answers what was written, whoever writes at the same time", async () => {
    const [writers, turns] = [20, 25];
    const sql = db.connect({ max: writers });
    const answers: [streamName: string, data: string, place: Appended][] = [];
    await Promise.all(Array.from({ length: writers }, async (_, writer) => {
      for (let turn = 0; turn < turns; turn++) {
        // Five categories of two streams each; batches of one to three.
        const streamName = `busy${writer % 5}-${turn % 2}`;
        const data = `${writer}/${turn}`;
        const size = turn % 3;
        const before = Array.from({ length: size }, () => ({ type: "Before", data }));
        const place = await append(sql, streamName, [...before, { type: "Last", data }]);
        answers.push([streamName, data, place]);
      }
    }));
    const all = (await readAll<string>(db.sql, { batchSize: 10_000 }))
      .filter(({ streamName }) => /^busy/.test(streamName));
    const stored = all.filter(({ type }) => type === "Last");
    const batchOf = ({ streamName, data }: Message) =>
      all.filter((message) => message.streamName === streamName && message.data === data);
    const byPlace = (a: [string, string, Appended], b: [string, string, Appended]) =>
      a[2].globalPosition - b[2].globalPosition;
    assert.equal(stored.length, writers * turns);
    assert.deepEqual(
      answers.sort(byPlace),
      stored.map((last) => [last.streamName, last.data, placesOf(...batchOf(last))]),
    );
  });

  test("answers the first positions when the same ids are written again", async () => {
    const batch = [once("One"), once("Two"), once("Three")];
    await write(db.sql, "again-1", { type: "Before" });
    const first = await append(db.sql, "again-1", batch, { expectedVersion: 0 });
    await write(db.sql, "again-1", { type: "After" });
    await write(db.sql, "elsewhere-1", { type: "After" });
    assert.deepEqual(await append(db.sql, "again-1", batch), first);
    assert.deepEqual(await append(db.sql, "again-1", batch, { expectedVersion: 0 }), first);
    assert.deepEqual(first, placesOf(...(await readStream(db.sql, "again-1")).slice(1, 4)));
    assert.equal(await streamVersion(db.sql, "again-1"), 4);
  });

  test("answers the positions of what write() and writeBatch() have written", async () => {
    const [one, two, three] = [once("One"), once("Two"), once("Three")];
    await write(db.sql, "other-1", one);
    await writeBatch(db.sql, "other-1", [two, three]);
    const stored = await readStream(db.sql, "other-1");
    assert.deepEqual(await append(db.sql, "other-1", one), placesOf(stored[0]));
    assert.deepEqual(await append(db.sql, "other-1", [one, two, three]), placesOf(...stored));
  });

  test("is written once by retries that wait for the same lock", async () => {
    const batch = [once("One"), once("Two")];
    const answers = await whileLocked(db, "wait-1", 10, (sql) =>
      Promise.all(
        Array.from({ length: 10 }, () =>
          append(sql, "wait-1", batch, { expectedVersion: NO_STREAM })),
      ));
    const stored = await readCategory(db.sql, "wait");
    assert.equal(stored.length, 2);
    assert.deepEqual(answers, Array(10).fill(placesOf(...stored)));
  });

  test("answers the positions of what was written while it waited for the lock", async () => {
    const batch = [once("One"), once("Two")];
    await write(db.sql, "late-1", { type: "Before" });
    const answer = await whileLocked(
      db,
      "late-1",
      1,
      (sql) => append(sql, "late-1", batch),
      async (holder) => {
        await writeBatch(holder, "late-1", batch);
        await write(holder, "late-1", { type: "After" });
      },
    );
    assert.deepEqual(answer, placesOf(...(await readStream(db.sql, "late-1")).slice(1, 3)));
    assert.equal(await streamVersion(db.sql, "late-1"), 3);
  });

  test("is written once by 20 retries at once, while others write to the category", async () => {
    const sql = db.connect({ max: 20 });
    const batch = [once("One"), once("Two")];
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, at) => {
      await write(sql, `storm-${at}`, { type: "Other" });
      return await append(sql, "storm-batch", batch, { expectedVersion: NO_STREAM });
    }));
    const stored = await readStream(db.sql, "storm-batch");
    assert.equal(stored.length, 2);
    assert.deepEqual(answers, Array(20).fill(placesOf(...stored)));
  });

  test("refuses messages of which some are there, in part or in another order or stream", async () => {
    const [one, two, three] = [once("One"), once("Two"), once("Three")];
    await append(db.sql, "part-1", [one, two]);
    for (
      const [stream, messages] of [
        ["part-1", [one, two, three]],
        ["part-1", [two, one]],
        ["part-1", [three, two]],
        ["part-2", [one, two]],
        ["part-2", one],
        ["part-2", [three, three]],
      ] as const
    ) {
      await assert.rejects(append(db.sql, stream, messages), { name: "DuplicateMessageError" });
    }
    assert.equal(await streamVersion(db.sql, "part-1"), 1);
    assert.equal(await streamVersion(db.sql, "part-2"), NO_STREAM);
  });

  test("writes nothing at a wrong expected version, or when the database refuses a message", async () => {
    await append(db.sql, "version-1", { type: "One" }, { expectedVersion: NO_STREAM });
    await assert.rejects(
      append(db.sql, "version-1", [{ type: "Two" }, { type: "Three" }], {
        expectedVersion: NO_STREAM,
      }),
      {
        name: "WrongExpectedVersionError",
        streamName: "version-1",
        expectedVersion: NO_STREAM,
        actualVersion: 0,
      },
    );
    await db
      .sql`alter table message_store.messages add constraint no_zero check (type <> 'Zero')`;
    await assert.rejects(append(db.sql, "version-1", [{ type: "Two" }, { type: "Zero" }]), {
      code: "23514",
    });
    assert.equal(await streamVersion(db.sql, "version-1"), 0);
  });

  test("refuses to round a global position, new or known; writeBatch() does not ask for it", async () => {
    const message = once("Far");
    const attempt = (write: (sql: Sql) => Promise<unknown>) =>
      db.sql.begin(async (sql) => {
        const sequence = "message_store.messages_global_position_seq";
        const [row] = await sql`select nextval(${sequence}::text::regclass)::text as value`;
        await sql`select setval(${sequence}::text::regclass, 9007199254740992)`;
        try {
          return await write(sql);
        } finally {
          await sql`select setval(${sequence}::text::regclass, ${row!.value}::text::bigint)`;
        }
      });
    const error = { name: "RangeError", message: /^Cannot represent position 90071992547409/ };
    await assert.rejects(attempt((sql) => append(sql, "far-1", message)), error);
    assert.equal(await streamVersion(db.sql, "far-1"), NO_STREAM);
    assert.equal(await attempt((sql) => writeBatch(sql, "far-1", [message])), 0);
    await assert.rejects(append(db.sql, "far-1", message), error);
    await db.sql`delete from message_store.messages where stream_name = 'far-1'`;
  });
});
