import assert from "node:assert/strict";
import pg from "pg";
import postgres from "postgres";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  append,
  consume,
  drain,
  fromQuery,
  importMessages,
  iterateAll,
  iterateMatching,
  readAll,
  readCategory,
  readLastMessage,
  readMatching,
  ReplicaReadError,
  type Sql,
  StoreWentBackError,
  subscribe,
  waitFor,
  write,
} from "../../mod.ts";
import type { EmbeddedServer } from "../../src/database/embedded.ts";
import { ALL, readHeads } from "../../src/subscribe/_heads.ts";
import { type Pair, startPair, startSubscriber } from "../_pair.ts";
import { gate } from "../consume/_consuming.ts";
import { useProxy } from "../_proxy.ts";
import { PATIENCE, until } from "../_until.ts";

let pair: Pair;
let primary: EmbeddedServer;
let standby: EmbeddedServer;
let onPrimary: postgres.Sql;
let onStandby: postgres.Sql;

beforeAll(async () => {
  pair = await startPair();
  ({ primary, standby, onPrimary, onStandby } = pair);
});
afterAll(() => pair.stop());

async function rollBack(sql: postgres.Sql): Promise<void> {
  const failure = new Error("rolled back");
  await sql.begin(async (sql) => {
    await write(sql, "account-1", { type: "RolledBack" });
    throw failure;
  }).catch((error) => assert.equal(error, failure));
}

async function taken(messages: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of messages) count++;
  return count;
}

/** The reads of all streams. */
const READS: Record<string, (sql: Sql) => Promise<unknown>> = {
  readAll: (sql) => readAll(sql),
  readMatching: (sql) => readMatching(sql, "account%"),
  iterateAll: (sql) => taken(iterateAll(sql)),
  iterateMatching: (sql) => taken(iterateMatching(sql, "account%")),
  importMessages: (sql) => importMessages(onPrimary, iterateAll(sql)),
  subscribe: (sql) => taken(subscribe(sql, "$all")),
};

test("on a standby, a look tells the heads each time: its snapshots do not name who is still writing", async () => {
  const first = await readHeads(onStandby, [ALL], null);
  const second = await readHeads(onStandby, [ALL], first.state);
  assert.notEqual(second.heads, null);
  const same = await readHeads(onPrimary, [ALL], (await readHeads(onPrimary, [ALL], null)).state);
  assert.equal(same.heads, null);
});

test("on a standby, a read of all streams throws at a missing position", async () => {
  await write(onPrimary, "account-1", { type: "Written" });
  const reader = { category: "$all", consumerId: "reader", handle: () => {} };
  await drain(onPrimary, reader);
  const category = async (sql: Sql) => (await readCategory(sql, "account")).length;
  await until(async () => await category(onStandby) === 1);
  assert.ok((await readAll(onStandby)).length > 0);

  await rollBack(onPrimary);
  await write(onPrimary, "account-1", { type: "Written" });
  await until(async () => await category(onStandby) === 2);
  const expected = { name: "ReplicaReadError", code: "REPLICA_READ", reason: "standby" };
  for (const [name, read] of Object.entries(READS)) {
    await assert.rejects(read(onStandby), expected, name);
  }
  await assert.rejects(consume(onStandby, reader), expected);
  assert.equal((await readAll(onPrimary)).filter(({ type }) => type === "Written").length, 2);
});

test("on a logical subscriber, a read of all streams throws", async () => {
  const copy = await startSubscriber(pair, "everything");
  try {
    await until(async () => (await readCategory(copy, "account")).length === 2);
    const member = await copy.reserve();
    await member`set role message_store`;
    for (const sql of [copy, member]) {
      for (const [name, read] of Object.entries(READS)) {
        const expected = { name: "ReplicaReadError", reason: "subscriber" };
        await assert.rejects(read(sql), expected, name);
      }
    }
    member.release();
  } finally {
    await copy`drop subscription everything`;
    assert.ok(await taken(iterateAll(copy)) > 0);
    await copy.end();
  }
});

test("when a standby that is behind is promoted, all that is written after that is handled", async () => {
  const hosts = [primary.url, standby.url].map((url) => new URL(url).host).join();
  const { username, password } = new URL(primary.url);
  const connect = () =>
    postgres(
      `postgres://${username}:${password}@${hosts}/message_store?target_session_attrs=primary`,
      { max: 4, fetch_types: false, onnotice: () => {}, connect_timeout: 3, backoff: false },
    );
  const sql = connect();
  await sql`create table effects (id text primary key)`;
  const ending = new AbortController();
  const { signal } = ending;
  const follow = { pollInterval: 50, signal };
  const handled = new Set<string>();
  const handledOfAll = new Set<string>();
  const retried: unknown[] = [];
  const onRetry = (error: unknown) => retried.push(error);
  const consumer = { consumerId: "letters", pollInterval: 50, onRetry } as const;
  const handles = [connect(), connect(), connect(), connect()] as const;
  const seen: string[] = [];
  const running = [
    consume(handles[0], {
      ...consumer,
      category: "failing",
      handle: ({ id }) => void handled.add(id),
    }, { signal }),
    consume(handles[1], {
      ...consumer,
      category: "$all",
      handle: ({ id }) => void handledOfAll.add(id),
    }, { signal }),
    consume(handles[2], {
      ...consumer,
      category: "failing",
      consumerId: "effects",
      transactional: true,
      handle: async ({ id }, { sql }) => void await sql`insert into effects values (${id})`,
    }, { signal }),
  ];
  const following = ["failing", "failing-1", "$all"].map(async (source) => {
    for await (const { id } of subscribe(handles[3], source, follow)) seen.push(`${source} ${id}`);
  });
  for (const promise of [...running, ...following]) promise.catch(() => {});
  const haveAll = (id: string) => async () =>
    handled.has(id) && handledOfAll.has(id) && (await sql`select from effects where id = ${id}`)
        .length > 0;

  const before = crypto.randomUUID();
  await write(sql, "failing-1", { id: before, type: "Before" });
  await until(haveAll(before));
  await until(async () => (await onStandby`select from effects`).length === 1);

  // The standby falls behind.
  await onStandby`alter system set primary_conninfo = ''`;
  await onStandby`select pg_reload_conf()`;
  await until(async () => (await onPrimary`select from pg_stat_replication`).length === 0);
  let last = "";
  for (let at = 0; at < 60; at++) {
    last = crypto.randomUUID();
    await write(sql, "failing-1", { id: last, type: "Lost" });
  }
  await until(haveAll(last));
  await until(() => ["failing", "failing-1", "$all"].every((it) => seen.includes(`${it} ${last}`)));
  await primary.stop();
  await onStandby`select pg_promote()`;

  const after: string[] = [];
  while (after.length < 100) {
    const id = crypto.randomUUID();
    const written = await append(sql, "failing-1", { id, type: "After" }).catch(() => undefined);
    if (written) after.push(id);
  }
  await until(async () => {
    const effects = new Set((await sql`select id from effects`).map(({ id }) => id));
    return after.every((id) => handled.has(id) && handledOfAll.has(id) && effects.has(id));
  });
  for (const promise of following) {
    await expect(promise).rejects.toThrow("the store went back to an earlier state");
  }
  ending.abort();
  await Promise.all(running);
  assert.ok(retried.some((error) => error instanceof StoreWentBackError));
  await Promise.all([sql, ...handles].map((sql) => sql.end({ timeout: 5 })));
});

test("a consumer of all messages waits while its address leads to a standby that is still to be promoted", async () => {
  const pair = await startPair();
  onTestFinished(() => pair.stop());
  const { primary, standby, onPrimary, onStandby } = pair;
  const proxy = await useProxy(primary.url);
  const pool = new pg.Pool({ connectionString: proxy.url });
  pool.on("error", () => {});
  onTestFinished(() => pool.end());
  const sql = fromQuery((text, parameters) => pool.query(text, parameters));
  const gates = { Held: gate(), Late: gate() };
  const begun = new Set<string>();
  const handled = new Set<string>();
  const retried: unknown[] = [];
  const consumer = { category: "$all", consumerId: "letters" };
  const ending = new AbortController();
  const running = consume(sql, {
    ...consumer,
    pollInterval: 50,
    onRetry: (error) => retried.push(error),
    handle: async ({ type, id }) => {
      begun.add(id);
      await gates[type as keyof typeof gates]?.opened;
      handled.add(id);
    },
  }, { signal: ending.signal });
  const add = async (sql: postgres.Sql, type: string) => {
    const id = crypto.randomUUID();
    const { globalPosition } = await append(sql, "account-1", { id, type });
    return { id, globalPosition };
  };

  // The copy has a missing position behind the position that is recorded there.
  const first = await add(onPrimary, "First");
  await until(() => handled.has(first.id));
  await rollBack(onPrimary);
  const held = await add(onPrimary, "Held");
  await until(async () => (await readLastMessage(onStandby, "account-1"))?.id === held.id);
  await onStandby`alter system set primary_conninfo = ''`;
  await onStandby`select pg_reload_conf()`;
  await until(async () => (await onPrimary`select from pg_stat_replication`).length === 0);
  gates.Held.open();
  await waitFor(onPrimary, consumer, held.globalPosition, { timeout: PATIENCE });
  const late = await add(onPrimary, "Late");
  await until(() => begun.has(late.id));

  // The position that is to be stored next meets a shorter stream: the store went back.
  proxy.redirect(standby.url);
  gates.Late.open();
  const wentBack = () => retried.some((error) => error instanceof StoreWentBackError);
  const isStandby = () => retried.some((error) => error instanceof ReplicaReadError);
  await Promise.race([until(() => wentBack() && isStandby()), running]);
  assert.ok(isStandby());
  await onStandby`select pg_promote()`;
  const after = await add(onStandby, "After");
  await Promise.race([until(() => handled.has(after.id)), running]);
  ending.abort();
  await running;
});
