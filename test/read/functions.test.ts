import assert from "node:assert/strict";
import * as fc from "fast-check";
import { test } from "vitest";
import {
  type Message,
  readCategory,
  readLastMessage,
  readStream,
  streamVersion,
  subscribe,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

// What is read by SQL on the table is what Message DB's functions answer.

const db = useDatabase();

const category = fc.constantFrom("a", "b", "a:x", "a+b", "ä", "a b");
const id = fc.constantFrom("1", "2", "12+3", "12+4", "+", "1-2", "-", "1-2+3", "ü", "%", "'");
const streamName = fc.tuple(category, fc.option(id))
  .map(([category, id]) => id === null ? category : `${category}-${id}`);
const messageIn = fc.record({
  streamName,
  type: fc.constantFrom("A", "B", "Ä b"),
  data: fc.option(
    fc.json({ noUnicodeString: false }).filter((it) => !/\\u0000|\\ud[89a-f]/i.test(it)),
  ),
  metadata: fc.option(fc.constantFrom({}, { correlationStreamName: "a-1" }, { x: [null, 0.1] })),
  /** How many global positions are missing before this one. With 7 of them, a position of the stream is, too. */
  missing: fc.constantFrom(0, 0, 0, 1, 7),
});
const store = fc.array(messageIn, { minLength: 1, maxLength: 60 });
const position = fc.constantFrom(undefined, 0, 1, 2, 5, 20, 1000);
const batchSize = fc.constantFrom(1, 2, 3, 10, 1000);
const consumerGroup = fc.option(
  fc.constantFrom(2, 3, 4, 100).chain((size) =>
    fc.record({ member: fc.nat(size - 1), size: fc.constant(size) })
  ),
  { nil: undefined },
);

type Generated = typeof messageIn extends fc.Arbitrary<infer Value> ? Value : never;

/** Fills the store anew, by the table, with gaps and with names that no write takes. */
async function fill(messages: readonly Generated[]): Promise<void> {
  await db.sql`truncate message_store.messages restart identity`;
  const positions = new Map<string, number>();
  for (const { streamName, type, data, metadata, missing } of messages) {
    const at = (positions.get(streamName) ?? -1) + 1 + (missing === 7 ? 1 : 0);
    positions.set(streamName, at);
    if (missing > 0) {
      await db.sql`
        select nextval('message_store.messages_global_position_seq') from generate_series(1, ${missing}::int)`;
    }
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data, metadata)
      values (
        ${streamName}, ${at}, ${type}, ${data}::text::jsonb,
        ${metadata && JSON.stringify(metadata)}::text::jsonb
      )`;
  }
}

/** What a function of Message DB answers. */
async function call(name: string, parameters: readonly unknown[]): Promise<Message[]> {
  return await db.sql.begin(async (sql) => {
    await sql`set local search_path to message_store`;
    const marks = parameters.map((_, at) => `$${at + 1}`).join(", ");
    const rows = await sql.unsafe(
      `select *, floor(extract(epoch from time) * 1000)::text as ms from ${name}(${marks})`,
      [...parameters] as string[],
    );
    return rows.map((row) => ({
      id: row["id"],
      streamName: row["stream_name"],
      type: row["type"],
      position: Number(row["position"]),
      globalPosition: Number(row["global_position"]),
      data: row["data"] === null ? null : JSON.parse(row["data"]),
      metadata: row["metadata"] === null ? null : JSON.parse(row["metadata"]),
      time: new Date(Number(row["ms"])),
    }));
  }) as Message[];
}

test("readStream, readLastMessage and streamVersion answer as the functions do", async () => {
  await fc.assert(
    fc.asyncProperty(store, position, batchSize, async (messages, position, batchSize) => {
      await fill(messages);
      for (const name of new Set([...messages.map((it) => it.streamName), "none-1"])) {
        const last = await call("get_last_stream_message", [name]);
        assert.deepEqual(await readLastMessage(db.sql, name), last[0] ?? null);
        assert.equal(await streamVersion(db.sql, name), last[0]?.position ?? -1);
        const ofType = await call("get_last_stream_message", [name, "A"]);
        assert.deepEqual(await readLastMessage(db.sql, name, { type: "A" }), ofType[0] ?? null);
        if (!name.includes("-")) continue;
        const expected = await call("get_stream_messages", [name, position ?? null, batchSize]);
        assert.deepEqual(await readStream(db.sql, name, { position, batchSize }), expected);
      }
    }),
    { numRuns: 60 },
  );
});

test("readCategory answers as get_category_messages does, to each member of a group", async () => {
  await fc.assert(
    fc.asyncProperty(
      store,
      position,
      batchSize,
      consumerGroup,
      async (messages, position, batchSize, consumerGroup) => {
        await fill(messages);
        const { member = null, size = null } = consumerGroup ?? {};
        for (
          const name of new Set([...messages.map((it) => it.streamName.split("-")[0]!), "none"])
        ) {
          const share = [null, member, size];
          const expected = await call("get_category_messages", [
            name,
            position ?? null,
            batchSize,
            ...share,
          ]);
          const options = { position, batchSize, consumerGroup };
          assert.deepEqual(await readCategory(db.sql, name, options), expected);
          const all = await call("get_category_messages", [name, 1, -1, ...share]);
          const backward = await readCategory(db.sql, name, {
            ...options,
            direction: "backward",
          });
          const before = all.filter((it) => it.globalPosition <= (position ?? Infinity))
            .toReversed();
          assert.deepEqual(backward, before.slice(0, batchSize));
          const followed: Message[] = [];
          const ending = new AbortController();
          const onCaughtUp = () => ending.abort();
          const following = { startAt: 1, batchSize, consumerGroup, types: ["A", "B"] };
          for await (
            const message of subscribe(db.sql, name, {
              ...following,
              onCaughtUp,
              signal: ending.signal,
            })
          ) followed.push(message);
          assert.deepEqual(followed, all.filter(({ type }) => following.types.includes(type)));
        }
      },
    ),
    { numRuns: 60 },
  );
});
