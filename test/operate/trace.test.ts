import {
  trace,
  type TracedMessage,
  type TraceOptions,
  type TraceStart,
} from "@messagedb/client/operate";
import { beforeEach, describe, expect, test } from "vitest";
import {
  append,
  follow,
  type Message,
  readLastMessage,
  readStream,
  type Sql,
  write,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

beforeEach(async () => {
  await db.sql`truncate message_store.messages restart identity`;
});

/** Writes a message that follows from another, and answers it. */
async function put(streamName: string, type: string, cause?: Message): Promise<Message> {
  await write(db.sql, streamName, cause ? follow(cause, { type }) : { type });
  return (await readLastMessage(db.sql, streamName))!;
}

/** Writes messages that nothing caused. */
async function putOthers(count: number): Promise<void> {
  await db.sql`
    insert into message_store.messages (stream_name, position, type)
    select 'other-' || gen_random_uuid(), 0, 'Other' from generate_series(1, ${count}::int)`;
}

/** Each message with its depth, and `<` for a cause, `*` for a start. */
function drawn(messages: readonly TracedMessage[]): string[] {
  const marks = { cause: "<", start: "*", effect: "" };
  return messages.map(({ depth, role, type }) => `${depth} ${marks[role]}${type}`);
}

async function typesOf(start: TraceStart, options?: TraceOptions): Promise<string[]> {
  return drawn((await trace(db.sql, start, options)).messages);
}

describe("trace()", () => {
  test("finds what led to a message, and what followed from it, across streams", async () => {
    const withdraw = await put("account:command-1", "Withdraw");
    await put("account-1", "Refused", withdraw);
    const withdrawn = await put("account-1", "Withdrawn", withdraw);
    const half = await put("transfer-7", "HalfDone", withdrawn);
    await put("notice-1", "Sent", withdrawn);
    await put("account-1", "Closed");
    const deposit = await put("account:command-2", "Deposit", half);
    const { id } = await put("account-2", "Deposited", deposit);
    const { messages, hasMore } = await trace(db.sql, { id: half.id.toUpperCase() });
    expect(hasMore).toBe(false);
    expect(drawn(messages)).toEqual([
      "0 <Withdraw",
      "1 <Withdrawn",
      "2 *HalfDone",
      "3 Deposit",
      "4 Deposited",
    ]);
    expect(messages.map(({ cause }) => cause)).toEqual([null, 1, 3, 4, 7]);
    expect(messages.at(-1)).toEqual({
      id,
      streamName: "account-2",
      type: "Deposited",
      position: 0,
      globalPosition: 8,
      time: expect.any(Date),
      role: "effect",
      cause: 7,
      namedCause: { streamName: "account:command-2", position: 0 },
      depth: 4,
    });
    expect(messages[0]).toMatchObject({ namedCause: null, time: withdraw.time });
    expect(await typesOf({ id })).toEqual([
      "0 <Withdraw",
      "1 <Withdrawn",
      "2 <HalfDone",
      "3 <Deposit",
      "4 *Deposited",
    ]);
  });

  test("begins with all messages of a stream, each below its cause", async () => {
    const placed = await put("order-1", "Placed");
    const paid = await put("payment-1", "Paid", placed);
    const shipped = await put("order-1", "Shipped", paid);
    const other = await put("complaint-1", "Complained");
    await put("order-1", "Returned", other);
    await put("payment-1", "PaidBack", shipped);
    expect(await typesOf({ streamName: "order-1" })).toEqual([
      "0 *Placed",
      "1 Paid",
      "2 *Shipped",
      "0 <Complained",
      "1 *Returned",
      "3 PaidBack",
    ]);
  });

  test("looks at all later messages, however many there are between", async () => {
    const first = await put("a-1", "First");
    await putOthers(9_998);
    // The last of its page, the first of the next one, and one of a page that has its own effect.
    const second = await put("b-1", "Second", first);
    const third = await put("c-1", "Third", second);
    await putOthers(12_000);
    await put("d-1", "Fourth", third);
    await put("e-1", "Fifth", await put("d-1", "Fourth", first));
    const { messages } = await trace(db.sql, { id: first.id });
    expect(messages.map(({ type, cause }) => [type, cause])).toEqual([
      ["First", null],
      ["Second", 1],
      ["Third", 10_000],
      ["Fourth", 10_001],
      ["Fourth", 1],
      ["Fifth", 22_003],
    ]);
  });

  test("reads as many as asked for, the first ones, and says whether there are more", async () => {
    const first = await put("a-1", "First");
    let last = first;
    for (let at = 0; at < 5; at++) last = await put("a-1", `${at}`, last);
    const whole = ["0 *First", "1 0", "2 1", "3 2", "4 3", "5 4"];
    for (const limit of [1, 4, 5, 6]) {
      const { messages, hasMore } = await trace(db.sql, { id: first.id }, { limit });
      expect(drawn(messages)).toEqual(whole.slice(0, limit + 1));
      expect(hasMore).toBe(limit < 5);
      const up = await trace(db.sql, { id: last.id }, { limit });
      expect(up.messages.map(({ type }) => type))
        .toEqual(["First", "0", "1", "2", "3", "4"].slice(-limit - 1));
      expect(up.hasMore).toBe(limit < 5);
      expect(up.messages[0]!.namedCause)
        .toEqual(limit < 5 ? { streamName: "a-1", position: 4 - limit } : null);
      const all = await trace(db.sql, { streamName: "a-1" }, { limit });
      expect(all.messages.map(({ type }) => type)).toEqual(
        ["First", "0", "1", "2", "3", "4"].slice(0, limit * 2),
      );
      expect(all.hasMore).toBe(limit < 6);
    }
  });

  test("ends soon in a chain that goes on for ever", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, metadata)
      select 'tick-1', n, 'Ticked', jsonb_build_object(
        'causationMessageStreamName', 'tick-1', 'causationMessagePosition', n - 1
      )
      from generate_series(0, 9000) as n`;
    const [first] = await readStream(db.sql, "tick-1", { batchSize: 1 });
    const found: number[] = [];
    const sql: Sql = async (strings, ...parameters) => {
      const rows = await db.sql(strings, ...parameters as string[]);
      const answer = JSON.parse(rows[0]!["json"]);
      found.push((answer.causes ?? answer.pairs ?? answer).length);
      return rows;
    };
    const last = (await readLastMessage(db.sql, "tick-1"))!;
    for (const { id } of [first!, last]) {
      expect((await trace(sql, { id }, { limit: 100 })).messages).toHaveLength(101);
    }
    // A message itself is among its causes. A page is looked at as a whole, and read as far as the chain is wanted.
    expect(found).toEqual([1, 9000, 101, 102, 0]);
    expect((await trace(db.sql, { streamName: "tick-1" })).messages).toHaveLength(2000);
  });

  test("passes by metadata that name no cause, or one that is not there", async () => {
    const place = (position: unknown, streamName: unknown = "a-1") => ({
      causationMessageStreamName: streamName,
      causationMessagePosition: position,
    });
    const odd: unknown[] = [
      ...[5, "text", [], [place(0)], true, {}],
      ...[null, -1, 0.5, 1e30, "x", "", true, {}, [0]].map((it) => place(it)),
      ...[null, 7, "", "A-1", "a-_", "%", ["a-1"], { a: 1 }].map((it) => place(0, it)),
      { causationMessageStreamName: "a-1" },
      { causationMessagePosition: 0 },
    ];
    const { id } = await put("a-1", "First");
    for (const metadata of odd) {
      await db.sql`
        insert into message_store.messages (stream_name, position, type, metadata)
        values ('odd-' || gen_random_uuid(), 0, 'Odd', ${JSON.stringify(metadata)}::text::jsonb)`;
    }
    expect(await typesOf({ id })).toEqual(["0 *First"]);
    const ids = await db.sql`select id from message_store.messages where type = 'Odd'`;
    expect(ids).toHaveLength(odd.length);
    for (const { id } of ids) expect(await typesOf({ id })).toEqual(["0 *Odd"]);
    await db.sql`
      insert into message_store.messages (stream_name, position, type, metadata)
      values ('late-1', 0, 'Late', ${JSON.stringify(place(9))}::text::jsonb)`;
    const { messages } = await trace(db.sql, { streamName: "late-1" });
    expect(messages).toMatchObject([{ namedCause: { streamName: "a-1", position: 9 } }]);
  });

  test("ends where messages name themselves, or each other", async () => {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, metadata)
      select
        'a-' || (cause + 1) % 3, 0, 'It',
        jsonb_build_object(
          'causationMessageStreamName', 'a-' || cause, 'causationMessagePosition', 0
        )
      from generate_series(0, 2) as cause
      union all
      select 'self-1', 0, 'Self', jsonb_build_object(
        'causationMessageStreamName', 'self-1', 'causationMessagePosition', 0
      )`;
    // a-1 names a-0, which comes later; a-2 names a-1; a-0 names a-2.
    for (const name of ["a-0", "a-1", "a-2"]) {
      const { messages } = await trace(db.sql, { streamName: name });
      expect(messages.map(({ streamName, depth }) => [streamName, depth]))
        .toEqual([["a-1", 0], ["a-2", 1], ["a-0", 2]]);
    }
    expect(await typesOf({ streamName: "self-1" })).toEqual(["0 *Self"]);
  });

  test("leaves out what names a later message as its cause", async () => {
    const place = (streamName: string) => ({
      causationMessageStreamName: streamName,
      causationMessagePosition: 0,
    });
    await write(db.sql, "a-1", { type: "First" });
    await write(db.sql, "b-1", { type: "Second", metadata: place("c-1") });
    await write(db.sql, "c-1", { type: "Third", metadata: place("a-1") });
    expect(await typesOf({ streamName: "a-1" })).toEqual(["0 *First", "1 Third"]);
    expect(await typesOf({ streamName: "b-1" })).toEqual(["0 *Second"]);
  });

  test("follows streams of any name", async () => {
    const names = [
      "a%-_",
      "\x1b[2J-\n\t",
      "é😀-\u202e",
      "quote\"'\\-1",
      `long-${"x".repeat(2000)}`,
    ];
    let last = await put("start-1", "Start");
    const { id } = last;
    for (const name of names) last = await put(name, "Next", last);
    const { messages } = await trace(db.sql, { id });
    expect(messages.map(({ streamName }) => streamName)).toEqual(["start-1", ...names]);
    expect(messages.at(-1)!.depth).toBe(names.length);
  });

  test("cuts long types", async () => {
    const long = "é".repeat(1_000_000);
    const first = await put("a-1", long);
    const second = await put("b-1", long, first);
    await put("c-1", "é".repeat(1000), second);
    const { messages } = await trace(db.sql, { id: second.id });
    expect(messages.map(({ type }) => type))
      .toEqual([`${long.slice(0, 1000)}...`, `${long.slice(0, 1000)}...`, "é".repeat(1000)]);
  });

  test("has no message of an id or a stream that is not there", async () => {
    const none = { messages: [], hasMore: false };
    expect(await trace(db.sql, { id: crypto.randomUUID() })).toEqual(none);
    expect(await trace(db.sql, { streamName: "a-1" })).toEqual(none);
  });

  test("ends as soon as its signal aborts", async () => {
    await append(db.sql, "a-1", { type: "First" });
    await putOthers(25_000);
    const end = new AbortController();
    const reason = new Error("enough");
    let sent = 0;
    const sql: Sql = (strings, ...parameters) => {
      if (++sent === 3) end.abort(reason);
      return db.sql(strings, ...parameters as string[]);
    };
    const start = { streamName: "a-1" };
    await expect(trace(sql, start, { signal: end.signal })).rejects.toBe(reason);
    expect(sent).toBe(3);
    await expect(trace(sql, start, { signal: end.signal })).rejects.toBe(reason);
    expect(sent).toBe(3);
  });

  test.each<[unknown, unknown, string]>([
    ["a-1", {}, 'Cannot use "a-1" as "start"'],
    [{}, {}, 'Cannot use start: it has neither "id" nor "streamName"'],
    [{ id: "1", streamName: "a-1" }, {}, 'it has both "id" and "streamName"'],
    [{ id: "1" }, {}, 'Cannot use "1" as "id"'],
    [{ streamName: "account" }, {}, 'Cannot use "account" as "streamName"'],
    [{ streamName: "a-1" }, { limit: 0 }, 'Cannot use 0 as "limit"'],
    [{ streamName: "a-1" }, { signal: 1 }, 'Cannot use 1 as "signal"'],
    [{ streamName: "a-1" }, null, 'Cannot use null as "options"'],
  ])("refuses %j with %j, before anything is sent", async (start, options, sentence) => {
    const sql: Sql = () => {
      throw new Error("sent");
    };
    await expect(trace(sql, start as TraceStart, options as TraceOptions)).rejects
      .toThrow(sentence);
  });
});
