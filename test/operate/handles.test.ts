import assert from "node:assert/strict";
import { drain, fromQuery, type Sql, write } from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import {
  activity,
  consumers,
  findMessages,
  inspectMessage,
  messageTypes,
  storeStatus,
  streams,
  trace,
} from "@messagedb/client/operate";
import { beforeAll, describe, test } from "vitest";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const operations: Record<string, (sql: Sql) => Promise<unknown>> = {
  consumers,
  storeStatus,
  streams: (sql) => streams(sql, "account"),
  "streams by count": (sql) => streams(sql, "account", { sort: "count" }),
  "streams by name": (sql) => streams(sql, "account", { sort: "name" }),
  messageTypes,
  "messageTypes of a category": (sql) => messageTypes(sql, { category: "account" }),
  "findMessages of all": (sql) => findMessages(sql, "$all"),
  "findMessages of a category": (sql) =>
    findMessages(sql, "account", { direction: "backward", since: new Date(0), text: "a" }),
  "findMessages of a stream": (sql) => findMessages(sql, "account-1", { types: ["A"] }),
  inspectMessage: (sql) => inspectMessage(sql, crypto.randomUUID()),
  activity: (sql) => activity(sql, { since: new Date(0), until: new Date("2100-01-01") }),
  trace: (sql) => trace(sql, { streamName: "account-1" }),
};

beforeAll(async () => {
  await write(db.sql, "account-1", { type: "A" });
  await drain(db.sql, { category: "account", consumerId: "it", handle: () => {} });
});

describe.each(Object.entries(operations))("%s()", (_, operation) => {
  /** What is the same at each call. */
  const fixed = (answer: unknown) =>
    JSON.parse(JSON.stringify(answer, (key, value) => key === "settings" ? undefined : value));

  test.each<[string, () => Sql]>([
    ["fromQuery", () => fromQuery((text, parameters) => db.sql.unsafe(text, parameters))],
    ["a connection that prepares nothing", () => db.connect({ prepare: false, max: 1 })],
    [
      "a connection that only reads",
      () => db.connect({ max: 1, connection: { default_transaction_read_only: true } }),
    ],
    [
      "a serializable connection",
      () => db.connect({ max: 1, connection: { default_transaction_isolation: "serializable" } }),
    ],
    [
      "a role with Message DB's rights",
      () =>
        db.connect({ max: 1, connection: { role: "message_store", TimeZone: "Asia/Kathmandu" } }),
    ],
    ["other types and transforms", () =>
      db.connect({
        max: 1,
        types: { bigint: { to: 20, from: [20], parse: BigInt, serialize: String } } as never,
        transform: { column: (name: string) => name.toUpperCase() },
      })],
  ])("answers the same over %s", async (_, handle) => {
    assert.deepEqual(
      fixed(await operation(handle())),
      fixed(await operation(db.sql)),
    );
  });

  test("answers the same in a transaction, and leaves it as it is", async () => {
    await db.sql.begin(async (tx) => {
      assert.deepEqual(fixed(await operation(tx)), fixed(await operation(db.sql)));
      const [row] = await tx`select current_setting('search_path') as path`;
      assert.deepEqual({ ...row }, { path: '"$user", public' });
    });
  });

  test("is refused by a gateway, which says so", async () => {
    const handle = gateway(db.sql, { authorize: () => true });
    const sql = fetchSql("http://gateway/sql", {
      fetch: (url, init) => handle(new Request(url, init)),
    });
    await assert.rejects(operation(sql), { code: "FETCH_FAILED", message: /403, Cannot run this/ });
  });
});
