/** The option `--schema`: a Message DB in a schema of another name. */
import { inSchema, readStream, streamVersion, write } from "@messagedb/client";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { install, isInstalled, uninstall } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";
import { startStudio } from "./_studio.ts";

const db = useDatabase();
const other = useDatabase();
const messagedb = useMessagedb(db);
const tenant = `tenant_${randomBytes(6).toString("hex")}`;
const inTenant = ["--schema", tenant];
let address: string;

beforeAll(async () => {
  // Nothing may reach for the schema `message_store`: it is not there.
  await uninstall(db.sql);
  await install(db.sql, { schema: tenant });
  const { host, pathname } = new URL(db.url);
  address = `postgres://${host}${pathname}`;
});
afterAll(async () => {
  for (const { sql } of [db, other]) await sql.unsafe(`drop owned by ${tenant} cascade`);
  await db.sql.unsafe(`drop role ${tenant}`);
});

function newSchema(): string {
  const schema = `made_${randomBytes(6).toString("hex")}`;
  onTestFinished(async () => {
    await uninstall(db.sql, { schema, deleteMessages: true });
    await db.sql.unsafe(`do $$ begin
      if to_regrole('${schema}') is not null then
        drop owned by ${schema};
        drop role ${schema};
      end if;
    end $$`);
  });
  return schema;
}

test("install, upgrade and uninstall are of the schema, and say so", async () => {
  const schema = newSchema();
  const store = `${address} (schema "${schema}")`;
  const run = (...args: string[]) => messagedb.run([...args, "--schema", schema]);
  expect(await run("upgrade")).toEqual({
    stdout: "",
    stderr: `error: Cannot upgrade ${store}: it has no Message DB, which ` +
      `"messagedb install --schema ${schema}" installs\n`,
    exitCode: 3,
  });
  const { stdout: script } = await run("install", "--dry-run");
  expect(script).toContain(`CREATE SCHEMA IF NOT EXISTS ${schema};`);
  expect(await run("install")).toMatchObject({
    stdout: `Message DB 1.3.0 is installed in ${store}\n`,
    exitCode: 0,
  });
  expect(await isInstalled(db.sql, { schema })).toBe(true);
  expect(await isInstalled(db.sql)).toBe(false);
  expect((await run("install", "--notify", "--name-index")).stdout).toBe(
    `Message DB 1.3.0 was there already. What was done:
  create the index "messages_names"
  create the function "notify_categories"
  create the trigger "messages_notify"
`,
  );
  expect((await run("upgrade")).stdout).toMatch(/already: nothing was left to do\n$/);

  await write(inSchema(db.sql, schema), "account-1", { type: "Opened" });
  expect((await run("uninstall", "--yes")).stderr).toBe(
    `error: Cannot uninstall Message DB from ${store}: it has 1 message, which ` +
      "--delete-messages deletes\n",
  );
  expect((await run("uninstall", "--yes", "--delete-messages")).stdout).toBe(
    `Message DB is dropped from ${store}, with 1 message\n`,
  );
  expect(await isInstalled(db.sql, { schema })).toBe(false);
  expect(await run("uninstall", "--yes")).toEqual({
    stdout: "",
    stderr: `There is no Message DB in ${store}: nothing was left to do\n`,
    exitCode: 0,
  });
  expect(await isInstalled(db.sql, { schema: tenant })).toBe(true);
});

test("messages are written, read and looked at in the schema", async () => {
  const print = (...args: string[]) => messagedb.print(...args, ...inTenant);
  expect(await print("write", "person-1", "Named", '{"name":"Ada"}')).toBe("0\n");
  expect(await print("version", "person-1")).toBe("0\n");
  expect(await print("read", "person", "--json")).toContain('"name":"Ada"');
  expect(await print("categories")).toMatch(/person/);
  expect(await print("types")).toMatch(/Named/);
  expect(await print("consumers")).toBeDefined();
  expect(await print("verify", "$all")).toBeDefined();
  expect(await messagedb.namesAfter(...inTenant, "read", "per")).toMatch(/^person/);
  expect(await streamVersion(inSchema(db.sql, tenant), "person-1")).toBe(0);
});

test("doctor looks at the store in the schema, and its advice names the schema", async () => {
  const { stdout } = await messagedb.run(["doctor", ...inTenant]);
  expect(stdout).toMatch(/✓ store/);
  const absent = await messagedb.run(["doctor", "--schema", "absent"]);
  expect(absent.exitCode).toBe(3);
  expect(absent.stdout).toContain("→ messagedb install --schema absent\n");
});

test("a store that is not in the schema is said to be missing there", async () => {
  expect(await messagedb.run(["read", "account", "--schema", "absent"])).toEqual({
    stdout: "",
    stderr:
      'error: Cannot find Message DB 1.3 in the schema "absent" in this database: connect to the ' +
      'database that has it, or install it with "messagedb install --schema absent" ' +
      `(${address} (schema "absent"))\n`,
    exitCode: 3,
  });
});

test("bench writes to the schema, and says how its messages are deleted there", async () => {
  const { stderr, exitCode } = await messagedb.run(
    ["bench", "--yes", "--seconds", "0.01", "--writers", "2", ...inTenant],
  );
  expect(exitCode).toBe(0);
  const [statement] = /delete from .+$/m.exec(stderr)!;
  expect((await db.sql.unsafe(statement)).count).toBeGreaterThan(0);
});

describe("copy", () => {
  test("moves the store of a schema to a database of its own, and into a schema", async () => {
    await write(inSchema(db.sql, tenant), "letter-1", { type: "Sent" });
    const copy = (...args: string[]) =>
      messagedb.run(["copy", "letter", ...inTenant, "--to", other.url, ...args]);
    expect(await copy()).toMatchObject({ exitCode: 0 });
    expect(await readStream(other.sql, "letter-1")).toHaveLength(1);

    const { stderr } = await copy("--to-schema", tenant);
    const [, command] = /run "messagedb (.+)"\n$/.exec(stderr)!;
    expect(command).toMatch(/^install --url postgres:\S+ --schema tenant_\w+$/);
    await install(other.sql, { schema: tenant });
    expect(await copy("--to-schema", tenant)).toMatchObject({ exitCode: 0 });
    expect(await readStream(inSchema(other.sql, tenant), "letter-1")).toHaveLength(1);
  });

  test("tells the store itself from another schema of its database", async () => {
    const schema = newSchema();
    await install(db.sql, { schema });
    const copy = (to: string) =>
      messagedb.run(["copy", "$all", ...inTenant, "--to", db.url, "--to-schema", to]);
    expect(await copy(schema)).toMatchObject({ exitCode: 0 });
    expect(await copy(tenant)).toEqual({
      stdout: "",
      stderr: `error: ${address} (schema "${tenant}") is the store itself: ` +
        "give another one with --to or --to-schema\n",
      exitCode: 2,
    });
  });
});

test("a gateway serves the schema, and its clients name none", async () => {
  await write(inSchema(db.sql, tenant), "served-1", { type: "Served" });
  const child = messagedb.start(["gateway", "--port", "0", "--allow", "read", ...inTenant]);
  for await (const url of createInterface({ input: child.stdout! })) {
    expect((await messagedb.run(["version", "served-1"], { url })).stdout).toBe("0\n");
    for (const command of [["version", "served-1"], ["doctor"]]) {
      const { stderr, exitCode } = await messagedb.run([...command, ...inTenant], { url });
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(
        new RegExp(`^error: Cannot (name a schema|do this) over the gateway ${url}[,:]`),
      );
    }
    child.kill("SIGINT");
  }
});

test("a studio shows the store of the schema", async () => {
  await write(inSchema(db.sql, tenant), "shown-1", { type: "Shown" });
  const studio = await startStudio(messagedb, inTenant);
  expect(await (await studio.ask("open")).json()).toMatchObject({ schema: tenant });
  const found = await (await studio.ask("findMessages", { source: "shown" })).json();
  expect(found).toMatchObject({ messages: [{ type: "Shown" }] });
});

test.each(["Tenant", "a-b", "public", ""])("the schema %j is refused", async (schema) => {
  const { stderr, exitCode } = await messagedb.run(["read", "account", "--schema", schema]);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/^error: Cannot use .*"schema"/);
});

test("start has one store, and refuses a schema", async () => {
  expect(await messagedb.run(["start", "--schema", "tenant_1"])).toEqual({
    stdout: "",
    stderr:
      "error: A started server has its store in the schema message_store: leave out --schema. " +
      '"messagedb install --schema" makes a store beside it\n',
    exitCode: 2,
  });
});
