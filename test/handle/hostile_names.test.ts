import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import * as client from "@messagedb/client";
import type postgres from "postgres";
import { beforeAll, describe, test } from "vitest";
import { inStockWords, renameSchema } from "../../src/handle/_rename_schema.ts";
import { everyStatement } from "../_every_statement.ts";
import { type Database, useDatabase } from "../database.ts";
import { namesIn, plant, trapCalls } from "./_trap.ts";
import { unpinnedIn } from "./_unpinned.ts";

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
  for (const operation of Object.values(everyStatement)) await operation(sql);
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

  test.each(Object.entries(everyStatement))("are not called by %s", async (name, operation) => {
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
