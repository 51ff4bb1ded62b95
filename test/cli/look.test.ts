import { messageTypes, storeStatus, streams } from "@messagedb/client/operate";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, test } from "vitest";
import { write, writeBatch } from "../../mod.ts";
import { fillStore } from "../../bench/_store.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const large = useDatabase();
const empty = useDatabase();
const messagedb = useMessagedb(db);

beforeAll(async () => {
  await writeBatch(db.sql, "account-1", [
    { type: "Opened" },
    { type: "Deposited" },
    { type: "Deposited" },
    { type: "Deposited" },
  ]);
  await write(db.sql, "account-\x1b[2J%", { type: "Opened\u202e" });
  await write(db.sql, `order-${"x".repeat(500)}`, { type: "Placed" });
  await write(db.sql, "account-2", { type: "Opened" });
  await db.sql`
    update message_store.messages
    set time = '2026-01-01'::timestamp + global_position * interval '1 s'`;
  await fillStore(large.sql, { messages: 150_000, streams: 100 });
});

/** What is in JSON is what the library answers. */
const inJson = (value: unknown) => JSON.parse(JSON.stringify(value));

describe("categories", () => {
  test("has a line for each, with a bar", async () => {
    expect(await messagedb.print("categories")).toBe(
      "category  messages              first                 last\n" +
        "account          6  ██████████  2026-01-01 00:00:01Z  2026-01-01 00:00:07Z\n" +
        "order            1  █▋          2026-01-01 00:00:06Z  2026-01-01 00:00:06Z\n",
    );
  });

  test("has what storeStatus answers with --json", async () => {
    expect(await messagedb.json("categories")).toEqual(
      inJson((await storeStatus(db.sql)).categories),
    );
  });

  test("marks what is estimated", async () => {
    const { stdout, stderr } = await messagedb.run(["categories"], { url: large.url });
    expect(stdout).toMatch(/^account +~\d+,\d00 /m);
    expect(stderr).toBe('"~" is an estimate: "messagedb types CATEGORY" counts\n');
  });
});

describe("streams", () => {
  test("has the latest first, and nothing that controls the terminal", async () => {
    expect(await messagedb.print("streams", "account")).toBe(
      "stream            messages              first                 last\n" +
        "account-2                1  ██▌         2026-01-01 00:00:07Z  2026-01-01 00:00:07Z\n" +
        "account-\\x1b[2J%         1  ██▌         2026-01-01 00:00:05Z  2026-01-01 00:00:05Z\n" +
        "account-1                4  ██████████  2026-01-01 00:00:01Z  2026-01-01 00:00:04Z\n",
    );
  });

  test("has as many as asked for, in the order asked for", async () => {
    const args = ["streams", "account", "--sort", "count", "--limit", "2", "--json"];
    const { stdout, stderr } = await messagedb.run(args);
    expect(stdout.trim().split("\n").map((line) => JSON.parse(line)))
      .toEqual(inJson((await streams(db.sql, "account", { sort: "count", limit: 2 })).streams));
    expect(stderr).toBe("There are more streams: give a higher --limit\n");
    const byName = await messagedb.json("streams", "account", "--sort", "name") as [];
    expect(byName.map(({ streamName }) => streamName))
      .toEqual(["account-\x1b[2J%", "account-1", "account-2"].toSorted());
  });

  test("shortens a long name for people", async () => {
    expect(await messagedb.print("streams", "order")).toContain(`\norder-${"x".repeat(93)}…  `);
  });
});

describe("types", () => {
  test("has the most frequent first", async () => {
    expect(await messagedb.print("types", "account")).toBe(
      "type          messages              first                 last\n" +
        "Deposited            3  ██████████  2026-01-01 00:00:02Z  2026-01-01 00:00:04Z\n" +
        "Opened               2  ██████▋     2026-01-01 00:00:01Z  2026-01-01 00:00:07Z\n" +
        "Opened\\u202e         1  ███▍        2026-01-01 00:00:05Z  2026-01-01 00:00:05Z\n",
    );
    expect(await messagedb.json("types")).toEqual(inJson((await messageTypes(db.sql)).types));
  });
});

test.each([
  [["categories"], "The store has no messages\n"],
  [["types"], "The store has no messages\n"],
  [["types", "nothing"], 'The category "nothing" has no messages\n'],
  [["streams", "nothing"], 'The category "nothing" has no messages\n'],
])("%j says that there is nothing", async (args, stderr) => {
  expect(await messagedb.run(args, { url: empty.url })).toEqual({
    stdout: "",
    stderr,
    exitCode: 0,
  });
});

test.each([
  [["categories", "account"], /too many arguments/],
  [["streams"], /missing required argument 'category'/],
  [["streams", "account-1"], /"account-1" as "category".+a category, without "-"/],
  [["streams", "account", "--sort", "size"], /Allowed choices are last, count, name/],
  [["streams", "account", "--limit", "0"], /from 1 up/],
  [["types", "account-1"], /"account-1" as "category"/],
])("%j is refused with exit code 2", async (args, sentence) => {
  const { stdout, stderr, exitCode } = await messagedb.run(args);
  expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 2 });
  expect(stderr).toMatch(/^error: /);
  expect(stderr).toMatch(sentence);
});

test.each([["types"], ["trace account-1"]])(
  "Ctrl-C ends %s while it waits for the server",
  async (args) => {
    const other = db.connect({ max: 1 });
    await other.begin(async (tx) => {
      await tx`lock table message_store.messages`;
      const child = messagedb.start(args.split(" "));
      const ended = Promise.all([text(child.stdout!), text(child.stderr!), once(child, "close")]);
      await until(async () => {
        const waiting = await db.sql`
          select
          from pg_stat_activity
          where application_name = 'messagedb' and wait_event_type = 'Lock'
            and datname = current_database()`;
        return waiting.length === 1;
      });
      child.kill("SIGINT");
      expect(await ended).toEqual(["", "", [130, null]]);
    });
  },
);
