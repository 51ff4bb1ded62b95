import { chmod, constants, lchown, lstat, open, readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

/** The user that a server runs as, where this process runs as root. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whether a user may enter the folder, or execute the file, and may enter every folder above it. */
export async function isReachable(path: string, { uid, gid }: Owner): Promise<boolean> {
  for (let at = path;; at = dirname(at)) {
    const found = await stat(at);
    const bits = found.uid === uid
      ? found.mode >> 6
      : found.gid === gid
      ? found.mode >> 3
      : found.mode;
    if ((bits & 0o1) === 0) return false;
    if (dirname(at) === at) return true;
  }
}

/** Whether a user may change what the folder holds, or put another folder in its place. */
export async function mayChange(folder: string, { uid, gid }: Owner): Promise<boolean> {
  const STICKY = 0o1000;
  for (let at = folder;; at = dirname(at)) {
    const found = await lstat(at);
    const bits = found.gid === gid ? found.mode >> 3 : found.mode;
    if (found.uid === uid || ((bits & 0o2) !== 0 && (found.mode & STICKY) === 0)) return true;
    if (dirname(at) === at) return false;
  }
}

/**
 * Gives a folder of root's, and all that it holds, to a user.
 *
 * The folder comes last. Until then the user can't enter it, and nothing in it can be exchanged for a link
 * to what is root's.
 */
export async function giveFolder(path: string, { uid, gid }: Owner): Promise<void> {
  if ((await lstat(path)).isDirectory()) {
    for (const name of await readdir(path)) await giveFolder(join(path, name), { uid, gid });
  }
  await lchown(path, uid, gid);
}

/**
 * Removes a folder of root's that holds folders of another user.
 *
 * Root takes each folder back before it looks into it. From then on the user can't exchange what it holds.
 */
export async function removeShared(path: string): Promise<void> {
  await lchown(path, 0, 0);
  await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    await (entry.isDirectory() ? removeShared(inner) : rm(inner));
  }
  await rmdir(path);
}

/** Reads a file that must belong to a user; or any file, if the user is undefined. */
export async function readFileOf(uid: number | undefined, path: string): Promise<string> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  // Without O_NONBLOCK, a pipe that nobody writes to would keep open() waiting.
  const file = await open(path, uid === undefined ? "r" : O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const found = await file.stat();
    if (uid !== undefined && !(found.isFile() && found.uid === uid)) {
      throw new Error(`Cannot read "${path}": it is no file, or belongs to another user`);
    }
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}
