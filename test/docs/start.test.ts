/**
 * Follows the pages of docs/start/: makes a project of the files of a page, with the packages that the
 * page installs and no others, and runs the commands of the page. The block `text` after a command is
 * what it has to print.
 */
import { EdgeRuntime } from "edge-runtime";
import { build } from "esbuild";
import { type ChildProcess, exec, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import postgres from "postgres";
import ts from "typescript";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { type Block, blocksOfMarkdown, markdownFiles } from "../_blocks.ts";
import { pathOf } from "../_path_of.ts";
import { chromium, openPage } from "../_browser.ts";
import { freePort } from "../_free_port.ts";
import { eventually } from "../_until.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "messagedb-start-")));
// PostgreSQL runs as another user where root starts it.
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The package as npm would have it, but for the declarations. */
const client = join(folder, "client");

beforeAll(async () => {
  await build({
    entryPoints: {
      mod: pathOf("mod.ts"),
      fetch: pathOf("src/http/fetch_sql.ts"),
      gateway: pathOf("src/http/gateway.ts"),
      install: pathOf("src/database/install.ts"),
      embedded: pathOf("src/database/embedded.ts"),
      operate: pathOf("src/operate/mod.ts"),
      studio: pathOf("src/studio/studio.ts"),
      testing: pathOf("src/testing/mod.ts"),
      _test_database: pathOf("src/testing/_test_database.ts"),
    },
    outdir: join(client, "dist"),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "neutral",
    packages: "external",
    external: ["node:*"],
  });
  cpSync(pathOf("package.json"), join(client, "package.json"));
});

/** What a page installs that the tests do without: other programs stand for it, or nothing does. */
const NOT_HERE = ["next", "react", "react-dom", "@types/react", "wrangler"];

/** A page, as a project. */
interface Project {
  readonly blocks: readonly Block[];
  readonly path: string;
  /** Runs a command in the project to its end, and resolves to all that it printed. */
  readonly run: (command: string, env?: Record<string, string>) => Promise<string>;
  /** Starts a command that goes on. */
  readonly start: (command: string, env?: Record<string, string>) => Running;
  /** Ends what goes on. */
  readonly end: () => Promise<void>;
}

interface Running {
  readonly output: () => string;
}

function makeProject(page: string, isOfPart: (block: Block) => boolean = () => true): Project {
  const blocks = blocksOfMarkdown(`docs/start/${page}.md`).filter(isOfPart);
  const path = mkdtempSync(join(folder, `${page}-`));
  chmodSync(path, 0o755);
  writeFileSync(join(path, "package.json"), JSON.stringify({ type: "module" }));
  const installed = new Set(blocks.flatMap(installedBy).filter((name) => !NOT_HERE.includes(name)));
  for (const name of [...installed, "@eventide/message-db", "zod"]) link(name, path);
  for (const { name, code } of blocks) if (name !== undefined) write(join(path, name), code);

  const bins = [path, pathOf("node_modules/.bin"), pathOf("test/node_modules/.bin")];
  const environment = (env: Record<string, string>) => ({
    PATH: [...bins, process.env["PATH"]].join(delimiter),
    HOME: process.env["HOME"] ?? path,
    NO_COLOR: "1",
    ...env,
  });
  const running: ChildProcess[] = [];
  return {
    blocks,
    path,
    run: async (command, env = {}) => {
      const options = { cwd: path, env: environment(env) };
      const { stdout, stderr } = await promisify(exec)(withoutNpx(command), options);
      return stdout + stderr;
    },
    start: (command, env = {}) => {
      // In a group of its own, which ends as by Ctrl-C in a terminal.
      const options = { cwd: path, env: environment(env), shell: true, detached: true } as const;
      const child = spawn(withoutNpx(command), options);
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (it) => output += it);
      running.push(child);
      return { output: () => output };
    },
    end: async () => {
      for (const child of running) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const exit = once(child, "exit");
        process.kill(-child.pid!, "SIGINT");
        await exit;
      }
    },
  };
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** `npx` asks npm's configuration first, for a third of a second. */
function withoutNpx(command: string): string {
  return command.replaceAll(/\bnpx (?=tsx|vite|vitest)/g, "");
}

/** The packages that a block's commands install. */
function installedBy({ language, code }: Block): string[] {
  if (language !== "sh") return [];
  const commands = code.matchAll(/^(?:npm install|deno add|bun add) (.+)$/gm);
  return [...commands].flatMap(([, words]) =>
    words!.split(" ")
      .filter((word) => !word.startsWith("-"))
      .map((word) => word.replace(/^npm:/, "").replace(/(?<=.)@\d+$/, ""))
  );
}

function link(name: string, project: string): void {
  const place = join(project, "node_modules", name);
  mkdirSync(dirname(place), { recursive: true });
  // What it imports is found beside it, as where npm installs it.
  if (name === "@messagedb/client") return cpSync(client, place, { recursive: true });
  const target = ["node_modules", "test/node_modules"].map((it) => pathOf(`${it}/${name}`))
    .find((it) => existsSync(it));
  expect(target, `the package ${name}`).toBeDefined();
  symlinkSync(target!, place);
}

/** Checks that a text has the lines of another, in order, whatever is between. */
function expectLines(output: string, expected: string): void {
  let from = 0;
  for (const line of expected.split("\n").map((it) => it.trim())) {
    const at = output.indexOf(line, from);
    expect(at, `"${line}" in:\n${output}`).not.toBe(-1);
    from = at + line.length;
  }
}

/** What a page says that the commands of a block print, or nothing. */
function printedBy(block: Block, { blocks }: Project): string {
  const next = blocks[blocks.indexOf(block) + 1];
  return next?.language === "text" ? next.code : "";
}

/** The only block of commands that has a text in it. */
function commands(text: string, { blocks }: Project): Block {
  const found = blocks.filter(({ language, code }) => language === "sh" && code.includes(text));
  expect(found.length, `blocks with "${text}"`).toBe(1);
  return found[0]!;
}

/** Runs commands that ask a server, on another port than the page says, and resolves to the answers. */
async function ask(block: Block, project: Project, port: number): Promise<string> {
  const code = block.code
    .replaceAll(/localhost:\d+/g, `127.0.0.1:${port}`)
    .replaceAll("curl ", "curl --silent --show-error ");
  return await project.run(code);
}

async function answers(url: string): Promise<void> {
  await eventually(async () => void await (await fetch(url)).body?.cancel());
}

/** Runs the programs of a page one after another, and checks what they print. */
async function follow(project: Project, isProgram: RegExp): Promise<void> {
  const server = inject("databaseOrigin").url;
  const name = `start_${crypto.randomUUID().replaceAll("-", "")}`;
  const url = new URL(server);
  url.pathname = `/${name}`;
  const programs = project.blocks.filter(({ language, code }) =>
    language === "sh" && isProgram.test(code)
  );
  expect(programs).not.toEqual([]);
  try {
    for (const block of programs) {
      const code = block.code
        .replaceAll("postgres://postgres:secret@localhost/bank", `'${url.href}'`)
        .replaceAll(
          "postgres://message_store@localhost/bank",
          `'${url.href}?options=-c%20role%3Dmessage_store'`,
        )
        // Its types need what the packages of Deno's cache bring along.
        .replaceAll("deno test", "deno test --no-check");
      expectLines(await project.run(code), printedBy(block, project));
    }
  } finally {
    const sql = postgres(server, { max: 1, onnotice: () => {} });
    await sql`drop database if exists ${sql(name)}`.finally(() => sql.end());
  }
}

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
if (!hasCurl) console.log("Skipped: the pages whose commands are curl, which is not installed");

test.concurrent("node.md", async () => {
  await follow(makeProject("node"), /^(DATABASE_URL=\S+ )?npx tsx /);
});

test.concurrent("deno.md", async () => {
  await follow(makeProject("deno"), /^deno run /m);
});

test.concurrent("bun.md", async () => {
  await follow(makeProject("bun"), /^(DATABASE_URL=\S+ )?bun \w+\.ts/);
});

test.concurrent("tests.md, with vitest", async () => {
  const project = makeProject("tests", ({ name = "test/" }) => name.includes("/"));
  // Later than where the page runs its first test alone.
  const block = project.blocks.findLast(({ code }) => code === "npx vitest run\n")!;
  expectLines(await project.run(block.code), printedBy(block, project));
});

test.concurrent.each([
  ["node:test", /^npx tsx --test/, "account_node.ts"],
  ["bun test", /^bun test/, "account_bun.test.ts"],
  ["Deno.test", /^deno test/, "account_test.ts"],
])("tests.md, with %s", async (_, command, file) => {
  await follow(makeProject("tests", ({ name = file }) => name === file), command);
});

test.skipIf(!hasCurl).concurrent("cloudflare-workers.md", async ({ onTestFinished }) => {
  const project = makeProject("cloudflare-workers");
  onTestFinished(project.end);
  const wrangler = pathOf("test/docs/_wrangler.ts");
  const npx = join(project.path, "npx");
  write(
    npx,
    `#!/bin/sh\nexec "${process.execPath}" --import "${
      import.meta.resolve("tsx")
    }" "${wrangler}"\n`,
  );
  chmodSync(npx, 0o755);
  const port = await freePort();
  const dev = project.start(commands("node dev.js", project).code, { WRANGLER_PORT: `${port}` });
  await answers(`http://127.0.0.1:${port}/`).catch((cause) => {
    throw new Error(dev.output(), { cause });
  });
  const visit = commands("curl --data Ada", project);
  expectLines(await ask(visit, project, port), printedBy(visit, project));
  const trigger = commands("scheduled", project);
  await ask(trigger, project, port);
  await eventually(() => expectLines(dev.output(), printedBy(trigger, project)));
});

test.skipIf(!hasCurl).concurrent("edge-functions.md", async ({ onTestFinished }) => {
  const project = makeProject("edge-functions");
  onTestFinished(project.end);
  const [gatewayPort, port] = [await freePort(), await freePort()];
  const env = {
    EVENTS_URL: `http://127.0.0.1:${gatewayPort}/sql`,
    EVENTS_TOKEN: "another-token",
    PORT: `${gatewayPort}`,
  };
  const dev = join(project.path, "dev.ts");
  const text = project.blocks.find(({ name }) => name === "dev.ts")!.code;
  writeFileSync(dev, text.replace("port: 3000", `port: ${port}`));
  project.start(commands("npx tsx gateway.ts", project).code, env);
  project.start(commands("npx tsx dev.ts", project).code, env);
  await answers(`http://127.0.0.1:${gatewayPort}/`);
  await answers(`http://127.0.0.1:${port}/`);
  const visit = commands("curl --data Ada", project);
  expectLines(await ask(visit, project, port), printedBy(visit, project));

  // On the runtime of Vercel's edge functions.
  const { outputFiles: [script] } = await build({
    entryPoints: [join(project.path, "api/visits.ts")],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "visits",
    define: {
      "process.env.EVENTS_URL": JSON.stringify(env.EVENTS_URL),
      "process.env.EVENTS_TOKEN": JSON.stringify(env.EVENTS_TOKEN),
    },
  });
  const edge = new EdgeRuntime();
  edge.evaluate(script!.text);
  const answer = await edge.evaluate<Promise<string>>(`
    visits.default(new Request("http://edge/", { method: "POST", body: "Grace" }))
      .then((response) => response.text())`);
  expect(JSON.parse(answer).map(({ data }: { data: unknown }) => data))
    .toEqual([{ name: "Ada" }, { name: "Grace" }]);

  // On that of Netlify's.
  write(
    join(project.path, "netlify.ts"),
    `Reflect.set(globalThis, "Netlify", { env: Deno.env });
    const { default: handler } = await import("./netlify/edge-functions/visits.ts");
    console.log(await (await handler(new Request("http://edge/"))).text());`,
  );
  expect(JSON.parse(await project.run("deno run --allow-net --allow-env netlify.ts", env)))
    .toEqual(JSON.parse(answer));
});

test.concurrent("nextjs.md", async () => {
  const project = makeProject("nextjs");
  write(
    join(project.path, "node_modules/next/package.json"),
    JSON.stringify({ type: "module", exports: { "./*": "./*.js" } }),
  );
  write(join(project.path, "node_modules/next/server.js"), "export async function connection() {}");
  write(join(project.path, "node_modules/next/cache.js"), "export function revalidatePath() {}");
  write(
    join(project.path, "main.ts"),
    `import { sign } from "./app/actions";
    import { GET, POST } from "./app/api/guests/route";
    import { store } from "./lib/store";

    const body = ${JSON.stringify(JSON.stringify({ name: "Ada" }))};
    console.log(await (await POST(new Request("http://next/", { method: "POST", body }))).text());
    console.log(await (await GET()).text());

    const form = new FormData();
    form.set("name", "Grace");
    await sign(form);
    console.log((await (await GET()).json()).length);

    // As a hot reload does.
    const again = await import("./lib/store?again");
    console.log(again.store !== store, again.store() === store());
    await (await store()).end();`,
  );
  const output = await project.run("npx tsx main.ts");
  expectLines(output, printedBy(commands("curl --json", project), project));
  expectLines(output, "2\ntrue true");
});

test.skipIf(!chromium).concurrent("browser.md", async ({ onTestFinished }) => {
  const project = makeProject("browser");
  onTestFinished(project.end);
  const [gatewayPort, port] = [await freePort(), await freePort()];
  const env = { PORT: `${gatewayPort}` };
  const browser = await openPage();
  onTestFinished(browser.close);
  project.start(commands("npx tsx server.ts", project).code, env);
  const command = commands("npx vite\n", project).code.trim();
  project.start(`${command} --host 127.0.0.1 --port ${port} --strictPort`, env);
  await answers(`http://127.0.0.1:${gatewayPort}/`);
  await answers(`http://127.0.0.1:${port}/`);

  const { page } = browser;
  const another = await page.context().browser()!.newPage();
  for (const it of [page, another]) await it.goto(`http://127.0.0.1:${port}/`);
  await page.fill("input", "Ada");
  await page.click("button");
  for (const it of [page, another]) {
    await it.waitForSelector("li");
    expect(await it.textContent("ol")).toBe("Ada");
  }
});

test("the files have the right types", () => {
  const project = mkdtempSync(pathOf("test/.start-"));
  try {
    const files = markdownFiles("docs/start").flatMap((page) =>
      blocksOfMarkdown(page)
        // Deno has types of its own, and so has the configuration of Next.js.
        .filter(({ name, code }) => name?.endsWith(".ts") && !/Deno\.|"next"/.test(code))
        .map(({ name, code }) => {
          const path = join(project, page.replaceAll(/\W/g, "_"), name!);
          write(path, code);
          return path;
        })
    );
    const next = join(project, "next.d.ts");
    write(
      next,
      `declare module "next/cache" { export function revalidatePath(path: string): void; }
      declare module "next/server" { export function connection(): Promise<void>; }`,
    );
    const { config } = ts.readConfigFile(pathOf("tsconfig.json"), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, pathOf("."));
    const program = ts.createProgram([next, ...files], {
      ...options,
      declaration: false,
      noPropertyAccessFromIndexSignature: false,
      types: ["node", "bun"],
      typeRoots: [pathOf("node_modules/@types"), pathOf("test/node_modules/@types")],
    });
    const errors = files.flatMap((path) => {
      const file = program.getSourceFile(path);
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    }).map(({ file, messageText }) =>
      `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`
    );
    expect(errors).toEqual([]);
  } finally {
    rmSync(project, { recursive: true });
  }
});
