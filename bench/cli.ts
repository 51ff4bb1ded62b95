/**
 * `npm run bench:cli`: how long `messagedb --version` takes, against an empty program of the same runtime.
 *
 * Both take turns in one run. `--rounds` says how often each is started. Deno and Bun are of those packages
 * that the first `npm test` installs.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { table } from "./_compare.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "41" } } });
const pathOf = (file: string) => fileURLToPath(new URL(`../${file}`, import.meta.url));
const binary = pathOf("dist/cli/messagedb.js");

const runtimes: readonly (readonly string[])[] = [
  [process.execPath],
  [pathOf("test/node_modules/.bin/deno"), "run", "--allow-all"],
  [pathOf("test/node_modules/.bin/bun")],
];

async function timeOf([command, ...before]: readonly string[], args: string[]): Promise<number> {
  const start = performance.now();
  await promisify(execFile)(command!, [...before, ...args]);
  return performance.now() - start;
}

function medianOf(times: number[]): number {
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}

const folder = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const empty = join(folder, "empty.mjs");
await writeFile(empty, "export {};");
const rows = [["", "empty program", "messagedb --version", "ratio"]];
try {
  for (const runtime of runtimes.filter(([command]) => existsSync(command!))) {
    const times = { empty: [] as number[], version: [] as number[] };
    // The first round warms the caches of files and of compiled code.
    for (let round = 0; round <= Number(values.rounds); round++) {
      const first = await timeOf(runtime, [empty]);
      const second = await timeOf(runtime, [binary, "--version"]);
      if (round === 0) continue;
      times.empty.push(first);
      times.version.push(second);
    }
    const [of, version] = [medianOf(times.empty), medianOf(times.version)];
    rows.push([
      runtime[0]!.split("/").at(-1)!,
      `${of.toFixed(0)} ms`,
      `${version.toFixed(0)} ms`,
      (version / of).toFixed(2),
    ]);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(table(rows));
