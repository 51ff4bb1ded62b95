/**
 * Installs [Message DB](https://github.com/message-db/message-db) in a PostgreSQL database, and
 * uninstalls it. The SQL files are those of the npm package `@eventide/message-db`, version 1.3.1. Files
 * that were changed are refused: a superuser may run them.
 *
 * The files are read from `node_modules`, or from Deno's own cache if this package comes from npm. If you
 * use this package from JSR on Deno, set `"nodeModulesDir": "auto"` and add
 * `npm:@eventide/message-db@1.3.1`. A bundle has to leave this package out: it is one of Next.js's
 * `serverExternalPackages`.
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
import { DISTRIBUTION_TEXTS } from "../read/_distribution.ts";
import type { Sql, TransactionSql } from "postgres";
import { ownOf } from "../handle/_statement.ts";
import { checkOptions, checkSchemaName } from "../names/_check.ts";
import { applyChange, type Change, statementOf } from "./_change.ts";
import { checkMark, markChanges, readMark } from "./_mark_partition.ts";
import type { PartitionMark } from "./partition_mark.ts";
import { createDatabase, createDatabaseSql, withAdmin } from "./_create_database.ts";
import { fileChanges, isBefore } from "./_install_files.ts";
import { nameIndexChanges, NO_NAME_INDEX, readNameIndex } from "./_name_index.ts";
import { NO_NOTIFY, notifyChanges, readNotify } from "./_notify.ts";
import { queryRow } from "./_query_row.ts";
import { readRelease } from "./_release.ts";
import { renameChange, renaming } from "./_renaming.ts";
import { sequenceChanges } from "./_sequence.ts";
import {
  INSUFFICIENT_PRIVILEGE,
  isAlreadyThere,
  NO_SUCH_DATABASE,
  stateOfError,
  textOfError,
} from "./_sql_errors.ts";
import { type DatabaseState, inspectDatabase, lockAndInspect, type Target } from "./_state.ts";

export type { PartitionMark } from "./partition_mark.ts";

/** Options of {@linkcode isInstalled}. */
export interface IsInstalledOptions {
  /**
   * The schema that Message DB is in, or is to be in. In another schema than `message_store` it is a store of
   * its own, with a role of that name in place of the role `message_store`: see `inSchema`.
   *
   * The SQL files are the same, but for the name. Only `acquire_lock` differs: the name of the schema is part of
   * the key of a category's lock, because all schemas of a database share the locks.
   *
   * @default {"message_store", or the schema of a handle of `inSchema`}
   */
  readonly schema?: string | undefined;
}

/** Options of {@linkcode install}. */
export interface InstallOptions extends IsInstalledOptions {
  /**
   * Whether to create the database that the handle names, if there is none of that name.
   *
   * @default {false}
   */
  readonly createDatabase?: boolean | undefined;
  /**
   * Whether writes notify listeners. If so, each transaction that writes messages sends
   * `NOTIFY message_store` when it commits: once for each category that it has written to, with the name
   * of the category. Any role that can connect to the database can listen, and so learns these names.
   *
   * `true` creates a trigger on the table of messages, and replaces a trigger that is not as this version
   * creates it. `false` drops the trigger. Creating and dropping wait until the transactions that have
   * written end, and writers wait meanwhile. If the trigger is as wanted already, nobody waits.
   *
   * A write that succeeds without the trigger succeeds with it. Only `PREPARE TRANSACTION` fails, because
   * PostgreSQL refuses it after a `NOTIFY`. A category is not sent if its name has 8000 bytes or more, or
   * if the server's queue of notifications is half full because a listener does not read. Listeners are
   * not woken then, so they have to look for messages from time to time as well.
   *
   * The trigger slows writers down. PostgreSQL commits the transactions that notify one at a time, for
   * the whole server. Each commit includes the wait for the disk and for synchronous replicas, which
   * transactions otherwise share. With the trigger, 16 writers, each in a category of its own, did 0.4 to
   * 0.5 times as many writes a second as without it; 64 such writers did 0.25 to 0.33 times as many. A
   * single writer did 0.77 to 0.96 times as many. So did several writers in one category, which wait for
   * each other anyway. (PostgreSQL 18 with `fsync`, two cores.)
   *
   * @default {undefined} Nothing changes.
   */
  readonly notify?: boolean | undefined;
  /**
   * Whether there is an index of stream names, besides the indexes of Message DB. The index makes
   * `streamNames` and `entityIds` faster, and `readMatching` if the pattern does not begin with a wildcard.
   *
   * `true` creates the index, and creates it anew if it is not as this version creates it. `false` drops
   * the index. While the index is created, nobody can write.
   *
   * Without the index, `streamNames` reads each message of the category in the table. With the index, it
   * reads the index alone. For 420,000 messages in 40,000 streams, that took less than half of the time.
   * A database with the collation `C` finds patterns without the index. For 1,000,000 messages, the index
   * had 10 MB and was created in 3 seconds. (PostgreSQL 18, two cores.)
   *
   * @default {undefined} Nothing changes.
   */
  readonly nameIndex?: boolean | undefined;
  /**
   * Marks the database as a partition of a store: see `partitioned`, whose handle refuses every other
   * database in its place. A mark is never changed: a database that is another partition is refused.
   *
   * The mark is the comment of the sequence of global positions.
   *
   * @default {undefined} Nothing changes.
   */
  readonly partition?: PartitionMark | undefined;
  /**
   * Whether to change nothing, and only tell what would be done, and by which SQL.
   *
   * @default {false}
   */
  readonly dryRun?: boolean | undefined;
}

/** What {@linkcode install} has done, or would do with `dryRun`. */
export interface Installed {
  /** The version of Message DB that was there before: `"1.2.6"`; null if there was none. */
  readonly from: string | null;
  /** The version that is there now: `"1.3.0"`. With `dryRun`, the version that would be there. */
  readonly version: string;
  /**
   * What was done, in order: `'create the function "write_message"'`. `create`, `replace`, `drop` or `set` comes
   * first. Empty if nothing was left to do.
   */
  readonly changes: readonly string[];
  /** The SQL that creates the database, which is no part of the transaction; null if the database was there. */
  readonly createDatabase: string | null;
  /**
   * The SQL that changed the database, in order, all in one transaction. Comments name the files of Message DB. Empty
   * if nothing was left to do.
   */
  readonly statements: readonly string[];
}

/** Options of {@linkcode uninstall}. */
export interface UninstallOptions extends IsInstalledOptions {
  /**
   * Whether to delete messages. Without this option, a store that holds messages is left as it is.
   *
   * @default {false}
   */
  readonly deleteMessages?: boolean | undefined;
}

/**
 * Installs Message DB in the database that the handle is connected to.
 *
 * A program may call this each time it starts, and several processes may call it at once. If Message DB
 * is there already, nothing changes, and any role may call this. If its version is older, it gets the new
 * functions and views. If anything is missing (a function, an index, a privilege of the role
 * `message_store`), it is put back. The table of messages is never touched once it exists.
 *
 * Everything happens in one transaction, so it happens as a whole or not at all. Only the creation of the
 * database is not part of the transaction, because PostgreSQL does not allow that. The transaction holds
 * an advisory lock that only `install` and `uninstall` take.
 *
 * The role `message_store` belongs to the whole server. If it does not exist, it is created without a
 * password. If it exists, it is left as it is.
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
 * @example See what would be done
 * ```ts
 * import postgres from "postgres";
 * import { install } from "@messagedb/client/install";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * const { changes, statements } = await install(sql, { dryRun: true });
 * console.log(changes); // what is missing
 * console.log(["begin;", ...statements, "commit;"].join("\n\n")); // for somebody else to run
 * ```
 *
 * @param sql The `sql` of postgres.js. Its role needs the rights to create what is missing: a schema
 * and an extension in the database (`create` on it), the role `message_store` (`createrole`) and, with
 * `createDatabase`, the database (`createdb`).
 * @param options The schema, whether to create the database, whether writes notify, whether to index names, which
 * partition the database is, and whether to change nothing.
 * @returns What was done, once all of Message DB is there. Its lists are empty if nothing was left to do.
 * @throws {TypeError} If the handle is not the `sql` of postgres.js, an option is of the wrong type, or the schema's
 * name is a word of SQL.
 * @throws {Error} If the role lacks a right; the SQL files are missing or changed; another process holds the lock;
 * the database is another partition; or the table of messages is distributed (Citus), partitioned or foreign.
 * PostgreSQL's own error is the `cause`.
 */
export async function install(sql: Sql, options: InstallOptions = {}): Promise<Installed> {
  assertPostgres(sql, "install");
  checkOptions(options, {
    createDatabase: true,
    notify: true,
    nameIndex: true,
    dryRun: true,
    schema: true,
    partition: true,
  });
  if (options.partition !== undefined) checkMark(options.partition);
  const target = { release: await readRelease(), schema: schemaFor(sql, options) };
  try {
    return await installInto(sql, target, options);
  } catch (error) {
    if (stateOfError(error) !== NO_SUCH_DATABASE) throw error;
    if (!options.createDatabase) {
      throw new Error(
        `Cannot install Message DB: there is no database "${sql.options.database}", ` +
          "which the option createDatabase creates",
        { cause: error },
      );
    }
    const created = { createDatabase: createDatabaseSql(sql) };
    if (options.dryRun) return { ...await planNewDatabase(sql, target, options), ...created };
    await createDatabase(sql);
    return { ...await installInto(sql, target, options), ...created };
  }
}

/**
 * Uninstalls Message DB from the database that the handle is connected to: drops the schema
 * `message_store`, everything in it, and everything that depends on it.
 *
 * A store that holds messages is left as it is, unless `deleteMessages` is true. If Message DB is not
 * installed, nothing happens. The role `message_store` stays, because other databases of the server may
 * use it. The extension `pgcrypto` stays, too.
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
 * @param sql The `sql` of postgres.js. Its role is the one that installed Message DB, or a superuser.
 * @param options In which schema, and whether to delete messages.
 * @returns Nothing, once the schema is gone.
 * @throws {TypeError} If the handle is not the `sql` of postgres.js.
 * @throws {Error} If the store holds messages and `deleteMessages` is not true, if the role does not own
 * the schema, or if another process holds the lock of `install`.
 */
export async function uninstall(sql: Sql, options: UninstallOptions = {}): Promise<void> {
  assertPostgres(sql, "uninstall");
  checkOptions(options, { deleteMessages: true, schema: true });
  const schema = schemaFor(sql, options);
  const target = { release: await readRelease(), schema };
  await sql.begin(async (stockTx) => {
    const tx = renaming(stockTx, schema);
    const { user, database, present } = await lockAndInspect(tx, target);
    const cannot = `Cannot uninstall Message DB from database "${database}"`;
    if (!present.has("schema/message_store")) return;
    try {
      if (present.has("tables/messages") && !options.deleteMessages) {
        if (await lockAndFindMessages(tx)) {
          throw new Error(`${cannot}: it holds messages and "deleteMessages" is not true`);
        }
      }
      await tx.unsafe("drop schema message_store cascade");
    } catch (error) {
      if (stateOfError(error) !== INSUFFICIENT_PRIVILEGE) throw error;
      throw new Error(
        `${cannot}: the role "${user}" may not drop the schema "${schema}" (${textOfError(error)})`,
        { cause: error },
      );
    }
  });
}

/**
 * Whether all of Message DB is in the database that the handle is connected to: the table of messages
 * with its indexes, and every type, function and view. Any version counts, and so does a store whose sequence
 * is behind.
 *
 * Any role may call this, even a role that may not use Message DB.
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
 * @param options In which schema.
 * @returns `true` if everything is there, else `false`.
 * @throws {TypeError} If the handle is not the `sql` of postgres.js.
 */
export async function isInstalled(sql: Sql, options: IsInstalledOptions = {}): Promise<boolean> {
  assertPostgres(sql, "look for");
  checkOptions(options, { schema: true });
  const schema = schemaFor(sql, options);
  const release = await readRelease();
  const { present } = await sql.begin(
    "read only",
    (tx) => inspectDatabase(renaming(tx, schema), { release, schema }),
  );
  return release.files.every(({ key }) =>
    /^(roles|extensions|privileges)\//.test(key) || present.has(key)
  );
}

/** Whether there is a message. Nobody can write one until the transaction ends. */
async function lockAndFindMessages(tx: TransactionSql): Promise<boolean> {
  await tx.unsafe("lock table message_store.messages in access exclusive mode");
  const rows = await tx.unsafe("select 1 from message_store.messages limit 1");
  return rows.length > 0;
}

async function installInto(
  sql: Sql,
  target: Target,
  options: InstallOptions,
): Promise<Installed> {
  const { schema } = target;
  // This takes no lock: any role can take the lock of `install`, and keep it.
  const plan = await sql.begin("read only", async (stockTx) => {
    await checkIsNoWord(stockTx, schema);
    const tx = renaming(stockTx, schema);
    const state = await inspectDatabase(tx, target);
    const { distribution } = state;
    if (distribution !== null) {
      throw new Error(
        `Cannot install Message DB: ${schema}.messages ${DISTRIBUTION_TEXTS[distribution]}: ` +
          "put the messages into a plain table of one PostgreSQL database",
      );
    }
    return describePlan(target, state, await planChanges(tx, target, state, options));
  });
  if (plan.changes.length === 0 || options.dryRun) return plan;
  return await sql.begin(async (stockTx) => {
    const tx = renaming(stockTx, schema);
    const state = await lockAndInspect(tx, target);
    const changes = await planChanges(tx, target, state, options);
    for (const change of changes) await applyInstallChange(tx, state, change, schema);
    return describePlan(target, state, changes);
  });
}

/** Checks that the name of a schema is no word of SQL, which a name without quotes cannot be. */
async function checkIsNoWord(tx: TransactionSql, schema: string): Promise<void> {
  const [quoted] = (await queryRow<[string]>(tx, "select pg_catalog.quote_ident($1)", [schema]))!;
  if (quoted === schema) return;
  throw new TypeError(
    `Cannot install Message DB in the schema "${schema}": the name is a word of SQL, take another`,
  );
}

async function applyInstallChange(
  tx: TransactionSql,
  { user }: DatabaseState,
  change: Change,
  schema: string,
): Promise<void> {
  await applyChange(tx, user, change).catch((error) => {
    // All databases share the roles, and not the lock: an install in another database was first.
    if (!isAlreadyThere(error) || !change.does.includes(`create the role "${schema}"`)) {
      throw error;
    }
  });
}

/** The changes that are left to do, in order. */
async function planChanges(
  tx: TransactionSql,
  { release, schema }: Target,
  state: DatabaseState,
  { notify, nameIndex, partition }: InstallOptions,
): Promise<Change[]> {
  const changes = [
    ...partition === undefined ? [] : markChanges(await readMark(tx), partition),
    ...await sequenceChanges(tx),
    ...nameIndex === undefined ? [] : nameIndexChanges(await readNameIndex(tx), nameIndex),
    ...notify === undefined ? [] : notifyChanges(await readNotify(tx), notify),
  ];
  return inDatabase(state, fileChanges(release, state), changes, schema);
}

/** What `install` would do in the database that the handle names, which is not there. */
async function planNewDatabase(
  sql: Sql,
  target: Target,
  { notify, nameIndex, partition }: InstallOptions,
): Promise<Installed> {
  const { release, schema } = target;
  const { user, present } = await withAdmin(sql, (admin) =>
    admin.begin("read only", async (tx) => {
      await checkIsNoWord(tx, schema);
      return await inspectDatabase(renaming(tx, schema), target);
    }));
  const state: DatabaseState = {
    user,
    database: sql.options.database,
    version: null,
    distribution: null,
    // All databases share the roles.
    present: new Set([...present].filter((key) => key.startsWith("roles/"))),
  };
  const changes = [
    ...partition === undefined ? [] : markChanges(null, partition),
    ...nameIndexChanges(NO_NAME_INDEX, nameIndex ?? false),
    ...notifyChanges(NO_NOTIFY, notify ?? false),
  ];
  return describePlan(
    target,
    state,
    inDatabase(state, fileChanges(release, state), changes, schema),
  );
}

/** Changes of files come first: triggers and indexes come and go under locks that keep out all writers. */
function inDatabase(
  { database }: DatabaseState,
  ofFiles: readonly Change[],
  others: readonly Change[],
  schema: string,
): Change[] {
  return [
    ...ofFiles,
    ...others.map(({ right, ...change }) => ({
      ...change,
      right: `${right} in database "${database}"`,
    })),
  ].map((change) => renameChange(change, schema));
}

function describePlan(
  { release }: Target,
  { version }: DatabaseState,
  changes: readonly Change[],
): Installed {
  return {
    from: version,
    version: version === null || isBefore(version, release.version) ? release.version : version,
    changes: changes.flatMap(({ does }) => does),
    createDatabase: null,
    statements: changes.map(statementOf),
  };
}

function schemaFor(sql: Sql, { schema }: IsInstalledOptions): string {
  const named = schema ?? ownOf(sql)?.schema ?? "message_store";
  checkSchemaName(named);
  return named;
}

function assertPostgres(sql: Sql, action: string): void {
  if (typeof sql?.begin !== "function" || typeof sql.unsafe !== "function") {
    throw new TypeError(
      `Cannot ${action} Message DB: the handle is not the "sql" of postgres.js, outside a transaction`,
    );
  }
}
