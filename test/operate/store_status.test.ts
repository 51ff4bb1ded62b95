import assert from "node:assert/strict";
import type postgres from "postgres";
import { beforeEach, describe, onTestFinished, test } from "vitest";
import { fillStore } from "../../bench/_store.ts";
import { write, writeBatch } from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { storeStatus } from "../../src/operate/mod.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

beforeEach(async () => {
  await db.sql`truncate message_store.messages restart identity`;
});

describe("storeStatus()", () => {
  test("of an empty store", async () => {
    const status = await storeStatus(db.sql);
    assert.deepEqual(status.messages, {
      count: 0,
      isEstimate: false,
      lastGlobalPosition: 0,
      firstAt: null,
      lastAt: null,
    });
    assert.deepEqual(status.categories, []);
    assert.deepEqual(status.transactions, []);
    assert.deepEqual(status.sequence, { last: 0, isBehind: false });
    assert.deepEqual(status.install, { notify: false, nameIndex: false });
    assert.equal(status.version, "1.3.0");
    assert.equal(status.partition, null);
    assert.match(status.serverVersion, /^\d+/);
    assert.equal(status.isStandby, false);
  });

  test("takes a time that no Date can be for none", async () => {
    for (const time of ["infinity", "-infinity", "290000-01-01"]) {
      const sql = db.connect({ max: 1 });
      await sql`begin`;
      await write(sql, "odd-1", { type: "A" });
      await sql`update message_store.messages set time = ${time}::text::timestamp`;
      const { messages, categories } = await storeStatus(sql);
      for (const it of [messages, ...categories]) {
        assert.deepEqual([it.count, it.firstAt, it.lastAt], [1, null, null]);
      }
      await sql`rollback`;
    }
  });

  test("counts a small store exactly, by category", async () => {
    for (const name of ["account-1", "account-2", "account:command-1", "it's %_\\ 😀-1"]) {
      await writeBatch(db.sql, name, [{ type: "A" }, { type: "B" }]);
    }
    const first = new Date("2001-02-03T04:05:06.789Z");
    const last = new Date("2031-02-03T04:05:06.789Z");
    await db.sql`
      update message_store.messages
      set time = case global_position when 1 then ${first.toISOString()} else ${last.toISOString()} end::timestamp
      where global_position in (1, 8)`;
    const { messages, categories, size, sequence } = await storeStatus(db.sql);
    assert.deepEqual(messages, {
      count: 8,
      isEstimate: false,
      lastGlobalPosition: 8,
      firstAt: first,
      lastAt: last,
    });
    assert.deepEqual(
      categories.map((
        { category, count, isEstimate, lastGlobalPosition },
      ) => [category, count, isEstimate, lastGlobalPosition]),
      [
        ["account", 4, false, 4],
        ["account:command", 2, false, 6],
        ["it's %_\\ 😀", 2, false, 8],
      ],
    );
    assert.deepEqual(categories[0]!.firstAt, first);
    assert.deepEqual(categories[2]!.lastAt, last);
    assert.deepEqual(sequence, { last: 8, isBehind: false });
    assert(size.table > 0 && size.indexes > 0);
  });

  test.each([true, false])(
    "estimates the counts of a large store, analyzed: %s",
    async (isAnalyzed) => {
      await fillStore(db.sql, { messages: 150_000, streams: 5_000 });
      await writeBatch(db.sql, "rare-1", Array.from({ length: 999 }, () => ({ type: "A" })));
      await writeBatch(db.sql, "new-1", Array.from({ length: 1_000 }, () => ({ type: "A" })));
      if (!isAnalyzed) {
        await db.sql`
        update pg_class set reltuples = -1 where oid = 'message_store.messages'::regclass`;
      }
      const { messages, categories } = await storeStatus(db.sql);
      assert.equal(messages.isEstimate, true);
      const near = (count: number, real: number) =>
        assert(count > real / 1.6 && count < real * 1.6, `${count} of ${real}`);
      near(messages.count, 151_999);
      const real = await db.sql<{ category: string; count: number }[]>`
      select message_store.category(stream_name) as category, count(*)::int as count
      from message_store.messages
      group by 1`;
      assert.equal(categories.length, real.length);
      for (const { category, count } of real) {
        const found = categories.find((it) => it.category === category)!;
        if (category === "rare") assert.deepEqual([found.count, found.isEstimate], [999, false]);
        else if (count >= 4000) near(found.count, count);
        assert.equal(found.isEstimate, count >= 1000);
        assert(found.count >= Math.min(count, 1000));
      }
      // The next look reads the same part.
      assert.deepEqual((await storeStatus(db.sql)).categories, categories);
    },
  );

  test("tells which indexes are missing or invalid", async () => {
    const states = async () =>
      Object.fromEntries(
        (await storeStatus(db.sql)).indexes.map(({ name, state }) => [name, state]),
      );
    const all = {
      messages_category: "valid",
      messages_id: "valid",
      messages_pkey: "valid",
      messages_stream: "valid",
    };
    assert.deepEqual(await states(), all);
    await db.sql.unsafe(`
      create index mine on message_store.messages (type);
      drop index message_store.messages_category;
      drop index message_store.messages_stream;
      create index messages_stream on message_store.messages (stream_name, position);
      update pg_index set indisvalid = false
      where indexrelid = 'message_store.messages_id'::regclass`);
    assert.deepEqual(await states(), {
      ...all,
      mine: "valid",
      messages_category: "missing",
      messages_id: "invalid",
      messages_stream: "invalid",
    });
    const { indexes } = await storeStatus(db.sql);
    assert.deepEqual(indexes.map(({ size }) => size > 0), [false, true, true, true, true]);
    await db.sql.unsafe(`
      drop index message_store.mine;
      drop index message_store.messages_stream;
      update pg_index set indisvalid = true
      where indexrelid = 'message_store.messages_id'::regclass`);
    await install(db.sql);
    assert.deepEqual(await states(), all);
  });

  test("tells which options of install are on", async () => {
    await install(db.sql, { notify: true, nameIndex: true });
    assert.deepEqual((await storeStatus(db.sql)).install, { notify: true, nameIndex: true });
    await db.sql`alter table message_store.messages disable trigger messages_notify`;
    assert.equal((await storeStatus(db.sql)).install.notify, false);
    await install(db.sql, { notify: false, nameIndex: false });
    assert.deepEqual((await storeStatus(db.sql)).install, { notify: false, nameIndex: false });
  });

  test("has the settings of the session, and leaves them", async () => {
    const sql = db.connect({
      max: 1,
      connection: {
        TimeZone: "Asia/Kathmandu",
        search_path: "public",
        statement_timeout: 30_000,
        "message_store.sql_condition": "on",
      },
    });
    const { settings } = await storeStatus(sql);
    assert.equal(settings.TimeZone, "Asia/Kathmandu");
    assert.equal(settings.statement_timeout, "30s");
    assert.equal(settings["message_store.sql_condition"], "on");
    assert.equal(settings.server_encoding, "UTF8");
    for (const name of ["fsync", "full_page_writes", "synchronous_commit"] as const) {
      assert.match(settings[name]!, /^(on|off)$/);
    }
    assert.equal((await storeStatus(db.sql)).settings["message_store.sql_condition"], null);
    const [row] = await sql`
      select current_setting('search_path') as path, current_setting('TimeZone') as zone`;
    assert.deepEqual({ ...row }, { path: "public", zone: "Asia/Kathmandu" });
  });

  test("tells of a sequence that is behind, to whom may read it", async () => {
    await writeBatch(db.sql, "account-1", [{ type: "A" }, { type: "A" }]);
    await db.sql`select setval('message_store.messages_global_position_seq', 1)`;
    assert.deepEqual((await storeStatus(db.sql)).sequence, { last: 1, isBehind: true });
    await db.sql`select setval('message_store.messages_global_position_seq', 9)`;
    assert.deepEqual((await storeStatus(db.sql)).sequence, { last: 9, isBehind: false });
    await db.sql`alter sequence message_store.messages_global_position_seq restart`;
    assert.deepEqual((await storeStatus(db.sql)).sequence, { last: 0, isBehind: true });
    const sql = await reader();
    assert.equal((await storeStatus(sql)).sequence, null);
  });

  test("tells which partition the database is, and takes no other comment for a mark", async () => {
    await db.sql.begin(async (tx) => {
      for (
        const [mark, partition] of [["ours", null], ["partition 1 of 4", { number: 1, of: 4 }]]
      ) {
        await tx.unsafe(
          `comment on sequence message_store.messages_global_position_seq is '${mark}'`,
        );
        assert.deepEqual((await storeStatus(tx)).partition, partition);
      }
      throw new Error("undone");
    }).catch(({ message }) => assert.equal(message, "undone"));
  });

  test("needs no right but to read messages", async () => {
    await write(db.sql, "account-1", { type: "A" });
    const sql = await reader();
    const { version, messages, categories, indexes } = await storeStatus(sql);
    assert.equal(version, "1.3.0");
    assert.equal(messages.count, 1);
    assert.equal(categories.length, 1);
    assert.equal(indexes.length, 4);
  });

  test("has no version where the store has no function for it", async () => {
    await db.sql.begin(async (tx) => {
      await tx`drop function message_store.message_store_version() cascade`;
      assert.equal((await storeStatus(tx)).version, null);
      throw new Error("undone");
    }).catch(({ message }) => assert.equal(message, "undone"));
  });

  test("refuses a store that is not there", async () => {
    const sql = db.connect({ connection: { role: "pg_monitor" } });
    await assert.rejects(storeStatus(sql), { code: "NOT_INSTALLED" });
  });
});

/** A handle of a role that may only read messages. */
async function reader(): Promise<postgres.Sql> {
  const role = `reader_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(`
    create role ${role};
    grant usage on schema message_store to ${role};
    grant select on message_store.messages to ${role}`);
  onTestFinished(() => db.sql.unsafe(`drop owned by ${role}; drop role ${role}`).then(() => {}));
  const sql = db.connect({ connection: { role }, max: 1 });
  await sql`select 1`;
  return sql;
}

describe("transactions", () => {
  /** Begins a transaction, which ends with the test. */
  async function begin(applicationName: string): Promise<postgres.Sql> {
    const sql = db.connect({ max: 1, connection: { application_name: applicationName } });
    await sql`begin`;
    return sql;
  }

  test("that write are told of, with what they hold and who waits", async () => {
    for (const name of ["account-1", "order-1"]) await write(db.sql, name, { type: "A" });
    const writer = await begin("importer");
    await write(writer, "account-1", { type: "A" });
    await write(writer, "order-1", { type: "A" });
    const [{ pid } = {}] = await writer`select pg_backend_pid() as pid`;
    const holding = await begin("holder");
    // Somebody else's lock, and a reader.
    await holding`select pg_advisory_xact_lock(5), pg_advisory_xact_lock(5, 6)`;
    const reading = await begin("reader");
    await reading`select count(*) from message_store.messages`;
    const waiting = write(db.sql, "account-2", { type: "A" });
    const transactions = async () => (await storeStatus(db.sql)).transactions;
    await until(async () =>
      (await transactions()).some((it) => it.pid === pid && it.waiting === 1)
    );
    const [found, ...others] = await transactions();
    assert.deepEqual(others, []);
    const { age, user, ...rest } = found!;
    assert(age! >= 1000);
    assert.equal(typeof user, "string");
    assert.deepEqual(rest, {
      pid,
      prepared: null,
      applicationName: "importer",
      state: "idle in transaction",
      holdsAll: true,
      categories: ["account", "order"],
      waiting: 1,
    });
    // Who may not see other sessions.
    const [hidden] = (await storeStatus(await reader())).transactions;
    assert.deepEqual(hidden, { ...found, age: null, state: null });
    // The caller's own is not told of.
    assert.deepEqual((await storeStatus(writer)).transactions.filter((it) => it.pid === pid), []);
    await writer`commit`;
    await waiting;
    assert.deepEqual(await transactions(), []);
  });

  test("that lock a category and write nothing do not hold $all up", async () => {
    await write(db.sql, "account-1", { type: "A" });
    const holder = await begin("holder");
    await holder.unsafe("set local search_path = message_store; select acquire_lock('account-9')");
    await until(async () => (await storeStatus(db.sql)).transactions.length === 1);
    const [{ holdsAll, categories, waiting } = {}] = (await storeStatus(db.sql)).transactions;
    assert.deepEqual([holdsAll, categories, waiting], [false, ["account"], 0]);
  });

  test("that insert without a lock hold $all up", async () => {
    const writer = await begin("plain");
    await writer`
      insert into message_store.messages (stream_name, position, type) values ('plain-1', 0, 'A')`;
    await until(async () => (await storeStatus(db.sql)).transactions.length === 1);
    const [{ holdsAll, categories } = {}] = (await storeStatus(db.sql)).transactions;
    assert.deepEqual([holdsAll, categories], [true, []]);
  });
});
