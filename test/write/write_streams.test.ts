import assert from "node:assert/strict";
import { describe, test } from "vitest";
import {
  NO_STREAM,
  readCategory,
  type StreamInput,
  streamVersion,
  write,
  writeStreams,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const once = (type: string) => ({ type, id: crypto.randomUUID() });

describe("writeStreams()", () => {
  test("answers the last position of each stream, in the order given", async () => {
    await write(db.sql, "b-1", { type: "Before" });
    assert.deepEqual(
      await writeStreams(db.sql, [
        {
          streamName: "b-1",
          messages: [{ type: "One" }, { type: "Two" }],
          expectedVersion: 0,
        },
        {
          streamName: "a-1",
          messages: [{ type: "Three" }],
          expectedVersion: NO_STREAM,
        },
        { streamName: "a-2", messages: [{ type: "Four" }] },
      ]),
      [2, 0, 0],
    );
  });

  test("writes in the order given, across streams", async () => {
    const streams = Array.from({ length: 50 }, (_, at) => ({
      streamName: `ordered-${50 - at}`,
      messages: [{ type: "One", data: at * 2 }, {
        type: "Two",
        data: at * 2 + 1,
      }],
    }));
    await writeStreams(db.sql, streams);
    const written = await readCategory(db.sql, "ordered");
    assert.deepEqual(
      written.map(({ data }) => data),
      Array.from({ length: 100 }, (_, at) => at),
    );
  });

  test("writes nothing when one stream is at another version", async () => {
    await assert.rejects(
      writeStreams(db.sql, [
        {
          streamName: "atomic-1",
          messages: [{ type: "One" }],
          expectedVersion: NO_STREAM,
        },
        {
          streamName: "other-1",
          messages: [{ type: "Two" }],
          expectedVersion: 4,
        },
      ]),
      {
        name: "WrongExpectedVersionError",
        streamName: "other-1",
        actualVersion: NO_STREAM,
      },
    );
    assert.equal(await streamVersion(db.sql, "atomic-1"), NO_STREAM);
  });

  test("is written once by retries that wait for the same lock", async () => {
    const streams = [
      { streamName: "wait-1", messages: [once("One"), once("Two")], expectedVersion: NO_STREAM },
      { streamName: "wait-2", messages: [once("Three")], expectedVersion: NO_STREAM },
    ];
    const answers = await whileLocked(
      db,
      "wait-1",
      10,
      (sql) => Promise.all(Array.from({ length: 10 }, () => writeStreams(sql, streams))),
    );
    assert.deepEqual(answers, Array(10).fill([1, 0]));
    assert.equal((await readCategory(db.sql, "wait")).length, 3);
  });

  test("is written once however often it is sent", async () => {
    const sql = db.connect({ max: 20 });
    const streams = [
      {
        streamName: "debit-1",
        messages: [once("One"), once("Two")],
        expectedVersion: NO_STREAM,
      },
      {
        streamName: "credit-1",
        messages: [once("Three")],
        expectedVersion: NO_STREAM,
      },
    ];
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => writeStreams(sql, streams)),
    );
    assert.deepEqual(answers, Array(20).fill([1, 0]));
    assert.equal(await streamVersion(sql, "debit-1"), 1);
    await assert.rejects(
      writeStreams(
        sql,
        streams.slice(1).concat(streams[0]!, {
          streamName: "more-1",
          messages: [once("Four")],
          expectedVersion: NO_STREAM,
        }),
      ),
      { name: "DuplicateMessageError" },
    );
    await assert.rejects(
      writeStreams(sql, [
        { streamName: "debit-1", messages: [streams[1]!.messages[0]!] },
        { streamName: "credit-1", messages: streams[0]!.messages },
      ]),
      { name: "DuplicateMessageError" },
    );
  });

  test("takes the locks in one order: opposite calls do not wait for each other", async () => {
    const calls = 400;
    const sql = db.connect({ max: 8 });
    const names = ["x-1", "y-1", "z-1", "w-1"];
    const outcomes = await Promise.allSettled(
      Array.from({ length: calls }, (_, at) => {
        const streams = names.map((streamName) => ({
          streamName,
          messages: [{ type: "Written" }],
        }));
        return writeStreams(sql, at % 2 ? streams : streams.reverse());
      }),
    );
    assert.deepEqual(
      outcomes.filter((outcome) => outcome.status === "rejected"),
      [],
    );
    for (const name of names) {
      assert.equal(await streamVersion(sql, name), calls - 1);
    }
  });

  describe("of a stream with no messages and an expected version", () => {
    const write1 = (streamName: string) => ({ streamName, messages: [{ type: "One" }] });
    const check = (streamName: string, expectedVersion: number) => ({
      streamName,
      messages: [],
      expectedVersion,
    });

    test("checks that alone, and answers it, wherever the stream is in the list", async () => {
      await write(db.sql, "checked-1", { type: "Before" });
      const position = async (...streams: StreamInput[]) => await writeStreams(db.sql, streams);
      assert.deepEqual(await position(check("checked-1", 0), write1("beside-1")), [0, 0]);
      assert.deepEqual(await position(write1("beside-1"), check("checked-1", 0)), [1, 0]);
      assert.deepEqual(
        await position(check("checked-2", NO_STREAM), write1("beside-1"), check("checked-1", 0)),
        [-1, 2, 0],
      );
      assert.deepEqual(
        await position(
          { ...write1("beside-2"), messages: [{ type: "One" }, { type: "Two" }] },
          check("checked-2", NO_STREAM),
          write1("beside-1"),
        ),
        [1, -1, 3],
      );
      assert.equal((await readCategory(db.sql, "checked")).length, 1);
    });

    test("writes nothing where it is at another version", async () => {
      for (const [name, expected, actual] of [["checked-1", 1, 0], ["checked-2", 0, -1]] as const) {
        for (const streams of [[0, 1], [1, 0]]) {
          const both = [check(name, expected), write1("unwritten-1")];
          await assert.rejects(writeStreams(db.sql, streams.map((at) => both[at]!)), {
            name: "WrongExpectedVersionError",
            streamName: name,
            expectedVersion: expected,
            actualVersion: actual,
          });
        }
      }
      await assert.rejects(
        writeStreams(db.sql, [check("checked-1", NO_STREAM), write1("unwritten-1")]),
        { name: "WrongExpectedVersionError", actualVersion: 0 },
      );
      assert.equal(await streamVersion(db.sql, "unwritten-1"), NO_STREAM);
    });

    test("sees what was written while it waited for the lock", async () => {
      await write(db.sql, "guard-1", { type: "Before" });
      await assert.rejects(
        whileLocked(
          db,
          "guard-1",
          1,
          (sql) => writeStreams(sql, [check("guard-1", 0), write1("guarded-1")]),
          (holder) => write(holder, "guard-1", { type: "Meanwhile" }),
        ),
        { name: "WrongExpectedVersionError", streamName: "guard-1", actualVersion: 1 },
      );
      assert.equal(await streamVersion(db.sql, "guarded-1"), NO_STREAM);
    });

    test("lets nobody write to it until the transaction ends", async () => {
      await write(db.sql, "still-1", { type: "Before" });
      const order: string[] = [];
      const other = db.connect({ max: 1 });
      let writing: Promise<unknown> | undefined;
      await db.sql.begin(async (sql) => {
        await writeStreams(sql, [check("still-1", 0), write1("moving-1")]);
        writing = write(other, "still-1", { type: "After" }).then(() => order.push("after"));
        for (let waits = false; !waits;) {
          const [row] = await sql`
            select exists (
              select from pg_locks where locktype = 'advisory' and not granted
                and database = (select oid from pg_database where datname = current_database())
            ) as waits`;
          waits = row!.waits;
        }
        order.push("checked");
      });
      await writing;
      assert.deepEqual(order, ["checked", "after"]);
    });

    test("answers the first positions when it is sent again, whatever has become of it", async () => {
      const messages = [once("One"), once("Two")];
      const streams = [
        check("resent-1", NO_STREAM),
        { streamName: "resent-2", messages, expectedVersion: NO_STREAM },
        check("resent-3", NO_STREAM),
        { streamName: "resent-4", messages: [once("Three")] },
      ];
      assert.deepEqual(await writeStreams(db.sql, streams), [-1, 1, -1, 0]);
      await write(db.sql, "resent-1", { type: "Later" });
      assert.deepEqual(await writeStreams(db.sql, streams), [-1, 1, -1, 0]);
      assert.equal((await readCategory(db.sql, "resent")).length, 4);
    });

    test("refuses it twice, without a version, and where there is nothing to write at all", async () => {
      const twice = [check("checked-1", 0), check("checked-1", 0), write1("a-1")];
      await assert.rejects(writeStreams(db.sql, twice), TypeError);
      await assert.rejects(
        writeStreams(db.sql, [check("checked-1", 0), write1("checked-1")]),
        TypeError,
      );
      await assert.rejects(
        writeStreams(db.sql, [{ streamName: "checked-1", messages: [] }, write1("a-1")]),
        RangeError,
      );
      await assert.rejects(writeStreams(db.sql, [check("checked-1", 0)]), RangeError);
      await assert.rejects(writeStreams(db.sql, [check("checked", 0), write1("a-1")]), TypeError);
      await assert.rejects(
        writeStreams(db.sql, [check("checked-1", -2), write1("a-1")]),
        RangeError,
      );
      assert.equal(await streamVersion(db.sql, "a-1"), 0);
    });
  });

  test("refuses no streams, a stream without messages and a stream twice", async () => {
    await assert.rejects(writeStreams(db.sql, []), RangeError);
    await assert.rejects(
      writeStreams(db.sql, [{ streamName: "a-1", messages: [] }]),
      RangeError,
    );
    const stream = { streamName: "a-1", messages: [{ type: "One" }] };
    await assert.rejects(writeStreams(db.sql, [stream, stream]), {
      name: "TypeError",
      message: 'Cannot use "a-1" as "streamName": it must be given once',
    });
  });
});

test("a duplicate behind a stream that is only checked is told by its id", async () => {
  const id = crypto.randomUUID();
  await write(db.sql, "elsewhere-1", { id, type: "Written" });
  const writing = writeStreams(db.sql, [
    { streamName: "checked-1", messages: [], expectedVersion: NO_STREAM },
    { streamName: "doubled-1", messages: [{ id, type: "Written" }] },
  ]);
  await assert.rejects(writing, { name: "DuplicateMessageError", id });
});
