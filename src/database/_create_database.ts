import type { Sql } from "postgres";
import {
  INSUFFICIENT_PRIVILEGE,
  isAlreadyThere,
  stateOfError,
  textOfError,
} from "./_sql_errors.ts";

/** The statement that creates the database which the handle names. */
export function createDatabaseSql(sql: Sql): string {
  return `create database "${sql.options.database.replaceAll('"', '""')}"`;
}

/** Creates the database that the handle names, over a connection of its own. */
export async function createDatabase(sql: Sql): Promise<void> {
  const { database, user } = sql.options;
  try {
    await withAdmin(sql, (admin) => admin.unsafe(createDatabaseSql(sql)));
  } catch (error) {
    if (isAlreadyThere(error)) return;
    if (stateOfError(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new Error(
      `Cannot create database "${database}": the role "${user}" may not create databases (${
        textOfError(error)
      })`,
      { cause: error },
    );
  }
}

/** Does work over a connection of its own to the database `postgres`. */
export async function withAdmin<T>(sql: Sql, work: (admin: Sql) => PromiseLike<T>): Promise<T> {
  const { default: postgres } = await import("postgres");
  // The options that the handle has parsed: postgres.js passes them on for further connections, too.
  const admin = postgres({
    ...sql.options,
    database: "postgres",
    max: 1,
    fetch_types: false,
    onnotice: () => {},
    shared: { retries: 0, typeArrayMap: {} },
  } as unknown as NonNullable<Parameters<typeof postgres>[0]>);
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
