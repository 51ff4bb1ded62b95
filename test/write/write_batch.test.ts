import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import {
  type Message,
  type MessageInput,
  NO_STREAM,
  readAll,
  readStream,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const once = (type: string) => ({ type, id: crypto.randomUUID() });

describe("writeBatch()", () => {
  test("writes in order, stream positions and global positions alike", async () => {
    await write(db.sql, "order-1", { type: "Before" });
    const messages = Array.from(
      { length: 2500 },
      (_, at) => ({ type: "Written", data: at }),
    );
    assert.equal(await writeBatch(db.sql, "order-1", messages), 2500);
    const written = await readStream(db.sql, "order-1", {
      position: 1,
      batchSize: 3000,
    });
    assert.deepEqual(
      written.map(({ data }) => data),
      messages.map(({ data }) => data),
    );
    assert.deepEqual(
      written.map(({ globalPosition }) => globalPosition - written[0]!.globalPosition),
      messages.map(({ data }) => data),
    );
  });

  test("checks the expected version as write() does", async () => {
    const messages = [{ type: "One" }, { type: "Two" }];
    assert.equal(
      await writeBatch(db.sql, "v-1", messages, { expectedVersion: NO_STREAM }),
      1,
    );
    assert.equal(
      await writeBatch(db.sql, "v-1", messages, { expectedVersion: 1 }),
      3,
    );
    await assert.rejects(
      writeBatch(db.sql, "v-1", messages, { expectedVersion: 0 }),
      {
        name: "WrongExpectedVersionError",
        streamName: "v-1",
        expectedVersion: 0,
        actualVersion: 3,
      },
    );
    assert.equal(await streamVersion(db.sql, "v-1"), 3);
  });

  test("writes nothing when the database refuses one of the messages", async () => {
    await db
      .sql`alter table message_store.messages add constraint no_zero check (type <> 'Zero')`;
    await assert.rejects(
      writeBatch(db.sql, "all-1", [{ type: "One" }, { type: "Zero" }]),
      {
        code: "23514",
      },
    );
    assert.equal(await streamVersion(db.sql, "all-1"), NO_STREAM);
  });

  test("refuses an empty batch", async () => {
    await assert.rejects(writeBatch(db.sql, "none-1", []), RangeError);
  });

  test("answers the first position when the whole batch is written again", async () => {
    const batch = [once("One"), once("Two"), once("Three")];
    await write(db.sql, "again-1", { type: "Before" });
    assert.equal(await writeBatch(db.sql, "again-1", batch), 3);
    await write(db.sql, "again-1", { type: "After" });
    assert.equal(await writeBatch(db.sql, "again-1", batch), 3);
    assert.equal(
      await writeBatch(db.sql, "again-1", batch, { expectedVersion: 0 }),
      3,
    );
    assert.equal(await streamVersion(db.sql, "again-1"), 4);
  });

  test("is written once by 20 retries at once", async () => {
    const sql = db.connect({ max: 20 });
    const batch = [once("One"), once("Two")];
    const answers = await Promise.all(
      Array.from(
        { length: 20 },
        () => writeBatch(sql, "again-2", batch, { expectedVersion: NO_STREAM }),
      ),
    );
    assert.deepEqual(answers, Array(20).fill(1));
    assert.equal(await streamVersion(sql, "again-2"), 1);
  });

  test("refuses a batch of which some messages are there, in part or in another order or stream", async () => {
    const [one, two, three] = [once("One"), once("Two"), once("Three")];
    await writeBatch(db.sql, "part-1", [one, two]);
    for (
      const [stream, batch] of [
        ["part-1", [one, two, three]],
        ["part-1", [three, two]],
        ["part-1", [two, one]],
        ["part-1", [one, two, { type: "No id" }]],
        ["part-2", [one, two]],
      ] as const
    ) {
      await assert.rejects(writeBatch(db.sql, stream, batch), {
        name: "DuplicateMessageError",
      });
    }
    assert.equal(await streamVersion(db.sql, "part-1"), 1);
    assert.equal(await streamVersion(db.sql, "part-2"), NO_STREAM);
  });

  test("refuses a batch that has an id twice", async () => {
    const message = once("One");
    await assert.rejects(writeBatch(db.sql, "twice-1", [message, message]), {
      name: "DuplicateMessageError",
      id: message.id,
    });
  });

  test("leaves the rows that a sequence of write()s leaves", async () => {
    const messages = fc.array(
      fc.record({
        type: fc.string({ minLength: 1, unit: "grapheme" }).filter((type) => !type.includes("\0")),
        data: fc.jsonValue({ depthSize: "medium" }).filter(canBeJsonb),
        metadata: fc.option(
          fc.dictionary(fc.string(), fc.jsonValue()).filter(canBeJsonb),
        ),
      }, { requiredKeys: ["type"] }),
      { minLength: 1, maxLength: 8 },
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(messages, async (messages) => {
        const [batched, single] = [`batched-${++run}`, `single-${run}`];
        const input = messages as MessageInput[];
        const last = await writeBatch(db.sql, batched, input, {
          expectedVersion: NO_STREAM,
        });
        for (const [at, message] of input.entries()) {
          assert.equal(
            await write(db.sql, single, message, { expectedVersion: at - 1 }),
            at,
          );
        }
        assert.equal(last, input.length - 1);
        const rows = (stream: string) =>
          db.sql`
            select position, type, data, metadata from message_store.messages
            where stream_name = ${stream} order by global_position`;
        assert.deepEqual([...await rows(batched)], [...await rows(single)]);
        assert.deepEqual(
          (await readStream(db.sql, batched)).map(content),
          input.map((message, position) =>
            content(
              { data: null, metadata: null, ...message, position } as Message,
            )
          ),
        );
      }),
      { numRuns: 150 },
    );
    assert.ok((await readAll(db.sql, { batchSize: 1 })).length === 1);
  });
});

/** What jsonb holds: no NUL, no half of a surrogate pair, and no -0. */
function canBeJsonb(value: unknown): boolean {
  return !/\\u(0000|d[89a-f])/.test(JSON.stringify(value));
}

function content({ position, type, data, metadata }: Message): unknown {
  return JSON.parse(JSON.stringify({ position, type, data, metadata }));
}
