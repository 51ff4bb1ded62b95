import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import postgres from "postgres";
import { freePort } from "../_free_port.ts";

/** Where pgbouncer is installed, if it is; Debian has it where only root's PATH leads. */
export const pgbouncer: string | undefined = [
  ...(process.env["PATH"] ?? "").split(delimiter),
  "/usr/sbin",
].map((directory) => join(directory, "pgbouncer")).find((path) => existsSync(path));

/** A running pgbouncer. */
export interface Pgbouncer {
  /** The URL of the database by way of it. */
  readonly url: string;
  /** The URL of its admin console. */
  readonly adminUrl: string;
  /** The path of its file of settings, which it reads again when it is told to. */
  readonly configuration: string;
  /** Leads its clients to another server. */
  readonly leadTo: (databaseUrl: string) => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Where a line of `[databases]` leads. */
export function lineOf(databaseUrl: string): string {
  const { hostname, port, username, password, pathname } = new URL(databaseUrl);
  const quote = (text: string) => `'${decodeURIComponent(text).replaceAll("'", "''")}'`;
  const login = `user=${quote(username)}` + (password && ` password=${quote(password)}`);
  return `host=${hostname} port=${port || 5432} dbname=${pathname.slice(1)} ${login}`;
}

/** Starts a pgbouncer in transaction mode, with fewer connections than its clients have. */
export async function startPgbouncer(
  command: string,
  databaseUrl: string,
  poolSize = 4,
  /** Databases of other names, and where they lead. */
  more: Readonly<Record<string, string>> = {},
): Promise<Pgbouncer> {
  const database = new URL(databaseUrl).pathname.slice(1);
  const listenPort = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "pgbouncer-"));
  // It reads its file again as the user that it runs as.
  await chmod(folder, 0o755);
  const configuration = join(folder, "pgbouncer.ini");
  const write = (databases: Readonly<Record<string, string>>) =>
    writeFile(
      configuration,
      `[databases]
${Object.entries(databases).map(([name, url]) => `${name} = ${lineOf(url)}`).join("\n")}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = any
admin_users = admin
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 500
server_login_retry = 1
`,
    );
  await write({ [database]: databaseUrl, ...more });
  const adminUrl = `postgres://admin@127.0.0.1:${listenPort}/pgbouncer`;
  const leadTo = async (url: string): Promise<void> => {
    await write({ [database]: url, ...more });
    const admin = postgres(adminUrl, { max: 1, fetch_types: false, onnotice: () => {} });
    await admin.unsafe("reload").finally(() => admin.end());
  };

  const child = spawn(
    command,
    // It refuses to run as root; it reads its configuration before it changes to this user.
    [...(process.getuid?.() === 0 ? ["--user", "nobody"] : []), configuration],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const closed = once(child, "close");
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await closed;
    await rm(folder, { recursive: true });
  };

  const log: string[] = [];
  const isUp = (async () => {
    for await (const line of createInterface(child.stderr)) {
      log.push(line);
      if (line.includes("process up")) return true;
    }
    return false;
  })();
  if (!await isUp) {
    await stop();
    throw new Error(`Cannot start pgbouncer: ${log.join("\\n")}`);
  }
  child.stderr.resume();
  const url = `postgres://anyone@127.0.0.1:${listenPort}/${database}`;
  return { url, adminUrl, configuration, leadTo, stop };
}
