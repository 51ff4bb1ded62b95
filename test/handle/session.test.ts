import assert from "node:assert/strict";
import postgres from "postgres";
import { describe, test } from "vitest";
import * as client from "../../mod.ts";
import { operations, programs, pure } from "../_operations.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const everything = { ...operations, ...programs };
const message = { type: "Written" };

test("these are all the operations", () => {
  const exported = Object.entries(client)
    .filter(([name, value]) => typeof value === "function" && !/Error$/.test(name))
    .map(([name]) => name)
    .filter((name) => !pure.includes(name));
  const tried = new Set(
    Object.keys(everything).map((name) => name.split(" ")[0]!),
  );
  assert.deepEqual([...tried].sort(), exported.sort());
});

describe("needs no search path and leaves no trace in the session:", () => {
  for (const [name, operation] of Object.entries(everything)) {
    test(`${name}()`, async () => {
      const sql = db.connect({ max: 1, connection: { search_path: "" } });
      const settings = () =>
        sql`select name, setting, source from pg_settings where name not like 'plpgsql.%' order by name`;
      const before = [...await settings()];
      await operation(sql);
      assert.deepEqual([...await settings()], before);

      for (const path of ["", "pg_catalog", '"$user", "an odd, name"']) {
        await sql.begin(async (sql) => {
          await sql`select set_config('search_path', ${path}, true)`;
          await operation(sql);
          const [row] = await sql`select current_setting('search_path') as path`;
          assert.equal(row!.path, path);
        });
        assert.deepEqual([...await settings()], before);
      }
      // What the transaction itself sets for the session is not undone.
      await sql.begin(async (sql) => {
        await sql`select set_config('search_path', 'pg_catalog', false)`;
        await operation(sql);
      });
      const [row] = await sql`select current_setting('search_path') as path`;
      assert.equal(row!.path, "pg_catalog");

      const locks = await db.sql`
        select * from pg_locks where locktype = 'advisory'
          and database = (select oid from pg_database where datname = current_database())`;
      assert.deepEqual([...locks], []);
    });
  }
});

test("an operation that fails inside a savepoint leaves the caller's search path", async () => {
  await db.sql.begin(async (sql) => {
    await sql`set local search_path = pg_catalog`;
    await sql.savepoint((inner) =>
      client.write(inner, "account-1", message, { expectedVersion: 1_000_000 })
    ).catch((error) => assert.ok(error instanceof client.WrongExpectedVersionError));
    const [row] = await sql`select current_setting('search_path') as path`;
    assert.equal(row!.path, "pg_catalog");
    await client.write(sql, "account-1", message);
  });
});

test("tables and functions of the caller's schemas do not stand in for Message DB's", async () => {
  await db.sql`create schema decoy`;
  await db.sql`create table decoy.messages (n int)`;
  await db.sql`
    create function decoy.category(varchar) returns varchar language sql as $$ select 'decoy' $$`;
  const sql = db.connect({ connection: { search_path: "decoy, public" } });
  for (const operation of Object.values(everything)) await operation(sql);
  assert.deepEqual([...await sql`select * from decoy.messages`], []);
});

test("a temporary table of the session does not stand in for Message DB's", async () => {
  const sql = db.connect({ max: 1 });
  await sql`create temporary table messages (like message_store.messages including all)`;
  for (const operation of Object.values(everything)) await operation(sql);
  await client.write(sql, "temporary-1", message, { expectedVersion: client.NO_STREAM });
  assert.equal((await client.readStream(sql, "temporary-1")).length, 1);
  assert.equal(await client.streamVersion(sql, "temporary-1"), 0);
  assert.equal(await client.streamVersion(db.sql, "temporary-1"), 0);
  assert.deepEqual([...await sql`select * from pg_temp.messages`], []);
});

test("functions of the caller's that fit a call better do not stand in for Message DB's", async () => {
  for (
    const name of ["category", "id", "cardinal_id", "hash_64", "is_category", "stream_version"]
  ) {
    await db.sql.unsafe(
      `create function decoy.${name}(text) returns text language sql as $$ select 'decoy' $$`,
    );
  }
  const sql = db.connect({ connection: { search_path: "decoy, public" } });
  for (const operation of Object.values(everything)) await operation(sql);
  await client.write(sql, "overloaded-1", message);
  assert.equal((await client.readCategory(sql, "overloaded")).length, 1);
});

test("columns that a program renames or adds change no answer", async () => {
  await client.write(db.sql, "renamed-1", message);
  for (
    const transform of [
      postgres.pascal,
      postgres.kebab,
      { column: (name: string) => `my ${name}` },
      { row: { from: (row: object) => ({ at: "7", ...row }) } },
    ]
  ) {
    const sql = db.connect({ transform } as object);
    assert.equal(await client.streamVersion(sql, "renamed-1"), 0);
    assert.equal((await client.readStream(sql, "renamed-1")).length, 1);
  }
});

test("every operation is one statement, but for readAll() where positions are missing", async () => {
  const sql = db.connect();
  await client.readAll(sql);
  for (const [name, operation] of Object.entries(operations)) {
    let statements = 0;
    await operation(client.fromQuery((text, parameters) => {
      statements++;
      assert.ok(
        parameters.every((parameter) => parameter === null || typeof parameter === "string"),
      );
      return sql.unsafe(text, parameters);
    }));
    assert.equal(statements, 1, name);
  }
});

test("the caller's enable_sort is as it was after a read, within a transaction too", async () => {
  const sql = db.connect({ max: 1 });
  for (const value of ["on", "off"]) {
    await sql`select set_config('enable_sort', ${value}, false)`;
    await sql.begin(async (tx) => {
      await client.readCategory(tx, "account");
      const [row] = await tx`select current_setting('enable_sort') as sort`;
      assert.equal(row!["sort"], value);
    });
    await client.readStream(sql, "account-1");
    const [row] = await sql`select current_setting('enable_sort') as sort`;
    assert.equal(row!["sort"], value);
  }
});

test("takes the row that comes after a hole, as postgres.js answers after a lost connection", async () => {
  const rows: { json: string }[] = [];
  rows[1] = { json: '"1.3.0"' };
  const sql = client.fromQuery(() => Promise.resolve(rows));
  assert.equal(await client.messageStoreVersion(sql), "1.3.0");
});
