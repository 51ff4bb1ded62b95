import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import postgres from "postgres";
import { type EmbeddedServer, startEmbedded } from "../src/database/embedded.ts";
import { install } from "../src/database/install.ts";
import { freePort } from "./_free_port.ts";

/** A primary, and an asynchronous streaming standby of it. */
export interface Pair {
  readonly primary: EmbeddedServer;
  readonly standby: EmbeddedServer;
  readonly onPrimary: postgres.Sql;
  readonly onStandby: postgres.Sql;
  /** Ends all processes of the primary by SIGKILL, as when its machine fails. */
  killPrimary(): void;
  stop(): Promise<void>;
}

/** Makes a folder of data of a server from which others can replicate. */
async function makeLogical(dataDir: string): Promise<void> {
  const server = await startEmbedded({ dataDir });
  const sql = postgres(server.url, { fetch_types: false, onnotice: () => {} });
  await sql`alter system set wal_level = 'logical'`;
  await sql.end();
  await server.stop();
}

/** A server from which others can replicate rows. */
export async function startLogical(): Promise<EmbeddedServer> {
  const folder = await mkdtemp(join(tmpdir(), "messagedb-logical-"));
  const dataDir = join(folder, "data");
  await makeLogical(dataDir);
  const server = await startEmbedded({ dataDir });
  const stop = async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { url: server.url, stop, [Symbol.asyncDispose]: stop };
}

export async function startPair(): Promise<Pair> {
  const folder = await mkdtemp(join(tmpdir(), "messagedb-replicas-"));
  const dataDir = join(folder, "primary");
  await makeLogical(dataDir);
  const copy = join(folder, "standby");
  execFileSync("cp", ["-a", dataDir, copy]);
  const primary = await startEmbedded({ dataDir, port: await freePort() });
  const { port, username, password } = new URL(primary.url);
  const data = join(copy, "postgres", "data");
  await writeFile(join(data, "standby.signal"), "");
  await appendFile(
    join(data, "postgresql.auto.conf"),
    `primary_conninfo = 'host=127.0.0.1 port=${port} user=${username} password=${password}'\n`,
  );
  const standby = await startEmbedded({ dataDir: copy, port: await freePort() });
  const onPrimary = postgres(primary.url, { fetch_types: false, onnotice: () => {} });
  const onStandby = postgres(standby.url, { fetch_types: false, onnotice: () => {} });
  const stop = async () => {
    await Promise.all([onPrimary, onStandby].map((sql) => sql.end({ timeout: 5 })));
    await Promise.all([primary.stop(), standby.stop()]);
    await rm(folder, { recursive: true, force: true });
  };
  return { primary, standby, onPrimary, onStandby, killPrimary: () => killServer(dataDir), stop };
}

/** Makes a database `name` beside the primary's, and lets it subscribe to the primary's messages. */
export async function startSubscriber(
  { primary, onPrimary }: Pair,
  name: string,
): Promise<postgres.Sql> {
  await onPrimary`create database ${onPrimary(name)}`;
  const url = new URL(primary.url);
  url.pathname = `/${name}`;
  const copy = postgres(url.href, { fetch_types: false, onnotice: () => {} });
  await install(copy);
  await onPrimary`create publication ${onPrimary(name)} for table message_store.messages`;
  // A subscription to a database of its own server would wait for itself if it made its slot.
  await onPrimary`select pg_create_logical_replication_slot(${name}, 'pgoutput')`;
  const { port, username, password } = url;
  const from = `host=127.0.0.1 port=${port} user=${username} password=${password} ` +
    "dbname=message_store";
  await copy.unsafe(
    `create subscription ${name} connection '${from}' publication ${name} ` +
      `with (create_slot = false, slot_name = '${name}')`,
  );
  return copy;
}

/** Ends all processes of an embedded server by SIGKILL, as when its machine fails. */
export function killServer(dataDir: string): void {
  const lock = readFileSync(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8");
  const postmaster = parseInt(lock);
  const parents = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  const children = parents.trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === postmaster).map(([pid]) => pid!);
  // The postmaster first: it would restart what has been killed.
  for (const pid of [postmaster, ...children]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as { code?: unknown }).code !== "ESRCH") throw error;
    }
  }
}
