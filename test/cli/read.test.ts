import { type Message, readCategory, write, writeBatch } from "@messagedb/client";
import { gateway } from "@messagedb/client/gateway";
import { createInterface } from "node:readline";
import { beforeAll, describe, expect, test } from "vitest";
import { serve } from "../_serve.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);
let messages: readonly Message[];

beforeAll(async () => {
  await writeBatch(db.sql, "account-1", [
    { type: "Opened" },
    { type: "Deposited", data: { amount: 11 }, metadata: { correlationStreamName: "order-1" } },
  ]);
  await write(db.sql, "account-2", { type: "Opened", data: { owner: "\x1b[2Jé\u202e" } });
  await write(db.sql, "order-1", { type: "Placed" });
  messages = [...await readCategory(db.sql, "account"), ...await readCategory(db.sql, "order")];
});

/** Sets the times of the messages: an hour ago for the first, and now for the others. */
async function makeFirstOlder(): Promise<void> {
  await db.sql`
    update message_store.messages set time = now() at time zone 'utc' - interval '1 hour'
    where global_position = 1`;
}

async function places(...args: string[]): Promise<string[]> {
  const read = await messagedb.json("read", ...args) as Message[];
  return read.map(({ streamName, position }) => `${streamName} ${position}`);
}

const A = "account-1 0", B = "account-1 1", C = "account-2 0", D = "order-1 0";

describe("read", () => {
  test("prints two or three lines for each message, and nothing that controls the terminal", async () => {
    const [, second, third] = messages;
    const when = ({ time }: Message) => `${time.toISOString().slice(0, 19).replace("T", " ")}Z`;
    expect(await messagedb.print("read", "account", "--from", "2")).toBe(
      `account-1 1  Deposited  #2 ${when(second!)}\n` +
        '  {"amount":11}\n' +
        '  {"correlationStreamName":"order-1"}\n' +
        `account-2 0  Opened  #3 ${when(third!)}\n` +
        '  {"owner":"\\u001b[2Jé\\u202e"}\n',
    );
  });

  test("prints colours where it is told to, and none for machines", async () => {
    const env = { FORCE_COLOR: "1" };
    expect((await messagedb.run(["read", "order"], { env })).stdout).toContain(
      "\x1b[36morder-1 0\x1b[39m",
    );
    expect((await messagedb.run(["read", "order", "--json"], { env })).stdout).not.toContain(
      "\x1b",
    );
    const none = { env: { FORCE_COLOR: "1", NO_COLOR: "1" } };
    expect((await messagedb.run(["read", "order"], none)).stdout).not.toContain("\x1b");
  });

  test("prints messages as the library has them with --json", async () => {
    const read = await messagedb.json("read", "$all");
    expect(read).toEqual(JSON.parse(JSON.stringify(messages)));
  });

  test.each([
    [["account-1"], [A, B]],
    [["account"], [A, B, C]],
    [["$all"], [A, B, C, D]],
    [["nothing"], []],
    [["nothing-1"], []],
    [["account-1", "--from", "1"], [B]],
    [["account", "--from", "2"], [B, C]],
    [["$all", "--limit", "2"], [A, B]],
    [["$all", "--backward"], [D, C, B, A]],
    [["account", "--backward", "--limit", "1"], [C]],
    [["account-1", "--backward", "--from", "0"], [A]],
    [["$all", "--type", "Opened"], [A, C]],
    [["$all", "--type", "Placed", "--type", "Deposited"], [B, D]],
    [["$all", "--type", "Opened", "--limit", "1", "--backward"], [C]],
    [["account", "--correlation", "order"], [B]],
    [["account-1", "--correlation", "order"], [B]],
    [["$all", "--correlation", "ord"], []],
  ])("%j", async (args, expected) => {
    expect(await places(...args)).toEqual(expected);
  });

  test.each(["$all", "account", "account-1"])("reads %s since a time", async (name) => {
    await makeFirstOlder();
    const later = name === "$all" ? [B, C, D] : name === "account" ? [B, C] : [B];
    expect(await places(name, "--since", "30min")).toEqual(later);
    expect(await places(name, "--since", "30min", "--backward")).toEqual(later.toReversed());
    expect(await places(name, "--since", "2h")).toEqual([A, ...later]);
    expect(await places(name, "--since", "2999-01-01")).toEqual([]);
  });

  test("ends at the end beside a transaction that has written, and is open", async () => {
    const other = db.connect({ max: 1 });
    await other.begin(async (tx) => {
      await write(tx, "other-1", { type: "Written" });
      await write(db.sql, "later-1", { type: "Written" });
      const { stdout, stderr } = await messagedb.run(["read", "$all", "--from", "4", "--json"]);
      expect(stdout.trim().split("\n").map((line) => JSON.parse(line).streamName))
        .toEqual(["order-1"]);
      expect(stderr).toBe(
        "Later messages are not read, because a transaction that is open may write before them: " +
          '"messagedb doctor" shows it\n',
      );
      throw new Error("roll back");
    }).catch(() => {});
    expect(await places("$all")).toEqual([A, B, C, D, "later-1 0"]);
  });

  test.each([
    [["$all", "--from", "9999"], 'No message of "$all" was read\n'],
    [["$all", "--since", "2999-01-01"], 'No message of "$all" was read\n'],
    [["$all", "--backward", "--limit", "1"], ""],
    [["acount"], 'No message of "acount" was read\n'],
  ])("says of %j where nothing was read, and of no open transaction", async (args, note) => {
    const { exitCode, stderr } = await messagedb.run(["read", ...args]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: note });
  });

  test("--follow goes on with new messages until Ctrl-C, and exits with 0", async () => {
    const child = messagedb.start(["read", "visit", "--follow", "--json"]);
    const ended = new Promise((resolve) => child.on("close", resolve));
    const lines: string[] = [];
    createInterface({ input: child.stdout! }).on("line", (line) => lines.push(line));
    await write(db.sql, "visit-1", { type: "Came" });
    await until(() => lines.length === 1);
    await write(db.sql, "visit-1", { type: "Left" });
    await until(() => lines.length === 2);
    child.kill("SIGINT");
    expect(await ended).toBe(0);
    expect(lines.map((line) => JSON.parse(line).type)).toEqual(["Came", "Left"]);
  });

  test("ends quietly when nobody reads on, as in `read … | head`", async () => {
    const data = { text: "x".repeat(10_000) };
    await writeBatch(db.sql, "long-1", Array.from({ length: 500 }, () => ({ type: "Long", data })));
    const child = messagedb.start(["read", "long-1", "--json"]);
    let stderr = "";
    child.stderr!.on("data", (text) => stderr += text);
    child.stdout!.once("data", () => child.stdout!.destroy());
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
    expect(stderr).toBe("");
  });

  test.each([
    [["account", "--from", "x"], /from 0 up/],
    [["account", "--since", "yesterday"], /2h, 7d/],
    [["account", "--limit", "0"], /from 1 up/],
    [["account", "--from", "9007199254740993"], /up to 9007199254740991/],
    [["account", "--type", ""], /It is empty/],
    [["account", "--backward", "--follow"], /--backward ends at the first message/],
    [["account", "--from", "1", "--since", "2h"], /give one of them/],
    [["account", "more"], /too many arguments/],
    [["account", "--folow"], /unknown option '--folow'\n\(Did you mean --follow\?\)/],
    [[], /missing required argument 'name'/],
    [[""], /.+/],
  ])("refuses %j with exit code 2", async (args, sentence) => {
    const { stdout, stderr, exitCode } = await messagedb.run(["read", ...args]);
    expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 2 });
    expect(stderr).toMatch(/^error: /);
    expect(stderr).toMatch(sentence);
  });
});

describe("last, version and get", () => {
  test("print one message, or the version", async () => {
    expect(await messagedb.json("last", "account-1")).toMatchObject([{ type: "Deposited" }]);
    expect(await messagedb.json("last", "account-1", "--type", "Opened"))
      .toMatchObject([{ position: 0 }]);
    expect(await messagedb.print("version", "account-1")).toBe("1\n");
    expect(await messagedb.json("version", "nothing-1")).toEqual([{ version: -1 }]);
    const { id } = messages[0]!;
    expect(await messagedb.json("get", id)).toMatchObject([{ id, streamName: "account-1" }]);
  });

  test.each([
    [["last", "nothing-1"], 1, 'The stream "nothing-1" has no message'],
    [
      ["last", "account-1", "--type", "Closed"],
      1,
      'The stream "account-1" has no message of type "Closed"',
    ],
    [
      ["get", "00000000-0000-4000-8000-000000000000"],
      1,
      "The store has no message with the id 00000000-0000-4000-8000-000000000000",
    ],
    [["get", "7"], 2, expect.stringMatching(/"7".+UUID/)],
  ])("%j exits with %i", async (args, exitCode, sentence) => {
    const run = await messagedb.run(args);
    expect(run).toMatchObject({ stdout: "", exitCode });
    expect(run.stderr.slice("error: ".length, -1)).toEqual(sentence);
  });
});

describe("over a gateway", () => {
  async function serveGateway(): Promise<string> {
    const handle = gateway(db.sql, {
      authorize: ({ headers }) => headers.get("authorization") === "Bearer secret",
    });
    return await serve(handle);
  }

  test("messages are read and written with a token", async () => {
    const url = await serveGateway();
    const run = (...args: string[]) => messagedb.run([...args, "--token", "secret"], { url });
    expect(await run("write", "remote-1", "Came")).toEqual({
      stdout: "0\n",
      stderr: "",
      exitCode: 0,
    });
    expect((await run("read", "remote", "--json")).stdout).toContain('"type":"Came"');
    expect((await run("version", "remote-1")).stdout).toBe("0\n");
  });

  test("no token, and a command that needs PostgreSQL, are refused with a sentence", async () => {
    const url = await serveGateway();
    const run = await messagedb.run(["read", "account"], { url });
    expect(run).toMatchObject({ stdout: "", exitCode: 1 });
    expect(run.stderr).toMatch(/403.+ Its rules do not allow this call with .+, or without one\n$/);
  });
});
