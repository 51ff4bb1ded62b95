import { partitioned, type Sql, write, writeBatch } from "@messagedb/client";
import { install } from "@messagedb/client/install";
import { activity, findMessages, inspectMessage } from "@messagedb/client/operate";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const minute = (number: number) => new Date(Date.UTC(2026, 0, 1, 0, number));

beforeEach(async () => {
  await db.sql`truncate message_store.messages restart identity`;
});

/** Writes twelve messages, one a minute: of `account-0` to `account-2`, and the last one of `rare-1`. */
async function fill(): Promise<void> {
  await db.sql`
    insert into message_store.messages (stream_name, position, type, data, metadata, time)
    select
      case when n = 11 then 'rare-1' else 'account-' || n % 3 end,
      case when n = 11 then 0 else n / 3 end,
      case when n % 2 = 0 then 'Even' else 'Odd' end,
      jsonb_build_object('number', n, 'Text', 'It is 100% of_' || n), jsonb_build_object('m', n),
      timestamp '2026-01-01' + n * interval '1 minute'
    from generate_series(0, 11) as n
    order by n`;
}

/** The numbers of all messages, page by page. */
async function numbers(
  source: string,
  options: NonNullable<Parameters<typeof findMessages>[2]>,
): Promise<number[][]> {
  const pages: number[][] = [];
  for (let startAt = options.startAt;;) {
    const page = await findMessages(db.sql, source, { ...options, startAt });
    pages.push(page.messages.map(({ data }) => JSON.parse(data!).number));
    if (page.next === null) return pages;
    expect(pages.length).toBeLessThan(50);
    startAt = page.next;
  }
}

describe("findMessages()", () => {
  beforeEach(fill);

  test("pages through all, a category and a stream in both directions", async () => {
    const all = Array.from({ length: 12 }, (_, at) => at);
    for (
      const [source, of] of [
        ["$all", all],
        ["account", all.slice(0, 11)],
        ["account-1", [1, 4, 7, 10]],
        ["rare", [11]],
        ["none", []],
        ["none-1", []],
      ] as const
    ) {
      for (const limit of [1, 3, 4, 12, 100]) {
        expect((await numbers(source, { limit })).flat()).toEqual(of);
        expect((await numbers(source, { limit, direction: "backward" })).flat())
          .toEqual([...of].reverse());
      }
    }
  });

  test("a page that ends with the last message has no next one", async () => {
    expect(await numbers("account-1", { limit: 4 })).toEqual([[1, 4, 7, 10]]);
    expect(await numbers("account-1", { limit: 4, direction: "backward" }))
      .toEqual([[10, 7, 4, 1]]);
  });

  test("starts at a position, the beginning, the end or a time", async () => {
    const first = async (startAt: number | "beginning" | "end" | Date, source = "$all") => {
      const of = async (direction: "forward" | "backward") =>
        (await numbers(source, { startAt, direction, limit: 20 })).flat();
      return [(await of("forward"))[0], (await of("backward"))[0]];
    };
    expect(await first(5)).toEqual([4, 4]);
    expect(await first("beginning")).toEqual([0, undefined]);
    expect(await first("end")).toEqual([undefined, 11]);
    expect(await first(minute(5))).toEqual([5, 4]);
    expect(await first(new Date(minute(5).getTime() + 1))).toEqual([6, 5]);
    expect(await first(minute(60))).toEqual([undefined, 11]);
    expect(await first(minute(-60))).toEqual([0, undefined]);
    expect(await first(minute(5), "account-1")).toEqual([7, 4]);
    expect(await first(2, "account-1")).toEqual([7, 7]);
    expect(await first(minute(5), "rare")).toEqual([11, undefined]);
  });

  test("finds by type, time and text, and combines them", async () => {
    const found = async (options: Parameters<typeof numbers>[1], source = "$all") =>
      (await numbers(source, options)).flat();
    expect(await found({ types: ["Odd"] })).toEqual([1, 3, 5, 7, 9, 11]);
    expect(await found({ types: ["Odd"], direction: "backward", limit: 2 }))
      .toEqual([11, 9, 7, 5, 3, 1]);
    expect(await found({ types: [] })).toEqual([]);
    expect(await found({ text: "100% OF_1" })).toEqual([1, 10, 11]);
    expect(await found({ text: "100_ of" })).toEqual([]);
    expect(await found({ text: '"number": 4' })).toEqual([4]);
    expect(await found({ since: minute(3), until: minute(6) })).toEqual([3, 4, 5]);
    expect(await found({ since: minute(3), until: minute(6), direction: "backward" }))
      .toEqual([5, 4, 3]);
    expect(await found({ since: minute(2), text: "of_1", types: ["Odd"] }, "account")).toEqual([]);
    expect(await found({ since: minute(2), text: "of_1", types: ["Even"] }, "account"))
      .toEqual([10]);
    expect(await found({ since: minute(2) }, "account-1")).toEqual([4, 7, 10]);
  });

  test("looks at so many messages and says where to go on", async () => {
    const options = { types: ["None"], scanLimit: 5 };
    expect(await findMessages(db.sql, "$all", options)).toEqual({
      messages: [],
      next: 6,
      scanned: 5,
    });
    expect(await findMessages(db.sql, "$all", { ...options, startAt: 11 }))
      .toEqual({ messages: [], next: null, scanned: 2 });
    expect(await numbers("$all", { types: ["Odd"], scanLimit: 3 }))
      .toEqual([[1], [3, 5], [7], [9, 11], []]);
  });

  test("does not answer a message that has another time than its neighbours", async () => {
    await db.sql`
      update message_store.messages set time = timestamp '2020-01-01' where global_position = 6`;
    expect((await numbers("$all", { since: minute(3), until: minute(9) })).flat())
      .toEqual([3, 4, 6, 7, 8]);
  });
});

describe("what is stored", () => {
  test("is cut in the database, and a million characters do not travel", async () => {
    await writeBatch(db.sql, "large-1", [
      { type: "Large", data: "ü".repeat(1_000_000), metadata: { a: "x".repeat(50) } },
      { type: "Small", data: { a: 12 } },
      { type: "None" },
    ]);
    const { messages } = await findMessages(db.sql, "large", { textLength: 10 });
    expect(messages.map(({ data, metadata, size, isCut }) => [data, metadata, size, isCut]))
      .toEqual([
        ['"üüüüüüüüü', '{"a": "xxx', 2_000_002 + 59, true],
        ['{"a": 12}', null, 9, false],
        [null, null, 0, false],
      ]);
  });

  test("ends a search at 16 MB that are stored", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'large-1', n, 'Large', to_jsonb(
        (select string_agg(md5((n * 1000000 + i)::text), '') from generate_series(1, 260000) as i)
      )
      from generate_series(0, 4) as n`;
    const page = await findMessages(db.sql, "large", { types: ["None"] });
    expect(page.scanned).toBeLessThan(5);
    expect(page.next).toBe(page.scanned + 1);
  });

  test("numbers, names and times that JavaScript does not have are as they are", async () => {
    await db.sql`
      insert into message_store.messages (id, stream_name, position, type, data, time)
      values
        ('00000000-0000-4000-8000-000000000001', '__proto__-1', 0, '__proto__',
          '{"__proto__": 12345678901234567890, "e": 1e30}', 'infinity'),
        ('00000000-0000-4000-8000-000000000002', '__proto__-1', 1, 'B', null, '290000-01-01')`;
    const { messages } = await findMessages(db.sql, "__proto__");
    expect(messages.map(({ data, time }) => [data, time])).toEqual([
      ['{"e": 1000000000000000000000000000000, "__proto__": 12345678901234567890}', null],
      [null, null],
    ]);
    expect(await inspectMessage(db.sql, "00000000-0000-4000-8000-000000000001"))
      .toEqual(messages[0]);
  });
});

test.each<[string, unknown, string]>([
  ["", {}, '"source"'],
  ["a", { limit: 0 }, '"limit"'],
  ["a", { scanLimit: 0 }, '"scanLimit"'],
  ["a", { textLength: -1 }, '"textLength"'],
  ["a", { types: "A" }, '"types"'],
  ["a", { types: [""] }, '"types"'],
  ["a", { text: "" }, '"text"'],
  ["a", { since: "2026" }, '"time"'],
  ["a", { until: new Date(NaN) }, '"time"'],
  ["a", { startAt: -1 }, '"startAt"'],
  ["a", { direction: "up" }, '"direction"'],
])("findMessages() of %j refuses %j", async (source, options, sentence) => {
  await expect(findMessages(db.sql, source, options as object)).rejects.toThrow(sentence);
});

test("inspectMessage() reads the beginning of a message, and null if there is none", async () => {
  const id = crypto.randomUUID();
  expect(await inspectMessage(db.sql, id)).toBeNull();
  await write(db.sql, "account-1", { type: "A", id, data: { a: "text" } });
  expect(await inspectMessage(db.sql, id.toUpperCase(), { textLength: 4 }))
    .toMatchObject({ id, streamName: "account-1", data: '{"a"', isCut: true, size: 13 });
});

describe("activity()", () => {
  test("tells how many messages came in each span", async () => {
    await fill();
    const buckets = await activity(db.sql, { since: minute(-3), until: minute(15), buckets: 6 });
    expect(buckets.map(({ count }) => count)).toEqual([0, 3, 3, 3, 3, 0]);
    expect([buckets[0]!.from, buckets[0]!.to, buckets[5]!.to])
      .toEqual([minute(-3), minute(0), minute(15)]);
  });

  test("tells of nothing in an empty store", async () => {
    const buckets = await activity(db.sql, { since: minute(0) });
    expect(buckets.map(({ count }) => count)).toEqual(Array.from({ length: 60 }, () => 0));
  });

  test.each([
    [{}, '"since"'],
    [{ since: minute(1), until: minute(1) }, '"until"'],
    [{ since: minute(1), buckets: 0 }, '"buckets"'],
    [{ since: "2026" }, '"time"'],
  ])("refuses %j", async (options, sentence) => {
    await expect(activity(db.sql, options as never)).rejects.toThrow(sentence);
  });
});

describe("over partitions", () => {
  let sql: Sql;
  beforeAll(async () => {
    await install(db.sql, { partition: { number: 0, of: 1 } });
    sql = partitioned([db.sql]);
  });

  test("all messages are refused, and categories and streams are not", async () => {
    await expect(findMessages(sql, "$all")).rejects.toThrow("Cannot do this with all partitions");
    expect((await findMessages(sql, "account")).messages).toEqual([]);
  });
});
