import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);
const LAZY = ["postgres", "@bomb.sh/tab", "@hono/node-server", "string-width"];

/** The packages whose code is in a built file: esbuild names the file before the code. */
function packagesIn(code: string): string[] {
  const comments = code.matchAll(/^ *\/\/ (?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//gm);
  return [...new Set([...comments].map(([, name]) => name!))].sort();
}

/** What a command loads: its own files, and the packages that are in these. V8 lists the files. */
async function loadedBy(...args: string[]): Promise<{ files: string[]; packages: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { exitCode } = await messagedb.run(args, { env: { NODE_V8_COVERAGE: folder } });
  expect(exitCode).toBe(0);
  const [coverage] = await readdir(folder);
  const { result } = JSON.parse(await readFile(join(folder, coverage!), "utf8"));
  const files = result.map(({ url }: { url: string }) => url)
    .filter((url: string) => url.startsWith("file:"))
    .map((url: string) => fileURLToPath(url)) as string[];
  const codes = await Promise.all(files.map((file) => readFile(file, "utf8")));
  return { files, packages: packagesIn(codes.join("\n")) };
}

describe("start-up", () => {
  test.each([[["--version"]], [["--help"]], [["read", "--help"]]])(
    "of %j loads neither the driver nor the library",
    async (args) => {
      const { files, packages } = await loadedBy(...args);
      expect(files).toContain(messagedb.path);
      expect(files.filter((file) => dirname(file) !== dirname(messagedb.path))).toEqual([]);
      expect(packages).toContain("commander");
      expect(packages.filter((name) => LAZY.includes(name))).toEqual([]);
    },
  );

  test("of other commands loads what they need", async () => {
    const version = await loadedBy("version", "account-1");
    expect(version.packages.filter((name) => LAZY.includes(name))).toEqual(["postgres"]);
    expect(version.files.filter((file) => dirname(file) !== dirname(messagedb.path)))
      .toContain(join(dirname(messagedb.path), "../mod.js"));
    const completion = await loadedBy("completion", "fish");
    expect(completion.packages.filter((name) => LAZY.includes(name))).toEqual(["@bomb.sh/tab"]);
  });
});

test("the licenses of all packages in the bundle are beside it", async () => {
  const folder = dirname(messagedb.path);
  const files = (await readdir(folder)).filter((file) => file.endsWith(".js"));
  const codes = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  const text = await readFile(join(folder, "LICENSES.md"), "utf8");
  const named = [...text.matchAll(/^## (\S+) \d/gm)].map(([, name]) => name!);
  expect(named.sort()).toEqual(packagesIn(codes.join("\n")));
  expect(named).toEqual(expect.arrayContaining(["commander", ...LAZY]));
  for (const section of text.split(/^## /m).slice(1)) {
    expect(section).toMatch(/Copyright \(c\)|License: Unlicense/);
  }
});
