import { createHash } from "node:crypto";
import { lstat, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { findNative } from "./_binaries.ts";
import { createHome } from "./_initdb.ts";
import { startShared, usersIn, useShared } from "./_shared_keeper.ts";
import { openPlace } from "./_server_place.ts";
import { startServer } from "./_start_server.ts";
import { startEmbedded } from "./embedded.ts";

/** A server that processes share, used by this one. */
export interface SharedServer {
  /** The address of its database `postgres`, as the superuser. */
  readonly url: string;
  /** Ends this use. The server ends some seconds after nobody uses it. */
  leave(): void | Promise<void>;
}

/** Milliseconds after which a process that is starting a server is not waited for any longer. */
const STARTING_MAX = 60_000;

/**
 * Uses the embedded server that the processes of this user share, and starts it if there is none.
 *
 * A file says where the server is. Who starts one holds a lock. If that lock fails, because a process died or
 * is slow, two servers are started: the file names the last one, and each runs as long as it is used.
 */
export async function joinSharedServer(): Promise<SharedServer> {
  if (process.platform === "win32") {
    const { url, stop } = await startEmbedded();
    return { url: Object.assign(new URL(url), { pathname: "/postgres" }).href, leave: stop };
  }
  const native = findNative();
  const name = createHash("sha256").update(native).digest("hex").slice(0, 16);
  const file = join(await openOwnFolder(), name);
  for (;;) {
    const joined = await joinAt(file);
    if (joined !== undefined) return joined;
    const lock = `${file}.lock`;
    if (await takeLock(lock)) {
      try {
        return await joinAt(file) ?? await startAt(file, native);
      } finally {
        await rm(lock, { force: true });
      }
    }
    await delay(20);
  }
}

/** A folder that no other user can write to. */
async function openOwnFolder(): Promise<string> {
  const own = process.getuid!();
  const folder = join(tmpdir(), `messagedb-shared-${own}`);
  await mkdir(folder, { mode: 0o700 }).catch((error) => {
    if (error.code !== "EEXIST") throw error;
  });
  const found = await lstat(folder);
  if (found.isDirectory() && found.uid === own && (found.mode & 0o077) === 0) return folder;
  throw new Error(`Cannot use "${folder}": it must be a folder that only this user may open`);
}

async function joinAt(file: string): Promise<SharedServer | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const { url, users } = JSON.parse(text) as { readonly url: string; readonly users: string };
  const leave = useShared(users);
  return leave && { url, leave };
}

async function startAt(file: string, native: string): Promise<SharedServer> {
  const place = await openPlace(native, undefined);
  const initdb = await createHome(place).catch(async (error) => {
    await rm(place.temporary, { recursive: true, force: true });
    throw error;
  });
  let leave: SharedServer["leave"] | undefined;
  try {
    const { server, port } = await startServer(place, undefined, startShared);
    leave = server.share();
    server.unref();
    const url = `postgres://postgres:${place.newPassword}@127.0.0.1:${port}/postgres`;
    await writeFile(`${file}.new`, JSON.stringify({ url, users: usersIn(place.temporary) }));
    await rename(`${file}.new`, file);
    await initdb.leave();
    return { url, leave };
  } catch (error) {
    await leave?.();
    await initdb.stop();
    throw error;
  }
}

/** Takes the lock if nobody has it; removes one that its process has left. */
async function takeLock(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
  }
  const pid = await readFile(lock, "utf8").catch(() => "");
  const age = await stat(lock).then(({ mtimeMs }) => Date.now() - mtimeMs, () => 0);
  if (pid !== "" && !isAlive(Number(pid)) || age > STARTING_MAX) await rm(lock, { force: true });
  return false;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}
