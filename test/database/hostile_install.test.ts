import assert from "node:assert/strict";
import { install, isInstalled, uninstall } from "@messagedb/client/install";
import type postgres from "postgres";
import { describe, test } from "vitest";
import { useDatabase } from "../database.ts";
import { namesIn, plant, trapCalls } from "../handle/_trap.ts";

const db = useDatabase();

/** All that `install` and its kin can do to a database that has Message DB. */
async function everything(sql: postgres.Sql): Promise<void> {
  await install(sql, { notify: true, nameIndex: true });
  assert.equal(await isInstalled(sql), true);
  // Of an older version: all functions and views are made anew.
  await sql.unsafe(`create or replace function message_store.message_store_version() returns varchar
    language plpgsql as 'begin return ''1.2.0''; end'`);
  await install(sql, { notify: false, nameIndex: false });
  await uninstall(sql, { deleteMessages: true });
  assert.equal(await isInstalled(sql), false);
  await install(sql, { notify: true, nameIndex: true });
}

const VIEWS = ["category_type", "stream", "stream_type", "type_category", "type_stream", "type"];

describe.each([
  ["public, on the default path", "public", undefined],
  ["a schema before pg_catalog", "evil", "evil, pg_catalog"],
  ["the only schema of the path", "evil", "evil"],
])("strangers in %s", (_, schema, path) => {
  test("are not called by install(), isInstalled() and uninstall(), nor by what they leave", async () => {
    const judge = db.connect({ connection: { search_path: "pg_catalog" } });
    const statements: string[] = [];
    await everything(db.connect({ debug: (_connection, query) => statements.push(query) }));
    await judge.unsafe(
      `create schema if not exists ${schema}; grant usage on schema ${schema} to public`,
    );
    await plant(judge, schema, namesIn(statements));
    const hostile = db.connect({
      fetch_types: false,
      ...path === undefined ? {} : { connection: { search_path: path } },
    });
    const before = await trapCalls(judge);
    await assert.rejects(hostile`select 'a'::varchar || 'b'::name`, /a stranger was called/);
    const calls = await trapCalls(judge);
    assert.notEqual(calls, before);

    await everything(hostile);
    await judge`
      insert into message_store.messages (stream_name, type, position)
      values ('account-1', 'Opened', 0)`;
    for (const view of VIEWS) await judge.unsafe(`select * from message_store.${view}_summary`);
    assert.equal(await trapCalls(judge), calls);
    await judge.unsafe(`drop schema ${schema} cascade; create schema if not exists public`);
    assert.equal(await isInstalled(judge), true);
  });
});

test("temporary tables and types of the session do not stand in for PostgreSQL's", async () => {
  const sql = db.connect({ max: 1, fetch_types: false });
  await plant(sql, "pg_temp", {
    functions: [],
    operators: [],
    types: ["text", "varchar", "jsonb", "uuid", "timestamp", "int8"],
  });
  for (const name of ["pg_class", "pg_proc", "pg_namespace", "pg_roles", "pg_index"]) {
    await sql.unsafe(`create temporary table ${name} (nothing int)`);
  }
  const calls = await trapCalls(sql);
  await everything(sql);
  assert.equal(await trapCalls(sql), calls);
});

test("a role that may create in public becomes no superuser by an install()", async () => {
  const role = `mallory_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(`create role ${role}; grant usage, create on schema public to ${role}`);
  try {
    await db.sql.begin(async (tx) => {
      await tx.unsafe(`set local role ${role}`);
      await tx.unsafe(`
        create function public.cat(name, name) returns text language plpgsql as $$ begin
          if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
            execute 'alter role ${role} superuser';
          end if;
          return pg_catalog.concat($1, $2);
        end $$;
        create operator public.|| (leftarg = name, rightarg = name, function = public.cat)`);
    });
    await everything(db.sql);
    const [row] = await db.sql`select rolsuper from pg_roles where rolname = ${role}`;
    assert.equal(row!["rolsuper"], false);
  } finally {
    await db.sql.unsafe(`drop owned by ${role}; drop role ${role}`);
  }
});
