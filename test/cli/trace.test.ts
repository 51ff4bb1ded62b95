import { trace } from "@messagedb/client/operate";
import { beforeAll, describe, expect, test } from "vitest";
import { follow, type Message, readLastMessage, write } from "../../mod.ts";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);
const NO_ID = "00000000-0000-4000-8000-000000000000";
let half: Message;

async function put(streamName: string, type: string, cause?: Message): Promise<Message> {
  await write(db.sql, streamName, cause ? follow(cause, { type }) : { type });
  return (await readLastMessage(db.sql, streamName))!;
}

beforeAll(async () => {
  const withdraw = await put("account:command-1", "Withdraw");
  const withdrawn = await put("account-1", "Withdrawn", withdraw);
  half = await put("transfer-7", "HalfDone", withdrawn);
  const deposit = await put("account:command-2", "Deposit", half);
  await put("notice-1", "Sent", withdrawn);
  await put("account-2", "Deposited\x1b[2J", deposit);
  await put("account-1", "Closed");
  let tick = await put("tick-1", "Ticked");
  for (let at = 0; at < 25; at++) tick = await put("tick-1", "Ticked", tick);
  // Its cause is gone.
  const lost = { ...tick, streamName: "lost\x1b[2J-1", position: 3 };
  await put("late-1", "Late", lost);
  await db.sql`
    update message_store.messages
    set time = '2026-01-01'::timestamp + global_position * interval '700 ms'`;
});

describe("trace", () => {
  test("draws what followed from the messages of a stream", async () => {
    expect(await messagedb.print("trace", "account-1")).toBe(
      "Withdraw  account:command-1 0  2026-01-01 00:00:00Z\n" +
        "└─ Withdrawn  account-1 0  +700 ms\n" +
        "   ├─ HalfDone  transfer-7 0  +700 ms\n" +
        "   │  └─ Deposit  account:command-2 0  +700 ms\n" +
        "   │     └─ Deposited\\x1b[2J  account-2 0  +1 s\n" +
        "   └─ Sent  notice-1 0  +2 s\n" +
        "Closed  account-1 1  2026-01-01 00:00:04Z\n",
    );
  });

  test("draws what led to the message of an id, and marks the message", async () => {
    expect(await messagedb.print("trace", half.id)).toBe(
      "Withdraw  account:command-1 0  2026-01-01 00:00:00Z\n" +
        "└─ Withdrawn  account-1 0  +700 ms\n" +
        "   └─ HalfDone  transfer-7 0  +700 ms  ←\n" +
        "      └─ Deposit  account:command-2 0  +700 ms\n" +
        "         └─ Deposited\\x1b[2J  account-2 0  +1 s\n",
    );
  });

  test("says where nothing followed, and which cause is not there", async () => {
    expect(await messagedb.run(["trace", "late-1"])).toEqual({
      stdout: "Late  late-1 0  2026-01-01 00:00:23Z  caused by lost\\x1b[2J-1 3\n",
      stderr: "Nothing followed: no later message names one of these as its cause\n",
      exitCode: 0,
    });
  });

  test("indents a long chain no further than a terminal is wide", async () => {
    const lines = (await messagedb.print("trace", "tick-1")).trimEnd().split("\n");
    expect(lines).toHaveLength(26);
    expect(lines[20]).toBe(`${" ".repeat(57)}└─ Ticked  tick-1 20  +700 ms`);
    expect(lines[25]).toBe(`…${" ".repeat(59)}└─ Ticked  tick-1 25  +700 ms`);
  });

  test("has a line for each message with --json, as the library answers them", async () => {
    const { messages, hasMore } = await trace(db.sql, { id: half.id }, { limit: 1 });
    expect(hasMore).toBe(true);
    const { stdout, stderr } = await messagedb.run(["trace", half.id, "--limit", "1", "--json"]);
    expect(stdout).toBe(messages.map((it) => `${JSON.stringify(it)}\n`).join(""));
    expect(stderr).toBe("There are more messages: give a higher --limit\n");
  });

  test.each([
    [["trace", NO_ID], 1, `The store has no message with the id ${NO_ID}`],
    [["trace", "nothing-1"], 1, 'The stream "nothing-1" has no message'],
    [["trace", "account"], 2, expect.stringMatching(/"account" as "streamName".+a stream/)],
  ])("%j exits with %i", async (args, exitCode, sentence) => {
    const run = await messagedb.run(args);
    expect(run).toMatchObject({ stdout: "", exitCode });
    expect(run.stderr.slice("error: ".length, -1)).toEqual(sentence);
  });
});
