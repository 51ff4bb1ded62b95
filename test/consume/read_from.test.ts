import assert from "node:assert/strict";
import { afterEach, test, vi } from "vitest";
import {
  append,
  consume,
  drain,
  inSchema,
  type Message,
  readLastMessage,
  waitFor,
  write,
} from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { PATIENCE, until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { stored } from "./_consuming.ts";

const primary = useDatabase();
const other = useDatabase();

afterEach(() => void vi.restoreAllMocks());

test("a consumer reads through a gateway that allows one category", async () => {
  const { sql } = primary;
  const handler = gateway(sql, {
    authorize: (_, { category = "" }) => /^account(:|$)/.test(category),
  });
  const remote = fetchSql("http://localhost/sql", {
    fetch: (url, init) => handler(new Request(url, init)),
  });
  await write(remote, "account-1", { type: "Opened" });
  const handled: string[] = [];
  const { caughtUp } = await drain(remote, {
    category: "account",
    consumerId: "remote",
    readFrom: remote,
    handle: ({ type }) => void handled.push(type),
  });
  assert.deepEqual(handled, ["Opened"]);
  assert.ok(caughtUp);
});

test.each(["$all", "empty"])(
  "drain() of %s is caught up with the primary, if the replica is an empty store",
  async (category) => {
    const { globalPosition: startAt } = await append(primary.sql, "empty-1", { type: "One" });
    await write(primary.sql, "empty-1", { type: "Two" });
    const handled: string[] = [];
    const { caughtUp } = await drain(primary.sql, {
      category,
      consumerId: `drained-${category}`,
      startAt,
      batchSize: 1,
      readFrom: other.sql,
      handle: ({ type }) => void handled.push(type),
    });
    assert.deepEqual(handled, ["One", "Two"]);
    assert.ok(caughtUp);
  },
);

test("a consumer whose replica gives nothing reads from the primary after a while, beside another one", async () => {
  const { globalPosition: startAt } = await append(primary.sql, "still-1", { type: "One" });
  const ending = new AbortController();
  const handled: string[] = [];
  const consumer = {
    category: "still",
    startAt,
    batchSize: 1,
    pollInterval: 25,
    readFrom: other.sql,
    handle: ({ type }: Message) => void handled.push(type),
  };
  const consuming = ["one", "two"].map((consumerId) =>
    consume(primary.sql, { ...consumer, consumerId }, { signal: ending.signal })
  );
  const { globalPosition } = await append(primary.sql, "still-1", { type: "Two" });
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + 30_000);
  for (const consumerId of ["one", "two"]) {
    await waitFor(primary.sql, { category: "still", consumerId }, globalPosition, {
      timeout: PATIENCE,
    });
  }
  ending.abort();
  await Promise.all(consuming);
  assert.deepEqual(handled.sort(), ["One", "One", "Two", "Two"]);
});

test("a replica without Message DB is named in the error", async () => {
  const consumer = { category: "account", consumerId: "lost", handle() {} };
  const empty = primary.connect({ database: "postgres" });
  await assert.rejects(drain(primary.sql, { ...consumer, readFrom: empty }), {
    reason: "missing",
    message: /^Cannot find Message DB .* \(the replica of readFrom\)$/,
  });
  await assert.rejects(drain(empty, { ...consumer, readFrom: primary.sql }), {
    reason: "missing",
    message: /install"$/,
  });
});

test("a replica of another schema is refused", async () => {
  const { sql } = primary;
  const consumer = { category: "account", consumerId: "schema", handle: () => {} };
  for (
    const [own, replica, schema] of [
      [inSchema(sql, "tenant_1"), other.sql, "tenant_1"],
      [sql, inSchema(other.sql, "tenant_1"), "message_store"],
    ] as const
  ) {
    await assert.rejects(drain(own, { ...consumer, readFrom: replica }), {
      name: "TypeError",
      message: `Cannot use a function as "readFrom": it must be of the schema "${schema}": ` +
        `inSchema(replica, "${schema}")`,
    });
  }
});

test("a consumer of all messages takes no page of which the primary lacks an earlier message", async () => {
  // As after a promotion between two commits: the old history has both, the new one has the second alone.
  const { globalPosition: startAt } = await append(other.sql, "torn-1", { type: "Lost" });
  const kept = await append(other.sql, "torn-2", { type: "Kept" });
  const message = (await readLastMessage(other.sql, "torn-2"))!;
  const { sql } = primary;
  await sql`select setval('message_store.messages_global_position_seq', ${
    kept.globalPosition - 1 + 1_000_000
  })`;
  await other.sql`update message_store.messages set global_position = global_position + 1000000`;
  await write(sql, "torn-2", { id: message.id, type: "Kept" });
  const handled: string[] = [];
  await drain(sql, {
    category: "$all",
    consumerId: "torn",
    startAt: startAt + 1_000_000,
    readFrom: other.sql,
    handle: ({ type }) => void handled.push(type),
  });
  assert.deepEqual(handled, ["Kept"]);
});

test("consumers of all messages do not wake each other when their positions are stored at once", async () => {
  const { sql } = primary;
  const ending = new AbortController();
  let handled = 0;
  const { globalPosition: startAt } = await append(sql, "idle-1", { type: "Idle" });
  const consuming = [1, 2, 3].map((at) =>
    consume(sql, {
      category: "$all",
      consumerId: `idle${at}`,
      startAt,
      pollInterval: 10,
      positionUpdateInterval: 1,
      handle: () => void handled++,
    }, { signal: ending.signal })
  );
  const count = async () =>
    (await sql<{ count: number }[]>`select count(*)::int from message_store.messages`)[0]!.count;
  await until(() => handled === 3);
  // Each has written a claim and a position, and none writes again.
  for (const at of [1, 2, 3]) {
    await until(async () => (await stored(sql, `$all:position-idle${at}`)).at(-1)! >= startAt);
  }
  const before = await count();
  for (let seen = 0; seen < 50; seen++) await sql`select pg_sleep(0.02)`;
  assert.equal(await count(), before);
  ending.abort();
  await Promise.all(consuming);
});
