import { readStream } from "@messagedb/client";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { promisify } from "node:util";
import postgres from "postgres";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { pathOf } from "./_path_of.ts";
import { createDatabase } from "./_server.ts";
import { until } from "./_until.ts";

const tsx = pathOf("node_modules/.bin/tsx");
const bun = pathOf("test/node_modules/.bin/bun");
const deno = pathOf("test/node_modules/.bin/deno");

const STORY = `
Ada and Grace have accounts
  Opened     {}
  Deposited  {"amount":10,"reference":"Ada's rent"}
  Deposited  {"amount":10,"reference":"Ada's rent"}
  Deposited  {"amount":10,"reference":"Ada's rent"}
  Deposited  {"amount":10,"reference":"Ada's rent"}
  Named      {"owner":"Ada"}
  Her account: {"owner":"Ada","balance":40}. All accounts: 60
  Owners: Ada, Grace
  What is stored: {"iv":"…","key":"…","ciphertext":"…"}

Ada is erased
  Opened     {}
  Deposited  {"amount":10,"reference":null}
  Deposited  {"amount":10,"reference":null}
  Deposited  {"amount":10,"reference":null}
  Deposited  {"amount":10,"reference":null}
  Named      (forgotten)
  Erased     {}
  Her account: {"owner":null,"balance":40}. All accounts: 60
  Owners: Grace

Ada's account is used again, and the table of owners is rebuilt
  Opened     {}
  Deposited  {"amount":10,"reference":null}
  Deposited  {"amount":10,"reference":null}
  Deposited  {"amount":10,"reference":null}
  Deposited  {"amount":10,"reference":null}
  Named      (forgotten)
  Erased     {}
  Withdrawn  {"amount":30}
  Deposited  {"amount":5,"reference":"Ada, who is back"}
  Her account: {"owner":null,"balance":15}. All accounts: 35
  Owners: Grace
`;

/** Runs the program, and answers what it printed, without what is random. */
async function tell(
  env: NodeJS.ProcessEnv,
  command: string,
  ...args: readonly string[]
): Promise<string> {
  const cwd = pathOf("examples");
  const { stdout } = await promisify(execFile)(command, [...args, "erasure.ts"], { cwd, env });
  return stdout.replaceAll(/"(key|iv|ciphertext)":"[^"]+"/g, '"$1":"…"');
}

describe.each([
  ["Node", tsx],
  ["Deno", deno, "run", "--quiet", "--allow-all"],
  ["Bun", bun],
])("erasure.ts on %s", (_, command, ...args) => {
  test("forgets who is erased, and nothing else", async () => {
    const database = await createDatabase(inject("databaseOrigin"));
    const sql = postgres(database.url);
    onTestFinished(async () => {
      await sql.end();
      await database.drop();
    });
    // As the program makes it, so that nobody can make a key before all four are about to.
    await sql`
      create table public.keys (
        subject text primary key,
        id uuid not null default gen_random_uuid(),
        key bytea not null
      )`;
    const telling = await sql.begin(async (holder) => {
      await holder`lock table public.keys in share mode`;
      const story = tell({ ...process.env, DATABASE_URL: database.url }, command, ...args);
      story.catch(() => {});
      await until(async () => {
        const [row] = await sql<{ waiting: number }[]>`
          select count(*)::int as waiting
          from pg_locks
          where relation = 'public.keys'::regclass and not granted`;
        return row!.waiting === 4;
      });
      return { story };
    });
    expect(await telling.story).toBe(STORY);

    // "Ada" alone may be within a ciphertext, once in some hundred runs.
    const plain = await sql`
      select data from message_store.messages where data::text ~ 'Ada[^A-Za-z0-9+/]|Grace|s rent'`;
    expect(plain, "nothing personal was ever stored").toEqual([]);

    const [ada] = await sql<{ subject: string }[]>`
      select message_store.id(stream_name) as subject
      from message_store.messages
      where type = 'Withdrawn'`;
    const stored = await readStream<Stored>(sql, `account-${ada!.subject}`);
    const keys = stored.flatMap(({ data }) => data.key ?? data.reference?.key ?? []);
    expect(new Set(keys.slice(0, 5)).size, "those who wrote at the same time made one key").toBe(1);
    const there = await sql<{ id: string }[]>`select id from public.keys`;
    const ids = there.map(({ id }) => id);
    expect(ids.length, "Grace's, and the new one of Ada").toBe(2);
    expect(ids).not.toContain(keys[0]);
    expect(ids).toContain(keys.at(-1));

    const snapshots = await readStream<{ entityData: Sealed | null }>(
      sql,
      `account:snapshot-${ada!.subject}`,
    );
    const ofSnapshots = new Set(snapshots.map(({ data }) => data.entityData?.key));
    expect(ofSnapshots, "under the key of the time, or with nothing in it while there was none")
      .toEqual(new Set([keys[0], undefined, keys.at(-1)]));
    expect(await sql`select account, owner from public.owners`).toMatchObject([{ owner: "Grace" }]);
  });

  test("starts a database where there is none", async () => {
    const { DATABASE_URL: _, ...env } = process.env;
    expect(await tell(env, command, ...args)).toBe(STORY);
  });
});

test.each([
  ["Node", tsx, "--test"],
  ["Deno", deno, "test", "--quiet", "--allow-all"],
  ["Bun", bun, "test"],
])("erasure_accounts.test.ts passes on %s, without a database", async (_, command, ...args) => {
  const cwd = pathOf("examples");
  const file = "./erasure_accounts.test.ts";
  const { stdout, stderr } = await promisify(execFile)(command, [...args, file], { cwd });
  expect(stdout + stderr).toMatch(/(pass 4|4 passed|4 pass)\b/);
});

test("the guide shows what the program does, word for word", () => {
  const guide = readFileSync(pathOf("docs/guides/erasure.md"), "utf8");
  for (
    const [file, names] of [
      ["erasure_accounts.ts", ["Encrypt", "Define"]],
      ["erasure.ts", ["Keep", "Forget"]],
    ] as const
  ) {
    const text = readFileSync(pathOf(`examples/${file}`), "utf8");
    const sections = text.split(/^\/\/ ── (\w+) ─+\n\n/m);
    for (const name of names) {
      const section = sections[sections.indexOf(name) + 1]!.trim();
      expect(section.length).toBeGreaterThan(500);
      expect(guide).toContain(section);
    }
  }
});

/** What is stored in place of what is personal. */
interface Sealed {
  readonly key: string;
}

/** Data as it is stored. */
interface Stored extends Partial<Sealed> {
  readonly reference?: Sealed | null;
}
