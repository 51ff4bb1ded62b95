/**
 * Installs [Message DB](https://github.com/message-db/message-db) in a PostgreSQL database from the
 * SQL files of the npm package `@eventide/message-db`, and takes it out again.
 *
 * The files are read from `node_modules`, or from Deno's own cache where this package comes from npm.
 * On Deno with this package from JSR, set `"nodeModulesDir": "auto"` and add
 * `npm:@eventide/message-db`.
 *
 * @example Install when the program starts
 * ```ts
 * import postgres from "postgres";
 * import { install } from "@messagedb/client/install";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * await install(sql, { createDatabase: true });
 * ```
 *
 * @module
 */
import type { Sql, TransactionSql } from "postgres";
import { stepsToIndexNames } from "./_name_index.ts";
import { stepsToNotify } from "./_notify.ts";
import { readRelease, type Release, type SqlFile } from "./_release.ts";
import { inspect, type State } from "./_state.ts";

/** What {@linkcode install} may be told. */
export interface InstallOptions {
  /**
   * Whether to create the database that the handle names where there is none of that name.
   *
   * @default {false}
   */
  readonly createDatabase?: boolean | undefined;
  /**
   * Whether writing wakes those who listen: each transaction that writes messages sends
   * `NOTIFY message_store` with the name of each category that it has written to, once, when it
   * commits. `true` puts a trigger on the table of messages, or replaces one that is not as this
   * version makes it; `false` takes it out again. Where the trigger comes or goes, this waits for the
   * transactions that have written to end, and those who write wait meanwhile.
   *
   * A write that succeeds without the trigger succeeds with it. Where its category cannot be sent,
   * because its name has 8000 bytes or because the server's queue is half full behind a listener that
   * does not read, nobody is woken, so those who listen have to look from time to time as well. Only
   * `PREPARE TRANSACTION` fails: PostgreSQL refuses it after a `NOTIFY`.
   *
   * It costs writers: of all transactions of the server that notify, PostgreSQL commits one at a time,
   * the wait for the disk and for synchronous replicas included, where they would share that wait
   * otherwise. With it, 16 writers in a category each did 0.4 to 0.5 times as many writes a second as
   * without, and 64 writers 0.25 to 0.33 times. A single writer, and writers in one category, which
   * wait for each other anyway, did 0.77 to 0.96 times as many. (PostgreSQL 18 with `fsync`, two
   * cores.)
   *
   * @default {undefined} What is there stays as it is.
   */
  readonly notify?: boolean | undefined;
  /**
   * Whether there is an index of the names of streams, besides those of Message DB: for `streamNames`
   * and `entityIds`, and for `readMatching` of a pattern that begins with a text rather than a wildcard.
   * `true` makes it, or makes it anew where it is not as this version makes it; `false` drops it. While
   * it is made nobody can write.
   *
   * Without it `streamNames` looks at each message of the category in the table, with it at the index
   * alone: of 420,000 messages in 40,000 streams, it took less than half of the time. A database with the
   * collation `C` finds patterns without it. Of 1,000,000 messages it had 10 MB, and was made in 3
   * seconds. (PostgreSQL 18, two cores.)
   *
   * @default {undefined} What is there stays as it is.
   */
  readonly nameIndex?: boolean | undefined;
}

/** What {@linkcode uninstall} may be told. */
export interface UninstallOptions {
  /**
   * Whether to delete messages: without it, a store that holds any is left as it is.
   *
   * @default {false}
   */
  readonly deleteMessages?: boolean | undefined;
}

/**
 * Installs Message DB in the database that the handle is connected to.
 *
 * Safe to call each time a program starts, and from several processes at once. Where Message DB is
 * there already, nothing is changed, and any role may call it; an older version gets the new functions and views; what is
 * missing (a function, an index, a privilege of the role `message_store`) is put back. The table of
 * messages is never touched once it exists. All of it is one transaction, under an advisory lock that
 * only `install` and `uninstall` take, so that it happens as a whole or not at all; only creating the
 * database can't be part of it.
 *
 * The role `message_store` belongs to the whole server: it is created without a password where it does
 * not exist, and left as it is where it does.
 *
 * @example Install when the program starts
 * ```ts
 * import postgres from "postgres";
 * import { install } from "@messagedb/client/install";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * await install(sql);
 * ```
 *
 * @example Create the database too
 * ```ts
 * import postgres from "postgres";
 * import { install } from "@messagedb/client/install";
 *
 * const sql = postgres("postgres://postgres@localhost/a_new_store");
 * await install(sql, { createDatabase: true }); // over a connection of its own, to `postgres`
 * ```
 *
 * @example Wake those who listen when messages are written
 * ```ts
 * import postgres from "postgres";
 * import { install } from "@messagedb/client/install";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * await install(sql, { notify: true });
 * ```
 *
 * @param sql The `sql` of postgres.js. Its role needs the rights to create what is missing: a schema
 * and an extension in the database (`create` on it), the role `message_store` (`createrole`) and,
 * where asked for, the database (`createdb`).
 * @param options Whether to create the database, to wake those who listen, and to index names.
 * @returns Nothing, once all of Message DB is there.
 * @throws {TypeError} If the handle is not the `sql` of postgres.js.
 * @throws {Error} If the role lacks a right, or the SQL files are not there. An error from PostgreSQL
 * is its `cause`.
 */
export async function install(sql: Sql, options: InstallOptions = {}): Promise<void> {
  assertPostgres(sql, "install");
  const release = await readRelease();
  try {
    await installInto(sql, release, options);
  } catch (error) {
    if (sqlState(error) !== NO_SUCH_DATABASE) throw error;
    if (!options.createDatabase) {
      throw new Error(
        `Cannot install Message DB: there is no database "${sql.options.database}", ` +
          "which the option createDatabase creates",
        { cause: error },
      );
    }
    await createDatabase(sql);
    await installInto(sql, release, options);
  }
}

/**
 * Takes Message DB out of the database that the handle is connected to: drops the schema
 * `message_store` with all that is in it, and what depends on it.
 *
 * A store that holds messages is left as it is, unless `deleteMessages` is true. Where Message DB is
 * not installed, nothing happens. The role `message_store` stays, since other databases of the server
 * may use it, and so does the extension `pgcrypto`.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { uninstall } from "@messagedb/client/install";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * await uninstall(sql, { deleteMessages: true });
 * ```
 *
 * @param sql The `sql` of postgres.js, under the role that installed Message DB or a superuser.
 * @param options Whether to delete messages.
 * @returns Nothing, once the schema is gone.
 * @throws {TypeError} If the handle is not the `sql` of postgres.js.
 * @throws {Error} If the store holds messages and `deleteMessages` is not true, or if the role does not
 * own the schema.
 */
export async function uninstall(sql: Sql, options: UninstallOptions = {}): Promise<void> {
  assertPostgres(sql, "uninstall");
  const release = await readRelease();
  await sql.begin(async (tx) => {
    const { user, database, present } = await lockAndInspect(tx, release);
    const cannot = `Cannot uninstall Message DB from database "${database}"`;
    if (!present.has("schema/message_store")) return;
    try {
      if (present.has("tables/messages") && !options.deleteMessages) {
        // No message may be written between this look and the drop.
        await tx.unsafe("lock table message_store.messages in access exclusive mode");
        const rows = await tx.unsafe("select 1 from message_store.messages limit 1");
        if (rows.length > 0) {
          throw new Error(`${cannot}: it holds messages and "deleteMessages" is not true`);
        }
      }
      await tx.unsafe("drop schema message_store cascade");
    } catch (error) {
      if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
      throw new Error(
        `${cannot}: the role "${user}" may not drop the schema "message_store" (${text(error)})`,
        { cause: error },
      );
    }
  });
}

/**
 * Whether Message DB is in the database that the handle is connected to: the table of messages with its
 * indexes, and every type, function and view, of whatever version.
 *
 * Any role may ask, whether or not it may use what is there.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { install, isInstalled } from "@messagedb/client/install";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * if (!(await isInstalled(sql))) await install(sql);
 * ```
 *
 * @param sql The `sql` of postgres.js.
 * @returns `true` where all of it is there, else `false`.
 * @throws {TypeError} If the handle is not the `sql` of postgres.js.
 */
export async function isInstalled(sql: Sql): Promise<boolean> {
  assertPostgres(sql, "look for");
  const release = await readRelease();
  const { present } = await inspect(sql, release);
  return release.files.every(({ key }) =>
    /^(roles|extensions|privileges)\//.test(key) || present.has(key)
  );
}

const NO_SUCH_DATABASE = "3D000";
const INSUFFICIENT_PRIVILEGE = "42501";
/** A race for a name is lost as "duplicate database" or "object", or by the catalog's unique index. */
const ALREADY_THERE = ["42P04", "42710", "23505"];

async function installInto(
  sql: Sql,
  release: Release,
  { notify, nameIndex }: InstallOptions,
): Promise<void> {
  await sql.begin(async (tx) => {
    const state = await lockAndInspect(tx, release);
    await installFiles(tx, release, state);
    // Last, because triggers and indexes come and go under locks that keep out all who write.
    const steps = [
      ...nameIndex === undefined ? [] : await stepsToIndexNames(tx, nameIndex),
      ...notify === undefined ? [] : await stepsToNotify(tx, notify),
    ];
    for (const step of steps) {
      await runWithRight(tx, state, step.sql, `${step.right} in database "${state.database}"`);
    }
  });
}

async function installFiles(tx: TransactionSql, release: Release, state: State): Promise<void> {
  const { version, files } = release;
  const isOlder = state.version !== null &&
    state.version.localeCompare(version, "en", { numeric: true }) < 0;
  const isDue = ({ key }: SqlFile): boolean =>
    !state.present.has(key) || (isOlder && /^(types|functions|views)\//.test(key));
  if (!files.some(isDue)) return;

  const runFiles = async (folders: RegExp, may: string, path?: string): Promise<void> => {
    // What was dropped and created anew has lost its grants.
    const due = files.filter((file) =>
      folders.test(file.key) && (isDue(file) || file.key.startsWith("privileges/"))
    );
    if (due.length === 0) return;
    if (path) await tx.unsafe(`set local search_path = ${path}`);
    await runWithRight(tx, state, due.map((file) => file.text).join("\n"), may);
  };
  const where = `in database "${state.database}"`;
  await runFiles(/^roles\//, `create the role "message_store"`).catch((error) => {
    // Roles are shared by all databases, the lock is not: another install was first.
    if (!ALREADY_THERE.includes(sqlState(error) ?? "")) throw error;
  });
  await runFiles(/^schema\//, `create schemas ${where}`);
  await runFiles(
    /^extensions\//,
    `create the extension "pgcrypto" ${where}`,
    "public, message_store",
  );
  const change = `change the schema "message_store" ${where}`;
  // Before PostgreSQL 13, gen_random_uuid() is pgcrypto's and in public.
  await runFiles(/^(types|tables|functions)\//, change, "message_store, public");
  // An index is dropped by its bare name, which must not be found in another schema.
  await runFiles(/^indexes\//, change, "message_store");
  await runFiles(/^(views|privileges)\//, change, "message_store, public");
}

/** Runs SQL that the role may lack a right to. */
async function runWithRight(
  tx: TransactionSql,
  state: State,
  sql: string,
  may: string,
): Promise<void> {
  try {
    await tx.savepoint((sp) => sp.unsafe(sql));
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new Error(
      `Cannot install Message DB: the role "${state.user}" may not ${may} (${text(error)})`,
      { cause: error },
    );
  }
}

async function lockAndInspect(tx: TransactionSql, release: Release): Promise<State> {
  // The keys spell "mess", "agdb": pairs of integers are never the single bigint that a write locks.
  await tx.unsafe(`
    set local client_min_messages = error;
    select pg_advisory_xact_lock(1835365235, 1634165858)
  `);
  return await inspect(tx, release);
}

async function createDatabase(sql: Sql): Promise<void> {
  const { default: postgres } = await import("postgres");
  // As postgres.js opens its own further connections: with the parsed options of the first.
  const admin = postgres({
    ...sql.options,
    database: "postgres",
    max: 1,
    fetch_types: false,
    onnotice: () => {},
    shared: { retries: 0, typeArrayMap: {} },
  } as unknown as NonNullable<Parameters<typeof postgres>[0]>);
  const { database } = sql.options;
  try {
    await admin.unsafe(`create database "${database.replaceAll('"', '""')}"`);
  } catch (error) {
    const state = sqlState(error) ?? "";
    if (ALREADY_THERE.includes(state)) return;
    if (state !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new Error(
      `Cannot create database "${database}": the role "${sql.options.user}" may not create databases (${
        text(error)
      })`,
      { cause: error },
    );
  } finally {
    await admin.end();
  }
}

function assertPostgres(sql: Sql, action: string): void {
  if (typeof sql?.begin !== "function" || typeof sql.unsafe !== "function") {
    throw new TypeError(
      `Cannot ${action} Message DB: the handle is not the "sql" of postgres.js, outside a transaction`,
    );
  }
}

function sqlState(error: unknown): string | undefined {
  return (error as { code?: string } | null)?.code;
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
