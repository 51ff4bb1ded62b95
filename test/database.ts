import postgres from "postgres";
import { afterAll, beforeAll, inject, onTestFinished, TestRunner } from "vitest";
import { CONNECTIONS_OF_A_FILE, createDatabase, type TestDatabase } from "./_server.ts";

/**
 * Without types: a handle that is ended while it fetches them rejects what nobody can catch. `reserve()`
 * needs them, unless the handle has been used before.
 */
const SETTINGS = { fetch_types: false };

/** The database of a test file. */
export interface Database {
  readonly url: string;
  /** A handle to it, as a superuser, which all tests of the file share. */
  readonly sql: postgres.Sql;
  /**
   * One more handle, with options of its own. It is ended with the test that makes it, or with the
   * file's tests where it is made outside of one.
   */
  connect(
    options?: postgres.Options<Record<string, postgres.PostgresType>>,
  ): postgres.Sql;
}

/**
 * Gives the test file an empty database with Message DB in it, dropped after its tests.
 *
 * ```ts
 * const db = useDatabase();
 * test("…", async () => {
 *   await write(db.sql, "account-1", { type: "Opened" });
 * });
 * ```
 */
export function useDatabase(): Database {
  let database: TestDatabase | undefined;
  /** The handles that are open, and how many connections each may have. */
  const handles = new Map<postgres.Sql, number>();
  let shared: postgres.Sql | undefined;

  function open(
    options: postgres.Options<Record<string, postgres.PostgresType>> = {},
  ): postgres.Sql {
    const sql = postgres(urlOf(database), { ...SETTINGS, onnotice: () => {}, ...options });
    handles.set(sql, sql.options.max);
    const connections = [...handles.values()].reduce((sum, max) => sum + max);
    if (connections > CONNECTIONS_OF_A_FILE) {
      throw new Error(
        `Cannot open ${connections} connections at once in a test file: ` +
          `the server has ${CONNECTIONS_OF_A_FILE} for each`,
      );
    }
    return sql;
  }

  async function end(sql: postgres.Sql): Promise<void> {
    // What has not ended by now has no answer to come.
    await sql.end({ timeout: 1 });
    handles.delete(sql);
  }

  beforeAll(async () => {
    database = await createDatabase(inject("databaseOrigin"));
  });
  afterAll(async () => {
    await Promise.all([...handles.keys()].map(end));
    await database?.drop();
  });
  return {
    get url() {
      return urlOf(database);
    },
    get sql() {
      return shared ??= open();
    },
    connect: (options) => {
      const sql = open(options);
      if (TestRunner.getCurrentTest() !== undefined) {
        onTestFinished(() => end(sql));
      }
      return sql;
    },
  };
}

/** A handle to any database, which is ended with the test. Made outside of one, it is the caller's to end. */
export function openHandle(
  url: string | URL,
  options?: postgres.Options<Record<string, postgres.PostgresType>>,
): postgres.Sql {
  const sql = postgres(String(url), { ...SETTINGS, ...options });
  endWithTest(() => sql.end({ timeout: 1 }));
  return sql;
}

function endWithTest(end: () => Promise<void>): void {
  if (TestRunner.getCurrentTest() !== undefined) onTestFinished(end);
}

function urlOf(database: TestDatabase | undefined): string {
  if (database === undefined) {
    throw new Error("There is no database before the tests begin");
  }
  return database.url;
}
