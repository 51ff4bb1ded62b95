import type { Sql } from "postgres";
import {
  INSUFFICIENT_PRIVILEGE,
  isAlreadyThere,
  stateOfError,
  textOfError,
} from "./_sql_errors.ts";

/** Creates the database that the handle names, over a connection of its own. */
export async function createDatabase(sql: Sql): Promise<void> {
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
  const { database, user } = sql.options;
  try {
    await admin.unsafe(`create database "${database.replaceAll('"', '""')}"`);
  } catch (error) {
    if (isAlreadyThere(error)) return;
    if (stateOfError(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new Error(
      `Cannot create database "${database}": the role "${user}" may not create databases (${
        textOfError(error)
      })`,
      { cause: error },
    );
  } finally {
    await admin.end();
  }
}
