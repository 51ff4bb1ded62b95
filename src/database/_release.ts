import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { findPackageFile, IF_BUNDLED } from "./_package.ts";

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

/** The version of `@eventide/message-db` whose SQL is run, as the dependency in `package.json` names it. */
const PACKAGE = "@eventide/message-db@1.3.1";
/** The SHA-256 of the SQL files of this version, each with its key, in the order in which they run. */
export const DIGEST = "c3ece91f4049b97922b3a30cb8ce2ee6399c675bd09c8469ad93fffc30cd1d5c";

/** Reads the SQL of the package `@eventide/message-db`. A superuser runs it, so any change is refused. */
export async function readRelease(): Promise<Release> {
  const manifest = findPackageFile("@eventide/message-db/package.json", import.meta.url);
  if (manifest === undefined) {
    throw new Error(
      `Cannot find the SQL files of Message DB: run "npm install ${PACKAGE}", or ${IF_BUNDLED}`,
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
  const files = await readScript("install.sh");
  const digest = createHash("sha256");
  for (const { key, text } of files) digest.update(`${key}\0${text}\0`);
  if (digest.digest("hex") !== DIGEST) {
    throw new Error(
      `Cannot use the SQL files of Message DB in "${dirname(manifest)}": they are not those of ` +
        `${PACKAGE}, run "npm install ${PACKAGE}"`,
    );
  }
  return { version: (await read("VERSION.txt")).trim(), files };
}
