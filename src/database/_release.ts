import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { findPackageFile } from "./_package.ts";

/** One of the SQL files of Message DB. */
export interface SqlFile {
  /** The kind and the name of the object that the file creates: `functions/write_message`. */
  readonly key: string;
  readonly text: string;
}

/** A version of Message DB, with its SQL files in the order in which they run. */
export interface Release {
  readonly version: string;
  readonly files: readonly SqlFile[];
}

/** Reads the SQL of the package `@eventide/message-db`. */
export async function readRelease(): Promise<Release> {
  const manifest = findPackageFile("@eventide/message-db/package.json", import.meta.url);
  if (manifest === undefined) {
    throw new Error(
      `Cannot find the SQL files of Message DB: run "npm install @eventide/message-db"`,
    );
  }
  const read = (path: string): Promise<string> =>
    readFile(join(dirname(manifest), "database", path), "utf8");

  // Only the install scripts say in which order the files run.
  const readScript = async (script: string): Promise<SqlFile[]> => {
    const files: SqlFile[] = [];
    for (const [, path = ""] of (await read(script)).matchAll(/\$base\/([^$\s]+\.(?:sql|sh))/g)) {
      if (path.endsWith(".sh")) {
        files.push(...await readScript(path));
      } else {
        const key = path.replace(/\.sql$/, "").replaceAll("-", "_");
        files.push({ key, text: await read(path) });
      }
    }
    return files;
  };
  return { version: (await read("VERSION.txt")).trim(), files: await readScript("install.sh") };
}
