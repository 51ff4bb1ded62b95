import type { TransactionSql } from "postgres";
import { applyChange } from "./_change.ts";
import type { Release, SqlFile } from "./_release.ts";
import { PINNED_SEARCH_PATH } from "./_search_path.ts";
import { isAlreadyThere } from "./_sql_errors.ts";
import type { DatabaseState } from "./_state.ts";

/** Files that run together. */
interface FileGroup {
  readonly folders: RegExp;
  /** What a role must be allowed to do, to run the files. */
  readonly right: string;
  /** @default `PINNED_SEARCH_PATH` */
  readonly searchPath?: string;
}

/** Runs the SQL files of a release whose objects are missing, or are of an older version. */
export async function installFiles(
  tx: TransactionSql,
  release: Release,
  state: DatabaseState,
): Promise<void> {
  const files = filesToRun(release, state);
  const run = (group: FileGroup): Promise<void> => runGroup(tx, state.user, files, group);
  const where = `in database "${state.database}"`;
  const change = `change the schema "message_store" ${where}`;

  await run({ folders: /^roles\//, right: `create the role "message_store"` }).catch((error) => {
    // All databases share the roles, and not the lock: an install in another database was first.
    if (!isAlreadyThere(error)) throw error;
  });
  await run({ folders: /^schema\//, right: `create schemas ${where}` });
  await run({
    folders: /^extensions\//,
    right: `create the extension "pgcrypto" ${where}`,
    searchPath: "public, message_store, pg_temp",
  });
  // `public` is in the path of two groups because gen_random_uuid() is pgcrypto's before PostgreSQL 13, and
  // there. Nothing else that they name could be found there: it is in PostgreSQL itself, or has its schema.
  // The other groups have expressions, which a function or an operator in `public` might fit better.
  const withPublic = "message_store, public, pg_temp";
  const withoutPublic = "message_store, pg_temp";
  await run({ folders: /^tables\//, right: change, searchPath: withPublic });
  await run({ folders: /^(types|functions)\//, right: change, searchPath: withoutPublic });
  await run({ folders: /^(indexes|views)\//, right: change, searchPath: withoutPublic });
  await run({ folders: /^privileges\//, right: change, searchPath: withPublic });
}

/** The files whose objects are missing, or are of an older version, and what runs with them. */
export function filesToRun({ version, files }: Release, state: DatabaseState): readonly SqlFile[] {
  const isOlder = state.version !== null &&
    state.version.localeCompare(version, "en", { numeric: true }) < 0;
  const isDue = ({ key }: SqlFile): boolean =>
    !state.present.has(key) || (isOlder && /^(types|functions|views)\//.test(key));
  if (!files.some(isDue)) return [];
  // Privileges always run too, because an object that is dropped and created anew loses its grants.
  return files.filter((file) => isDue(file) || file.key.startsWith("privileges/"));
}

async function runGroup(
  tx: TransactionSql,
  role: string,
  files: readonly SqlFile[],
  { folders, right, searchPath = PINNED_SEARCH_PATH }: FileGroup,
): Promise<void> {
  const chosen = files.filter(({ key }) => folders.test(key));
  if (chosen.length === 0) return;
  await tx.unsafe(`set local search_path = ${searchPath}`);
  await applyChange(tx, role, { sql: chosen.map(({ text }) => text).join("\n"), right });
  await tx.unsafe(`set local search_path = ${PINNED_SEARCH_PATH}`);
}
