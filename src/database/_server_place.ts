import { chown, mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { isReachable, type Owner } from "./_binaries.ts";
import type { Runner } from "./_keeper.ts";

/** The folders of a server, and the user that the server runs as. */
export interface ServerPlace extends Runner {
  /** The folder that keeps the data from one start to the next, if there is one. */
  readonly dataDir: string | undefined;
  /** Holds `data`, `password` and `server.log`. It appears as a whole, or not at all. */
  readonly home: string;
  /** A folder that is removed when the server stops. */
  readonly temporary: string;
}

/** Finds or creates the folders of a server, except for its home. */
export async function openPlace(dataDir: string | undefined): Promise<ServerPlace> {
  // PostgreSQL does not run as root.
  const user = process.getuid?.() === 0 ? await findNobody() : undefined;
  const temporary = await makeTemporary(user);
  if (dataDir === undefined) {
    const home = join(temporary, "postgres");
    return { dataDir, home, temporary, owner: user, isHidden: false };
  }
  try {
    await makeDataDir(dataDir, user);
    const home = join(dataDir, "postgres");
    const owner = await findOwner(dataDir, home, user);
    const isHidden = owner !== undefined && !await isReachable(dataDir, owner);
    if (isHidden && (process.platform !== "linux" || "Deno" in globalThis)) {
      throw new Error(
        `Cannot start the embedded server: PostgreSQL does not run as root, and the user ${owner?.uid} ` +
          `that it would run as may not pass through the folders above "${dataDir}"`,
      );
    }
    return { dataDir, home, temporary, owner, isHidden };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

async function findNobody(): Promise<Owner> {
  const users = await readFile("/etc/passwd", "utf8").catch(() => "");
  const [, uid = "65534", gid = "65534"] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(users) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

async function makeTemporary(owner: Owner | undefined): Promise<string> {
  let parent = tmpdir();
  if (owner && !await isReachable(parent, owner)) parent = "/tmp";
  const temporary = await mkdtemp(join(parent, "messagedb-"));
  if (owner) await chown(temporary, owner.uid, owner.gid);
  return temporary;
}

async function makeDataDir(dataDir: string, owner: Owner | undefined): Promise<void> {
  const isNew = await mkdir(dataDir, { recursive: true }).catch((error) => {
    throw new Error(`Cannot start the embedded server: "${dataDir}" cannot be a folder`, {
      cause: error,
    });
  });
  if (isNew && owner) await chown(dataDir, owner.uid, owner.gid);
}

/** The owner of the data in the folder, or else the given user. */
async function findOwner(
  dataDir: string,
  home: string,
  user: Owner | undefined,
): Promise<Owner | undefined> {
  const found = await stat(home).catch(() => undefined);
  if (!found || !process.getuid || found.uid === process.getuid()) return user;
  if (user) return { uid: found.uid, gid: found.gid };
  throw new Error(`Cannot start the embedded server: folder "${dataDir}" belongs to another user`);
}

/** Reads the log in a server's home, from a byte on. */
export async function readServerLog(home: string, start: number): Promise<string> {
  const log = await readFile(join(home, "server.log")).catch(() => new Uint8Array());
  return new TextDecoder().decode(log.subarray(start)).trim();
}
