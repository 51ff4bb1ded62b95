import { build } from "esbuild";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
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
    /** Whether such an end is none that it should not have had. */
    readonly isExpected?: (code: number | null, errors: string) => boolean;
  }): Ship;
  /** Kills all that runs; resolves when it has ended. */
  sink(): Promise<void>;
}

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
    external: ["pg-native", "pg-cloudflare"],
    // For what is not a module itself.
    banner: {
      js:
        'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
  });
  const failures: string[] = [];
  const running = new Set<ChildProcess>();
  let isSunk = false;
  let lives = 0;

  const launch: Fleet["launch"] = ({ name, program, argument, isExpected }) => {
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
        if (signal !== "SIGKILL" && !isExpected?.(code, errors)) {
          failures.push(`${name} ended with ${signal ?? code}: ${errors}`);
        }
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
