import assert from "node:assert/strict";
import { test } from "vitest";
import { diagnose, storeStatus } from "@messagedb/client/operate";
import { install } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** What an operator is told. */
async function told(): Promise<unknown[]> {
  const store = (await diagnose(db.sql)).find(({ name }) => name === "store");
  const refusal = await install(db.sql).then(() => null, ({ message }: Error) => message);
  return [(await storeStatus(db.sql)).distribution, store!.state, store!.text, refusal];
}

test("a plain table of messages is not refused", async () => {
  assert.deepEqual(await told(), [null, "ok", "Message DB 1.3.0", null]);
});

test("a table that Citus distributes is told of and refused, and no other table", async () => {
  // There is no Citus here: this is the catalog in which it keeps the tables that it distributes.
  await db.sql.begin(async (sql) => {
    await sql`set local allow_system_table_mods = on`;
    await sql`create table pg_catalog.pg_dist_partition (logicalrelid regclass not null)`;
  });
  await db.sql`insert into pg_catalog.pg_dist_partition values ('pg_catalog.pg_class'::regclass)`;
  assert.deepEqual(await told(), [null, "ok", "Message DB 1.3.0", null]);
  await db.sql`
    insert into pg_catalog.pg_dist_partition values ('message_store.messages'::regclass)`;
  const [distribution, state, text, refusal] = await told();
  assert.deepEqual([distribution, state], ["distributed", "error"]);
  assert.match(String(text), /is distributed \(Citus\)/);
  assert.match(
    String(refusal),
    /^Cannot install Message DB: message_store.messages is distributed/,
  );
  await db.sql`truncate pg_catalog.pg_dist_partition`;
});

test("a partitioned table of messages is refused", async () => {
  await db.sql`alter table message_store.messages rename to kept`;
  await db.sql`
    create table message_store.messages (like message_store.kept including defaults)
    partition by hash (stream_name)`;
  const refusal = /: Cannot install Message DB: message_store.messages is partitioned/;
  await assert.rejects(install(db.sql), refusal);
  const store = (await diagnose(db.sql)).find(({ name }) => name === "store");
  assert.equal(store!.state, "error");
});
