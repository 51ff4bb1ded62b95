import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Runner } from "./_job.ts";

/** The process of a TypeScript file beside this one, run as this one is; its stdin and stdout are piped. */
export function startProgram(file: string, ...args: string[]): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url));
  return spawn(process.execPath, [...process.execArgv, path, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
}

/** Gives jobs to a process, and takes what it answers: a line of JSON each. */
export function runnerOf(child: ChildProcess, title: string): Runner {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    async run(job) {
      child.stdin!.write(`${JSON.stringify(job)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`The process of ${title} ended`);
      return JSON.parse(value);
    },
    close: () => end(child),
  };
}

export async function end(child: ChildProcess): Promise<void> {
  child.stdin?.end();
  if (child.exitCode === null && child.signalCode === null) {
    child.kill();
    await once(child, "exit");
  }
}

/** Where one of PostgreSQL's programs is, if it is installed. */
export function findPostgresProgram(name: string): string | undefined {
  // What Debian has in the path is a script in Perl, whose time would be counted.
  const versions = "/usr/lib/postgresql";
  const paths = existsSync(versions)
    ? readdirSync(versions).sort((a, b) => Number(b) - Number(a))
      .map((version) => `${versions}/${version}/bin/${name}`)
    : [];
  return [...paths.filter((path) => existsSync(path)), name].find((path) =>
    spawnSync(path, ["--version"]).status === 0
  );
}

/** The most memory that a process had so far, or since it forgot, in bytes, where the system tells. */
export function peakMemoryOf(pid: number): number | undefined {
  const kilobytes = /^VmHWM:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** From now on, the most memory that this process had is what it has or will have, where the system can. */
export function forgetPeakMemory(): void {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // Then it is the most so far.
  }
}

/** How long the first thread of a process has run, in milliseconds, where the system tells. */
export function cpuOf(pid: number): number | undefined {
  const nanoseconds = /^\d+/.exec(read(`/proc/${pid}/schedstat`))?.[0];
  return nanoseconds === undefined ? undefined : Number(nanoseconds) / 1e6;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
