import { build, type Plugin } from "esbuild";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";

/** A program of this folder, run as a process over and over. */
export interface Ship {
  readonly name: string;
  /** How many processes it has been. */
  readonly lives: number;
  /** Ends the process by SIGKILL and starts the next one. */
  kill(): void;
  freeze(): void;
  thaw(): void;
  /** Tells it to stop; resolves when it has ended. */
  stop(): Promise<void>;
}

export interface Fleet {
  /** What ended by itself and should not have, and what it said. */
  readonly failures: string[];
  launch(options: {
    readonly name: string;
    readonly program: string;
    /** The program's argument, for each process anew. */
    readonly argument: (life: number) => unknown;
    /** The exit code after which it is started again. */
    readonly again?: number;
  }): Ship;
  /** Kills all that runs; resolves when it has ended. */
  sink(): Promise<void>;
}

/**
 * postgres.js 3.4.9 ends the process where a connection closes before a statement is written to it, or
 * never writes to that connection again (porsager/postgres #1154, #1208): what is tested here is not that.
 */
const mendedPostgres: Plugin = {
  name: "mended-postgres",
  setup: ({ onLoad }) =>
    onLoad({ filter: /postgres[/\\]src[/\\]connection\.js$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const contents = source
        .replace(
          /(async function closed[^]*?)clearImmediate\(nextWriteTimer\)/,
          "$&\n    chunk = nextWriteTimer = null",
        )
        .replace(
          /function nextWrite\(fn\) \{/,
          `$&
    if (socket === null) {
      chunk = nextWriteTimer = null
      error(Errors.connection('CONNECTION_CLOSED', options))
      return true
    }`,
        );
      return { contents, loader: "js" };
    }),
};

/** Makes programs of TypeScript into files that start fast. */
export async function gatherFleet(folder: string, programs: readonly string[]): Promise<Fleet> {
  await build({
    entryPoints: [...programs],
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
    plugins: [mendedPostgres],
  });
  const failures: string[] = [];
  const running = new Set<ChildProcess>();
  let isSunk = false;
  let lives = 0;

  const launch: Fleet["launch"] = ({ name, program, argument, again }) => {
    const path = join(folder, basename(program).replace(/\.ts$/, ".mjs"));
    let process_: ChildProcess;
    let count = 0;
    let isStopping = false;

    function start(): void {
      count++;
      const child = spawn(process.execPath, [path, JSON.stringify(argument(lives++))], {
        stdio: ["pipe", "inherit", "pipe"],
      });
      process_ = child;
      running.add(child);
      let errors = "";
      child.stderr.on("data", (text) => errors += text);
      child.on("close", (code, signal) => {
        running.delete(child);
        // Who has only just been started does not know yet how to stop.
        if (isSunk || isStopping && (code === 0 || signal === "SIGTERM")) return;
        const isExpected = signal === "SIGKILL" || code === again;
        if (!isExpected) failures.push(`${name} ended with ${signal ?? code}: ${errors}`);
        if (!isStopping) start();
      });
    }
    start();
    return {
      name,
      get lives() {
        return count;
      },
      kill: () => void process_.kill("SIGKILL"),
      freeze: () => void process_.kill("SIGSTOP"),
      thaw: () => void process_.kill("SIGCONT"),
      stop: async () => {
        isStopping = true;
        process_.kill("SIGTERM");
        if (running.has(process_)) await once(process_, "close");
      },
    };
  };
  return {
    failures,
    launch,
    sink: async () => {
      isSunk = true;
      const ended = [...running].map((child) => once(child, "close"));
      for (const child of running) child.kill("SIGKILL");
      await Promise.all(ended);
    },
  };
}
