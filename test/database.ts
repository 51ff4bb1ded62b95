import postgres from "postgres";
import { afterAll, beforeAll, inject } from "vitest";
import { createDatabase, type TestDatabase } from "./_server.ts";

/** The database of a test file. */
export interface Database {
  readonly url: string;
  /** A handle to it, as a superuser. */
  readonly sql: postgres.Sql;
  /** One more handle, with options of its own; it is ended after the file's tests. */
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
  const handles: postgres.Sql[] = [];
  const connect: Database["connect"] = (options = {}) => {
    if (!database) {
      throw new Error("There is no database before the tests begin");
    }
    const sql = postgres(database.url, { onnotice: () => {}, ...options });
    handles.push(sql);
    return sql;
  };
  let sql: postgres.Sql | undefined;

  beforeAll(async () => {
    database = await createDatabase(inject("databaseOrigin"));
  });
  afterAll(async () => {
    await Promise.all(handles.map((handle) => handle.end({ timeout: 5 })));
    await database?.drop();
  });
  return {
    get url() {
      if (!database) {
        throw new Error("There is no database before the tests begin");
      }
      return database.url;
    },
    get sql() {
      return sql ??= connect();
    },
    connect,
  };
}
