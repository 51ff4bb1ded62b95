import { streams, type StreamsOptions, type StreamStatus } from "@messagedb/client/operate";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Sql, write, writeBatch } from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { openHandle, useDatabase } from "../database.ts";

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

// As in the locales "C" and "POSIX".
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
  const page = await streams(db.sql, "account", options);
  return page.streams.map(({ streamName }) => streamName);
}

describe("streams()", () => {
  test.each([["last", BY_LAST], ["count", BY_COUNT], ["name", BY_NAME]] as const)(
    "has each stream of the category, by %s, on pages of any size",
    async (sort, expected) => {
      expect(await names({ sort })).toEqual(expected);
      for (const limit of [1, 2, 3, 7]) {
        const found: StreamStatus[] = [];
        let after: StreamsOptions["after"];
        for (;;) {
          const page = await streams(db.sql, "account", { sort, limit, after });
          expect(page.streams.length).toBe(Math.min(limit, expected.length - found.length));
          expect(page.isComplete).toBe(true);
          found.push(...page.streams);
          if (page.next === null) break;
          expect(await streams(db.sql, "account", { sort, limit, after: found.at(-1) }))
            .toEqual(await streams(db.sql, "account", { sort, limit, after: page.next }));
          after = page.next;
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

describe("streams() of a category with many streams", () => {
  beforeAll(() =>
    db.sql`
      insert into message_store.messages (stream_name, position, type, time)
      select case when stream = 2500 then 'many-z' else 'many-' || stream end, position, 'A', '2026-01-01'
      from
        generate_series(1, 2500) as stream,
        generate_series(0, case when stream = 2500 then 10999 else 0 end) as position
      order by stream, position`
  );

  test("has the long ones, and says that it has not compared all", async () => {
    const page = await streams(db.sql, "many", { sort: "count", limit: 1 });
    expect(page).toMatchObject({
      streams: [{ streamName: "many-z", count: 11_000 }],
      next: { streamName: "many-z", count: 11_000 },
      isComplete: false,
    });
  });

  test("stops where the last messages are of few streams, and goes on from there", async () => {
    const first = await streams(db.sql, "many");
    expect(first.streams.map(({ streamName }) => streamName)).toEqual(["many-z"]);
    const found: string[] = [];
    for (let after = first.next; after;) {
      const page = await streams(db.sql, "many", { after, limit: 1000 });
      found.push(...page.streams.map(({ streamName }) => streamName));
      after = page.next;
    }
    expect(found.length).toBe(2499);
    expect(found.slice(0, 2)).toEqual(["many-2499", "many-2498"]);
  });
});

test("streams() of few streams does not go through their messages", async () => {
  await write(db.sql, "few-old", { type: "A" });
  await db.sql`
    insert into message_store.messages (stream_name, position, type)
    select 'few-' || number % 3, number / 3, 'A' from generate_series(0, 11999) as number`;
  const { streams: all, next } = await streams(db.sql, "few");
  expect(all.map(({ streamName, count }) => [streamName, count]))
    .toEqual([["few-2", 4000], ["few-1", 4000], ["few-0", 4000], ["few-old", 1]]);
  expect(next).toBeNull();
});

test.each([
  ["without punctuation", "encoding 'UTF8' locale_provider icu icu_locale 'und-u-ka-shifted'"],
  ["of ICU", "encoding 'UTF8' locale_provider icu icu_locale 'de-DE'"],
  ["of one byte", "encoding 'LATIN1'"],
])("streams() finds each stream in a locale %s", async (_, options) => {
  const name = `collated_${crypto.randomUUID().slice(0, 8)}`;
  await db.sql.unsafe(
    `create database ${name} template template0 ${options} lc_collate 'C' lc_ctype 'C'`,
  );
  onTestFinished(() => db.sql.unsafe(`drop database ${name} with (force)`).then(() => {}));
  const sql = openHandle(Object.assign(new URL(db.url), { pathname: name }), { onnotice() {} });
  await install(sql);
  const own = ["b", "b-a", "b-Z", "b-9", "b-!", "b-~", "b--", "b-.", "b-ü", "b-zz-z"];
  const foreign = ["B-a", "b:x-1", "b,-1", "b.-1", "b_-1", "ba-1", "b1-1", "bb", "a-1", "c-1"];
  await sql`
    insert into message_store.messages (stream_name, position, type)
    select name, 0, 'A' from json_array_elements_text(${[...foreign, ...own]}) as name`;
  for (const sort of ["last", "count", "name"] as const) {
    for (const limit of [1, 3, 100]) {
      const found: string[] = [];
      let after: StreamsOptions["after"];
      for (;;) {
        const page = await streams(sql, "b", { sort, limit, after });
        found.push(...page.streams.map(({ streamName }) => streamName));
        if (page.next === null) break;
        after = page.next;
      }
      expect(found.toSorted()).toEqual(own.toSorted());
    }
  }
});

test("streams() tells a time that no Date can be as null", async () => {
  await db.sql`
    insert into message_store.messages (stream_name, position, type, time)
    values ('ever-1', 0, 'A', '-infinity'), ('ever-1', 1, 'A', 'infinity')`;
  expect((await streams(db.sql, "ever")).streams)
    .toMatchObject([{ count: 2, firstAt: null, lastAt: null }]);
});

test("streams() tells how many messages a stream has, and since when", async () => {
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds));
  const { streams: [last] } = await streams(db.sql, "account", { limit: 1 });
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
    expect((await streams(tx, "account", { limit: 1 })).streams)
      .toEqual([{ ...last, count: 2, firstAt: at(3) }]);
    throw new Error("undone");
  }).catch(({ message }) => expect(message).toBe("undone"));
});

test("streams() has nothing of a category that is not there", async () => {
  for (const sort of ["last", "count", "name"] as const) {
    const of = (category: string) => streams(db.sql, category, { sort });
    expect(await of("ac")).toEqual({ streams: [], next: null, isComplete: true });
    expect(await of("account%")).toMatchObject({ streams: [{ streamName: "account%-1" }] });
    expect((await of("acc_unt")).streams).toEqual([]);
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
