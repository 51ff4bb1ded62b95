import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startEmbedded } from "../../src/database/embedded.ts";
import { install, isInstalled, uninstall } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const handles: postgres.Sql[] = [];
const databases: string[] = [];

afterAll(async () => {
  await Promise.all(handles.map((sql) => sql.end({ timeout: 5 })));
  for (const name of databases) {
    await db.sql.unsafe(`drop database if exists "${name}" with (force)`);
  }
});

/** A handle to another database of the server, or the same one under another role. */
function connect(
  change: (url: URL) => void,
  options: postgres.Options<never> = {},
): postgres.Sql {
  const url = new URL(db.url);
  change(url);
  const sql = postgres(url.href, options);
  handles.push(sql);
  return sql;
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
  return connect((url) => url.pathname = name, options);
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
      () => connect((url) => url.pathname = databases.at(-1)!),
    );
    await Promise.all([first, ...others].map((sql) => install(sql)));
    expect(await isInstalled(first)).toBe(true);
    await writeOne(first);
  });

  test("creates the database when asked to, by four processes at once", async () => {
    const name = nameDatabase();
    const sqls = Array.from(
      { length: 4 },
      () => connect((url) => url.pathname = name),
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
    const sql = connect(() => {}, { database: name });
    await install(sql, { createDatabase: true });
    expect(await sql`select current_database() as name`).toEqual([{ name }]);
  });

  test("does not create the database unasked", async () => {
    const name = nameDatabase();
    const sql = connect((url) => url.pathname = name);
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
      await install(connect(asRole(role)));
    });
  });

  test("needs no superuser where the role message_store is", async () => {
    const owned = await emptyDatabase();
    const name = databases.at(-1)!;
    await inRole("", async (role) => {
      await db.sql.unsafe(`alter database "${name}" owner to "${role}"`);
      const messages: unknown[] = [];
      const sql = connect((url) => {
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
      const sql = connect((url) => {
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
      const sql = connect((url) => {
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
      const sql = postgres(url.href);
      handles.push(sql);
      return sql;
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
      let installing: Promise<void> | undefined;
      await admin.begin(async (tx) => {
        await tx.unsafe("create role message_store login");
        installing = install(sql);
        await vi.waitFor(async () => {
          const waiting = await admin`
            select from pg_stat_activity where datname = 'late' and wait_event_type = 'Lock'
          `;
          expect(waiting).toHaveLength(1);
        }, { timeout: 10_000 });
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

describe("isInstalled()", () => {
  test("is true where Message DB is and false where it is not", async () => {
    expect(await isInstalled(db.sql)).toBe(true);
    expect(await isInstalled(await emptyDatabase())).toBe(false);
  });

  test("answers a role that may use nothing of the store", async () => {
    await inRole("", async (role) => {
      const sql = connect(asRole(role));
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
      const sql = connect(asRole(role));
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
