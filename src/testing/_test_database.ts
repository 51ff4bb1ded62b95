import { randomBytes } from "node:crypto";
import process from "node:process";
import postgres from "postgres";
import { startEmbedded } from "../database/embedded.ts";
import { install } from "../database/install.ts";

/** A database for one test, and a handle to it. */
export interface TestDatabase {
  readonly sql: postgres.Sql;
  readonly url: string;
  end(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const TEMPLATE = "messagedb_test_template";

let embedded: Promise<string> | undefined;

/** Creates a database from the template of a server, which is made first if there is none. */
export async function openTestDatabase(given: string | undefined): Promise<TestDatabase> {
  const server = given ?? process.env["MESSAGEDB_TEST_URL"] ??
    await (embedded ??= startEmbedded().then(({ url }) => url));
  const template = openOne(databaseAt(server, TEMPLATE));
  await install(template, { createDatabase: true }).finally(() => template.end());
  const name = `messagedb_test_${randomBytes(6).toString("hex")}`;
  await runAt(server, `create database "${name}" template "${TEMPLATE}"`);
  const url = databaseAt(server, name);
  const sql = postgres(url, { onnotice: () => {} });
  const close = async (): Promise<void> => {
    await sql.end({ timeout: 1 });
    await runAt(server, `drop database "${name}" with (force)`);
  };
  let closed: Promise<void> | undefined;
  const end = (): Promise<void> => closed ??= close();
  return { sql, url, end, [Symbol.asyncDispose]: end };
}

function openOne(url: string): postgres.Sql {
  return postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
}

async function runAt(url: string, statement: string): Promise<void> {
  const sql = openOne(url);
  await sql.unsafe(statement).finally(() => sql.end());
}

function databaseAt(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  return url.href;
}
