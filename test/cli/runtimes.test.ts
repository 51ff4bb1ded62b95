/** The main commands, on every runtime: they print what they print on Node. */
import { drain, follow, type Message, readLastMessage, write } from "@messagedb/client";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { type Run, useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
  await write(db.sql, "account-1", { type: "Opened", data: { owner: "Ada" } });
  const cause = (await readLastMessage(db.sql, "account-1"))!;
  await write(db.sql, "letter-1", follow(cause, { type: "Sent" }));
  const handle = ({ type }: Message) => {
    if (type === "Sent") throw new Error("no address");
  };
  await drain(db.sql, { category: "account", consumerId: "owners", handle });
  await drain(db.sql, { category: "letter", consumerId: "post", handle, onError: "park" });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const COMMANDS: readonly (readonly string[])[] = [
  ["--version"],
  ["--help"],
  ["read", "--help"],
  ["read", "$all"],
  ["read", "account", "--json"],
  ["read", "account", "--since", "1h", "--backward"],
  ["read", "account", "--frm", "1"],
  ["last", "account-1"],
  ["version", "account-1"],
  ["categories"],
  ["streams", "account", "--json"],
  ["types"],
  ["trace", "account-1"],
  ["consumers", "account"],
  ["lag", "letter", "--critical", "10"],
  ["parked", "list"],
  ["rewind", "post", "--to", "beginning", "--dry-run"],
  ["rewind", "post", "--to", "beginning"],
  ["doctor", "--json"],
  ["install", "--dry-run"],
  ["export", "$all"],
  ["verify"],
  ["completion", "zsh"],
  ["complete", "--", "re"],
  ["nothing"],
];

/** Without what differs from run to run: how long ago, and how many connections there are. */
function withoutSpans({ stdout, stderr, exitCode }: Run): Run {
  const plain = (text: string) =>
    text.replaceAll(/\d+(\.\d+)? ?(ms|s|min)\b/g, "<span>").replaceAll(/ +/g, " ")
      .replaceAll(/\d+ of \d+ connections/g, "<connections>");
  return { stdout: plain(stdout), stderr: plain(stderr), exitCode };
}

/** What a command prints on Node, where it runs once for both other runtimes. */
const onNode = new Map<readonly string[], Promise<Run>>();
function runOnNode(args: readonly string[]): Promise<Run> {
  const known = onNode.get(args) ?? messagedb.run(args);
  onNode.set(args, known);
  return known;
}

const RUNTIMES = ["deno", "bun"] as const;

describe.each(RUNTIMES)("on %s", (runtime) => {
  const commands = COMMANDS.map((args) => [args.join(" "), args] as const);
  test.each(commands)("messagedb %s prints what it prints on Node", async (_, args) => {
    const [run, expected] = await Promise.all([messagedb.run(args, { runtime }), runOnNode(args)]);
    expect(withoutSpans(run)).toEqual(withoutSpans(expected));
  });
});

// Behind all of the above, which reads what is there.
describe.each(RUNTIMES)("on %s", (runtime) => {
  test("standard input is read, and Ctrl-C ends what follows", async () => {
    const child = messagedb.start(["read", `${runtime}Visit`, "--follow", "--json"], { runtime });
    const ended = new Promise((resolve) => child.on("close", resolve));
    const lines: string[] = [];
    createInterface({ input: child.stdout! }).on("line", (line) => lines.push(line));
    const args = ["write", `${runtime}Visit-1`, "Came", "-"];
    expect(await messagedb.run(args, { runtime, stdin: '{"a":1}' }))
      .toEqual({ stdout: "0\n", stderr: "", exitCode: 0 });
    await until(() => lines.length === 1);
    child.kill("SIGINT");
    expect(await ended).toBe(0);
    expect(JSON.parse(lines[0]!)).toMatchObject({ data: { a: 1 } });
  });

  test("a failure has its exit code", async () => {
    const url = "postgres://127.0.0.1:1/none";
    expect(await messagedb.run(["read", "account"], { runtime, url })).toMatchObject({
      stdout: "",
      exitCode: 3,
      stderr: expect.stringMatching(
        /^error: Cannot reach postgres:\/\/127\.0\.0\.1:1\/none: .+\n$/,
      ),
    });
    const args = ["write", "account-1", "Opened", "--expected-version", "7"];
    expect(await messagedb.run(args, { runtime })).toMatchObject({ stdout: "", exitCode: 1 });
  });
});
