import type { Change } from "./_change.ts";
import type { Release, SqlFile } from "./_release.ts";
import { PINNED_SEARCH_PATH } from "./_search_path.ts";
import type { DatabaseState } from "./_state.ts";

/** Files that run together. */
interface FileGroup {
  readonly folders: RegExp;
  /** What a role must be allowed to do, to run the files. */
  readonly right: string;
  /** @default `PINNED_SEARCH_PATH` */
  readonly searchPath?: string;
}

/** A file whose object is missing, or is of an older version, or that runs with such files. */
interface FileToRun extends SqlFile {
  /** What the file does, in words; undefined if it only runs with others. */
  readonly does: string | undefined;
}

/** The changes that the SQL files of a release are, in order: those whose objects are missing or of an older version. */
export function fileChanges(release: Release, state: DatabaseState): Change[] {
  const files = filesToRun(release, state);
  return fileGroups(state).flatMap(({ folders, right, searchPath }) => {
    const chosen = files.filter(({ key }) => folders.test(key));
    if (chosen.length === 0) return [];
    const sql = chosen.map(({ key, text }) => `-- ${key}\n${text.trim()}`).join("\n\n");
    const does = chosen.flatMap((file) => file.does ?? []);
    return [{ does, right, sql, searchPath: searchPath ?? PINNED_SEARCH_PATH }];
  });
}

function fileGroups({ database }: DatabaseState): FileGroup[] {
  const where = `in database "${database}"`;
  const change = `change the schema "message_store" ${where}`;
  // Before PostgreSQL 13, gen_random_uuid() is pgcrypto's, in `public`. So the path of the tables and of the
  // privileges has `public`. All else that their files name is PostgreSQL's own, or is named with its schema.
  // The other groups have expressions, which a function or an operator in `public` might fit better.
  const withPublic = "message_store, public, pg_temp";
  const withoutPublic = "message_store, pg_temp";
  return [
    { folders: /^roles\//, right: `create the role "message_store"` },
    { folders: /^schema\//, right: `create schemas ${where}` },
    {
      folders: /^extensions\//,
      right: `create the extension "pgcrypto" ${where}`,
      searchPath: "public, message_store, pg_temp",
    },
    { folders: /^tables\//, right: change, searchPath: withPublic },
    { folders: /^(types|functions)\//, right: change, searchPath: withoutPublic },
    { folders: /^(indexes|views)\//, right: change, searchPath: withoutPublic },
    { folders: /^privileges\//, right: change, searchPath: withPublic },
  ];
}

function filesToRun({ version, files }: Release, state: DatabaseState): FileToRun[] {
  const isOlder = state.version !== null && isBefore(state.version, version);
  const due = files.map((file): FileToRun => {
    const { key } = file;
    if (!state.present.has(key)) return { ...file, does: `create ${objectOf(key)}` };
    const isReplaced = isOlder && /^(types|functions|views)\//.test(key);
    return { ...file, does: isReplaced ? `replace ${objectOf(key)}` : undefined };
  });
  if (due.every(({ does }) => does === undefined)) return [];
  // Privileges always run too, because an object that is dropped and created anew loses its grants.
  return due.filter(({ key, does }) => does !== undefined || key.startsWith("privileges/"));
}

/** Whether a version comes before another: `"1.2.6"` before `"1.10.0"`. */
export function isBefore(version: string, other: string): boolean {
  return version.localeCompare(other, "en", { numeric: true }) < 0;
}

/** Which object a file creates: `'the function "write_message"'`. */
function objectOf(key: string): string {
  const [folder, name] = key.split("/") as [string, string];
  if (folder === "privileges") return `the privileges on the ${name}`;
  const kind = folder === "indexes" ? "index" : folder.replace(/s$/, "");
  return `the ${kind} "${name}"`;
}
