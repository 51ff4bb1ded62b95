import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import * as client from "@messagedb/client";
import * as operate from "@messagedb/client/operate";
import type postgres from "postgres";
import { beforeAll, describe, test } from "vitest";
import { lockCategories } from "../../src/consume/_lock_categories.ts";
import { ALL, readHeads } from "../../src/subscribe/_heads.ts";
import { operations, programs, variants } from "../_operations.ts";
import { readPartitionMark } from "../../src/handle/_partition_mark.ts";
import { inStockWords, renameSchema } from "../../src/handle/_rename_schema.ts";
import { type Database, useDatabase } from "../database.ts";
import { namesIn, plant, trapCalls } from "./_trap.ts";
import { unpinnedIn } from "./_unpinned.ts";

/** Those whose statements no other has. */
const extras: typeof operations = {
  "readCategory backward by correlation": (sql) =>
    client.readCategory(sql, "known", { correlation: "known", direction: "backward" }),
  "subscribe to a category by correlation": async (sql) => {
    const metadata = { correlationStreamName: "known-1" };
    await client.write(sql, "known-1", { type: "Written", metadata });
    const options = { correlation: "known", types: ["Written"] };
    await client.subscribe(sql, "known", options).next();
  },
  "subscribe to a stream from a time": (sql) =>
    client.subscribe(sql, "known-1", { startAt: new Date(0) }).next(),
  "subscribe and wait": (sql) => readHeads(sql, [ALL, ["category", "known"]], null),
  "partitioned, before the first statement": (sql) => readPartitionMark(sql),
  "subscribe to all from a time": (sql) =>
    client.subscribe(sql, "$all", { startAt: new Date(0), types: ["Written"] }).next(),
  "subscribe to an aggregate from a time": async (sql) => {
    await client.aggregate(
      sql,
      { name: "ledger", from: ["known-%"], partition: () => 0 },
      { once: true },
    );
    await client.subscribe(sql, { aggregate: "ledger" }, {
      startAt: new Date(0),
      types: ["Written"],
    })
      .next();
  },
  "entity with a new snapshot": async (sql) => {
    const category = `entity${crypto.randomUUID().replaceAll("-", "")}`;
    await client.write(sql, `${category}-1`, { type: "Written" });
    const counter = { category, init: () => 0, evolve: (state: number) => state + 1 };
    await client.entity({ ...counter, snapshot: { every: 1 } }).fetch(sql, "1");
    assert.equal(await client.streamVersion(sql, `${category}:snapshot-1`), 0);
  },
  "readAggregate of a member": (sql) =>
    client.readAggregate(sql, "ledger", { consumerGroup: { member: 0, size: 1 } }),
  "readAll past a gap": async (sql) => {
    const twice = { type: "Written", id: crypto.randomUUID() };
    await client.writeBatch(sql, "gap-1", [twice, twice]).catch(() => {});
    await client.write(sql, "gap-1", { type: "Written" });
    return await client.readAll(sql, { batchSize: 100_000 });
  },
  "drain in a group, and park": (sql) =>
    client.drain(sql, {
      category: "known",
      consumerId: "g",
      handle: () => "park",
      consumerGroup: { size: 2 },
    }),
  "replayParked of what is parked": (sql) =>
    client.replayParked(sql, { category: "known", consumerId: "g", handle: () => {} }),
  "a transaction that conflicts again and again": (sql) =>
    lockCategories(sql, new Set(["known-1", "other-1"])),
  consumers: (sql) => operate.consumers(sql),
  storeStatus: (sql) => operate.storeStatus(sql),
  "streams by last": (sql) => operate.streams(sql, "known"),
  "streams by count": (sql) => operate.streams(sql, "known", { sort: "count" }),
  "streams by name": (sql) => operate.streams(sql, "known", { sort: "name" }),
  messageTypes: (sql) => operate.messageTypes(sql),
  "messageTypes of a category": (sql) => operate.messageTypes(sql, { category: "known" }),
  activity: (sql) => operate.activity(sql, { since: new Date(0) }),
  "findMessages and inspectMessage": async (sql) => {
    for (const source of ["$all", "known", "known-1"]) {
      for (const direction of ["forward", "backward"] as const) {
        const times = {
          startAt: new Date(),
          since: new Date(0),
          until: new Date(Date.now() + 9e6),
        };
        await operate.findMessages(sql, source, { direction, ...times });
        const filter = { types: ["Written"], text: "e", direction };
        const { messages } = await operate.findMessages(sql, source, filter);
        for (const { id } of messages) await operate.inspectMessage(sql, id);
      }
    }
    await operate.inspectMessage(sql, crypto.randomUUID());
  },
  trace: async (sql) => {
    const { messages } = await operate.trace(sql, { streamName: "known-1" });
    assert.notEqual(messages.length, 0);
  },
  "importMessages of a message and what points to it": async (sql) => {
    const source = { globalPosition: 1, position: 0, id: crypto.randomUUID() };
    const category = `copied${crypto.randomUUID().replaceAll("-", "")}`;
    const pointing = { globalPosition: 2, id: crypto.randomUUID() };
    const metadata = { causationMessageGlobalPosition: 1, causationMessagePosition: 0 };
    const recorded = { type: "Recorded", data: { position: 1 }, metadata };
    await client.importMessages(sql, [
      { ...source, type: "Written", streamName: `${category}-1` },
      { ...pointing, ...recorded, streamName: `${category}:position-x` },
    ]);
  },
  exportMessages: (sql) => operate.exportMessages(sql, "$all").next(),
  compareCopy: (sql) => operate.compareCopy(sql, sql, "known").next(),
  isSameStore: (sql) => operate.isSameStore(sql, sql),
  diagnose: (sql) => operate.diagnose(sql),
  verify: (sql) => operate.verify(sql).next(),
  "verify of a category": (sql) => operate.verify(sql, { category: "known" }).next(),
  "rewind, park, skip and discardParked": async (sql) => {
    const consumer = { category: "known", consumerId: crypto.randomUUID() };
    const handle = () => Promise.reject(new Error("hangs"));
    const hang = () => client.drain(sql, { ...consumer, handle }).catch((error) => error);
    const reason = "it hangs";
    await operate.park(sql, consumer, (await hang()).failedMessage.id, { reason });
    await operate.skip(sql, consumer, (await hang()).failedMessage.id, { reason });
    const [parked] = await operate.parked(sql, consumer);
    await operate.discardParked(sql, consumer, [parked!.message.id], { reason });
    await operate.rewind(sql, consumer, "beginning");
  },
  prune: async (sql) => {
    for (let position = 0; position < 3; position++) {
      const recorded = { type: "Recorded", data: { position } };
      await client.write(sql, "known:position-pruned", recorded);
    }
    await operate.prune(sql, { olderThan: 0, dryRun: true });
    assert.notEqual((await operate.prune(sql, { olderThan: 0 })).positions, 0);
  },
  remove: async (sql) => {
    const consumer = { category: "known", consumerId: crypto.randomUUID() };
    await client.drain(sql, { ...consumer, handle: () => "park" });
    assert.notEqual(await operate.remove(sql, consumer), 0);
  },
};
const everything = { ...operations, ...programs, ...variants, ...extras };

const db = useDatabase();
const statements = new Set<string>();

/** A handle that keeps the text of each statement. */
function recording(sql: postgres.Sql): client.Sql {
  return client.fromQuery((text, parameters) => {
    statements.add(text);
    return sql.unsafe(text, parameters);
  });
}

beforeAll(async () => {
  await db.sql`grant delete on message_store.messages to message_store`;
  const sql = recording(connectWith({}));
  for (const operation of Object.values(everything)) await operation(sql);
});

/** A handle of a role with no rights but Message DB's; postgres.js asks for no types by names of its own. */
function connectWith(settings: Record<string, string>, database: Database = db): postgres.Sql {
  return database.connect({
    fetch_types: false,
    max: 4,
    connection: { role: "message_store", "message_store.sql_condition": "on", ...settings },
  });
}

test("each statement of the source is among them", async () => {
  const files = (await readdir("src", { recursive: true })).filter((it) =>
    /^(?!cli)\w+\/.*\.ts$/.test(it)
  );
  const sources = await Promise.all(files.map((file) => readFile(`src/${file}`, "utf8")));
  // Where a template begins, behind the call that sends it.
  const tags = sources.join("\n").match(/(?:\)|\bsql)`(?=select |\$\{|\n\s*[\w(])/g) ?? [];
  assert.equal(statements.size, tags.length);
});

test("no statement has a name that the search path could find elsewhere", () => {
  for (const statement of statements) assert.deepEqual(unpinnedIn(statement), [], statement);
});

test("no statement for a schema of another name has such a name either", () => {
  let isLocked = false;
  for (const statement of statements) {
    const renamed = renameSchema(statement, "tenant_1");
    isLocked ||= renamed.includes("'tenant_1/'");
    assert.deepEqual(unpinnedIn(inStockWords(renamed, "tenant_1")), [], renamed);
  }
  assert.ok(isLocked);
});

test.each([
  ["select concat('a')", "concat("],
  ["select pg_catalog.concat('a') from message_store.messages where a = 1", "="],
  ["select a operator(pg_catalog.-) -1, b - 1 from message_store.messages", "-"],
  ["select $1::text", "::text"],
  ["select a from messages", "from messages"],
  ["with it as (select) select a from it where a in (select)", "in"],
  ['select a collate "C"', 'collate "C"'],
  ["select case a when 1 then 2 end", "case"],
])("such a name is found in %s", (statement, name) => {
  assert.deepEqual(unpinnedIn(statement), [name]);
});

/** Without an index, PostgreSQL calls the function of an index for each row. */
const NO_INDEX = { enable_indexscan: "off", enable_indexonlyscan: "off", enable_bitmapscan: "off" };

describe.each<[where: string, schema: string, settings: Record<string, string>]>([
  ["public, on the default path", "public", {}],
  ["public, where no index is used", "public", NO_INDEX],
  ["a schema before pg_catalog", "evil", { search_path: "evil, pg_catalog" }],
  ["a schema before pg_catalog, where no index is used", "evil", {
    search_path: "evil, pg_catalog",
    ...NO_INDEX,
  }],
  ["the only schema of the path", "evil", { search_path: "evil" }],
  ["pg_temp", "pg_temp", {}],
])("strangers in %s", (_, schema, settings) => {
  let hostile: postgres.Sql;
  let judge: postgres.Sql;

  beforeAll(async () => {
    judge = db.connect({
      connection: { search_path: "pg_catalog", "message_store.sql_condition": "on" },
      max: 1,
    });
    const sources = await judge.unsafe(
      "select prosrc from pg_proc where pronamespace = 'message_store'::regnamespace",
    );
    const names = namesIn([...statements, ...sources.map((row) => row["prosrc"] as string)]);
    if (schema === "pg_temp") {
      hostile = db.connect({
        fetch_types: false,
        max: 1,
        connection: { "message_store.sql_condition": "on" },
      });
      await plant(hostile, "pg_temp", { ...names, functions: [], operators: [] });
    } else {
      await judge.unsafe(
        `create schema if not exists ${schema}; grant usage on schema ${schema} to public`,
      );
      await plant(judge, schema, names);
      hostile = connectWith(settings);
    }
  });

  test("are called by who does not mind them", async () => {
    const before = await trapCalls(judge);
    await assert.rejects(
      hostile.unsafe(
        "select concat('a'::varchar, 'b'::varchar) || 'c', 'c'::text",
      ),
      /a stranger was called/,
    );
    assert.notEqual(await trapCalls(judge), before);
  });

  test.each(Object.entries(everything))("are not called by %s", async (name, operation) => {
    const before = await trapCalls(judge);
    const answer = await operation(
      client.fromQuery((text, parameters) => hostile.unsafe(text, parameters)),
    );
    if (
      /^(read|iterate|entityIds|categories|messageStore|stream)/.test(name) && !/gap/.test(name)
    ) {
      assert.deepEqual(answer, await operation(recording(judge)));
    }
    assert.equal(await trapCalls(judge), before);
  });
});

test("a stranger that fits a call in each of its types is not called", async () => {
  const types = Array.from({ length: 17 }, (_, at) => at === 5 || at === 7 ? "json" : "text");
  await db.sql.unsafe(`
    create table public.loot (who text);
    grant insert on public.loot to public;
    create or replace function public.concat(${types}) returns text language plpgsql as $$ begin
      insert into public.loot select current_user;
      return pg_catalog.concat(${types.map((_, at) => `$${at + 1}`)});
    end $$`);
  const sql = connectWith({});
  await assert.doesNotReject(client.readStream(sql, "account-1"));
  await assert.doesNotReject(client.readMessages(sql, []));
  await assert.doesNotReject(client.readCategory(sql, "account", { direction: "backward" }));
  const judge = db.connect({ connection: { search_path: "pg_catalog" } });
  assert.deepEqual([...await judge`select who from public.loot`], []);
});
