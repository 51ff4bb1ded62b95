import { NO_STREAM, readStream, write } from "@messagedb/client";
import { testStore, type TestStoreOptions } from "@messagedb/client/testing";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import postgres from "postgres";
import { afterAll, beforeEach, describe, expect, inject, test } from "vitest";
import { pathOf } from "../_path_of.ts";
import { eventually } from "../_until.ts";
import { openHandle } from "../database.ts";

const { url: server } = inject("databaseOrigin");
const opened = { type: "Opened" };

afterAll(async () => {
  const sql = postgres(server, { max: 1, onnotice: () => {} });
  for (const { datname } of await databasesLike(sql, "messagedb_test_template_%")) {
    await sql`drop database if exists ${sql(datname)}`;
  }
  await sql.end();
});

function databasesLike(sql: postgres.Sql, pattern: string): postgres.PendingQuery<Database[]> {
  return sql<Database[]>`select datname from pg_database where datname like ${pattern}`;
}

interface Database {
  readonly datname: string;
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1);

async function isThere(url: string): Promise<boolean> {
  const sql = openHandle(server);
  return (await databasesLike(sql, nameOf(url))).length === 1;
}

describe("on a given server, testStore()", () => {
  test("gives each test a database of its own, with Message DB and nothing in it", async () => {
    const stores = await Promise.all([1, 2, 3, 4].map(() => testStore({ url: server })));
    for (const { sql } of stores) {
      await write(sql, "account-1", opened, { expectedVersion: NO_STREAM });
      expect(await readStream(sql, "account-1")).toMatchObject([{
        position: 0,
        globalPosition: 1,
      }]);
    }
    await Promise.all(stores.map((store) => store.end()));
    for (const { url } of stores) expect(await isThere(url)).toBe(false);
  });

  test("takes the server of MESSAGEDB_TEST_URL, unless it is told another", async () => {
    process.env["MESSAGEDB_TEST_URL"] = server;
    try {
      const store = await testStore();
      expect(await isThere(store.url)).toBe(true);
      await store.end();
      process.env["MESSAGEDB_TEST_URL"] = "postgres://127.0.0.1:1/postgres";
      await (await testStore({ url: server })).end();
      await expect(testStore()).rejects.toThrow(
        'Cannot create a database on the server of "MESSAGEDB_TEST_URL": connect ECONNREFUSED',
      );
    } finally {
      delete process.env["MESSAGEDB_TEST_URL"];
    }
  });

  test("ends once, with all that is still connected", async () => {
    const store = await testStore({ url: server });
    const other = openHandle(store.url, { max: 1 });
    await other`select 1`;
    const sleeping = expect(store.sql`select pg_sleep(600)`.execute()).rejects.toThrow();
    await Promise.all([store.end(), store.end(), store[Symbol.asyncDispose]()]);
    await sleeping;
    expect(await isThere(store.url)).toBe(false);
    await expect(store.sql`select 1`).rejects.toThrow("CONNECTION_ENDED");
  });

  test("gives the handle the rights of a role, and prepares the database with those of the server", async () => {
    const store = await testStore({
      url: server,
      role: "message_store",
      prepare: async (sql) => {
        await sql`create table public.balances (account text primary key)`;
        await sql`grant select, insert on public.balances to message_store`;
      },
    });
    const { sql } = store;
    expect(await write(sql, "account-1", opened)).toBe(0);
    await sql`insert into public.balances values ('1')`;
    await expect(sql`delete from public.balances`).rejects.toThrow("permission denied");
    await expect(sql`delete from message_store.messages`).rejects.toThrow("permission denied");
    await store.end();
  });

  test("leaves nothing behind if the preparation fails", async () => {
    let url = "";
    const failed = new Error("no such file");
    const making = testStore({
      url: server,
      prepare: async (sql) => {
        url = Object.assign(new URL(server), { pathname: `/${sql.options.database}` }).href;
        expect(await isThere(url)).toBe(true);
        throw failed;
      },
    });
    await expect(making).rejects.toBe(failed);
    expect(await isThere(url)).toBe(false);
  });

  test("needs no more rights than to create databases and roles", async () => {
    const admin = openHandle(server);
    const role = `tester_${crypto.randomUUID().slice(0, 8)}`;
    await admin.unsafe(`create role ${role} login password 'secret' createdb createrole`);
    const url = Object.assign(new URL(server), { username: role, password: "secret" }).href;
    try {
      for (let time = 0; time < 2; time += 1) {
        const store = await testStore({ url });
        expect(await write(store.sql, "account-1", opened)).toBe(0);
        await store.end();
      }
      await admin.unsafe(`alter role ${role} nocreatedb`);
      await expect(testStore({ url })).rejects.toThrow(
        'Cannot create a database on the server of "url": permission denied',
      );
    } finally {
      const owned = await admin<Database[]>`
        select datname from pg_database where datdba = ${role}::regrole`;
      for (const { datname } of owned) await admin`drop database ${admin(datname)}`;
      await admin.unsafe(`drop role ${role}`);
    }
  });

  test("drops what killed tests left behind, and no other database", async () => {
    const admin = openHandle(server, { onnotice: () => {} });
    const name = (age: number, end = crypto.randomUUID().slice(-12)) =>
      `messagedb_test_${Math.floor(Date.now() / 1000) - age}_${end}`;
    const old = name(4000);
    const connected = name(4000);
    const young = name(3000);
    const others = [name(4000, "by_hand"), `a_${name(4000)}`, `messagedb_test_${old.slice(-12)}`];
    const all = [old, connected, young, ...others];
    for (const it of all) await admin`create database ${admin(it)} template template0`;
    const using = openHandle(Object.assign(new URL(server), { pathname: `/${connected}` }));
    await using`select 1`;
    try {
      await (await testStore({ url: server })).end();
      const left = await admin<Database[]>`
        select datname from pg_database where datname in ${admin(all)}`;
      expect(left.map(({ datname }) => datname).sort())
        .toEqual([connected, young, ...others].sort());
    } finally {
      await using.end();
      for (const it of all) await admin`drop database if exists ${admin(it)}`;
    }
  });

  test("installs Message DB once, however many tests begin at once", async () => {
    const admin = openHandle(server);
    const templates = () => databasesLike(admin, "messagedb_test_template_%");
    for (const { datname } of await templates()) await admin`drop database ${admin(datname)}`;
    const stores = await Promise.all(Array.from({ length: 8 }, () => testStore({ url: server })));
    expect(await templates()).toHaveLength(1);
    await Promise.all(stores.map((store) => store.end()));
  });

  test.each<[unknown, string]>([
    ["postgres://localhost", 'as "options": it must be an object'],
    [null, 'as "options"'],
    [{ url: "localhost" }, 'Cannot use "localhost" as "url": it must be the address of a server'],
    [{ role: "" }, 'Cannot use "" as "role": it must be the name of a role'],
    [{ prepare: "create table" }, 'as "prepare": it must be a function'],
  ])("refuses %j", async (options, message) => {
    await expect(testStore(options as TestStoreOptions)).rejects.toThrow(message);
  });
});

/** Programs with test stores on the embedded server, which have a folder for temporary files to themselves. */
describe("on the embedded server, testStore()", () => {
  const deno = [pathOf("test/node_modules/.bin/deno"), "run", "--allow-all", "--quiet"];
  const runtimes = {
    node: [process.execPath, "--import", "tsx"],
    deno,
    bun: [pathOf("test/node_modules/.bin/bun")],
  };
  const program = pathOf("test/testing/_test_store_program.ts");
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "messagedb-testing-"));
    // PostgreSQL runs as another user where root starts it.
    chmodSync(folder, 0o1777);
    return async () => {
      await eventually(() => expect(left()).toEqual({ processes: [], files: [] }));
      rmSync(folder, { recursive: true });
    };
  });

  /** What there is of servers. The folder that says where they are stays. */
  function left(): { readonly processes: string[]; readonly files: string[] } {
    const processes = execFileSync("ps", ["-eww", "-o", "pid=,args="], { encoding: "utf8" });
    return {
      processes: processes.split("\n").filter((it) => it.includes(folder)),
      files: serverFolders(),
    };
  }

  function serverFolders(): string[] {
    return readdirSync(folder).filter((it) => /^messagedb-(?!shared)/.test(it));
  }

  /** Starts a program that opens a store, and ends when it is told to. */
  async function start(runtime: keyof typeof runtimes = "node"): Promise<Program> {
    const [command, ...args] = runtimes[runtime];
    const child = spawn(command!, [...args, program], {
      cwd: pathOf("."),
      env: { ...process.env, TMPDIR: folder, NO_COLOR: "1" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<string> => String((await lines.next()).value);
    const exit = once(child, "exit");
    const url = await next();
    return {
      url,
      tell: async (line) => {
        child.stdin.write(`${line}\n`);
        return await next();
      },
      kill: async () => {
        child.kill("SIGKILL");
        await exit;
      },
      end: async () => {
        child.stdin.end();
        return (await exit)[0];
      },
    };
  }

  interface Program {
    readonly url: string;
    readonly tell: (line: "write" | "open") => Promise<string>;
    readonly kill: () => Promise<void>;
    /** Resolves to the exit code of a program that does not end its stores. */
    readonly end: () => Promise<number>;
  }

  const hostOf = (url: string): string => new URL(url).host;

  test("shares one server between processes that start at once, on Node, Deno and Bun", async () => {
    const programs = await Promise.all([start("node"), start("deno"), start("bun"), start("node")]);
    expect(new Set(programs.map(({ url }) => hostOf(url))).size).toBe(1);
    expect(serverFolders()).toHaveLength(1);
    for (const it of programs) expect(await it.tell("write")).toBe("0");
    expect(await Promise.all(programs.map((it) => it.end()))).toEqual([0, 0, 0, 0]);
  });

  test("keeps the server until the last process is gone, however the others go", async () => {
    const first = await start();
    const second = await start();
    const third = await start("deno");
    await first.kill();
    expect(await second.tell("write")).toBe("0");
    await second.kill();
    expect(await third.tell("write")).toBe("0");
    const url = await third.tell("open");
    expect(hostOf(url)).toBe(hostOf(first.url));
    await third.kill();
  });

  test("starts another server where the first was killed", async () => {
    const first = await start();
    const [home] = serverFolders();
    const file = join(folder, home!, "postgres/data/postmaster.pid");
    process.kill(Number(readFileSync(file, "utf8").split("\n")[0]), "SIGKILL");
    await eventually(() => expect(readdirSync(join(folder, home!))).not.toContain("users"));
    expect(hostOf(await first.tell("open"))).not.toBe(hostOf(first.url));
    expect(await first.end()).toBe(0);
  });

  test("ends the server where any of its keepers was killed", async () => {
    for (let killed = 0; killed < 3; killed += 1) {
      const using = await start();
      const keepers = left().processes.filter((it) => it.includes("/bin/sh"));
      expect(keepers).toHaveLength(3);
      process.kill(Number.parseInt(keepers[killed]!), "SIGKILL");
      expect(await using.tell("write")).toBe("0");
      await using.end();
      await eventually(() => expect(left()).toEqual({ processes: [], files: [] }));
    }
  });
});
