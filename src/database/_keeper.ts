import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Owner } from "./_binaries.ts";

/** Under whom a child process runs. */
export interface Runner {
  /** The user to run as, where it is not the one of this process. */
  readonly owner: Owner | undefined;
  /** Whether that user can't pass through the folders above its working directory. */
  readonly isHidden: boolean;
}

/** A child process, which ends when this one does. */
export interface Child {
  readonly pid: number;
  /** Its exit status, once it has ended. */
  status(): number | undefined;
  /** Resolves to the exit status. */
  readonly ended: Promise<number>;
  /** Ends it if need be, and removes its garbage. */
  stop(): Promise<void>;
  /** Leaves the garbage of one that has ended. */
  leave(): Promise<void>;
  /** Lets this process end while that one runs. */
  unref(): void;
}

/**
 * Runs a command, says its process id and later its exit status, and waits for the end of standard
 * input: the parent holds the other end, which the system closes in whichever way the parent dies. Then
 * it ends the command, if that still runs, and removes the garbage.
 *
 * The signal is repeated, since a process that has only just begun may not heed it yet.
 */
const KEEPER = `
  trap '' HUP INT TERM PIPE
  exec 3<&0 2>/dev/null
  garbage=$1
  shift
  "$@" 3<&- </dev/null >>../server.log 2>&1 &
  child=$!
  echo $child
  (
    exec >/dev/null
    while read -r _ <&3; do :; done
    while kill -INT $child; do sleep 0.1; done
  ) &
  watcher=$!
  wait $child
  status=$?
  kill -KILL $watcher
  echo $status
  while read -r line <&3; do
    if [ "$line" = leave ]; then exit; fi
  done
  set -f
  IFS='
'
  rm -rf $garbage
`;

/** What runs is held here, so that no garbage collector closes the pipe to its keeper. */
const running = new Set<ChildProcess>();

export async function startKept(
  command: string,
  args: readonly string[],
  data: string,
  { owner, isHidden }: Runner,
  garbage: readonly string[],
): Promise<Child> {
  const hasKeeper = process.platform !== "win32";
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("PG"));
  // Node and Bun enter the working directory before they become the owner, who could not get there.
  const fullArgs = ["-D", isHidden ? "/proc/self/cwd" : data, ...args];
  const child = spawn(
    hasKeeper ? "/bin/sh" : command,
    hasKeeper ? ["-c", KEEPER, "keeper", garbage.join("\n"), command, ...fullArgs] : fullArgs,
    {
      ...owner,
      cwd: data,
      env: { ...Object.fromEntries(environment), LC_ALL: "C", TZ: "UTC" },
      stdio: hasKeeper ? ["pipe", "pipe", "ignore"] : "ignore",
      // A signal to the terminal's process group is the parent's to handle.
      detached: hasKeeper,
      windowsHide: true,
    },
  );
  running.add(child);
  const exited = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? -1));
  }).finally(() => running.delete(child));

  const lines = hasKeeper
    ? createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
    : undefined;
  const nextNumber = async (): Promise<number> => Number((await lines!.next()).value ?? NaN);
  await Promise.race([once(child, "spawn"), exited]);
  const pid = lines ? await nextNumber() : child.pid!;
  let status: number | undefined;
  const ended = (lines ? nextNumber() : exited).then((code) => status = code);

  const end = async (lastWords: string): Promise<void> => {
    child.ref();
    if (hasKeeper) child.stdin!.end(lastWords);
    else child.kill();
    await exited;
  };
  return {
    pid,
    status: () => status,
    ended,
    stop: () => end(""),
    leave: () => end("leave\n"),
    unref: () => {
      child.unref();
      // Bun's streams have no such method, and hold nothing up.
      (child.stdin as Partial<Socket> | null)?.unref?.();
      (child.stdout as Partial<Socket> | null)?.unref?.();
    },
  };
}
