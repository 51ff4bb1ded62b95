import { append, entityIds, streamNames, write, writeStreams } from "@messagedb/client";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { lockInstalls } from "../../src/database/_install_lock.ts";
import { startEmbedded } from "../../src/database/embedded.ts";
import { install, isInstalled, uninstall } from "../../src/database/install.ts";
import { eventually } from "../_until.ts";
import { openHandle, useDatabase } from "../database.ts";

const db = useDatabase();
const databases: string[] = [];
const message = { type: "Opened" };

afterAll(async () => {
  for (const name of databases) {
    await db.sql.unsafe(`drop database if exists "${name}" with (force)`);
  }
});

/** A handle to another database of the server, or the same one under another role. */
function connectAs(
  change: (url: URL) => void,
  options?: postgres.Options<never>,
): postgres.Sql {
  const url = new URL(db.url);
  change(url);
  return openHandle(url, options);
}

/** The name of a database that does not exist, or not yet; it is dropped after the tests. */
function nameDatabase(): string {
  const name = `messagedb_test_${randomBytes(6).toString("hex")}`;
  databases.push(name);
  return name;
}

/** A handle to a new database with nothing in it. */
async function emptyDatabase(
  options?: postgres.Options<never>,
): Promise<postgres.Sql> {
  const name = nameDatabase();
  await db.sql.unsafe(`create database "${name}"`);
  return connectAs((url) => url.pathname = name, options);
}

async function inRole<T>(
  rights: string,
  work: (name: string) => Promise<T>,
): Promise<T> {
  const name = `messagedb_role_${randomBytes(6).toString("hex")}`;
  await db.sql.unsafe(
    `create role "${name}" login password 'secret' ${rights}`,
  );
  try {
    return await work(name);
  } finally {
    await db.sql.unsafe(`drop owned by "${name}"; drop role "${name}"`);
  }
}

function asRole(name: string): (url: URL) => void {
  return (url) => {
    url.username = name;
    url.password = "secret";
  };
}

async function writeOne(
  sql: postgres.Sql,
  stream = "account-1",
): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`set local search_path = message_store, public`;
    await tx`select write_message(gen_random_uuid()::varchar, ${stream}, 'Opened', '{"a":1}')`;
  });
}

async function countMessages(sql: postgres.Sql): Promise<number> {
  const [row] = await sql`select count(*)::int as count from message_store.messages`;
  return row!["count"];
}

/** Which version of each catalog row there is: it changes when anything in the schema does. */
async function fingerprint(sql: postgres.Sql): Promise<unknown> {
  return await sql`
    select 'function' as kind, proname as name, oid, xmin::text, proacl::text as acl
    from pg_proc where pronamespace = 'message_store'::regnamespace
    union all
    select 'relation', relname, oid, xmin::text, relacl::text
    from pg_class where relnamespace = 'message_store'::regnamespace
    union all
    select 'trigger', tgname, oid, xmin::text, tgenabled::text
    from pg_trigger where tgrelid = 'message_store.messages'::regclass
    order by 1, 2, 3
  `;
}

describe("install()", () => {
  test("makes a store that the role message_store can write to and read from", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await sql.begin(async (tx) => {
      await tx`set local role message_store`;
      await tx`set local search_path = message_store, public`;
      await tx`select write_message(gen_random_uuid()::varchar, 'account-1', 'Opened', '{}')`;
      expect(await tx`select type from get_stream_messages('account-1')`)
        .toEqual([
          { type: "Opened" },
        ]);
      expect(await tx`select type from get_category_messages('account')`)
        .toHaveLength(1);
      expect(await tx`select stream_name from stream_summary`).toHaveLength(1);
    });
    const [version] = await sql`select message_store.message_store_version()`;
    expect(version).toEqual({ message_store_version: "1.3.0" });
  });

  test("changes nothing where Message DB is, and keeps the messages", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await writeOne(sql);
    const before = await fingerprint(sql);
    await install(sql);
    expect(await fingerprint(sql)).toEqual(before);
    expect(await countMessages(sql)).toBe(1);
  });

  test("may be run by eight processes at once", async () => {
    const first = await emptyDatabase();
    const others = Array.from(
      { length: 7 },
      () => connectAs((url) => url.pathname = databases.at(-1)!),
    );
    await Promise.all([first, ...others].map((sql) => install(sql)));
    expect(await isInstalled(first)).toBe(true);
    await writeOne(first);
  });

  test("creates the database when asked to, by four processes at once", async () => {
    const name = nameDatabase();
    const sqls = Array.from(
      { length: 4 },
      () => connectAs((url) => url.pathname = name),
    );
    await Promise.all(
      sqls.map((sql) => install(sql, { createDatabase: true })),
    );
    expect(await sqls[0]!`select current_database() as name`).toEqual([{
      name,
    }]);
    await writeOne(sqls[0]!);
  });

  test("creates a database whose name needs quotes", async () => {
    const name = `${nameDatabase()} "x"`;
    databases.push(name.replaceAll('"', '""'));
    const sql = connectAs(() => {}, { database: name });
    await install(sql, { createDatabase: true });
    expect(await sql`select current_database() as name`).toEqual([{ name }]);
  });

  test("does not create the database unasked", async () => {
    const name = nameDatabase();
    const sql = connectAs((url) => url.pathname = name);
    await expect(install(sql)).rejects.toMatchObject({
      message: expect.stringMatching(/there is no database ".*", which the option createDatabase/),
      cause: { code: "3D000" },
    });
    expect(await db.sql`select from pg_database where datname = ${name}`)
      .toHaveLength(0);
  });

  test("puts back a function, an index, a view and a privilege that are missing, and keeps the messages", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await writeOne(sql);
    await sql.unsafe(`
      drop function message_store.write_message;
      drop index message_store.messages_stream;
      drop view message_store.type_summary;
      revoke insert on message_store.messages from message_store;
    `);
    expect(await isInstalled(sql)).toBe(false);
    await install(sql);
    expect(await isInstalled(sql)).toBe(true);
    await writeOne(sql);
    expect(await countMessages(sql)).toBe(2);
    expect(
      await sql`
        select
          has_table_privilege('message_store', 'message_store.messages', 'insert') as may_insert,
          has_table_privilege('message_store', 'message_store.type_summary', 'select') as may_select,
          (select indisunique from pg_index where indexrelid = 'message_store.messages_stream'::regclass)
      `,
    ).toEqual([{ may_insert: true, may_select: true, indisunique: true }]);
  });

  test("brings an older version up to date, and keeps the messages", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await writeOne(sql);
    await makeOlder(sql);
    await install(sql);
    expect(await sql`select message_store.message_store_version() as version`)
      .toEqual([
        { version: "1.3.0" },
      ]);
    await sql.begin(async (tx) => {
      await tx`set local search_path = message_store, public`;
      expect(await tx`select type from get_last_stream_message('account-1')`)
        .toEqual([
          { type: "Opened" },
        ]);
    });
  });

  test("leaves a newer version as it is", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await sql.unsafe(`
      create or replace function message_store.message_store_version() returns varchar
      as $$ begin return '1.10.0'; end; $$ language plpgsql
    `);
    const before = await fingerprint(sql);
    await install(sql);
    expect(await fingerprint(sql)).toEqual(before);
  });

  test("does not disturb those who write meanwhile", async () => {
    const sql = await emptyDatabase({ max: 6 });
    await install(sql);
    const writes = [0, 0, 0, 0];
    let isDone = false;
    const writers = writes.map(async (_, writer) => {
      while (!isDone) {
        await writeOne(sql, `account-${writer}`);
        writes[writer]! += 1;
      }
    });
    for (let round = 0; round < 10; round += 1) {
      await makeOlder(sql);
      await install(sql);
    }
    isDone = true;
    await Promise.all(writers);
    expect(Math.min(...writes)).toBeGreaterThan(0);
    expect(await countMessages(sql)).toBe(
      writes.reduce((sum, count) => sum + count),
    );
  });

  test("leaves what another schema holds under the same names", async () => {
    const sql = await emptyDatabase();
    await sql.unsafe("create table public.messages (a int)");
    await sql.unsafe("create index messages_stream on public.messages (a)");
    await install(sql);
    expect(
      await sql`select to_regclass('public.messages_stream') is not null as there`,
    ).toEqual([
      { there: true },
    ]);
    expect(await isInstalled(sql)).toBe(true);
  });

  test("prints nothing", async () => {
    const print = vi.spyOn(console, "log").mockImplementation(() => {});
    try {
      const sql = await emptyDatabase();
      await sql.unsafe("do $$ begin raise notice 'heard'; end $$");
      expect(print).toHaveBeenCalledTimes(1);
      await install(sql);
      await install(sql);
      await uninstall(sql);
      expect(print).toHaveBeenCalledTimes(1);
    } finally {
      print.mockRestore();
    }
  });

  test("lets a role without any right call it where nothing is missing", async () => {
    const { sql } = db;
    await install(sql);
    await inRole("", async (role) => {
      await install(connectAs(asRole(role)));
    });
  });

  test("needs no superuser where the role message_store is", async () => {
    const owned = await emptyDatabase();
    const name = databases.at(-1)!;
    await inRole("", async (role) => {
      await db.sql.unsafe(`alter database "${name}" owner to "${role}"`);
      const messages: unknown[] = [];
      const sql = connectAs((url) => {
        asRole(role)(url);
        url.pathname = name;
      }, { onnotice: (notice) => messages.push(notice) });
      await install(sql);
      await writeOne(sql);
      await sql.end();
      expect(messages).toEqual([]);
      await owned.end();
      await db.sql.unsafe(`drop database "${name}" with (force)`);
    });
  });

  test("says which right is missing to create the schema", async () => {
    await emptyDatabase();
    const name = databases.at(-1)!;
    await inRole("", async (role) => {
      const sql = connectAs((url) => {
        asRole(role)(url);
        url.pathname = name;
      });
      await expect(install(sql)).rejects.toMatchObject({
        message:
          `Cannot install Message DB: the role "${role}" may not create schemas in database ` +
          `"${name}" (permission denied for database ${name})`,
        cause: { code: "42501" },
      });
      expect(await isInstalled(sql)).toBe(false);
      await sql.end();
    });
  });

  test("says which right is missing to create the database", async () => {
    const name = nameDatabase();
    await inRole("", async (role) => {
      const sql = connectAs((url) => {
        asRole(role)(url);
        url.pathname = name;
      });
      await expect(install(sql, { createDatabase: true })).rejects
        .toMatchObject({
          message:
            `Cannot create database "${name}": the role "${role}" may not create databases ` +
            "(permission denied to create database)",
          cause: { code: "42501" },
        });
      await sql.end();
    });
  });

  test("refuses a handle that is a transaction", async () => {
    await db.sql.begin(async (tx) => {
      await expect(install(tx as unknown as postgres.Sql)).rejects.toThrow(
        TypeError,
      );
    });
  });

  describe("on a server that has no role message_store yet", () => {
    let server: Awaited<ReturnType<typeof startEmbedded>>;
    let admin: postgres.Sql;
    const at = (name: string, user?: string): postgres.Sql => {
      const url = new URL(server.url);
      url.pathname = name;
      if (user) asRole(user)(url);
      return openHandle(url);
    };

    beforeAll(async () => {
      server = await startEmbedded();
      admin = at("postgres");
      await admin.unsafe("drop database message_store with (force)");
      await admin.unsafe("drop role message_store");
    });
    afterAll(async () => {
      await admin.end();
      await server.stop();
    });

    test("says which right is missing to create it, and leaves nothing behind", async () => {
      await admin.unsafe("create role app login password 'secret'");
      await admin.unsafe("create database app owner app");
      const sql = at("app", "app");
      await expect(install(sql)).rejects.toMatchObject({
        message: 'Cannot install Message DB: the role "app" may not create the role ' +
          '"message_store" (permission denied to create role)',
        cause: { code: "42501" },
      });
      expect(
        await sql`select from pg_namespace where nspname = 'message_store'`,
      ).toHaveLength(0);
      await sql.end();
    });

    test("goes on where an install of another database has just created it", async () => {
      await admin.unsafe("create database late");
      const sql = at("late");
      let installing: Promise<unknown> | undefined;
      await admin.begin(async (tx) => {
        await tx.unsafe("create role message_store login");
        installing = install(sql);
        await eventually(async () => {
          const waiting = await admin`
            select from pg_stat_activity where datname = 'late' and wait_event_type = 'Lock'
          `;
          expect(waiting).toHaveLength(1);
        });
      });
      await installing;
      await writeOne(sql);
      await sql.end();
    });

    test("takes six installs of six new databases at once", async () => {
      const sqls = Array.from(
        { length: 6 },
        (_, index) => at(`store_${index}`),
      );
      await Promise.all(
        sqls.map((sql) => install(sql, { createDatabase: true })),
      );
      for (const sql of sqls) {
        await writeOne(sql);
        await sql.end();
      }
    });
  });
});

/** What the trigger and its function are called, as far as they are there. */
async function notifiers(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql`
    select proname as name from pg_proc
    where pronamespace = to_regnamespace('message_store') and proname like 'notify%'
    union all
    select tgname from pg_trigger
    where tgrelid = to_regclass('message_store.messages') and not tgisinternal
    order by 1
  `;
  return rows.map(({ name }) => name);
}

const BOTH = ["messages_notify", "notify_categories"];

/** Listens; what it returns answers what was heard since it was last asked, of all committed by now. */
async function listen(sql: postgres.Sql): Promise<() => Promise<string[]>> {
  let heard: string[] = [];
  await sql.listen("message_store", (category) => heard.push(category));
  return async () => {
    // It comes after all that was committed before it.
    await sql.notify("message_store", "that was all");
    await eventually(() => expect(heard).toContain("that was all"));
    const news = heard.filter((category) => category !== "that was all");
    heard = [];
    return news;
  };
}

describe("install() with notify", () => {
  test("has each category that a transaction writes to said once, when it is committed", async () => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true });
    expect(await notifiers(sql)).toEqual(BOTH);
    const news = await listen(sql);
    await write(sql, "account-1", message);
    expect(await news()).toEqual(["account"]);
    await write(sql, "account:command-1", message);
    expect(await news()).toEqual(["account:command"]);
    await writeStreams(sql, [
      { streamName: "account-1", messages: [message, message] },
      { streamName: "account-2", messages: [message] },
      { streamName: "order-1-2", messages: [message] },
    ]);
    expect((await news()).sort()).toEqual(["account", "order"]);
    await sql.begin(async (tx) => {
      await write(tx, "account-1", message);
      await write(tx, "order-1", message);
      await tx.savepoint((sp) => write(sp, "account-2", message));
      expect(await news()).toEqual([]);
    });
    expect((await news()).sort()).toEqual(["account", "order"]);
  });

  test("has nothing said of what was rolled back, or of no message", async () => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true });
    const news = await listen(sql);
    const undo = new Error("undo");
    await expect(sql.begin(async (tx) => {
      await write(tx, "account-1", message);
      throw undo;
    })).rejects.toBe(undo);
    await sql.begin(async (tx) => {
      await tx.savepoint(async (sp) => {
        await write(sp, "order-1", message);
        throw undo;
      }).catch(() => {});
      await write(tx, "payment-1", message);
    });
    await sql`
      insert into message_store.messages (stream_name, position, type)
      select 'account-1', 0, 'Opened' where false
    `;
    await sql`
      insert into message_store.messages (stream_name, position, type)
      values ('payment-1', 0, 'Opened') on conflict do nothing
    `;
    expect(await news()).toEqual(["payment"]);
  });

  test("takes it out again when told not to notify, and leaves it as it is when told nothing", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    expect(await notifiers(sql)).toEqual([]);
    await install(sql, { notify: true });
    await install(sql);
    expect(await notifiers(sql)).toEqual(BOTH);
    const news = await listen(sql);
    await install(sql, { notify: false });
    expect(await notifiers(sql)).toEqual([]);
    expect(await isInstalled(sql)).toBe(true);
    await write(sql, "account-1", message);
    expect(await news()).toEqual([]);
    await install(sql, { notify: false });
    await install(sql, { notify: true });
    await write(sql, "account-1", message);
    expect(await news()).toEqual(["account"]);
    expect(await countMessages(sql)).toBe(2);
  });

  test("changes nothing where it is as told, for any role, and waits for nobody", async () => {
    for (const notify of [true, false]) {
      const sql = await emptyDatabase();
      const name = databases.at(-1)!;
      await install(sql, { notify });
      const before = await fingerprint(sql);
      await inRole("", async (role) => {
        const other = connectAs((url) => {
          asRole(role)(url);
          url.pathname = name;
        });
        await sql.begin(async (tx) => {
          await write(tx, "account-1", message);
          await install(other, { notify });
        });
        await other.end();
      });
      expect(await fingerprint(sql)).toEqual(before);
    }
  });

  test.each([
    ["the function has gone", "drop function message_store.notify_categories cascade"],
    ["the trigger has gone", "drop trigger messages_notify on message_store.messages"],
    ["the trigger is off", "alter table message_store.messages disable trigger messages_notify"],
    [
      "the trigger comes once a row",
      `drop trigger messages_notify on message_store.messages;
      create trigger messages_notify after insert on message_store.messages
      referencing new table as inserted
      for each row execute function message_store.notify_categories()`,
    ],
    [
      "the trigger has another name for the rows",
      `drop trigger messages_notify on message_store.messages;
      create trigger messages_notify after insert on message_store.messages
      referencing new table as added
      for each statement execute function message_store.notify_categories()`,
    ],
    [
      "the trigger has a condition",
      `drop trigger messages_notify on message_store.messages;
      create trigger messages_notify after insert on message_store.messages
      referencing new table as inserted
      for each statement when (false) execute function message_store.notify_categories()`,
    ],
    [
      "the trigger calls another function",
      `create function message_store.nothing() returns trigger
      as $$ begin return null; end; $$ language plpgsql;
      drop trigger messages_notify on message_store.messages;
      create trigger messages_notify after insert on message_store.messages
      referencing new table as inserted
      for each statement execute function message_store.nothing()`,
    ],
  ])("puts it right where %s", async (_, change) => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true });
    const before = await definition(sql);
    await sql.unsafe(change);
    await install(sql, { notify: true });
    expect(await definition(sql)).toEqual(before);
    const news = await listen(sql);
    await write(sql, "account-1", message);
    expect(await news()).toEqual(["account"]);
  });

  test.each([
    [
      "its text",
      `create or replace function message_store.notify_categories() returns trigger
      as $$ begin return null; end; $$ language plpgsql
      security definer set search_path = pg_catalog, pg_temp`,
    ],
    ["its rights", "alter function message_store.notify_categories security invoker"],
    ["its path", "alter function message_store.notify_categories reset search_path"],
  ])("replaces a function that differs in %s, while others write", async (_, change) => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true });
    const before = await definition(sql);
    await sql.unsafe(change);
    const news = await listen(sql);
    await sql.begin(async (tx) => {
      await write(tx, "account-1", message);
      await install(sql, { notify: true });
    });
    expect(await definition(sql)).toEqual(before);
    await news();
    await write(sql, "account-1", message);
    expect(await news()).toEqual(["account"]);
  });

  async function definition(sql: postgres.Sql): Promise<unknown> {
    return await sql`
      select pg_get_functiondef(tgfoid), pg_get_triggerdef(oid), tgenabled
      from pg_trigger where tgname = 'messages_notify'
    `;
  }

  test("may be run by eight processes at once, while others write", async () => {
    const first = await emptyDatabase();
    const others = Array.from(
      { length: 7 },
      () => connectAs((url) => url.pathname = databases.at(-1)!),
    );
    await Promise.all([first, ...others].map((sql) => install(sql, { notify: true })));
    expect(await notifiers(first)).toEqual(BOTH);
    let isDone = false;
    const writers = [0, 1, 2, 3].map(async (writer) => {
      let written = 0;
      for (; !isDone; written += 1) await write(first, `account${writer}-1`, message);
      return written;
    });
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(others.map((sql, at) => install(sql, { notify: at % 2 === 0 })));
    }
    isDone = true;
    const written = await Promise.all(writers);
    expect(Math.min(...written)).toBeGreaterThan(0);
    expect(await countMessages(first)).toBe(written.reduce((sum, count) => sum + count));
  });

  test("is part of the one transaction: when it fails, nothing is installed", async () => {
    const sql = await emptyDatabase();
    await sql.unsafe(`
      create schema message_store;
      create function message_store.notify_categories() returns int as 'select 1' language sql;
    `);
    await expect(install(sql, { notify: true })).rejects.toMatchObject({ code: "42P13" });
    expect(await sql`select to_regclass('message_store.messages') as messages`)
      .toEqual([{ messages: null }]);
  });

  test.each([
    ["create the function", true, "", "", "permission denied for schema message_store"],
    [
      "create the trigger",
      true,
      "",
      "grant usage, create on schema message_store to",
      "permission denied for table messages",
    ],
    [
      "drop the trigger",
      false,
      "",
      "grant usage on schema message_store to",
      "must be owner of relation messages",
    ],
    [
      "drop the function",
      false,
      "drop trigger messages_notify on message_store.messages",
      "grant usage on schema message_store to",
      "must be owner of function message_store.notify_categories",
    ],
  ])("says which right is missing to %s", async (action, notify, change, grant, detail) => {
    const sql = await emptyDatabase();
    const name = databases.at(-1)!;
    await install(sql, { notify: !notify });
    await sql.unsafe(change);
    const before = await fingerprint(sql);
    await inRole("", async (role) => {
      if (grant) await sql.unsafe(`${grant} "${role}"`);
      const other = connectAs((url) => {
        asRole(role)(url);
        url.pathname = name;
      });
      const what = action.endsWith("trigger") ? "messages_notify" : "notify_categories";
      await expect(install(other, { notify })).rejects.toMatchObject({
        message: `Cannot install Message DB: the role "${role}" may not ${action} "${what}" ` +
          `in database "${name}" (${detail})`,
        cause: { code: "42501" },
      });
      await other.end();
      await sql.unsafe(`drop owned by "${role}"`);
    });
    expect(await fingerprint(sql)).toEqual(before);
  });

  test("is heard when a role writes that has the rights of message_store alone", async () => {
    const sql = await emptyDatabase();
    const name = databases.at(-1)!;
    await install(sql, { notify: true });
    // Servers are hardened in this way.
    await sql`revoke execute on all functions in schema pg_catalog from public`;
    await sql`grant execute on all functions in schema pg_catalog to message_store`;
    await sql`revoke execute on function
      pg_notify, pg_notification_queue_usage, octet_length(text) from message_store`;
    const news = await listen(sql);
    await inRole("in role message_store", async (role) => {
      const writer = connectAs((url) => {
        asRole(role)(url);
        url.pathname = name;
      });
      await expect(writer`select pg_notify('message_store', 'account')`).rejects.toThrow("denied");
      await write(writer, "account-1", message);
      await writer`
        insert into message_store.messages (stream_name, position, type)
        values ('order-1', 0, 'Opened')`;
      await writer.end();
    });
    expect(await news()).toEqual(["account", "order"]);
  });

  test("is heard whatever the writer's search path holds", async () => {
    const sql = await emptyDatabase({ max: 1 });
    await install(sql, { notify: true });
    const news = await listen(sql);
    await sql.unsafe(`
      create schema other;
      create table other.inserted (stream_name text);
      create table other.messages (stream_name text);
      create function other.pg_notify(text, text) returns void
      as $$ begin raise 'theirs'; end $$ language plpgsql;
      create function other.pg_notification_queue_usage() returns float8
      as 'select 1::float8' language sql;
      create function other.split_part(text, text, int) returns text
      as $$ select 'theirs' $$ language sql;
      create function other.false(int, int) returns boolean as 'select false' language sql;
      create operator other.< (leftarg = int, rightarg = int, function = other.false);
    `);
    for (
      const path of [
        "other, pg_catalog",
        "''",
        "other, message_store, public",
        "message_store, pg_temp",
      ]
    ) {
      await sql.begin(async (tx) => {
        await tx.unsafe(`set local search_path = ${path}`);
        await write(tx, "account-1", message);
        await tx`
          insert into message_store.messages (stream_name, position, type)
          values (${`order-${path}`}::pg_catalog.text, 0, 'Opened')`;
        expect(await tx`select pg_catalog.current_setting('search_path') as path`)
          .toEqual([{ path: path === "''" ? '""' : path }]);
      });
      expect((await news()).sort()).toEqual(["account", "order"]);
    }
  });

  test("is heard of COPY, and of ten thousand messages in a thousand categories", async () => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true });
    const news = await listen(sql);
    const copy = await sql`
      copy message_store.messages (stream_name, position, type) from stdin`.writable();
    await new Promise<void>((resolve, reject) => {
      copy.on("finish", resolve).on("error", reject);
      copy.end("account-1\t0\tOpened\naccount-2\t0\tOpened\norder-1\t0\tOpened\n");
    });
    expect((await news()).sort()).toEqual(["account", "order"]);
    await sql`
      insert into message_store.messages (stream_name, position, type)
      select 'many' || n % 1000 || '-' || n, 0, 'Opened' from generate_series(1, 10000) n`;
    expect((await news()).sort())
      .toEqual(Array.from({ length: 1000 }, (_, at) => `many${at}`).sort());
  });

  test("fails no write whose category is too long to be said", async () => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true });
    const news = await listen(sql);
    await sql`
      insert into message_store.messages (stream_name, position, type)
      values
        (repeat('a', 8000) || '-1', 0, 'Opened'),
        (repeat('é', 4000) || '-1', 0, 'Opened'),
        (repeat('a', 7999) || '-1', 0, 'Opened'),
        ('-1', 0, 'Opened')`;
    expect((await news()).sort()).toEqual(["", "a".repeat(7999)]);
  });

  test("fails no write when a listener that does not read has filled the queue", async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "messagedb-notify-"));
    let server = await startEmbedded({ dataDir });
    try {
      const admin = openHandle(server.url, { max: 1 });
      await admin`alter system set max_notify_queue_pages = 64`;
      await admin.end();
      await server.stop();
      server = await startEmbedded({ dataDir });
      const sql = openHandle(server.url, { fetch_types: true, onnotice: () => {} });
      await install(sql, { notify: true });
      const deaf = await sql.reserve();
      await deaf`listen message_store`;
      await deaf`begin`;
      // A page each: half as much again as the queue holds.
      const writeLong = (at: number) =>
        sql`
          insert into message_store.messages (stream_name, position, type)
          values (repeat('a', 7000) || ${at}::text || '-1', 0, 'Opened')`;
      for (let at = 0; at < 96; at += 1) await writeLong(at);
      await deaf`commit`;
      await deaf`unlisten message_store`;
      deaf.release();
      expect(await countMessages(sql)).toBe(96);
      const news = await listen(sql);
      await write(sql, "account-1", message);
      expect(await news()).toEqual(["account"]);
      await sql.end();
    } finally {
      await server.stop();
      await rm(dataDir, { recursive: true });
    }
  });

  test("goes with uninstall(), and comes back when asked for", async () => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true });
    await uninstall(sql);
    expect(await notifiers(sql)).toEqual([]);
    await install(sql);
    expect(await notifiers(sql)).toEqual([]);
    await uninstall(sql);
    await install(sql, { notify: true });
    const news = await listen(sql);
    await write(sql, "account-1", message);
    expect(await news()).toEqual(["account"]);
  });
});

describe("a lock of install() that a stranger holds", () => {
  const KEYS = "1835365235, 1634165858";

  /** Runs a test while a role without any right holds the lock in a database. */
  async function whileHeld(test: (role: string, name: string) => Promise<void>): Promise<void> {
    const name = databases.at(-1)!;
    await inRole("", async (role) => {
      const stranger = connectAs((url) => {
        asRole(role)(url);
        url.pathname = name;
      }, { max: 1 });
      await stranger.unsafe(`select pg_advisory_lock(${KEYS})`);
      await test(role, name);
      await stranger.end();
    });
  }

  test("holds up no install() where nothing is missing, and no isInstalled()", async () => {
    const sql = await emptyDatabase();
    await install(sql, { notify: true, nameIndex: true });
    await whileHeld(async () => {
      await install(sql);
      await install(sql, { notify: true, nameIndex: true });
      expect(await isInstalled(sql)).toBe(true);
    });
  });

  test("ends the others with an error that says who holds it", async () => {
    const sql = await emptyDatabase();
    await whileHeld(async (role, name) => {
      const hurried = connectAs((url) => url.pathname = name, {
        connection: { lock_timeout: 100 },
        max: 1,
      });
      for (const attempt of [install, uninstall]) {
        await expect(attempt(hurried)).rejects.toMatchObject({
          message: expect.stringMatching(
            new RegExp(
              "^Cannot lock Message DB to install or uninstall it: the advisory lock " +
                `\\(${KEYS}\\) is held by process \\d+ of the role "${role}", ` +
                "wait until it ends or end it with pg_terminate_backend\\(\\d+\\)$",
            ),
          ),
          cause: { code: "55P03" },
        });
      }
      expect(await hurried`show lock_timeout`).toEqual([{ lock_timeout: "100ms" }]);
      const waiting = sql.begin("read only", (tx) => lockInstalls(tx));
      await eventually(async () =>
        expect(
          await db.sql`
            select from pg_stat_activity where datname = ${name} and wait_event = 'advisory'`,
        ).toHaveLength(1)
      );
      const [{ pid }] = await db.sql`
        select pid from pg_stat_activity where datname = ${name} and usename = ${role}` as unknown as [
        { pid: number },
      ];
      await db.sql`select pg_terminate_backend(${pid})`;
      await waiting;
      expect(await sql`show lock_timeout`).toEqual([{ lock_timeout: "0" }]);
    });
    await install(sql);
    expect(await isInstalled(sql)).toBe(true);
  });
});

describe("a sequence of global positions that is behind the messages", () => {
  const SEQUENCE = "message_store.messages_global_position_seq";
  const next = (sql: postgres.Sql) =>
    sql.unsafe(`select last_value::int, is_called from ${SEQUENCE}`);

  /** A store whose last message is at the global position 30. */
  async function storeBehind(value: number, isCalled = true): Promise<postgres.Sql> {
    const sql = await emptyDatabase();
    await install(sql);
    for (let count = 0; count < 30; count += 1) await writeOne(sql);
    await sql.unsafe(`select setval('${SEQUENCE}', ${value}, ${isCalled})`);
    return sql;
  }

  test.each([[1, false], [5, true], [29, true], [30, false]])(
    "is moved on by install(), from %s (%s)",
    async (value, isCalled) => {
      const sql = await storeBehind(value, isCalled);
      expect(await isInstalled(sql)).toBe(true);
      await expect(write(sql, "account-1", message)).rejects.toMatchObject({
        code: "NOT_INSTALLED",
        reason: "behind",
        message:
          "Cannot use the Message DB of this database: its sequence is behind its messages, " +
          "which install(sql) mends",
        cause: { code: "23505" },
      });
      await sql.unsafe(`select setval('${SEQUENCE}', ${value}, ${isCalled})`);
      await install(sql);
      expect(await next(sql)).toEqual([{ last_value: 30, is_called: true }]);
      expect(await append(sql, "account-1", message)).toMatchObject({ globalPosition: 31 });
    },
  );

  test.each([[30, true], [31, false], [1000, true]])(
    "is none at %s (%s), and stays",
    async (value, isCalled) => {
      const sql = await storeBehind(value, isCalled);
      await install(sql);
      expect(await next(sql)).toEqual([{ last_value: value, is_called: isCalled }]);
    },
  );

  test("is moved on while others write, and by several at once, and never back", async () => {
    const sql = await storeBehind(5);
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      const positions: number[] = [];
      while (positions.length < 20) {
        const written = await append(sql, `order-${writer}`, message).catch((error) => {
          expect(error).toMatchObject({ reason: "behind" });
        });
        if (written) positions.push(written.globalPosition);
      }
      return positions;
    });
    await Promise.all([1, 2, 3].map(() => install(sql)));
    const positions = (await Promise.all(writers)).flat().sort((one, other) => one - other);
    expect(positions[0]).toBeGreaterThan(30);
    expect(new Set(positions).size).toBe(80);
  });

  test("is left by a role that may only read and write", async () => {
    const sql = await storeBehind(5);
    const name = databases.at(-1)!;
    await inRole("in role message_store", async (role) => {
      const writer = connectAs((url) => {
        asRole(role)(url);
        url.pathname = name;
      });
      await install(writer);
      await expect(write(writer, "account-1", message)).rejects.toMatchObject({ reason: "behind" });
      await writer.end();
    });
    expect((await next(sql))[0]!["last_value"]).toBeLessThan(30);
  });
});

describe("isInstalled()", () => {
  test("is true where Message DB is and false where it is not", async () => {
    expect(await isInstalled(db.sql)).toBe(true);
    expect(await isInstalled(await emptyDatabase())).toBe(false);
  });

  test("answers a role that may use nothing of the store", async () => {
    await inRole("", async (role) => {
      const sql = connectAs(asRole(role));
      await expect(sql`select message_store.message_store_version()`).rejects
        .toThrow();
      expect(await isInstalled(sql)).toBe(true);
      await sql.end();
    });
  });
});

describe("uninstall()", () => {
  test("leaves a store that holds messages, and says so", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await writeOne(sql);
    await expect(uninstall(sql)).rejects.toThrow(
      `Cannot uninstall Message DB from database "${databases.at(-1)}": it holds messages and ` +
        '"deleteMessages" is not true',
    );
    expect(await countMessages(sql)).toBe(1);
  });

  test("deletes the messages when told to, and keeps the role", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await writeOne(sql);
    await uninstall(sql, { deleteMessages: true });
    expect(await isInstalled(sql)).toBe(false);
    expect(await sql`select from pg_namespace where nspname = 'message_store'`)
      .toHaveLength(0);
    expect(await sql`select from pg_roles where rolname = 'message_store'`)
      .toHaveLength(1);
    expect(await sql`select from pg_extension where extname = 'pgcrypto'`)
      .toHaveLength(1);
    await install(sql);
    await writeOne(sql);
  });

  test("takes an empty store away, and does nothing where there is none", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    await uninstall(sql);
    expect(await isInstalled(sql)).toBe(false);
    await uninstall(sql);
  });

  test("says that the role does not own the schema", async () => {
    await inRole("", async (role) => {
      const sql = connectAs(asRole(role));
      await expect(uninstall(sql, { deleteMessages: true })).rejects
        .toMatchObject({
          message: expect.stringContaining(
            `the role "${role}" may not drop the schema "message_store" (must be owner of schema`,
          ),
          cause: { code: "42501" },
        });
      await sql.end();
    });
    expect(await isInstalled(db.sql)).toBe(true);
  });
});

/** As version 1.2.6 was: its version, and a function with one parameter fewer. */
async function makeOlder(sql: postgres.Sql): Promise<void> {
  await sql.begin((tx) =>
    tx.unsafe(`
      create or replace function message_store.message_store_version() returns varchar
      as $$ begin return '1.2.6'; end; $$ language plpgsql;

      drop function message_store.get_last_stream_message;

      create function message_store.get_last_stream_message(stream_name varchar)
      returns setof message_store.message
      as $$ begin return; end; $$ language plpgsql;
    `)
  );
}

describe("install() with nameIndex", () => {
  const indexes = (sql: postgres.Sql) =>
    sql`
      select indexdef from pg_indexes
      where schemaname = 'message_store' and indexname = 'messages_names'`;

  test("makes the index, leaves it where told nothing, and drops it when told to", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    expect(await indexes(sql)).toHaveLength(0);
    await install(sql, { nameIndex: true });
    const made = await fingerprint(sql);
    expect(await indexes(sql)).toHaveLength(1);
    await install(sql);
    await install(sql, { nameIndex: true });
    expect(await fingerprint(sql)).toEqual(made);
    await install(sql, { nameIndex: false });
    await install(sql, { nameIndex: false });
    expect(await indexes(sql)).toHaveLength(0);
    expect(await isInstalled(sql)).toBe(true);
  });

  test("makes it anew where another one has its name", async () => {
    const sql = await emptyDatabase();
    await install(sql, { nameIndex: true });
    const made = await indexes(sql);
    await sql.unsafe(`
      drop index message_store.messages_names;
      create index messages_names on message_store.messages (type)`);
    await install(sql, { nameIndex: true });
    expect(await indexes(sql)).toEqual(made);
  });

  test("changes nothing in what streamNames() and entityIds() answer", async () => {
    const sql = await emptyDatabase();
    await install(sql);
    const names = ["account", "account-1", "account-1+2", "account-10", "account.x-1"];
    for (const name of [...names, "account:command-1", "accounts-1", "accoun-1", "b-1"]) {
      await writeOne(sql, name);
      await writeOne(sql, name);
    }
    const answers = async () => [
      await streamNames(sql, "account"),
      await entityIds(sql, "account"),
      await streamNames(sql, "none"),
    ];
    const before = await answers();
    expect(before).toEqual([names.slice(0, 4), ["1", "1+2", "10"], []]);
    await install(sql, { nameIndex: true });
    expect(await answers()).toEqual(before);
  });

  test("says which right is missing to make it", async () => {
    const { sql } = db;
    await inRole("", async (role) => {
      await expect(install(connectAs(asRole(role)), { nameIndex: true })).rejects.toMatchObject({
        message: expect.stringMatching(/may not create the index "messages_names" in database/),
        cause: { code: "42501" },
      });
    });
    expect(await indexes(sql)).toHaveLength(0);
  });
});

describe("install() with dryRun", () => {
  const everything = { notify: true, nameIndex: true } as const;
  // On one connection, postgres.js lets "begin" pass.
  const alone = { max: 1, onnotice: () => {} };

  test("tells the SQL that makes a whole store of an empty database", async () => {
    const sql = await emptyDatabase(alone);
    const planned = await install(sql, { ...everything, dryRun: true });
    expect(planned).toMatchObject({ from: null, version: "1.3.0", createDatabase: null });
    expect(planned.changes).toContain('create the function "write_message"');
    expect(planned.changes.at(-1)).toBe('create the trigger "messages_notify"');
    expect(await sql`select from pg_namespace where nspname = 'message_store'`).toHaveLength(0);
    await sql.unsafe(["begin;", ...planned.statements, "commit;"].join("\n"));
    await writeOne(sql);
    expect(await install(sql, everything)).toEqual({
      from: "1.3.0",
      version: "1.3.0",
      changes: [],
      createDatabase: null,
      statements: [],
    });
    // What is made by hand is what install() makes.
    const other = await emptyDatabase(alone);
    expect(await install(other, everything)).toEqual(planned);
    expect(await definitions(other)).toEqual(await definitions(sql));
  });

  test("tells what is missing, and puts nothing back", async () => {
    const sql = await emptyDatabase(alone);
    await install(sql, everything);
    await writeOne(sql);
    await sql.unsafe(`
      drop function message_store.write_message;
      drop index message_store.messages_stream;
      alter table message_store.messages disable trigger messages_notify;
      revoke insert on message_store.messages from message_store;
      select setval('message_store.messages_global_position_seq', 1, false)`);
    const before = await fingerprint(sql);
    const planned = await install(sql, { nameIndex: false, notify: true, dryRun: true });
    expect(planned.changes).toEqual([
      'create the function "write_message"',
      'create the index "messages_stream"',
      "create the privileges on the table",
      'set the sequence "messages_global_position_seq"',
      'drop the index "messages_names"',
      'create the trigger "messages_notify"',
    ]);
    expect(await fingerprint(sql)).toEqual(before);
    await sql.unsafe(["begin;", ...planned.statements, "commit;"].join("\n"));
    await writeOne(sql);
    expect(await install(sql, { nameIndex: false, notify: true })).toMatchObject({ changes: [] });
  });

  test("tells from which version to which", async () => {
    const sql = await emptyDatabase(alone);
    await install(sql);
    await makeOlder(sql);
    const planned = await install(sql, { dryRun: true });
    expect(planned).toMatchObject({ from: "1.2.6", version: "1.3.0" });
    expect(planned.changes).toContain('replace the function "get_last_stream_message"');
    expect(planned.changes).not.toContain('replace the index "messages_id"');
    await sql.unsafe(["begin;", ...planned.statements, "commit;"].join("\n"));
    expect(await install(sql)).toMatchObject({ from: "1.3.0", version: "1.3.0", changes: [] });
  });

  test("tells how the database would be created", async () => {
    const name = `${nameDatabase()} "x"`;
    databases.push(name.replaceAll('"', '""'));
    const sql = connectAs(() => {}, { database: name });
    const options = { ...everything, createDatabase: true } as const;
    const planned = await install(sql, { ...options, dryRun: true });
    expect(planned.createDatabase).toBe(`create database "${name.replaceAll('"', '""')}"`);
    expect(await db.sql`select from pg_database where datname = ${name}`).toHaveLength(0);
    expect(await install(sql, options)).toEqual(planned);
  });
});

/** How everything in the schema is defined. */
async function definitions(sql: postgres.Sql): Promise<unknown> {
  return await sql`
    select proname as name, pg_get_functiondef(oid) as definition, proacl::text as acl
    from pg_proc where pronamespace = 'message_store'::regnamespace
    union all
    select relname, coalesce(
      case relkind
        when 'i' then pg_get_indexdef(oid)
        when 'v' then pg_get_viewdef(oid)
        else (
          select string_agg(concat_ws(' ', attname, atttypid::regtype, pg_get_expr(adbin, adrelid)), ',' order by attnum)
          from pg_attribute
          left join pg_attrdef on adrelid = attrelid and adnum = attnum
          where attrelid = pg_class.oid and attnum > 0
        )
      end, ''), relacl::text
    from pg_class where relnamespace = 'message_store'::regnamespace
    order by 1`;
}
