import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Messagedb, RunOptions } from "./_messagedb.ts";

/** A studio that the command line serves. */
export interface StartedStudio {
  readonly child: ChildProcess;
  /** The line that it printed. */
  readonly line: string;
  /** Where the studio is: the address without what opens it. */
  readonly root: string;
  readonly token: string;
  /** What it has said on standard error by now. */
  readonly notes: () => string;
  /** Sends a token, as the page of the address does. */
  open(token?: string, headers?: Record<string, string>): Promise<Response>;
  /** Asks for an operation, with a session that is opened first. */
  ask(operation: string, given?: object): Promise<Response>;
  /** Presses Ctrl-C; answers the exit code. */
  stop(): Promise<number | null>;
}

/** Starts `messagedb studio`, which is ended with the test at the latest. */
export async function startStudio(
  messagedb: Messagedb,
  args: readonly string[] = [],
  options?: RunOptions,
): Promise<StartedStudio> {
  const child = messagedb.start(["studio", ...args], options);
  let notes = "";
  child.stderr!.on("data", (text) => notes += text);
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = new URL(line.startsWith("{") ? JSON.parse(line).url : line);
    return { child, line, notes: () => notes, ...partsOf(child, url) };
  }
  throw new Error(`The studio did not start: ${notes}`);
}

function partsOf(
  child: ChildProcess,
  { origin, pathname, hash }: URL,
): Pick<StartedStudio, "root" | "token" | "open" | "ask" | "stop"> {
  const token = hash.slice(1);
  const root = origin + pathname.slice(0, pathname.lastIndexOf("/"));
  const open = (given = token, headers: Record<string, string> = {}) =>
    fetch(`${root}/open`, {
      method: "POST",
      headers: { authorization: `Bearer ${given}`, ...headers },
    });
  let session: Promise<string> | undefined;
  return {
    root,
    token,
    open,
    ask: async (operation, given = {}) => {
      session ??= open().then(cookieOf);
      return await ask(root, operation, given, await session);
    },
    stop: async () => {
      const ended = once(child, "close");
      child.kill("SIGINT");
      const [exitCode] = await ended;
      return exitCode;
    },
  };
}

/** The cookie that an answer sets, as a browser sends it. */
export function cookieOf(response: Response): string {
  return response.headers.get("set-cookie")!.split(";")[0]!;
}

/** Asks for an operation, as the page does. */
export function ask(
  root: string,
  operation: string,
  given: object,
  cookie: string,
): Promise<Response> {
  return fetch(`${root}/api/${operation}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-messagedb-studio": "1", cookie },
    body: JSON.stringify(given),
  });
}
