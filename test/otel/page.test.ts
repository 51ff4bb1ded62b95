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
import { afterAll, beforeAll, expect, test } from "vitest";
import { blocksOfMarkdown } from "../_blocks.ts";
import { pathOf } from "../_path_of.ts";
import { startCollector } from "./_collector.ts";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "messagedb-telemetry-")));
// PostgreSQL runs as another user where root starts it.
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const blocks = blocksOfMarkdown("docs/operate/telemetry.md");

beforeAll(async () => {
  const client = join(folder, "node_modules/@messagedb/client");
  await build({
    entryPoints: {
      mod: pathOf("mod.ts"),
      embedded: pathOf("src/database/embedded.ts"),
      otel: pathOf("src/otel/mod.ts"),
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
  const commands = blocks.filter(({ language }) => language === "sh")
    .flatMap(({ code }) =>
      code.replaceAll("\\\n", "").match(/^(npm install|deno add) .+$/gm) ?? []
    );
  const names = commands.flatMap((it) => it.split(/\s+/).slice(2))
    .map((name) => name.replace("npm:", ""))
    .filter((name) => !/^(--.*|@messagedb\/client)$/.test(name));
  for (const name of new Set([...names, "@eventide/message-db", "zod"])) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(pathOf(`node_modules/${name}`), link);
  }
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  for (const { name, code } of blocks) if (name) writeFileSync(join(folder, name), code);
});

test.each([
  ["main.ts", "npx tsx main.ts", "node_modules/.bin/tsx", ["main.ts"], {}],
  [
    "deno.ts",
    "OTEL_DENO=true OTEL_SERVICE_NAME=bank deno run --allow-all deno.ts",
    "test/node_modules/.bin/deno",
    ["run", "--allow-all", "--no-check", "deno.ts"],
    { OTEL_DENO: "true", OTEL_SERVICE_NAME: "bank", OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" },
  ],
])("%s exports spans and metrics", async (name, command, bin, args, env) => {
  expect(blocks.filter(({ language }) => language === "sh").map(({ code }) => code.trim()))
    .toContain(command);
  const { url, spans, metrics, services } = await startCollector();
  const { stdout } = await promisify(execFile)(pathOf(bin), args, {
    cwd: folder,
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
