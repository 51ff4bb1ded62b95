/**
 * `npm run docs` builds the site into docs/.vitepress/dist, `npm run docs:dev` serves it while it is
 * written. What follows the command goes to VitePress: `npm run docs -- --outDir /tmp/site`.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isInstalled } from "../../test/_is_installed.ts";

const [command = "build", ...args] = process.argv.slice(2);

process.chdir(fileURLToPath(new URL("../..", import.meta.url)));
if (!isInstalled("docs")) {
  run(
    "npm",
    "ci",
    "--prefix",
    "docs",
    "--include",
    "dev",
    "--loglevel",
    "error",
    "--no-audit",
    "--no-fund",
  );
}
// Not before: it imports what has just been installed.
const { writeApi } = await import("./api.ts");
await writeApi();
run("docs/node_modules/.bin/vitepress", command, "docs", ...args);

function run(command: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
