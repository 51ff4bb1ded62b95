import { type ChildProcess, spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { beforeAll, onTestFinished } from "vitest";
import { until } from "../_until.ts";
import { pathOf } from "../_path_of.ts";
import type { Database } from "../database.ts";
import { madeOnce } from "../_made_once.ts";

/** What a run of the command line came to. */
export interface Run {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | null;
}

/** How the command line is run. */
export interface RunOptions {
  /** @default the database of the test file */
  readonly url?: string | undefined;
  /** What standard input has; nothing by default. With null, it is left open. */
  readonly stdin?: string | null | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** @default "node" */
  readonly runtime?: Runtime | undefined;
  /** @default the built file */
  readonly path?: string | undefined;
}

export type Runtime = "node" | "deno" | "bun";

/** The program `messagedb`, built as the package has it. */
export interface Messagedb {
  /** Runs a command to its end. */
  run(args: readonly string[], options?: RunOptions): Promise<Run>;
  /** Starts a command, which is ended with the test at the latest. */
  start(args: readonly string[], options?: RunOptions): ChildProcess;
  /** Runs a command that has to succeed, and answers what it printed. */
  print(...args: string[]): Promise<string>;
  /**
   * Asks for the names in the store that can follow, until there are some: a store that takes a second to answer
   * gives none.
   */
  namesAfter(...args: string[]): Promise<string>;
  /** Runs a command with `--json` that has to succeed, and answers the values that it printed, a line each. */
  json(...args: string[]): Promise<unknown[]>;
  /** The built file. */
  readonly path: string;
}

const COMMANDS: Readonly<Record<Runtime, readonly string[]>> = {
  node: [process.execPath],
  deno: [pathOf("test/node_modules/.bin/deno"), "run", "--allow-all", "--quiet"],
  bun: [pathOf("test/node_modules/.bin/bun")],
};

/** The command line for the tests of a file, which run it on the file's database: built once for all files. */
export function useMessagedb(database: Pick<Database, "url">): Messagedb {
  let path: string;
  beforeAll(async () => {
    // The builder is imported by the file that builds.
    const make = async (folder: string) => (await import("./_build.ts")).buildInto(folder);
    path = join(await madeOnce("messagedb", "root", make), "cli/messagedb.js");
  });

  const messagedb: Messagedb = {
    get path() {
      return path;
    },
    start(args, options = {}) {
      const { url = database.url, stdin = "", env, cwd = tmpdir() } = options;
      const { runtime = "node", path = messagedb.path } = options;
      const [command, ...before] = COMMANDS[runtime];
      const child = spawn(command!, [...before, path, ...args], {
        cwd,
        env: {
          ...process.env,
          DATABASE_URL: url,
          NO_COLOR: undefined,
          FORCE_COLOR: undefined,
          ...env,
        },
      });
      onTestFinished(() => void child.kill("SIGKILL"));
      child.stdin.on("error", () => {});
      if (stdin !== null) child.stdin.end(stdin);
      return child;
    },
    async run(args, options) {
      const child = messagedb.start(args, options);
      const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
      const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
      return { stdout, stderr, exitCode: await ended };
    },
    async print(...args) {
      const { stdout, stderr, exitCode } = await messagedb.run(args);
      if (exitCode !== 0) throw new Error(`messagedb ${args.join(" ")}: ${exitCode}: ${stderr}`);
      return stdout;
    },
    async namesAfter(...args) {
      let printed = "";
      await until(async () => {
        printed = await messagedb.print("complete", "--", ...args);
        return !printed.startsWith(":");
      });
      return printed;
    },
    async json(...args) {
      const lines = (await messagedb.print(...args, "--json")).split("\n").filter(Boolean);
      return lines.map((line) => JSON.parse(line));
    },
  };
  return messagedb;
}
