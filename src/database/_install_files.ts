import type { TransactionSql } from "postgres";
import { applyChange } from "./_change.ts";
import type { Release, SqlFile } from "./_release.ts";
import { isAlreadyThere } from "./_sql_errors.ts";
import type { DatabaseState } from "./_state.ts";

/** Files that run together. */
interface FileGroup {
  readonly folders: RegExp;
  /** What a role must be allowed to do, to run the files. */
  readonly right: string;
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
    searchPath: "public, message_store",
  });
  // `public` is in the path because gen_random_uuid() is pgcrypto's before PostgreSQL 13, and there.
  await run({
    folders: /^(types|tables|functions)\//,
    right: change,
    searchPath: "message_store, public",
  });
  // `public` is not in the path: the files drop an index by its bare name, and must not find another.
  await run({ folders: /^indexes\//, right: change, searchPath: "message_store" });
  await run({
    folders: /^(views|privileges)\//,
    right: change,
    searchPath: "message_store, public",
  });
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
  { folders, right, searchPath }: FileGroup,
): Promise<void> {
  const chosen = files.filter(({ key }) => folders.test(key));
  if (chosen.length === 0) return;
  if (searchPath) await tx.unsafe(`set local search_path = ${searchPath}`);
  await applyChange(tx, role, { sql: chosen.map(({ text }) => text).join("\n"), right });
}
