import assert from "node:assert/strict";
import { test } from "vitest";
import { drain, idFrom, type Message, readStream, replayParked, write } from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

test("idFrom() makes the same UUID of version 8 of the same text, and another of another", async () => {
  const id = await idFrom("one");
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(await idFrom("one"), id);
  assert.notEqual(await idFrom("two"), id);
  for (const text of ["", undefined, 1]) await assert.rejects(idFrom(text as string), TypeError);
});

test("what has an id of its cause's is written once, however often the handler is called", async () => {
  await write(db.sql, "asked-1", { type: "Asked" });
  let calls = 0;
  const consumer = {
    category: "asked",
    consumerId: "answers",
    onError: { retry: 2, delay: 0, then: "park" },
    handle: async ({ id }: Message) => {
      await write(db.sql, "answer-1", { id: await idFrom(`${id} answer`), type: "Answered" });
      if (++calls < 4) throw new Error("after the write");
    },
  } as const;
  await drain(db.sql, consumer);
  await replayParked(db.sql, consumer);
  assert.equal(calls, 4);
  assert.equal((await readStream(db.sql, "answer-1")).length, 1);
});
