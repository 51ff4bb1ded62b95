import { spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type Child, environmentFor, numbersFrom, type Runner } from "./_keeper.ts";

/**
 * A shell script that runs a command for as long as any process uses it, and prints the command's process id
 * and its exit status.
 *
 * Who uses the command holds the pipe `users` open for writing. The system closes that in whichever way a
 * process dies. When nobody holds it for some seconds, the script removes the pipe, so that nobody can come
 * any more, waits for those who came meanwhile, ends the command, and removes the temporary folder. Everybody
 * writes a line when they come: so the script notices those who have come and gone during these seconds.
 *
 * At first, the starter holds standard input. It opens the pipe before it closes standard input.
 * The line `leave` is for a command that has ended: it makes the script keep the folder.
 *
 * The script goes on in the background, so the starter has no child left that it would have to wait for.
 * If the process that waits for the users is killed, another one takes its place.
 */
const SHARED_KEEPER = `
  trap '' HUP INT TERM PIPE
  exec 3<&0 2>/dev/null
  temporary=$1
  users=$2
  cd -P -- "$3" || exit
  shift 3
  [ -p "$users" ] || mkfifo -m 600 "$users"

  end_after_use() {
    until
      while read -r _ <&5; do :; done
      sleep 3
      ! read -r _ <&5
    do :; done
    rm -f -- "$users"
    while read -r _ <&5; do :; done
    while kill -QUIT $child; do sleep 0.1; done
    cd /
    # The folder itself may have to stay, empty.
    rm -rf -- "$temporary" || :
  }

  (
    exec 4<>"$users" 5<"$users"
    "$@" 3<&- 4<&- 5<&- </dev/null >>../server.log 2>&1 &
    child=$!
    echo $child
    (
      exec >/dev/null
      read -r line <&3
      exec 3<&- 4<&-
      if [ "$line" = leave ]; then exit; fi
      until (end_after_use); do :; done
    ) &
    exec 3<&- 4<&- 5<&-
    wait $child
    echo $?
    rm -f -- "$users"
  ) &
`;

/** A child process that other processes use, too. */
export interface SharedChild extends Child {
  /** Uses the child from now on, whatever its starter does. Answers what ends this use. */
  share(): () => void;
}

/** Starts a command of PostgreSQL with a folder of data, under a keeper for all that use it. */
export async function startShared(
  command: string,
  args: readonly string[],
  data: string,
  { owner, temporary }: Runner,
): Promise<SharedChild> {
  const users = usersIn(temporary);
  const script = ["-c", SHARED_KEEPER, "keeper", temporary, users, data, command, "-D", data];
  const keeper = spawn("/bin/sh", [...script, ...args], {
    ...owner,
    cwd: "/",
    env: environmentFor(owner),
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  keeper.stdin.on("error", () => {});
  const spawned = new Promise<void>((resolve, reject) => {
    keeper.once("error", reject);
    keeper.once("exit", () => resolve());
  });
  const nextNumber = numbersFrom(keeper);
  await spawned;
  const pid = await nextNumber();
  let status: number | undefined;
  const ended = nextNumber().then((code) => status = code);

  const letGo = (lastWords = ""): Promise<void> => {
    keeper.stdin.end(lastWords);
    keeper.stdout.destroy();
    return Promise.resolve();
  };
  return {
    pid,
    status: () => status,
    ended,
    stop: () => letGo(),
    leave: () => letGo("leave\n"),
    unref: () => void letGo(),
    share: () => {
      const leave = useShared(users);
      if (leave === undefined) throw new Error("Cannot share the embedded server: it has ended");
      return leave;
    },
  };
}

/** The pipe that the users of a shared child hold. */
export function usersIn(temporary: string): string {
  return join(temporary, "users");
}

/** Uses a shared child. Answers what ends this use; undefined if there is no such child any more. */
export function useShared(users: string): (() => void) | undefined {
  const { O_WRONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  let file: number;
  try {
    // Fails where nobody reads the pipe.
    file = openSync(users, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    if (fstatSync(file).isFIFO()) {
      writeSync(file, "\n");
      return () => closeSync(file);
    }
  } catch {
    // The keeper has ended since.
  }
  closeSync(file);
  return undefined;
}
