/** Spans find their parents on each runtime, through timers, a driver and a consumer. */
import { readStream } from "@messagedb/client";
import { build } from "esbuild";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pathOf } from "../_path_of.ts";
import { runWorker } from "../_worker.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const bin = pathOf("test/node_modules/.bin");
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-otel-"));
  await build({
    entryPoints: ["_program_main", "_program_deno"].map((name) => pathOf(`test/otel/${name}.ts`)),
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    logLevel: "error",
    // What is CommonJS in the bundle requires modules of Node.
    banner: {
      js:
        'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
  });
});
afterAll(() => rm(folder, { recursive: true }));

const spansOf = (category: string) => {
  const process = `INTERNAL work > PRODUCER send ${category} > CONSUMER process ${category}`;
  return [
    "INTERNAL work",
    `INTERNAL work > PRODUCER send ${category}`,
    `INTERNAL work > PRODUCER send ${category} > CLIENT SELECT write_message`,
    process,
    `${process} > PRODUCER send ${category}Done`,
    `${process} > PRODUCER send ${category}Done > CLIENT SELECT write_message`,
  ];
};

async function run(command: string, args: readonly string[], env = {}): Promise<string> {
  const options = { env: { ...process.env, DATABASE_URL: db.url, NO_COLOR: "1", ...env } };
  return (await promisify(execFile)(command, [...args], options)).stdout;
}

test.each([
  ["node", process.execPath, []],
  ["deno", join(bin, "deno"), ["run", "--allow-all", "--quiet", "--no-config"]],
  ["bun", join(bin, "bun"), []],
])("a trace goes through the program on %s", async (name, command, args) => {
  const output = await run(command, [...args, join(folder, "_program_main.mjs"), name]);
  expect(JSON.parse(output)).toEqual(spansOf(name));
});

/** The Worker in one file. As Wrangler does, it imports the modules of Node that the SDK requires. */
async function workerScript(): Promise<string> {
  const { outputFiles: [script] } = await build({
    entryPoints: [pathOf("test/otel/_program_worker.ts")],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    external: ["node:*", "cloudflare:*", "async_hooks", "events"],
    banner: {
      js: `import * as async_hooks from "node:async_hooks";
        import * as events from "node:events";
        const require = (name) => ({ async_hooks, events })[name];`,
    },
  });
  return script!.text;
}

test("a trace goes through the program on workerd", async () => {
  const worker = runWorker(await workerScript(), db.url);
  try {
    const response = await worker.dispatchFetch("http://worker/");
    expect(await response.json()).toEqual(spansOf("workerd"));
  } finally {
    await worker.dispose();
  }
});

test("Deno exports what traced() makes by its own OpenTelemetry", async () => {
  let text = "";
  const collector = createServer(async (request, response) => {
    for await (const part of request) text += part;
    response.setHeader("content-type", "application/json").end("{}");
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  try {
    await run(
      join(bin, "deno"),
      ["run", "--allow-all", "--quiet", "--no-config", join(folder, "_program_deno.mjs")],
      {
        OTEL_DENO: "true",
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${
          (collector.address() as AddressInfo).port
        }`,
      },
    );
    expect(text).toMatch(/"name": *"send builtin"/);
    expect(text).toMatch(/"name": *"SELECT write_message"/);
    const [{ metadata } = { metadata: null }] = await readStream(db.sql, "builtin-1");
    expect(text).toContain(metadata!.traceparent!.split("-")[1]);
  } finally {
    collector.close();
  }
});
