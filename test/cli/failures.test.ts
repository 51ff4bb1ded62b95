/** How commands fail where the store cannot be reached, or does not get on. */
import { write } from "@messagedb/client";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import process from "node:process";
import { describe, expect, onTestFinished, test } from "vitest";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);

/** Listens on a port that is free, and answers connections as told. */
async function listen(answer: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    answer(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test.each([
  "read account",
  "doctor",
  "install",
  "gateway --allow read --port 0",
  "studio",
  "bench --yes",
])(
  "%s ends where each connection is closed before it answers",
  async (command) => {
    const port = await listen((socket) => socket.destroy());
    const url = `postgres://a:secret@127.0.0.1:${port}/a`;
    const { stderr, exitCode } = await messagedb.run(command.split(" "), { url });
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(
      new RegExp(`^error: Cannot reach postgres://127.0.0.1:${port}/a: .+\n$`),
    );
  },
);

test.each(["postgres", "http"])(
  "Ctrl-C ends the wait for a first answer of %s",
  async (protocol) => {
    let connected = false;
    const port = await listen(() => connected = true);
    const child = messagedb.start(["read", "account"], {
      url: `${protocol}://127.0.0.1:${port}/a`,
    });
    await until(() => connected);
    child.kill("SIGINT");
    expect(await once(child, "close")).toEqual([130, null]);
  },
);

test("Ctrl-C ends a write that waits for its category, and says what may become of it", async () => {
  const other = db.connect({ max: 1 });
  let release = () => {};
  const released = new Promise<void>((resolve) => release = resolve);
  const holding = other.begin(async (tx) => {
    await write(tx, "held-1", { type: "Held" });
    await released;
  });
  const child = messagedb.start(["write", "held-2", "Written"]);
  let stderr = "";
  child.stderr!.on("data", (text) => stderr += text);
  await until(async () => {
    const [{ count } = { count: 0 }] = await db.sql`
      select count(*)::int from pg_stat_activity
      where application_name = 'messagedb' and wait_event_type = 'Lock'`;
    return count === 1;
  });
  child.kill("SIGTERM");
  expect(await once(child, "close")).toEqual([130, null]);
  expect(stderr).toBe(
    "Interrupted while the server was at work: what was sent to it may still be done. " +
      "A write that had an --id can be sent again\n",
  );
  release();
  await holding;
});

describe("no password is printed, and exit code 2 is for", () => {
  test.each([
    "postgres://u:pa#ss/w@127.0.0.1:5/x",
    "postgres://u:hunter%2@127.0.0.1:5/x",
    "mysql://u:hunter2@h/x",
    "postgres:/u:hunter2@h/x",
    "postgres://u:hunter2@h:99999/x",
    "postgres://u:hunter2@h/x,postgres://u:hunter2@h/y",
    "postgres://u:hunter2@h,postgres://u:hunter2@h/y",
    "postgres://u:hunter2@h:5,h:99999/y",
  ])("%s", async (url) => {
    for (const args of [["read", "account"], ["read", "account", "--debug"]]) {
      const { stdout, stderr, exitCode } = await messagedb.run(args, { url });
      expect(exitCode).toBe(2);
      expect(stdout + stderr).not.toMatch(/pa#ss|hunter/);
      expect(stderr).toMatch(/^error: What --url or DATABASE_URL holds is no address: .+%23/);
    }
  });
});

describe("of several servers, each with its port, the one that answers is taken", () => {
  /** The database, and a server before its own that is not there. */
  const address = () => {
    const { username, password, host, pathname } = new URL(db.url);
    const servers = `127.0.0.1:1,${host}`;
    return {
      url: `postgres://${username}:${password}@${servers}${pathname}?target_session_attrs=primary`,
      printed: `postgres://${servers}${pathname}`,
    };
  };

  test.each([
    "write servers-1 Opened",
    "read servers",
    "install",
    "consumers",
    "verify",
  ])("%s", async (command) => {
    const { url } = address();
    await write(db.sql, "servers-2", { type: "Opened" });
    const { stderr, exitCode } = await messagedb.run(command.split(" "), { url });
    expect(stderr).not.toMatch(/error/);
    expect(exitCode).toBe(0);
  });

  test("doctor", async () => {
    const { stdout } = await messagedb.run(["doctor"], address());
    expect(stdout).toMatch(/^✓ store +Message DB 1.3.0$/m);
  });

  test("gateway prints both, and no password", async () => {
    const { url, printed } = address();
    const child = messagedb.start(["gateway", "--allow", "read", "--port", "0"], { url });
    let stderr = "";
    child.stderr!.on("data", (text) => stderr += text);
    await once(child.stdout!, "data");
    await until(() => stderr.includes(printed));
    child.kill("SIGTERM");
  });

  test("doctor tries each where none answers", async () => {
    const url = "postgres://u:hunter2@127.0.0.1:1,127.0.0.1:2/x";
    const { stdout, stderr, exitCode } = await messagedb.run(["doctor"], { url });
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(
      /Port 1 of 127.0.0.1: nothing listens\n[^]*Port 2 of 127.0.0.1: nothing/,
    );
    expect(stderr).toMatch(/^error: Cannot reach postgres:\/\/127.0.0.1:1,127.0.0.1:2\/x: /);
  });
});

test("where the server only reads, a write says what to do", async () => {
  const url = new URL(db.url);
  url.searchParams.set("default_transaction_read_only", "on");
  const written = await messagedb.run(["write", "account-1", "Opened"], { url: url.href });
  expect(written).toEqual({
    stdout: "",
    stderr: "error: Cannot execute INSERT in a read-only transaction: this server only reads, " +
      "as a standby does. Connect to the primary to write\n",
    exitCode: 1,
  });
});

test("a database that takes no connections is not reached", async () => {
  const url = new URL(db.url);
  url.pathname += "_closed";
  const name = `"${url.pathname.slice(1)}"`;
  await db.sql.unsafe(`create database ${name} allow_connections false`);
  onTestFinished(async () => void await db.sql.unsafe(`drop database ${name}`));
  const { stderr, exitCode } = await messagedb.run(["read", "account"], { url: url.href });
  expect(stderr).toMatch(/^error: Cannot reach .*_closed: the database takes no connections\n$/);
  expect(exitCode).toBe(3);
});

test("a password may have a comma", async () => {
  const url = "postgres://u:hunter,2@127.0.0.1:1/x";
  const { stderr, exitCode } = await messagedb.run(["read", "account"], { url });
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/^error: Cannot reach postgres:\/\/127.0.0.1:1\/x: /);
});

test("a token that no header may have is not printed", async () => {
  const args = ["read", "account", "--token", "sec\nret"];
  const { stderr, exitCode } = await messagedb.run(args, { url: "http://127.0.0.1:1" });
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/^error: The token is empty, or has a character that no header may have/);
  expect(stderr).not.toContain("sec");
});

test("lag exits with 3 where its line cannot be written", async () => {
  const child = spawn(process.execPath, [messagedb.path, "lag"], {
    env: { ...process.env, DATABASE_URL: db.url },
    stdio: ["ignore", openSync("/dev/full", "w"), "ignore"],
  });
  expect(await once(child, "close")).toEqual([3, null]);
});
