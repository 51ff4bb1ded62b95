import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmod,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rm,
  rmdir,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { canHoldBinaries, prepareBinaries } from "./_binaries.ts";
import { environmentFor, type Runner } from "./_keeper.ts";
import { giveFolder, isReachable, mayChange, type Owner, readFileOf } from "./_ownership.ts";

/** The folders of a server, and the user that the server runs as. */
export interface ServerPlace extends Runner {
  /** The folder that keeps the data from one start to the next, if there is one. */
  readonly dataDir: string | undefined;
  /**
   * Holds `data` and `server.log`, and in a `dataDir` also `password`. There it appears as a whole, or not
   * at all. If root has made it there, only `data` and `server.log` belong to the user that the server runs
   * as: this user can't exchange them.
   */
  readonly home: string;
  /** The folder with the binaries. */
  readonly bin: string;
  /** The password of the server, if its home is made now. */
  readonly newPassword: string;
}

/** A file that must not be there yet: a link in its place is not followed. */
const NEW_FILE = { flag: "wx", mode: 0o600 } as const;

/** Finds or creates the folders of a server, except for the home in a `dataDir`. */
export async function openPlace(native: string, dataDir: string | undefined): Promise<ServerPlace> {
  // PostgreSQL does not run as root.
  const user = process.getuid?.() === 0 ? await findNobody() : undefined;
  const temporary = await makeTemporary(user);
  try {
    const store = dataDir === undefined
      ? { home: join(temporary, "postgres"), owner: user, isHidden: false }
      : await openDataDir(dataDir, user);
    const { owner } = store;
    const bin = await prepareBinaries(native, temporary, owner);
    const newPassword = randomBytes(18).toString("base64url");
    await writeFile(join(temporary, "password"), newPassword, NEW_FILE);
    if (dataDir === undefined) await fillHome(store.home, undefined);
    // The last step, after which root neither writes here nor removes anything.
    if (owner) await giveFolder(temporary, owner);
    return { ...store, dataDir, temporary, bin, newPassword };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Removes the temporary folder, as the user that it belongs to: what only root may remove stays. */
export async function removeTemporary({ temporary, owner }: ServerPlace): Promise<void> {
  if (!owner) return await rm(temporary, { recursive: true, force: true });
  const options = { ...owner, cwd: "/", env: environmentFor(owner) };
  await promisify(execFile)("rm", ["-rf", "--", temporary], options).catch(() => {});
  // Its user may empty the folder, and not always remove it.
  await rmdir(temporary).catch(() => {});
}

/** Creates what a home holds before there is a database cluster: `password` only if one is given. */
export async function fillHome(
  home: string,
  owner: Owner | undefined,
  password?: string,
): Promise<void> {
  const data = join(home, "data");
  const log = join(home, "server.log");
  await mkdir(data, { recursive: true, mode: 0o700 });
  await writeFile(log, "", NEW_FILE);
  if (password !== undefined) await writeFile(join(home, "password"), password, NEW_FILE);
  if (!owner) return;
  for (const path of [data, log]) await lchown(path, owner.uid, owner.gid);
  // Last: until now, only root could enter.
  await chmod(home, 0o711);
}

async function findNobody(): Promise<Owner> {
  const users = await readFile("/etc/passwd", "utf8").catch(() => "");
  const [, uid = "65534", gid = "65534"] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(users) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

async function makeTemporary(owner: Owner | undefined): Promise<string> {
  for (const given of [tmpdir(), "/tmp"]) {
    const parent = await realpath(given).catch(() => given);
    const isFit = canHoldBinaries(parent) &&
      (!owner || await isReachable(parent, owner) && !await mayChange(parent, owner));
    if (isFit) return await mkdtemp(join(parent, "messagedb-"));
  }
  throw new Error(
    `Cannot start the embedded server: neither "${tmpdir()}" nor "/tmp" can hold its temporary folder, ` +
      "set TMPDIR to a folder that all may enter, and that only root may change or that is sticky",
  );
}

async function openDataDir(
  dataDir: string,
  user: Owner | undefined,
): Promise<{ readonly home: string; readonly owner: Owner | undefined; isHidden: boolean }> {
  await mkdir(dataDir, { recursive: true }).catch((error) => {
    throw new Error(`Cannot start the embedded server: "${dataDir}" cannot be a folder`, {
      cause: error,
    });
  });
  const folder = await realpath(dataDir);
  const place = join(folder, "postgres");
  const home = await realpath(place).catch(() => undefined);
  const owner = await findOwner(dataDir, home, user);
  if (!owner) return { home: home ?? place, owner, isHidden: false };

  const cannot =
    "Cannot start the embedded server: PostgreSQL does not run as root, and the user " +
    `${owner.uid} that it would run as may`;
  const isHidden = !await isReachable(folder, owner);
  // Root would make the home here, or enter it. The user could lead root to another place by a link.
  if ((!home || isHidden) && await mayChange(home ?? folder, owner)) {
    throw new Error(
      `${cannot} change "${home ?? dataDir}" or a folder above it: ` +
        "take a folder that only root may change",
    );
  }
  if (isHidden && (process.platform !== "linux" || "Deno" in globalThis)) {
    throw new Error(`${cannot} not pass through the folders above "${dataDir}"`);
  }
  return { home: home ?? place, owner, isHidden };
}

/** The owner of the data in the folder, or else the given user. */
async function findOwner(
  dataDir: string,
  home: string | undefined,
  user: Owner | undefined,
): Promise<Owner | undefined> {
  const own = process.getuid?.();
  if (!home || own === undefined) return user;
  const folder = await stat(dataDir);
  const [outer, inner] = await Promise.all([lstat(home), lstat(join(home, "data"))]);
  // Where all may make folders, the home can be a stranger's.
  const isStrange = user
    ? (folder.mode & 0o2) !== 0 && ![own, folder.uid].includes(outer.uid)
    : outer.uid !== own || inner.uid !== own;
  if (isStrange) {
    throw new Error(
      `Cannot start the embedded server: folder "${dataDir}" belongs to another user`,
    );
  }
  return user && inner.uid !== own ? { uid: inner.uid, gid: inner.gid } : user;
}

/** Reads the password that the home in a `dataDir` keeps. */
export async function readPassword({ home, owner }: ServerPlace): Promise<string> {
  const path = join(home, "password");
  // Whoever made the home wrote the password.
  const password = await readFileOf(owner && (await lstat(home)).uid, path);
  if (/^[\w-]+$/.test(password)) return password;
  throw new Error(`Cannot start the embedded server: "${path}" holds no password of its making`);
}

/** Reads the log in a server's home. */
export async function readServerLog(home: string, owner: Owner | undefined): Promise<string> {
  return await readFileOf(owner?.uid, join(home, "server.log")).catch(() => "");
}
