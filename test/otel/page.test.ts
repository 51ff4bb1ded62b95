/** The whole programs of docs/operate/telemetry.md, each in a project that has what the page installs. */
import { build } from "esbuild";
import { execFile } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { blocksOfMarkdown } from "../_blocks.ts";
import { pathOf } from "../_path_of.ts";
import { startCollector } from "./_collector.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "messagedb-telemetry-")));
// PostgreSQL runs as another user where root starts it.
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const blocks = blocksOfMarkdown("docs/operate/telemetry.md");

const commands = blocks.filter(({ language }) => language === "sh")
  .flatMap(({ code }) => code.replaceAll("\\\n", "").trim().split("\n"));

/** What the commands of the page install, as they name it, but for the options. */
function installedBy(command: string): string[] {
  return commands.filter((line) => line.startsWith(`${command} `))
    .flatMap((line) => line.slice(command.length).trim().split(/\s+/))
    .filter((name) => !name.startsWith("--"));
}

/** Makes a project with a program of the page, and with those packages that the page installs. */
async function makeProject(program: string, specifiers: readonly string[]): Promise<string> {
  const project = join(folder, program.replace(".", "-"));
  const modules = join(project, "node_modules");
  const imports = specifiers.map((it) => [it.replace(/^npm:/, ""), it] as const);
  for (const name of [...imports.map(([name]) => name), "@eventide/message-db", "zod"]) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    if (name === "@messagedb/client") await buildClient(join(modules, name));
    else symlinkSync(pathOf(`node_modules/${name}`), join(modules, name));
  }
  const { code } = blocks.find(({ name }) => name === program)!;
  writeFileSync(join(project, program), code);
  const settings = program === "deno.ts"
    ? ["deno.json", { nodeModulesDir: "manual", imports: Object.fromEntries(imports) }] as const
    : ["package.json", { type: "module" }] as const;
  writeFileSync(join(project, settings[0]), JSON.stringify(settings[1]));
  return project;
}

async function buildClient(folder: string): Promise<void> {
  await build({
    entryPoints: {
      mod: pathOf("mod.ts"),
      embedded: pathOf("src/database/embedded.ts"),
      otel: pathOf("src/otel/mod.ts"),
    },
    outdir: join(folder, "dist"),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "neutral",
    packages: "external",
    external: ["node:*"],
  });
  cpSync(pathOf("package.json"), join(folder, "package.json"));
}

test.each([
  ["main.ts", "npm install", "npx tsx main.ts", "node_modules/.bin/tsx", ["main.ts"], {}],
  [
    "deno.ts",
    "deno add",
    "OTEL_DENO=true OTEL_SERVICE_NAME=bank deno run --allow-all deno.ts",
    "test/node_modules/.bin/deno",
    ["run", "--allow-all", "--no-check", "deno.ts"],
    { OTEL_DENO: "true", OTEL_SERVICE_NAME: "bank", OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" },
  ],
])("%s exports spans and metrics", async (name, install, command, bin, args, env) => {
  expect(commands).toContain(command);
  const { url, spans, metrics, services } = await startCollector();
  const { stdout } = await promisify(execFile)(pathOf(bin), args, {
    cwd: await makeProject(name, installedBy(install)),
    env: { ...process.env, NO_COLOR: "1", ...env, OTEL_EXPORTER_OTLP_ENDPOINT: url },
  });
  expect(stdout).toBe("Handled account-123\n");
  expect(spans.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["send account", "receive account", "process account"]),
  );
  expect([...metrics]).toEqual(
    expect.arrayContaining(["messaging.client.sent.messages", "db.client.operation.duration"]),
  );
  expect(metrics.has("messagedb.consumer.parked")).toBe(name === "main.ts");
  expect([...services]).toEqual(["bank"]);
});
