import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
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
  readonly stop: () => Promise<void>;
}

/** Starts a pgbouncer in transaction mode, with fewer connections than its clients have. */
export async function startPgbouncer(command: string, databaseUrl: string): Promise<Pgbouncer> {
  const { hostname, port, username, password, pathname } = new URL(databaseUrl);
  const database = pathname.slice(1);
  const listenPort = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "pgbouncer-"));
  const configuration = join(folder, "pgbouncer.ini");
  const quote = (text: string) => `'${decodeURIComponent(text).replaceAll("'", "''")}'`;
  const login = `user=${quote(username)}` + (password && ` password=${quote(password)}`);
  await writeFile(
    configuration,
    `[databases]
${database} = host=${hostname} port=${port || 5432} ${login}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
`,
  );

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
  return { url: `postgres://anyone@127.0.0.1:${listenPort}/${database}`, stop };
}
