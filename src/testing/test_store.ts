import type { Sql } from "postgres";

/** Options of {@linkcode testStore}. */
export interface TestStoreOptions {
  /**
   * The address of a PostgreSQL server to make the database on: `postgres://postgres@localhost/postgres`.
   * Its role needs the rights to create databases and, for the first test, the role `message_store`.
   *
   * @default {undefined} The environment variable `MESSAGEDB_TEST_URL`, or else the embedded server.
   */
  readonly url?: string | undefined;
}

/** A database with Message DB in it, for one test. */
export interface TestStore {
  /** A handle to the database, of postgres.js. */
  readonly sql: Sql;
  /** The address of the database, for any other driver. */
  readonly url: string;
  /** Ends the handle and drops the database. A second call waits for the first. */
  end(): Promise<void>;
  /** The same as `end`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Creates an empty database with Message DB in it, for one test.
 *
 * @example End it with the block
 * ```ts
 * import { write } from "@messagedb/client";
 * import { testStore } from "@messagedb/client/testing";
 *
 * await using store = await testStore();
 * await write(store.sql, "account-123", { type: "Opened" }); // 0
 * ```
 *
 * @param options Which server.
 * @returns The database, and a handle to it.
 */
export async function testStore(options: TestStoreOptions = {}): Promise<TestStore> {
  const { openTestDatabase } = await loadTestDatabase();
  return await openTestDatabase(options.url);
}

/** Loads what needs a file system and processes, unseen by bundlers: browsers and Workers have neither. */
async function loadTestDatabase(): Promise<typeof import("./_test_database.ts")> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const path = new URL(`./_test_database.${extension}`, import.meta.url).href;
  return await import(/* @vite-ignore */ /* webpackIgnore: true */ path);
}
