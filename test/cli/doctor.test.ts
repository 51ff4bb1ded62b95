import { write } from "@messagedb/client";
import { diagnose, type Diagnosis } from "@messagedb/client/operate";
import { randomBytes } from "node:crypto";
import { describe, expect, onTestFinished, test } from "vitest";
import { install, uninstall } from "../../src/database/install.ts";
import { freePort } from "../_free_port.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { pgbouncer, startPgbouncer } from "../runtimes/_pgbouncer.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);

/** The findings of `--json`, by the worst that were found of each name. */
async function found(
  url?: string,
): Promise<{ readonly byName: Record<string, Diagnosis>; readonly exitCode: number | null }> {
  const { stdout, exitCode } = await messagedb.run(["doctor", "--json"], { url });
  const all = stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Diagnosis);
  return { byName: Object.fromEntries(all.map((it) => [it.name, it])), exitCode };
}

async function newRole(): Promise<{ readonly role: string; readonly url: string }> {
  const role = `messagedb_role_${randomBytes(6).toString("hex")}`;
  await db.sql.unsafe(`create role ${role} login password 'secret'`);
  onTestFinished(() => db.sql.unsafe(`drop owned by ${role}; drop role ${role}`).then(() => {}));
  const url = Object.assign(new URL(db.url), { username: role, password: "secret" }).href;
  return { role, url };
}

describe("doctor", () => {
  test("prints a line for each check, and what to do", async () => {
    // The test server may lose data, which is not this database's.
    const { role, url } = await newRole();
    await db.sql.unsafe(`
      grant message_store to ${role};
      alter role ${role} set search_path = message_store, public;
      alter role ${role} set default_transaction_isolation = 'serializable';
      drop index message_store.messages_id`);
    const { stdout, stderr, exitCode } = await messagedb.run(["doctor"], { url });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(
      /^✓ server {8}PostgreSQL \S+, a primary\n✓ store {9}Message DB 1\.3\.0\n/,
    );
    expect(stdout).toContain(`
✓ search path   The search_path is message_store, public
`);
    expect(stdout).toContain(`
✗ indexes       The index messages_id is missing: messages can be there twice, and reads are slow
                → messagedb install
`);
    expect(stdout).toContain(`
! isolation     default_transaction_isolation is serializable: a write that meets another write fails
                → alter role ${role} set default_transaction_isolation = 'read committed';
`);
    expect(stderr).toMatch(/^\n1 error, \d warnings?, \d notes?\n$/);
    await install(db.sql);
  });

  test("prints with --json what diagnose() answers, and exits with 0 if all is well", async () => {
    const { byName } = await found();
    for (const diagnosis of await diagnose(db.sql)) {
      if (/^(durability|connections)$/.test(diagnosis.name)) continue;
      expect(byName[diagnosis.name]).toEqual(diagnosis);
    }
    const [{ isSafe } = {}] = await db.sql`
      select
        current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on' as "isSafe"`;
    const { exitCode } = await messagedb.run(["doctor"]);
    expect(exitCode).toBe(isSafe ? 0 : 1);
  });

  test("says who holds a category, and how to end it", async () => {
    await write(db.sql, "account-1", { type: "Opened" });
    const holder = db.connect({ max: 1 });
    await holder`begin`;
    await write(holder, "account-1", { type: "Deposited" });
    const waiting = write(db.sql, "account-1", { type: "Closed" });
    await until(async () => (await found()).byName["transactions"]?.state === "warning");
    const { stdout, exitCode } = await messagedb.run(["doctor"]);
    expect(exitCode).toBe(1);
    const [, pid] = /\n! transactions {2}Process (\d+) .+ nobody else can write to account, .+\n/
      .exec(stdout)!;
    expect(stdout).toContain(`→ select pg_terminate_backend(${pid});\n`);
    await db.sql`select pg_terminate_backend(${pid!})`;
    await waiting;
  });

  test("answers a role without rights, and a database without Message DB", async () => {
    const { role, url } = await newRole();
    const { byName, exitCode } = await found(url);
    expect(exitCode).toBe(3);
    expect(byName["rights"]).toMatchObject({
      state: "error",
      advice: `grant message_store to ${role};`,
    });
    const postgres = Object.assign(new URL(url), { pathname: "postgres" }).href;
    const { stdout, exitCode: code } = await messagedb.run(["doctor"], { url: postgres });
    expect(code).toBe(3);
    expect(stdout).toContain(`
✗ store         The database "postgres" has no Message DB
                → messagedb install
`);
  });

  test("sends a tenant's role to its schema, and gives it no right to another store", async () => {
    const schema = `tenant_${randomBytes(6).toString("hex")}`;
    const other = `${schema}_other`;
    for (const it of [schema, other]) await install(db.sql, { schema: it });
    await db.sql.unsafe(`alter role ${schema} password 'secret'`);
    onTestFinished(async () => {
      for (const it of [schema, other]) {
        await uninstall(db.sql, { schema: it });
        await db.sql.unsafe(`drop owned by ${it}; drop role ${it}`);
      }
    });
    const url = Object.assign(new URL(db.url), { username: schema, password: "secret" }).href;
    const run = (...args: string[]) => messagedb.run(args, { url });
    const lacks = "of this database: this role lacks the rights: ";
    const read = await run("read", "account");
    expect(read.stderr).toMatch(`${lacks}name the tenant's schema with --schema, if the role `);
    expect(read.exitCode).toBe(3);
    const foreign = await run("read", "account", "--schema", other);
    expect(foreign.stderr).toMatch(`${lacks}connect as a role of this tenant, as ${other}, or `);
    expect(foreign.stderr).not.toMatch("grant");
    for (const options of [[], ["--schema", other]]) {
      const { stdout } = await run("doctor", ...options);
      expect(stdout).toContain(`name its schema, ${schema}, or connect as a role of this store`);
      expect(stdout).not.toMatch("grant");
    }
    const { stdout } = await run("doctor", "--schema", `${schema}_no`);
    expect(stdout).toMatch(
      new RegExp(`✗ store +The database "\\w+" has no Message DB in a schema "${schema}_no"\n`),
    );
  });

  test("says how far it got to a server that does not answer", async () => {
    const port = await freePort();
    const url = `postgres://127.0.0.1:${port}/message_store`;
    expect(await messagedb.run(["doctor"], { url })).toEqual({
      stdout: `✗ port          Port ${port} of 127.0.0.1: nothing listens
                → Start the server there, or give another port
`,
      stderr: `error: Cannot reach ${url}: nothing listens there: is the server running? ` +
        '"messagedb start" starts one\n',
      exitCode: 3,
    });
    const nowhere = await messagedb.run(["doctor"], { url: "postgres://nowhere.invalid/x" });
    expect(nowhere.exitCode).toBe(3);
    expect(nowhere.stdout).toMatch(/^✗ host {10}No address is known for "nowhere\.invalid"\n/);
    const refused = Object.assign(new URL(db.url), { pathname: "not_there" }).href;
    const { stdout, stderr, exitCode } = await messagedb.run(["doctor"], { url: refused });
    expect(stdout).toMatch(/✓ port {10}Port \d+ of .+ answers\n$/);
    expect(stderr).toMatch(/^error: Database "not_there" does not exist/);
    expect(exitCode).toBe(3);
    expect(await messagedb.run(["doctor"], { url: "http://127.0.0.1:1/" }))
      .toMatchObject({ stdout: "", exitCode: 2 });
  });

  test.runIf(pgbouncer)("says that PgBouncer is between", async () => {
    const { url, stop } = await startPgbouncer(pgbouncer!, db.url);
    onTestFinished(stop);
    const { byName } = await found(url);
    expect(byName["pooler"]).toMatchObject({
      state: "note",
      text: expect.stringMatching(/^A pooler in transaction mode is between: /),
    });
  });
});
