import assert from "node:assert/strict";
import { fromQuery, type Sql, write, writeBatch } from "@messagedb/client";
import { diagnose, type Diagnosis, type DiagnosisName } from "@messagedb/client/operate";
import { randomBytes } from "node:crypto";
import type postgres from "postgres";
import { describe, onTestFinished, test, vi } from "vitest";
import { install } from "../../src/database/install.ts";
import { diagnoseServer, diagnoseSession } from "../../src/operate/_diagnose_session.ts";
import { diagnoseTransaction } from "../../src/operate/_diagnose_store.ts";
import { readFacts } from "../../src/operate/_read_facts.ts";
import { until } from "../_until.ts";
import { openHandle, useDatabase } from "../database.ts";
import { pgbouncer, startPgbouncer } from "../runtimes/_pgbouncer.ts";

const db = useDatabase();
const NOT_DEPENDING_ON_THE_SERVER = /^(store|rights|searchPath|indexes|sequence|transactions)$/;

async function diagnosesOf(sql: Sql, name: DiagnosisName): Promise<Diagnosis[]> {
  return (await diagnose(sql)).filter((it) => it.name === name);
}

async function diagnosisOf(sql: Sql, name: DiagnosisName): Promise<Omit<Diagnosis, "name">> {
  const [{ name: _, ...found }, ...others] = await diagnosesOf(sql, name) as [Diagnosis];
  assert.deepEqual(others, []);
  return found;
}

/** A role for the test, and a handle of it. */
async function newRole(grants = ""): Promise<{ role: string; sql: postgres.Sql }> {
  const role = `role_${randomBytes(4).toString("hex")}`;
  await db.sql.unsafe(`create role ${role}; ${grants.replaceAll("$role", role)}`);
  onTestFinished(() => db.sql.unsafe(`drop owned by ${role}; drop role ${role}`).then(() => {}));
  return { role, sql: db.connect({ connection: { role }, max: 2 }) };
}

/** Changes the database for the time of a test. */
async function change(statement: string, undo: string): Promise<void> {
  await db.sql.unsafe(statement);
  onTestFinished(() => db.sql.unsafe(undo).then(() => {}));
}

describe("diagnose()", () => {
  test("finds nothing in a new store", async () => {
    const sql = db.connect({ max: 2, connection: { search_path: "message_store, public" } });
    const found = await diagnose(sql);
    assert.deepEqual(
      found.filter(({ name, state }) => state !== "ok" && NOT_DEPENDING_ON_THE_SERVER.test(name)),
      [],
    );
    assert.deepEqual([...new Set(found.map(({ name }) => name))], [
      "server",
      "store",
      "rights",
      "searchPath",
      "notify",
      "indexes",
      "sequence",
      "transactions",
      "pooler",
      "timeZone",
      "clock",
      "durability",
      "timeouts",
      "isolation",
      "connections",
    ]);
    assert.equal(found.find(({ name }) => name === "store")!.text, "Message DB 1.3.0");
    for (const { state, text, advice } of found) {
      assert(text.length > 10);
      if (state === "ok") assert.equal(advice, null);
    }
  });

  test.each<[string, () => Sql]>([
    ["fromQuery", () => fromQuery((text, parameters) => db.sql.unsafe(text, parameters))],
    ["one connection that prepares nothing", () => db.connect({ prepare: false, max: 1 })],
    [
      "a connection that only reads",
      () => db.connect({ max: 1, connection: { default_transaction_read_only: true } }),
    ],
    ["other types and transforms", () =>
      db.connect({
        max: 1,
        types: { bigint: { to: 20, from: [20], parse: BigInt, serialize: String } } as never,
        transform: { column: (name: string) => name.toUpperCase() },
      })],
  ])("finds the same over %s", async (_, handle) => {
    const found = async (sql: Sql) =>
      (await diagnose(sql)).filter(({ name }) => !/pooler|connections/.test(name));
    assert.deepEqual(await found(handle()), await found(db.sql));
  });

  test("leaves a transaction as it is", async () => {
    await db.sql.begin(async (tx) => {
      assert.equal((await diagnosisOf(tx, "store")).state, "ok");
      const [row] = await tx`select current_setting('search_path') as path`;
      assert.deepEqual({ ...row }, { path: '"$user", public' });
    });
  });

  test("tells of a database without Message DB, to any role", async () => {
    const name = `messagedb_test_${randomBytes(6).toString("hex")}`;
    await change(`create database ${name}`, `drop database ${name} with (force)`);
    const url = new URL(db.url);
    url.pathname = name;
    const { role } = await newRole();
    for (const connection of [{}, { role }]) {
      const sql = openHandle(url, { max: 1, connection });
      assert.deepEqual(await diagnosisOf(sql, "store"), {
        state: "error",
        text: `The database "${name}" has no Message DB`,
        advice: "messagedb install",
      });
      assert((await diagnose(sql)).some(({ name }) => name === "durability"));
      await sql.end();
    }
  });

  test("tells a role which rights it lacks", async () => {
    const none = await newRole();
    const advice = `grant message_store to ${none.role};`;
    const rights = () => diagnosisOf(none.sql, "rights");
    const refused = {
      state: "error",
      text: `The role ${none.role} may not read messages`,
      advice,
    };
    assert.deepEqual(await rights(), refused);
    await db.sql.unsafe(`grant select on message_store.messages to ${none.role}`);
    assert.deepEqual(await rights(), refused);
    await db.sql.unsafe(`grant usage on schema message_store to ${none.role}`);
    assert.deepEqual(await rights(), {
      state: "note",
      text: `The role ${none.role} may read messages, and not write them`,
      advice,
    });
    assert.equal((await diagnosisOf(none.sql, "sequence")).state, "note");
    await db.sql.unsafe(advice);
    const { state, text } = await rights();
    assert.deepEqual([state, text], [
      "ok",
      `The role ${none.role} may read and write messages`,
    ]);
    await change(
      "revoke execute on function message_store.hash_64 from public, message_store",
      "grant execute on function message_store.hash_64 to public, message_store",
    );
    assert.deepEqual(await rights(), {
      state: "error",
      text: `The role ${none.role} may not call these functions of Message DB: hash_64`,
      advice,
    });
  });

  test("tells of indexes that are missing or invalid", async () => {
    await db.sql.unsafe(`
      create index "my ""own""" on message_store.messages (type);
      drop index message_store.messages_category;
      drop index message_store.messages_stream;
      update pg_index set indisvalid = false
      where indexrelid in (
        'message_store.messages_id'::regclass, 'message_store."my ""own"""'::regclass
      )`);
    const found = await diagnosesOf(db.sql, "indexes");
    assert.deepEqual(found.map(({ state, advice }) => [state, advice]), [
      ["warning", "messagedb install"],
      ["warning", "drop index message_store.messages_id; then: messagedb install"],
      ["error", "messagedb install"],
      ["warning", 'reindex index message_store."my ""own""";'],
    ]);
    assert.match(
      found[2]!.text,
      /^The index messages_stream is missing: messages can be there twice/,
    );
    // What is advised helps.
    await db.sql.unsafe(`
      drop index message_store.messages_id;
      ${found[3]!.advice}`);
    await install(db.sql);
    assert.equal((await diagnosisOf(db.sql, "indexes")).state, "ok");
    await db.sql.unsafe('drop index message_store."my ""own"""');
  });

  test("tells of a sequence that is behind", async () => {
    await writeBatch(db.sql, "account-1", [{ type: "A" }, { type: "A" }]);
    await db.sql`select setval('message_store.messages_global_position_seq', 1)`;
    const { state, advice } = await diagnosisOf(db.sql, "sequence");
    assert.deepEqual([state, advice], ["error", "messagedb install"]);
    await install(db.sql);
    assert.equal((await diagnosisOf(db.sql, "sequence")).state, "ok");
  });

  test("tells who holds a category, and how to end it", async () => {
    await write(db.sql, "account-1", { type: "A" });
    const holder = db.connect({ max: 1, connection: { application_name: "importer" } });
    holder`select 1`.catch(() => {});
    await holder`begin`;
    await write(holder, "account-1", { type: "A" });
    const waiting = write(db.sql, "account-2", { type: "A" });
    await until(async () => /waits$/.test((await diagnosisOf(db.sql, "transactions")).text));
    const { state, text, advice } = await diagnosisOf(db.sql, "transactions");
    assert.equal(state, "warning");
    assert.match(
      text,
      /^Process \d+ \(role \w+, application "importer", idle in transaction\) has a transaction open for \d+ s: nobody else can write to account, readers of "\$all" wait, 1 writer waits$/,
    );
    await db.sql.unsafe(advice!);
    await waiting;
    assert.equal((await diagnosisOf(db.sql, "transactions")).state, "ok");
  });

  test.each([
    [59_000, "note", /for 59 s/],
    [60_000, "warning", /for 60 s/],
    [7_200_000, "warning", /for 120 min/],
    [null, "note", /for a time that this role may not see/],
  ])("judges a transaction of the age %s as a %s", (age, state, text) => {
    const found = diagnoseTransaction({
      pid: null,
      prepared: "it's",
      user: null,
      applicationName: null,
      state: null,
      age,
      holdsAll: true,
      categories: [],
      waiting: 0,
    });
    assert.equal(found.state, state);
    assert.match(found.text, text);
    assert.equal(found.advice, "rollback prepared 'it''s';");
  });

  test("judges a standby, and a server whose connections are nearly all in use", async () => {
    const facts = await readFacts(db.sql);
    assert(facts.connections.used >= 1 && facts.connections.used < facts.connections.most);
    const [server] = diagnoseServer({ ...facts, isStandby: true });
    assert.deepEqual([server!.state, server!.advice], ["note", "Connect to the primary to write"]);
    const connections = (used: number) => {
      const found = diagnoseSession({ ...facts, connections: { used, most: 100 } }, null, {
        before: facts.now,
        after: facts.now,
      });
      return found.find(({ name }) => name === "connections")!;
    };
    assert.equal(connections(79).state, "ok");
    assert.equal(connections(80).state, "warning");
    assert.match(connections(80).text, /^80 of 100 connections are in use: /);
  });

  test("tells what other clients find by the search_path", async () => {
    const path = (search_path: string) => db.connect({ max: 1, connection: { search_path } });
    await change(
      `create schema stranger;
       create table stranger.messages ();
       create function stranger.write_message() returns int return 1;
       create function stranger.concat(text, text) returns text return 'hostile'`,
      "drop schema stranger cascade",
    );
    assert.deepEqual(await diagnosisOf(path("stranger, message_store"), "searchPath"), {
      state: "warning",
      text: "The search_path is stranger, message_store: other clients find stranger.messages, " +
        "stranger.write_message before Message DB's own",
      advice: `alter role ${new URL(db.url).username} set search_path = message_store, public;`,
    });
    assert.equal((await diagnosisOf(path("message_store, stranger"), "searchPath")).state, "ok");
    assert.equal((await diagnosisOf(path("stranger"), "searchPath")).state, "note");
    assert.equal((await diagnosisOf(path(""), "searchPath")).state, "note");
  });

  test("tells of an older version, and of a function that is missing", async () => {
    await db.sql.unsafe(`
      create or replace function message_store.message_store_version() returns varchar
      as $$ begin return '1.2.6'; end; $$ language plpgsql`);
    assert.deepEqual(await diagnosisOf(db.sql, "store"), {
      state: "warning",
      text: "Message DB 1.2.6 is older than 1.3.0, for which this package is made",
      advice: "messagedb upgrade",
    });
    await db.sql`drop function message_store.category cascade`;
    assert.deepEqual(await diagnosisOf(db.sql, "store"), {
      state: "error",
      text: "Parts of Message DB are missing: category",
      advice: "messagedb install",
    });
    await install(db.sql);
    assert.equal((await diagnosisOf(db.sql, "store")).text, "Message DB 1.3.0");
  });

  test("tells of a notify trigger that is disabled", async () => {
    const text = async () => (await diagnosisOf(db.sql, "notify")).text;
    assert.equal(await text(), "Writes notify no listener");
    await install(db.sql, { notify: true });
    onTestFinished(() => install(db.sql, { notify: false }).then(() => {}));
    assert.equal(await text(), "Writes notify listeners");
    await db.sql`alter table message_store.messages disable trigger messages_notify`;
    assert.deepEqual(await diagnosisOf(db.sql, "notify"), {
      state: "warning",
      text: "The trigger messages_notify is disabled: writes notify no listener",
      advice: "messagedb install --notify",
    });
  });

  test("tells of settings that lose writes, block, or fail them", async () => {
    const sql = db.connect({
      max: 1,
      connection: {
        synchronous_commit: "off",
        idle_in_transaction_session_timeout: 0,
        default_transaction_isolation: "serializable",
      },
    });
    const lossy = (await diagnosesOf(sql, "durability")).map(({ text }) => text);
    assert(lossy.some((text) => text.startsWith("synchronous_commit is off: a crash may lose")));
    assert.equal((await diagnosisOf(sql, "timeouts")).state, "note");
    assert.equal((await diagnosisOf(sql, "isolation")).state, "warning");
    const limited = db.connect({
      max: 1,
      connection: { idle_in_transaction_session_timeout: 60_000 },
    });
    assert.equal((await diagnosisOf(limited, "timeouts")).state, "ok");
    assert.equal((await diagnosisOf(limited, "isolation")).state, "ok");
  });

  test("tells of a time zone in which other clients write wrong times", async () => {
    const zone = (TimeZone: string) => db.connect({ max: 1, connection: { TimeZone } });
    assert.equal((await diagnosisOf(zone("Asia/Kathmandu"), "timeZone")).state, "ok");
    const sql = zone("UTC+3");
    // PostgreSQL 18 is the first for which it matters.
    const [{ isOff } = {}] = await sql`
      select now() at time zone 'utc' <> now() at time zone interval '0' as "isOff"`;
    const { state, text } = await diagnosisOf(sql, "timeZone");
    assert.equal(state, isOff ? "warning" : "ok");
    if (isOff) assert.match(text, /"utc" is -3 h off/);
  });

  test("tells of a clock of this machine that is wrong", async () => {
    assert.equal((await diagnosisOf(db.sql, "clock")).state, "ok");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 300_000 });
    onTestFinished(() => void vi.useRealTimers());
    assert.deepEqual(await diagnosisOf(db.sql, "clock"), {
      state: "warning",
      text: "The server's clock is 5 min behind this machine's: messages have the server's time",
      advice: "Synchronize both clocks by NTP",
    });
  });

  test("sees no pooler where none is", async () => {
    for (const max of [1, 2]) {
      assert.equal((await diagnosisOf(db.connect({ max }), "pooler")).text, "No pooler is between");
    }
  });

  test.runIf(pgbouncer)("sees PgBouncer in transaction mode", async () => {
    const { url, stop } = await startPgbouncer(pgbouncer!, db.url);
    onTestFinished(stop);
    const open = (max: number) => openHandle(url, { max, prepare: false, fetch_types: false });
    assert.match((await diagnosisOf(open(2), "pooler")).text, /^A pooler in transaction mode is/);
    assert.match((await diagnosisOf(open(1), "pooler")).text, /^A pooler or a proxy is between/);
  });
});
