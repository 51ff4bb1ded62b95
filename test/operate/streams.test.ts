import { streams, type StreamsOptions, type StreamStatus } from "@messagedb/client/operate";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Sql, write, writeBatch } from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const LONG = `account-${"long".repeat(600)}`;

beforeAll(async () => {
  await writeBatch(db.sql, "account-2", [{ type: "A" }, { type: "A" }, { type: "A" }]);
  await write(db.sql, "account:command-1", { type: "A" });
  await writeBatch(db.sql, "account-10", [{ type: "A" }, { type: "A" }]);
  for (
    const name of [
      LONG,
      "account-%",
      "account-_\x1b[2J\n",
      "account-é😀",
      "Account-2",
      "accounts-2",
    ]
  ) {
    await write(db.sql, name, { type: "A" });
  }
  // A name that is a category, and one of another category that sorts between that and the others.
  await db.sql`
    insert into message_store.messages (stream_name, position, type)
    values ('account', 0, 'A'), ('account%-1', 0, 'A')`;
  await write(db.sql, "account-2", { type: "A" });
  await db.sql`
    update message_store.messages
    set time = '2026-01-01'::timestamp + global_position * interval '1 s'`;
});

const BY_NAME = [
  "account",
  "account-%",
  "account-10",
  "account-2",
  "account-_\x1b[2J\n",
  LONG,
  "account-é😀",
];
const BY_COUNT = ["account-2", "account-10", ...BY_NAME.filter((it) => !/-(2|10)$/.test(it))];
const BY_LAST = [
  "account-2",
  "account",
  "account-é😀",
  "account-_\x1b[2J\n",
  "account-%",
  LONG,
  "account-10",
];

async function names(options: StreamsOptions = {}): Promise<string[]> {
  return (await streams(db.sql, "account", options)).map(({ streamName }) => streamName);
}

describe.each([false, true])("streams(), with an index of names: %s", (nameIndex) => {
  beforeEach(() => install(db.sql, { nameIndex }));

  test.each([["last", BY_LAST], ["count", BY_COUNT], ["name", BY_NAME]] as const)(
    "has each stream of the category, by %s, on pages of any size",
    async (sort, expected) => {
      expect(await names({ sort })).toEqual(expected);
      for (const limit of [1, 2, 3, 7]) {
        const found: StreamStatus[] = [];
        for (;;) {
          const page = await streams(db.sql, "account", { sort, limit, after: found.at(-1) });
          expect(page.length).toBe(Math.min(limit, expected.length - found.length));
          if (page.length === 0) break;
          found.push(...page);
        }
        expect(found.map(({ streamName }) => streamName)).toEqual(expected);
      }
    },
  );

  test("goes on after a name that is not there", async () => {
    const after = (streamName: string) => names({ sort: "name", after: { streamName } });
    expect(await after("account-11")).toEqual(BY_NAME.slice(3));
    expect(await after("a")).toEqual(BY_NAME);
    expect(await after("account.")).toEqual([]);
    expect(await after("b")).toEqual([]);
  });
});

test("streams() tells how many messages a stream has, and since when", async () => {
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds));
  const [last] = await streams(db.sql, "account", { limit: 1 });
  const { lastGlobalPosition } = last!;
  expect(last).toEqual({
    streamName: "account-2",
    count: 4,
    firstAt: at(1),
    lastAt: at(lastGlobalPosition),
    lastGlobalPosition,
  });
  await db.sql.begin(async (tx) => {
    await tx`delete from message_store.messages where stream_name = 'account-2' and position < 2`;
    expect(await streams(tx, "account", { limit: 1 }))
      .toEqual([{ ...last, count: 2, firstAt: at(3) }]);
    throw new Error("undone");
  }).catch(({ message }) => expect(message).toBe("undone"));
});

test("streams() has nothing of a category that is not there", async () => {
  for (const sort of ["last", "count", "name"] as const) {
    expect(await streams(db.sql, "ac", { sort })).toEqual([]);
    expect(await streams(db.sql, "account%", { sort })).toMatchObject([{
      streamName: "account%-1",
    }]);
    expect(await streams(db.sql, "acc_unt", { sort })).toEqual([]);
  }
});

test.each<[string, unknown, string]>([
  ["account-1", {}, 'Cannot use "account-1" as "category"'],
  ["$all", {}, 'Cannot use "$all" as "category"'],
  ["account", null, 'Cannot use null as "options"'],
  ["account", { sort: "size" }, 'Cannot use "size" as "sort"'],
  ["account", { limit: 0 }, 'Cannot use 0 as "limit"'],
  ["account", { after: "account-1" }, 'Cannot use "account-1" as "after"'],
  ["account", { after: {} }, 'Cannot use undefined as "after.lastGlobalPosition"'],
  ["account", { sort: "name", after: {} }, 'Cannot use undefined as "after.streamName"'],
  [
    "account",
    { sort: "count", after: { streamName: "account-1" } },
    'Cannot use undefined as "after.count"',
  ],
  [
    "account",
    { sort: "count", after: { count: 1 } },
    'Cannot use undefined as "after.streamName"',
  ],
])("streams() refuses %j with %j, before anything is sent", async (category, options, sentence) => {
  const sql: Sql = () => {
    throw new Error("sent");
  };
  await expect(streams(sql, category, options as StreamsOptions)).rejects.toThrow(sentence);
});
