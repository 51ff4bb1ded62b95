/**
 * `npm test`: every check, one after another, and what they come to in the last line.
 *
 * With arguments, `npm test -- write read_all`, only the test files whose path holds one of them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isInstalled } from "./_is_installed.ts";

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

const deno = "test/node_modules/.bin/deno";
const filters = process.argv.slice(2);
const results: Counts[] = [];
const running = new Set<ChildProcess>();

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
process.on("exit", () => running.forEach(end));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => process.exit(1));
}

for (
  const [folder, who] of [
    ["test", "tests need"],
    ["bench", "benchmark needs"],
    ["docs", "site needs"],
  ] as const
) {
  if (isInstalled(folder)) continue;
  await check(
    `Install what only the ${who}`,
    ["npm", "ci", "--prefix", folder, "--loglevel", "error", "--no-audit", "--no-fund"],
  );
}
// The tests look at the page as it is written now.
await check("Page of the studio", ["node_modules/.bin/tsx", "page.config.ts"]);
if (filters.length === 0) {
  // At once: the types take as long as the others, and one core.
  await Promise.all([
    check("Lint", [deno, "lint"], "pipe"),
    check("Format", [deno, "fmt", "--check"], "pipe"),
    check("Types of the page", ["node_modules/.bin/tsc", "-p", "src/studio/page"], "pipe"),
    check("Types", ["node_modules/.bin/tsc"], "pipe"),
  ]);
}
await runVitest();

const [passed, failed, skipped] = (["passed", "failed", "skipped"] as const)
  .map((key) => results.reduce((sum, counts) => sum + counts[key], 0));
const counted = `${passed} passed, ${failed} failed`;
console.log(`\n${skipped ? `${counted}, ${skipped} skipped` : counted}`);
process.exitCode = failed === 0 ? 0 : 1;

async function check(
  heading: string,
  command: readonly string[],
  output?: "pipe",
): Promise<void> {
  const succeeded = await step(heading, command, output);
  results.push({ passed: Number(succeeded), failed: Number(!succeeded), skipped: 0 });
}

async function runVitest(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "messagedb-client-"));
  const output = join(folder, "vitest.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${output}`];
  const command = ["node_modules/.bin/vitest", "run", ...reporters, ...filters];
  const succeeded = await step("Tests", command);
  results.push(countsOf(output, succeeded));
  rmSync(folder, { recursive: true });
}

function countsOf(output: string, succeeded: boolean): Counts {
  let report: VitestReport;
  try {
    report = JSON.parse(readFileSync(output, "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  // A file whose imports or hooks fail has no failed test.
  const brokenFiles = report.testResults.filter((file) =>
    file.status === "failed" && !file.assertionResults.some(({ status }) => status === "failed")
  );
  const failed = report.numFailedTests + brokenFiles.length;
  return {
    passed: report.numPassedTests,
    // Vitest fails without either on an error outside of a test, and when it finds no test.
    failed: failed === 0 && !succeeded ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/**
 * Runs a command to its end; resolves to whether it succeeded.
 *
 * @param output With "pipe", what the command prints is printed when it has ended.
 */
async function step(
  heading: string,
  [command, ...args]: readonly string[],
  output: "inherit" | "pipe" = "inherit",
): Promise<boolean> {
  const title = `\n=== ${heading}\n`;
  if (output === "inherit") console.log(title);
  const start = performance.now();
  // A process group of its own, so that what it started ends with it.
  const child = spawn(command!, args, { stdio: ["ignore", output, output], detached: true });
  running.add(child);
  const printed: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text) => printed.push(text));
  }
  const code = await new Promise((resolve) => {
    child.once("close", resolve);
    child.once("error", resolve);
  });
  end(child);
  if (output === "pipe") console.log(`${title}\n${printed.join("")}`);
  const seconds = Math.round((performance.now() - start) / 1000);
  const outcome = code === 0 ? "passed" : `FAILED (${code ?? "killed"})`;
  console.log(`\n${heading}: ${outcome} in ${seconds} s`);
  return code === 0;
}

/** Ends what is left of a command. */
function end(child: ChildProcess): void {
  running.delete(child);
  try {
    if (child.pid) process.kill(-child.pid, "SIGKILL");
  } catch {
    // Nothing of it is left.
  }
}
