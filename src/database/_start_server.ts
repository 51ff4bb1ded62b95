import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Child, Runner } from "./_keeper.ts";
import { readFileOf } from "./_ownership.ts";
import { readServerLog, type ServerPlace } from "./_server_place.ts";

/** Starts a command with a folder of data, under a keeper. */
type StartKept<T> = (
  command: string,
  args: readonly string[],
  data: string,
  runner: Runner,
) => Promise<T>;

/**
 * Starts PostgreSQL on a port, or on a free port if none is given, and waits until it is ready.
 *
 * @param start What starts a command under a keeper.
 */
export async function startServer<T extends Child = Child>(
  place: ServerPlace,
  givenPort: number | undefined,
  start: StartKept<T>,
): Promise<{ readonly server: T; readonly port: number }> {
  const { dataDir, home, owner } = place;
  for (;;) {
    const port = givenPort ?? await findFreePort();
    const oldLog = await readServerLog(home, owner);
    const server = await startPostgres(place, port, start);
    if (await waitUntilReady(server, place)) return { server, port };
    const log = (await readServerLog(home, owner)).slice(oldLog.length).trim();
    const isTaken = /Address already in use/.test(log);
    if (isTaken && givenPort === undefined) {
      // Another process took the free port meanwhile.
      await server.leave();
      continue;
    }
    await server.stop();
    throw new Error(
      `Cannot start the embedded server: ${
        isTaken ? `port ${port} on 127.0.0.1 is taken` : reasonIn(log, dataDir)
      }`,
    );
  }
}

async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

async function startPostgres<T>(
  place: ServerPlace,
  port: number,
  start: StartKept<T>,
): Promise<T> {
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: 300,
    // Without the errors of statements: these reach the client that sent the statement.
    log_min_messages: "log",
    log_checkpoints: "off",
    ...place.dataDir === undefined ? { fsync: "off", full_page_writes: "off" } : {},
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const data = join(place.home, "data");
  return await start(join(place.bin, "postgres"), args, data, place);
}

/** Resolves to true once the server is ready, and to false if the server ends instead. */
async function waitUntilReady(server: Child, { home, owner }: ServerPlace): Promise<boolean> {
  const path = join(home, "data", "postmaster.pid");
  while (server.status() === undefined) {
    // The first line of the file is the server's process id, the eighth line is its state.
    const lines = (await readFileOf(owner?.uid, path).catch(() => "")).split("\n");
    if (Number(lines[0]) === server.pid && lines[7]?.trim() === "ready") return true;
    await Promise.race([server.ended, delay(10)]);
  }
  return false;
}

/** The reason in the log for which a server did not start, in our words if we know it. */
function reasonIn(log: string, dataDir: string | undefined): string {
  if (/lock file "postmaster.pid" already exists|still in use/.test(log)) {
    return `folder "${dataDir}" is in use by another server`;
  }
  const [, theirs, ours] =
    /version (\S+), which is not compatible with this version (\d+)/.exec(log) ?? [];
  if (theirs) {
    return `folder "${dataDir}" holds the data of PostgreSQL ${theirs}, this is PostgreSQL ${ours}`;
  }
  return log || "the server ended and wrote no log";
}
