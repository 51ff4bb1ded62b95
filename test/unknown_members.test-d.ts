import { test } from "vitest";
import {
  append,
  consume,
  decide,
  drain,
  entity,
  type MessageInput,
  readStream,
  type Sql,
  subscribe,
  waitFor,
  write,
  writeBatch,
  type WriteOptions,
  writeStreams,
} from "../mod.ts";
import type { Members } from "../src/names/_check.ts";

declare const sql: Sql;
const message: MessageInput = { type: "Written" };
const letters = { category: "account", consumerId: "letters" };
const counter = entity({ category: "counter", init: () => 0, evolve: (state) => state + 1 });

test("a list of known members has every member, and no other", () => {
  ({ expectedVersion: true }) satisfies Members<WriteOptions>;
  // @ts-expect-error: expectedVersion is missing
  ({}) satisfies Members<WriteOptions>;
  // @ts-expect-error: an option of another name
  ({ expectedVersion: true, expected_version: true }) satisfies Members<WriteOptions>;
});

test("a literal with an unknown member does not compile", async () => {
  // @ts-expect-error: there is no such member
  await write(sql, "a-1", message, { expected_version: 7 });
  // @ts-expect-error: there is no such member
  await write(sql, "a-1", { type: "Written", metaData: {} });
  // @ts-expect-error: there is no such member
  await writeBatch(sql, "a-1", [{ type: "Written", payload: {} }]);
  // @ts-expect-error: there is no such member
  await append(sql, "a-1", { type: "Written", metaData: {} });
  // @ts-expect-error: there is no such member
  await writeStreams(sql, [{ streamName: "a-1", messages: [message], expected_version: 7 }]);
  // @ts-expect-error: there is no such member
  await readStream(sql, "a-1", { batch_size: 7 });
  // @ts-expect-error: there is no such member
  subscribe(sql, "a", { start_at: "end" });
  // @ts-expect-error: there is no such member
  await drain(sql, { ...letters, handle() {}, condition: "position = 0" });
  // @ts-expect-error: there is no such member
  await consume(sql, { ...letters, handle() {} }, { limit: 1 });
  // @ts-expect-error: there is no such member
  await waitFor(sql, { ...letters, consumer_group: { size: 1 } }, 1);
  // @ts-expect-error: there is no such member
  await counter.decide(sql, "1", () => message, { expectedVersion: 7 });
  // @ts-expect-error: there is no such member
  await decide(sql, [[counter, "1"]], () => [message], { expectedVersion: 7 });
});
