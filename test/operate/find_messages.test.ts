import {
  findMessages,
  type FindMessagesOptions,
  type FoundMessage,
  type FoundMessages,
  inspectMessage,
} from "@messagedb/client/operate";
import { beforeAll, describe, expect, test } from "vitest";
import {
  aggregate,
  drain,
  entity,
  partitioned,
  partitionFor,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const empty = useDatabase();
const other = useDatabase();
const [first, second] = [useDatabase(), useDatabase()];

/** Texts as people have them in their data. */
const TEXTS = [
  "plain",
  "100%",
  "a_b",
  "back\\slash",
  'a "quoted" word',
  "it's",
  "Zoë 😀 Ünal",
  "MUSTER Straße",
  "line\nbreak",
  "<b>&amp;</b>",
];

interface Row {
  readonly global_position: string;
  readonly position: string;
  readonly stream_name: string;
  readonly type: string;
  readonly time: Date;
  readonly data: string | null;
}

/** All messages, by another way: in JavaScript. */
let rows: readonly Row[];

beforeAll(async () => {
  for (const [at, text] of TEXTS.entries()) {
    await writeBatch(db.sql, `account-${at % 3}`, [
      { type: at % 2 ? "Deposited" : "Opened", data: { text, at } },
      { type: "Noted" },
    ]);
    await write(db.sql, "order-1", { type: "Opened", data: [text] });
    await write(db.sql, `account:command-${at}`, { type: "Open", metadata: { text } });
  }
  const consumer = { category: "account", consumerId: "balances" };
  await drain(db.sql, { ...consumer, handle: () => "park" }, { limit: 3 });
  await aggregate(db.sql, { name: "ledger", from: ["order"], partition: () => 1 }, { once: true });
  const account = entity({
    category: "account",
    init: () => 0,
    evolve: (it: number) => it + 1,
    snapshot: { every: 1 },
  });
  await account.fetch(db.sql, "1");
  await write(db.sql, "a:position-b", { type: "Recorded", data: { position: 1, of: "theirs" } });
  await db.sql`
    update message_store.messages
    set time = '2026-01-01'::timestamp + global_position * interval '1 s'`;
  // Gaps of positions, at the beginning, in the midst, and in a stream.
  await db.sql`
    delete from message_store.messages
    where global_position in (1, 2, 8, 9, 10, 22)`;
  rows = await db.sql<Row[]>`
    select global_position, position, stream_name, type, time, data::text
    from message_store.messages
    order by global_position`;
});

const OWN = /^(\w+:(position-balances|parked|aggregate|snapshot)|ledger-)/;
const placeOf = (source: string) => source.includes("-") ? "position" : "globalPosition";

/** What is to be found, in JavaScript. */
function expected(source: string, options: FindMessagesOptions): number[] {
  const { direction = "forward", startAt, types, text, since, until, ownMessages = true } = options;
  const isForward = direction === "forward";
  const isStream = source.includes("-");
  const position = (row: Row) => Number(isStream ? row.position : row.global_position);
  const starts = (row: Row): boolean => {
    if (startAt === undefined) return true;
    if (startAt === "beginning" || startAt === "end") {
      return (startAt === "beginning") === isForward || !isForward && position(row) === 0;
    }
    if (startAt instanceof Date) return isForward ? row.time >= startAt : row.time < startAt;
    return isForward ? position(row) >= startAt : position(row) <= startAt;
  };
  const found = rows.filter((row) =>
    (source === "$all" || row.stream_name === source ||
      row.stream_name.replace(/-.*/s, "") === source) &&
    starts(row) &&
    (types === undefined || types.includes(row.type)) &&
    (text === undefined || (row.data ?? "").toLowerCase().includes(text.toLowerCase())) &&
    (since === undefined || row.time >= since) && (until === undefined || row.time < until) &&
    (ownMessages || !OWN.test(row.stream_name))
  ).map(position);
  return isForward ? found : found.reverse();
}

/** Reads page by page until nothing is left. */
async function pages(
  source: string,
  options: FindMessagesOptions,
  sql: Sql = db.sql,
): Promise<FoundMessages[]> {
  const all = [await findMessages(sql, source, options)];
  for (let { next } = all[0]!; next !== null; { next } = all.at(-1)!) {
    if (all.length > 1000) throw new Error("This search does not end");
    all.push(await findMessages(sql, source, { ...options, startAt: next }));
  }
  return all;
}

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds));

const OPTIONS: readonly FindMessagesOptions[] = [
  {},
  { types: ["Opened"] },
  { types: ["Opened", "Noted", "None"] },
  { types: [] },
  { text: "a" },
  { text: "a", types: ["Opened"], ownMessages: false },
  { ownMessages: false },
  { since: at(10) },
  { since: at(8), until: at(9) },
  { since: at(8), until: at(30) },
  { until: at(25), types: ["Deposited"] },
  { since: at(-1000) },
  { since: at(1000) },
  { until: at(-1000) },
  { until: at(1000) },
  { since: at(30), until: at(10) },
  { startAt: 5 },
  { startAt: 8, text: "o" },
  { startAt: 8, since: at(5), until: at(40) },
  { startAt: 1_000_000 },
  { startAt: 0 },
  { startAt: "beginning" },
  { startAt: "end" },
  { startAt: at(21) },
  { startAt: at(22) },
  { startAt: at(22.5) },
  { startAt: at(-1000) },
  { startAt: at(1000) },
];

describe.each(["forward", "backward"] as const)("findMessages() %s", (direction) => {
  test.each([
    "$all",
    "account",
    "account:command",
    "ledger",
    "account-1",
    "order-1",
    "none",
    "n-1",
  ])(
    "finds in %s what all messages in JavaScript have, on pages of any size",
    async (source) => {
      for (const options of OPTIONS) {
        for (
          const [limit, scanLimit] of [[100, 10_000], [1, 10_000], [3, 10_000], [3, 2], [7, 5]]
        ) {
          const given = { ...options, direction, limit, scanLimit } as FindMessagesOptions;
          const found = await pages(source, given);
          const places = found.flatMap(({ messages }) => messages.map((it) => it[placeOf(source)]));
          expect(places, JSON.stringify(given)).toEqual(expected(source, given));
          for (const { messages, scanned } of found) {
            expect(messages.length).toBeLessThanOrEqual(Math.min(limit!, scanned));
            expect(scanned).toBeLessThanOrEqual(scanLimit!);
          }
        }
      }
    },
  );
});

test("findMessages() looks for a text as it is, in capitals or not", async () => {
  const textsFound = async (text: string) => {
    const { messages } = await findMessages(db.sql, "order", { text });
    return messages.map(({ data }) => JSON.parse(data!)[0]);
  };
  for (const text of TEXTS) {
    expect(await textsFound(text)).toEqual([text]);
    // In JSON, some have a "\\" before.
    expect(await textsFound(JSON.stringify(text).slice(1, -1))).toEqual([text]);
  }
  expect(await textsFound("muster")).toEqual(["MUSTER Straße"]);
  expect(await textsFound("PLAIN")).toEqual(["plain"]);
  expect(await textsFound("%")).toEqual(["100%"]);
  expect(await textsFound("_")).toEqual(["a_b"]);
  expect(await textsFound("\\\\")).toEqual(["back\\slash"]);
  expect(await textsFound("😀")).toEqual(["Zoë 😀 Ünal"]);
  expect(await textsFound("'; drop table message_store.messages; --")).toEqual([]);
  expect(await textsFound(".*")).toEqual([]);
});

test("findMessages() looks into data only, and not into metadata or names", async () => {
  expect((await findMessages(db.sql, "account:command", { text: "a" })).messages).toEqual([]);
});

test("findMessages() finds what a correlation has, of the stream or of its category", async () => {
  const store = db.connect({ max: 1 });
  await store.unsafe("begin");
  const correlations = ["saga-1", "saga-2", "saga", "sagas-1", undefined, 7];
  for (const [at, correlationStreamName] of correlations.entries()) {
    await store`
      insert into message_store.messages (stream_name, position, type, data, metadata)
      values ('correlated-1', ${at}, 'Any', '{}', ${
      correlationStreamName === undefined ? null : JSON.stringify({ correlationStreamName })
    }::text::jsonb)`;
  }
  const positionsOf = async (correlation: string) =>
    (await findMessages(store, "correlated", { correlation })).messages
      .map(({ position }) => position);
  expect(await positionsOf("saga-1")).toEqual([0]);
  expect(await positionsOf("saga")).toEqual([0, 1, 2]);
  expect(await positionsOf("saga-1-2")).toEqual([]);
  expect(await positionsOf("7")).toEqual([5]);
  await store.unsafe("rollback");
});

test("findMessages() answers a message as the store has it", async () => {
  const id = "e1a3b0ee-6a5c-4e2b-8a4e-5b1d1f6a3f10";
  await write(other.sql, "number-1", { id, type: "A", metadata: { é: 1 } });
  await other.sql`
    update message_store.messages
    set data = '{"__proto__": 12345678901234567890.10}', time = '2026-01-01 00:00:00.0019'`;
  expect((await findMessages(other.sql, "$all")).messages).toEqual([{
    id,
    streamName: "number-1",
    type: "A",
    position: 0,
    globalPosition: 1,
    time: new Date("2026-01-01T00:00:00.001Z"),
    data: '{"__proto__": 12345678901234567890.10}',
    metadata: '{"é": 1}',
    isCut: false,
    size: 47,
  }]);
  for (const time of ["infinity", "-infinity", "290000-01-01"]) {
    await other.sql`update message_store.messages set time = ${time}::text::timestamp`;
    const { messages } = await findMessages(other.sql, "number-1", { since: at(0) });
    for (const it of messages) expect(it.time).toBe(null);
    expect((await findMessages(other.sql, "number-1")).messages).toMatchObject([{ time: null }]);
  }
});

test("findMessages() cuts texts, and ends after 16 MB of what is stored", async () => {
  const large = db.connect({ max: 1 });
  await large.unsafe("begin");
  // Compressed, these would be small.
  await large.unsafe(`
    alter table message_store.messages alter column data set storage external;
    insert into message_store.messages (stream_name, position, type, data)
    select 'large-1', number, 'A', to_jsonb(repeat('x', 10000000))
    from generate_series(0, 3) as number`);
  const found = await findMessages(large, "large", {});
  expect(found).toMatchObject({ scanned: 2, next: expect.any(Number) });
  expect(found.messages.map(({ data, isCut, size }) => [data!.length, isCut, size]))
    .toEqual([[2000, true, 10_000_002], [2000, true, 10_000_002]]);
  const rest = await findMessages(large, "large", { startAt: found.next!, textLength: 5 });
  expect(rest).toMatchObject({ scanned: 2, next: null });
  expect(rest.messages.map(({ data }) => data!.length)).toEqual([5, 5]);
  const none = await findMessages(large, "large-1", { limit: 1, textLength: 0 });
  expect(none.messages).toMatchObject([{ data: "", metadata: null, isCut: true }]);
  // One that is larger than all of this is looked at by itself.
  const text = await findMessages(large, "large-1", { text: "zzz" });
  expect(text).toEqual({ messages: [], next: 2, scanned: 2 });
  await large.unsafe("rollback");
});

test("findMessages() ends after 16 MB of text, however little of it is stored", async () => {
  const large = db.connect({ max: 1 });
  await large.unsafe("begin");
  await large.unsafe(`
    insert into message_store.messages (stream_name, position, type, data)
    select 'packed-1', number, case when number < 3 then 'A' else 'B' end, to_jsonb(repeat('x', 9000000))
    from generate_series(0, 5) as number`);
  const found = await findMessages(large, "packed-1", { textLength: 5 });
  expect(found).toMatchObject({
    messages: [{ data: '"xxxx', size: 9_000_002, isCut: true }, { position: 1 }],
    scanned: 2,
    next: 2,
  });
  expect(await findMessages(large, "packed-1", { text: "zzz" }))
    .toEqual({ messages: [], scanned: 2, next: 2 });
  // No text is made of what is not of the type.
  expect(await findMessages(large, "packed-1", { types: ["B"], textLength: 5 }))
    .toMatchObject({ messages: [{ position: 3 }, { position: 4 }], scanned: 5, next: 5 });
  await large.unsafe("rollback");
});

test("findMessages() cuts types, and ends after 16 MB of them", async () => {
  const large = db.connect({ max: 1 });
  await large.unsafe("begin");
  // The letter has two bytes.
  await large.unsafe(`
    insert into message_store.messages (stream_name, position, type)
    select 'named-1', number, case number when 0 then repeat('é', 1000) else repeat('é', 2000000) end
    from generate_series(0, 9) as number`);
  for (const source of ["named-1", "named"]) {
    const found = await findMessages(large, source);
    expect(found).toMatchObject({ scanned: 5, next: expect.any(Number) });
    expect(found.messages.map(({ type, isCut, size }) => [type, isCut, size])).toEqual([
      ["é".repeat(1000), false, 0],
      ...Array.from({ length: 4 }, () => [`${"é".repeat(1000)}...`, false, 0]),
    ]);
  }
  const { messages } = await findMessages(large, "named-1", { startAt: 9 });
  expect((await inspectMessage(large, messages[0]!.id))!.type).toHaveLength(1003);
  const long = { types: ["é".repeat(2_000_000)], limit: 1 };
  expect(await findMessages(large, "named-1", long)).toMatchObject({ messages: [{ position: 1 }] });
  await large.unsafe("rollback");
});

test("findMessages() ends after 16 MB of stream names", async () => {
  const large = db.connect({ max: 1 });
  await large.unsafe("begin");
  await large.unsafe(`
    insert into message_store.messages (stream_name, position, type)
    select 'spacious-' || number || repeat('x', 200000), 0, 'A'
    from generate_series(1, 99) as number`);
  expect(await findMessages(large, "spacious")).toMatchObject({
    scanned: 80,
    next: expect.any(Number),
  });
  await large.unsafe("rollback");
});

test("findMessages() has no next page at the exact end", async () => {
  await writeBatch(db.sql, "exact-1", Array.from({ length: 6 }, () => ({ type: "A" })));
  for (const direction of ["forward", "backward"] as const) {
    for (const source of ["exact", "exact-1"]) {
      for (const options of [{ limit: 6 }, { scanLimit: 6 }, { scanLimit: 6, types: ["B"] }]) {
        expect(await findMessages(db.sql, source, { ...options, direction }))
          .toMatchObject({ next: null, scanned: 6 });
      }
      for (const options of [{ limit: 5 }, { scanLimit: 5 }, { scanLimit: 5, types: ["B"] }]) {
        const { next, scanned } = await findMessages(db.sql, source, { ...options, direction });
        expect([next === null, scanned]).toEqual([false, 5]);
      }
    }
  }
});

test("findMessages() finds all within the times that are near to their order", async () => {
  const sql = db.connect({ max: 1 });
  await sql.unsafe("begin");
  // Each is half a second later or earlier than those beside it.
  await sql.unsafe(`
    insert into message_store.messages (stream_name, position, type, time)
    select
      'mixed-1', number, 'A',
      '2030-01-01'::timestamp + number * interval '1 s' + (number % 2) * interval '-1500 ms'
    from generate_series(0, 99) as number`);
  const since = new Date(Date.UTC(2030, 0, 1, 0, 0, 50));
  for (const source of ["$all", "mixed", "mixed-1"]) {
    const { messages } = await findMessages(sql, source, { since });
    // Beside the edge one may be missed, and none is answered that is out of the times.
    expect(messages.length).toBeGreaterThanOrEqual(48);
    expect(messages.filter(({ time }) => time! < since)).toEqual([]);
  }
  await sql.unsafe("rollback");
});

test("findMessages() finds nothing in an empty store", async () => {
  for (const source of ["$all", "account", "account-1"]) {
    for (const direction of ["forward", "backward"] as const) {
      for (const options of OPTIONS) {
        expect(await findMessages(empty.sql, source, { ...options, direction }))
          .toEqual({ messages: [], next: null, scanned: 0 });
      }
    }
  }
});

test("findMessages() finds streams and categories where they are, over partitions", async () => {
  const stores = [first.sql, second.sql];
  for (const [number, it] of stores.entries()) {
    await install(it, { partition: { number, of: 2 } });
  }
  const sql = partitioned(stores);
  for (const name of ["p0", "p1", "p2", "p3", "p4"]) {
    await write(sql, `${name}-1`, { type: "A" });
    const found: FoundMessage[] = [];
    for (const source of [name, `${name}-1`]) {
      const { messages } = await findMessages(sql, source);
      expect(messages).toMatchObject([{ streamName: `${name}-1` }]);
      found.push(...messages);
    }
    const home = partitionFor(sql, `${name}-1`);
    expect((await findMessages(home, name)).messages).toEqual([found[0]]);
  }
  await expect(findMessages(sql, "$all")).rejects.toThrow(/partition/);
});

test.each<[string, string, unknown, ErrorConstructor, string]>([
  ["an empty source", "", {}, TypeError, '"source"'],
  ["a direction", "$all", { direction: "up" }, TypeError, '"direction"'],
  ["a start", "$all", { startAt: -1 }, RangeError, '"startAt"'],
  ["a text as the start", "$all", { startAt: "now" }, TypeError, '"startAt"'],
  ["a limit of 0", "$all", { limit: 0 }, RangeError, '"limit"'],
  ["a scan limit of 0", "$all", { scanLimit: 0 }, RangeError, '"scanLimit"'],
  ["a negative length", "$all", { textLength: -1 }, RangeError, '"textLength"'],
  ["a type that is no array", "$all", { types: "A" }, TypeError, '"types"'],
  ["a type that is no text", "$all", { types: [1] }, TypeError, '"types"'],
  ["an empty text", "$all", { text: "" }, TypeError, '"text"'],
  ["an empty correlation", "$all", { correlation: "" }, TypeError, '"correlation"'],
  ["a text with a NUL", "$all", { text: "a\0" }, TypeError, '"text"'],
  ["a time as text", "$all", { since: "2026" }, TypeError, "2026"],
  ["an invalid time", "$all", { until: new Date(NaN) }, TypeError, "Date"],
  ["ownMessages as text", "$all", { ownMessages: "no" }, TypeError, '"ownMessages"'],
  ["another member", "$all", { type: "A" }, TypeError, '"type"'],
])("findMessages() refuses %s", async (_, source, options, kind, words) => {
  const error = await findMessages(db.sql, source, options as object).catch((it) => it);
  expect(error).toBeInstanceOf(kind);
  expect(error.message).toContain(words);
});
