import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Owner } from "./_ownership.ts";

/** How a child process runs. */
export interface Runner {
  /** The user that it runs as; undefined for the user of this process. */
  readonly owner: Owner | undefined;
  /** Whether this user can't pass through the folders above its working directory. */
  readonly isHidden: boolean;
  /** The folder that the child removes when it ends. */
  readonly temporary: string;
}

/** A child process that ends when this process ends. */
export interface Child {
  readonly pid: number;
  /** The exit status; undefined while the child runs. */
  status(): number | undefined;
  /** Resolves to the exit status. */
  readonly ended: Promise<number>;
  /** Ends the child if it still runs, and removes its garbage. */
  stop(): Promise<void>;
  /** For a child that has ended: keeps its garbage. */
  leave(): Promise<void>;
  /** Lets this process end while the child runs. */
  unref(): void;
}

/**
 * A shell script that runs a command, and prints the command's process id and later its exit status.
 *
 * The script waits for the end of standard input. The parent holds the other end, and the system closes
 * that in whichever way the parent dies. Then the script ends the command, if it still runs, and removes
 * the garbage: the two folders that the parent has named, the second of which can be none. If the command
 * has ended already, the line `leave` makes the script keep the garbage.
 *
 * The script enters the folder of the data itself. Root must not enter it: the user that the script runs as
 * could have put a link in its place, to a folder that only root can reach.
 *
 * The script repeats the signal, because a process that has only just started may not react to it yet.
 */
const KEEPER = `
  trap '' HUP INT TERM PIPE
  exec 3<&0 2>/dev/null
  temporary=$1
  draft=$2
  cd -P -- "$3" || exit
  shift 3
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
  cd /
  rm -rf -- "$temporary" "$draft"
`;

const hasKeeper = process.platform !== "win32";

/** Holds the processes that run, so that the garbage collector does not close the pipes to them. */
const running = new Set<ChildProcess>();

/**
 * Starts a command of PostgreSQL with a folder of data, under a keeper.
 *
 * @param draft A folder to remove, besides the temporary one, when the child stops or this process dies.
 */
export async function startKept(
  command: string,
  args: readonly string[],
  data: string,
  runner: Runner,
  draft = "",
): Promise<Child> {
  const child = spawnKept(command, args, data, runner, draft);
  running.add(child);
  // The keeper may have ended before it is told to.
  child.stdin?.on("error", () => {});
  const exited = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? -1));
  }).finally(() => running.delete(child));

  const nextNumber = hasKeeper ? numbersFrom(child) : undefined;
  await Promise.race([once(child, "spawn"), exited]);
  const pid = nextNumber ? await nextNumber() : child.pid!;
  let status: number | undefined;
  const ended = (nextNumber ? nextNumber() : exited).then((code) => status = code);

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
      // Bun's streams do not have this method, and do not keep the process alive.
      (child.stdin as Partial<Socket> | null)?.unref?.();
      (child.stdout as Partial<Socket> | null)?.unref?.();
    },
  };
}

function spawnKept(
  command: string,
  args: readonly string[],
  data: string,
  { owner, isHidden, temporary }: Runner,
  draft: string,
): ChildProcess {
  // Node and Bun enter a hidden folder before they switch to the owner, who could not enter it by its path.
  const place = isHidden ? "/proc/self/cwd" : data;
  const fullArgs = ["-D", place, ...args];
  return spawn(
    hasKeeper ? "/bin/sh" : command,
    hasKeeper ? ["-c", KEEPER, "keeper", temporary, draft, place, command, ...fullArgs] : fullArgs,
    {
      ...owner,
      cwd: isHidden || !hasKeeper ? data : "/",
      env: environmentFor(owner),
      stdio: hasKeeper ? ["pipe", "pipe", "ignore"] : "ignore",
      // Detached, because a signal to the terminal's process group is for the parent to handle.
      detached: hasKeeper,
      windowsHide: true,
    },
  );
}

/** The environment of a child. Any process of another user could read what it holds of ours. */
export function environmentFor(owner: Owner | undefined): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) =>
    owner ? name === "PATH" : !name.startsWith("PG")
  );
  return { ...Object.fromEntries(inherited), LC_ALL: "C", TZ: "UTC" };
}

/** Makes a function that reads the next number that a keeper prints. */
export function numbersFrom({ stdout }: ChildProcess): () => Promise<number> {
  const lines = createInterface({ input: stdout! })[Symbol.asyncIterator]();
  return async () => Number((await lines.next()).value ?? NaN);
}
