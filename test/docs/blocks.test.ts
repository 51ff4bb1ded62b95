/**
 * Runs every example: those of README.md, of docs/, and of the documentation of the source.
 *
 * An example in TypeScript is a program. Where it makes no handle of its own, `sql` is there. A
 * comment that can be read as JSON, after a statement, is what its value must be. The examples of a
 * page run in order on one database; an example of the source has one for itself. A block with the
 * name of a file belongs to a project, which start.test.ts, tutorial.test.ts and otel/page.test.ts run.
 */
import { writeBatch } from "@messagedb/client";
import { neonConfig } from "@neondatabase/serverless";
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import postgres from "postgres";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import {
  type Block,
  blocksOfMarkdown,
  blocksOfSource,
  markdownFiles,
  toProgram,
} from "../_blocks.ts";
import { pathOf } from "../_path_of.ts";
import { createDatabase, type TestDatabase } from "../_server.ts";
import { startWorker } from "../_worker.ts";
import { freePort } from "../_free_port.ts";
import { startGateway } from "../runtimes/_gateway_server.ts";
import { startNeonBridge } from "../runtimes/neon_bridge.ts";
import { eventually } from "../_until.ts";

const pages = ["README.md", ...markdownFiles("docs")];
const inPages = pages.flatMap(blocksOfMarkdown).filter(({ name }) => name === undefined);
const source = blocksOfSource();

// Inside the repository, so that packages are found; the dot keeps other tools out.
const folder = mkdtempSync(pathOf("test/.examples-"));
afterAll(() => rmSync(folder, { recursive: true }));

const programs = new Map<Block, string>();
for (const block of [...inPages, ...source].filter(({ language }) => language === "ts")) {
  const path = join(folder, `${block.file.replaceAll(/\W/g, "_")}_${block.line}.ts`);
  writeFileSync(path, toProgram(block));
  programs.set(block, path);
}

test("the examples have the right types", () => {
  const blocks = [...programs.keys()];
  const isBun = (block: Block) => runtimeOf(block) === "bun";
  const isNode = (block: Block) => !["bun", "deno"].includes(runtimeOf(block));
  expect([
    ...typeErrorsOf(blocks.filter(isNode), ["node"]),
    ...typeErrorsOf(blocks.filter(isBun), ["bun"]),
  ]).toEqual([]);
});

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
if (!hasCurl) console.log("Skipped: the commands with curl, which is not installed");

for (const page of pages) {
  const blocks = inPages.filter((block) => block.file === page && isChecked(block));
  if (blocks.length === 0) continue;
  describe(page, () => {
    const database = useOneDatabase();
    for (const block of blocks) {
      test.skipIf(isCurl(block) && !hasCurl)(`line ${block.line}`, () => run(block, database()));
    }
  });
}

for (const block of source) {
  describe(`${block.file}, line ${block.line}`, () => {
    const database = useOneDatabase();
    test("runs", async () => {
      // What reads finds something; what writes finds nothing.
      if (!/\b(write\w*|synchronize|decide)\(/.test(block.code)) await seed(database().url);
      await run(block, database());
    });
  });
}

test("the scripts and tasks of the examples exist", () => {
  const shell = ["README.md", "CONTRIBUTING.md"].flatMap(blocksOfMarkdown)
    .filter(({ language }) => language === "sh")
    .map(({ code }) => code)
    .join();
  const { scripts } = JSON.parse(readFileSync(pathOf("package.json"), "utf8"));
  const { tasks } = JSON.parse(readFileSync(pathOf("deno.json"), "utf8"));
  const names = [...shell.matchAll(/npm (?:run )?(?!ci|install|pack)(\w+)/g)].map(([, name]) =>
    name!
  );
  expect(names).not.toEqual([]);
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining(names));
  const inText = readFileSync(pathOf("README.md"), "utf8").matchAll(/deno task (\w+)/g);
  expect(Object.keys(tasks)).toEqual(expect.arrayContaining([...inText].map(([, name]) => name)));
});

test.each([...pages, "CONTRIBUTING.md"])("the links of %s lead somewhere", (file) => {
  const links = linksOf(file);
  expect(links.filter((link) => !leadsSomewhere(link, file))).toEqual([]);
});

/** The text of a page without its blocks of code. */
function proseOf(file: string): string {
  return readFileSync(pathOf(file), "utf8").replaceAll(/^```[^]*?^```$/gm, "");
}

/** Relative links, and those to files of the repository, as from its root: `/mod.ts`. */
function linksOf(file: string): string[] {
  const text = proseOf(file);
  const repository =
    /^https:\/\/github\.com\/messagedb-client\/messagedb-client\/(?:blob|tree)\/main/;
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link!.replace(repository, ""))
    .filter((link) => !/^https?:/.test(link));
}

/** Whether a relative link leads to a file, and to a heading of it. */
function leadsSomewhere(link: string, from: string): boolean {
  const [path, anchor] = link.split("#") as [string, string?];
  const file = path === "" ? from : path.startsWith("/") ? path : join(dirname(from), path);
  if (isGenerated(file)) return true;
  if (!existsSync(pathOf(file))) return false;
  return anchor === undefined || anchorsOf(file).includes(anchor);
}

/** The anchors of the headings, as GitHub makes them. */
function anchorsOf(file: string): string[] {
  const text = proseOf(file);
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-")
  );
}

/** Pages that the site makes of the source: its build fails where a link to them leads nowhere. */
function isGenerated(file: string): boolean {
  return file.startsWith("docs/reference/api/");
}

/** Other commands are for people, and their effect is what the blocks after them need. */
function isChecked(block: Block): boolean {
  return ["ts", "sql", "json"].includes(block.language) || isCurl(block);
}

/** What follows a command is what it has to print, as JSON of this shape. */
function isCurl({ language, code }: Block): boolean {
  return language === "sh" && code.startsWith("curl ");
}

type Runtime = "node" | "node server" | "bun" | "deno" | "workerd";

function runtimeOf({ code }: Block): Runtime {
  if (/^serve\(/m.test(code)) return "node server";
  if (/new EventSource\(/.test(code)) return "deno";
  if (/from "bun"/.test(code)) return "bun";
  if (/from "(npm|jsr):/.test(code)) return "deno";
  return /^export default \{/m.test(code) ? "workerd" : "node";
}

function typeErrorsOf(blocks: readonly Block[], types: readonly string[]): string[] {
  const { config } = ts.readConfigFile(pathOf("tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, pathOf("."));
  const program = ts.createProgram(blocks.map((block) => programs.get(block)!), {
    ...options,
    declaration: false,
    // The last value of an example may be left lying.
    noUnusedLocals: false,
    types: [...types],
    typeRoots: [pathOf("node_modules/@types"), pathOf("test/node_modules/@types")],
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file ? ts.getLineAndCharacterOfPosition(file, start!).line : 0;
    const block = blocks.find((block) => programs.get(block) === file?.fileName);
    const place = block ? `${block.file}:${block.line + line}` : file?.fileName;
    return `${place}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
  });
}

/** A database for the tests of this `describe`. */
function useOneDatabase(): () => TestDatabase {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase(inject("databaseOrigin"));
    await runAt(database.url, async (sql) => {
      // For a table beside the messages.
      await sql`grant create on schema public to message_store`;
    });
  });
  afterAll(() => database.drop());
  return () => database;
}

async function runAt(url: string, work: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}

async function seed(url: string): Promise<void> {
  await runAt(url, async (sql) => {
    const opened = { type: "Opened", data: { owner: "Ada", amount: 0 } };
    const deposited = { type: "Deposited", data: { amount: 11 } };
    await writeBatch(sql, "account-123", [opened, deposited]);
    await writeBatch(sql, "account-456", [opened]);
    await writeBatch(sql, "account:command-123", [{ type: "Close" }]);
    await writeBatch(sql, "transfer-123+456", [{ type: "Started" }]);
  });
}

/** The URL of a database as an example's role sees it. */
function urlFor(role: string, database: string, { url }: TestDatabase): string {
  const result = new URL(url);
  if (database === "postgres") result.pathname = "/postgres";
  else if (database !== "message_store") result.pathname += `_${database}`;
  if (role !== "postgres") result.searchParams.set("options", `-c role=${role}`);
  return result.href.replaceAll("+", "%20");
}

async function run(block: Block, database: TestDatabase): Promise<void> {
  if (block.language === "json") return void JSON.parse(block.code);
  if (block.language === "sql") return await runSql(block.code, database.url);
  const closing: (() => Promise<unknown>)[] = [];
  try {
    const code = await localize(isCurl(block) ? block.code : programOf(block), database, closing);
    if (isCurl(block)) return await runCurl(code);
    const path = programs.get(block)!;
    writeFileSync(path, code);
    const asMessageStore = urlFor("message_store", "message_store", database);
    switch (runtimeOf(block)) {
      case "node":
        return await runOnNode(path, asMessageStore);
      case "node server":
        return await runServer(path);
      case "bun":
        return void await promisify(execFile)(pathOf("test/node_modules/.bin/bun"), [path]);
      case "deno":
        return await runOnDeno(path, asMessageStore);
      case "workerd":
        return await runOnWorkerd(path, database.url);
    }
  } finally {
    for (const close of closing) await close();
  }
}

function programOf(block: Block): string {
  return readFileSync(programs.get(block)!, "utf8");
}

/** Puts in the addresses that are there while the tests run, and starts what is to answer at them. */
async function localize(
  text: string,
  database: TestDatabase,
  closing: (() => Promise<unknown>)[],
): Promise<string> {
  let local = text
    .replaceAll(
      /postgres:\/\/(\w+)@localhost\/(\w+)/g,
      (_, role, name) => urlFor(role, name, database),
    )
    .replaceAll('"./data"', () => JSON.stringify(mkdtempSync(join(folder, "data-"))))
    .replaceAll("port: 5433", "port: undefined as unknown as number");
  if (text.includes("https://events.example.com")) {
    const server = await startGateway(database.url);
    closing.push(() => server.stop());
    local = local.replaceAll("https://events.example.com", server.origin);
  }
  if (/\bneon\b/.test(text)) {
    const bridge = await startNeonBridge();
    closing.push(() => bridge.close());
    neonConfig.fetchEndpoint = bridge.endpoint;
    local = local.replaceAll(/https:\/\/[\w.-]+\.neon\.tech\/sql/g, bridge.endpoint);
  }
  return local;
}

async function runSql(code: string, url: string): Promise<void> {
  const undone = new Error("Roles belong to the whole server");
  const work = runAt(url, (sql) =>
    sql.begin(async (sql) => {
      await sql.unsafe(code);
      throw undone;
    }));
  await expect(work).rejects.toBe(undone);
}

/** Runs commands one after another: what they print has the members that the comment after them has. */
async function runCurl(code: string): Promise<void> {
  const commands = code.replaceAll(/\\\n\s*/g, "").trim().split("\n");
  for (const command of commands) {
    const [line, expected] = command.split(/ # (?=[{\[])/) as [string, string?];
    const { stdout } = await promisify(execFile)("sh", ["-c", `${line} --silent`]);
    if (expected) expect(JSON.parse(stdout), line).toMatchObject(JSON.parse(expected));
  }
}

async function runOnNode(path: string, url: string): Promise<void> {
  const sql = postgres(url, { onnotice: () => {} });
  Reflect.set(globalThis, "sql", sql);
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    await import(/* @vite-ignore */ pathToFileURL(path).href);
  } finally {
    log.mockRestore();
    await sql.end();
  }
}

/** Starts a server, asks it what it has, and ends it. */
async function runServer(path: string): Promise<void> {
  const port = await freePort();
  writeFileSync(path, readFileSync(path, "utf8").replaceAll("port: 8000", `port: ${port}`));
  const server = spawn(process.execPath, ["--import", "tsx", path], {
    cwd: pathOf("."),
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    const origin = `http://127.0.0.1:${port}`;
    await eventually(async () => void await fetch(origin));
    await (/client\/studio"/.test(readFileSync(path, "utf8")) ? logIn(origin) : askGateway(origin));
  } finally {
    server.kill();
    await once(server, "exit");
  }
}

async function askGateway(origin: string): Promise<void> {
  const url = `${origin}/streams/account-123`;
  const response = await fetch(url, { headers: { authorization: "Bearer a-token" } });
  expect(await response.json()).toEqual({ streamName: "account-123", version: -1 });
  expect((await fetch(url)).status).toBe(403);
}

/** Logs in to a studio as somebody who may change the store, and as somebody who may not. */
async function logIn(origin: string): Promise<void> {
  const sendForm = (name: string, password: string) =>
    fetch(`${origin}/log-in`, {
      method: "POST",
      body: new URLSearchParams({ name, password }),
      redirect: "manual",
    });
  const ask = (operation: string, given: object, cookie: string) =>
    fetch(`${origin}/studio/api/${operation}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-messagedb-studio": "1", cookie },
      body: JSON.stringify(given),
    });
  const page = await fetch(`${origin}/studio/`);
  expect([page.url, await page.text()]).toEqual([
    `${origin}/log-in`,
    expect.stringMatching("form"),
  ]);
  expect((await sendForm("ann", "b-password")).status).toBe(403);
  const message = { streamName: "note-1", type: "Noted" };
  expect((await ask("write", message, "session=1")).status).toBe(401);
  for (const [name, status] of [["ann", 200], ["bob", 403]] as const) {
    const { headers } = await sendForm(name, `${name[0]}-password`);
    const cookie = headers.get("set-cookie")!.split(";")[0]!;
    const found = await fetch(`${origin}/studio/`, { headers: { cookie } });
    expect([found.url, found.status]).toEqual([`${origin}/studio/`, 200]);
    expect((await ask("findMessages", { source: "account" }, cookie)).status).toBe(200);
    expect((await ask("write", message, cookie)).status).toBe(status);
  }
}

/** In a folder that has what `npm:` names; `jsr:` is this repository. */
async function runOnDeno(path: string, url: string): Promise<void> {
  const project = mkdtempSync(join(folder, "deno-"));
  mkdirSync(join(project, "node_modules"));
  for (const name of ["postgres", "@types"]) {
    symlinkSync(pathOf(`node_modules/${name}`), join(project, "node_modules", name));
  }
  const client = pathToFileURL(pathOf("mod.ts")).href;
  const files = {
    "deno.json": JSON.stringify({ imports: { "jsr:@messagedb/client@0.1": client } }),
    "package.json": JSON.stringify({ dependencies: { postgres: "^3" } }),
    "main.ts": readFileSync(path, "utf8"),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text);
  const running = promisify(execFile)(
    pathOf("test/node_modules/.bin/deno"),
    ["run", "--check", "--quiet", "--no-lock", "--allow-all", "main.ts"],
    { cwd: project, env: { ...process.env, DATABASE_URL: url } },
  );
  // An EventSource never ends: it has shown what it does when it prints.
  if (/EventSource/.test(files["main.ts"])) {
    running.child.stdout!.once("data", () => running.child.kill());
    await running.catch(({ stdout, stderr }) => expect(stdout, stderr).not.toBe(""));
  } else await running;
}

/** Sends two requests: what the first opened, the second may not use. */
async function runOnWorkerd(path: string, connectionString: string): Promise<void> {
  const worker = await startWorker(path, connectionString);
  try {
    for (const count of [1, 2]) {
      const response = await worker.dispatchFetch("http://worker/");
      expect(response.status).toBe(200);
      expect(await response.json()).toHaveLength(count);
    }
  } finally {
    await worker.dispose();
  }
}
