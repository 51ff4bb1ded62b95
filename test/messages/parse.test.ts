import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  aggregate,
  defineMessages,
  FORGOTTEN,
  InvalidMessageError,
  type Message,
  type MessageInput,
  readAggregate,
  readLastMessage,
  readStream,
  write,
  writeBatch,
} from "../../mod.ts";
import { gateway } from "../../src/http/gateway.ts";
import { exportMessages } from "../../src/operate/mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
let streams = 0;
const newStream = () => `parsed${++streams}-1`;

const iso = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});
const account = defineMessages({
  Opened: z.object({ owner: z.string(), on: iso }),
  Deposited: {
    schema: z.object({ amount: z.number().positive(), currency: z.string() }),
    aliases: ["MoneyDeposited"],
    upcasts: [(data: { amount: number }) => ({ ...data, currency: "EUR" })],
  },
}, {
  codec: {
    encode: (data) => ({ wrapped: data }),
    decode: (data) => Promise.resolve((data as { wrapped: unknown }).wrapped),
  },
});
const { Opened, Deposited } = account;

/** A stream with an old message, two new ones and metadata. */
async function writtenStream(): Promise<string> {
  const streamName = newStream();
  await writeBatch(db.sql, streamName, [
    { type: "MoneyDeposited", data: { wrapped: { amount: 11 } } },
    Opened({ owner: "Ada", on: new Date(0) }, { metadata: { by: "Ada" } }),
    Deposited({ amount: 5, currency: "SEK" }),
  ]);
  return streamName;
}

/** A message as it is stored, for what is done to it. */
const stored = {
  id: "019cfb4e-0000-7000-8000-000000000001",
  streamName: "account-1",
  type: "Sent",
  position: 0,
  globalPosition: 1,
  data: { to: "Bob" },
  metadata: null,
  time: "2026-07-28T09:30:00.123Z",
};
const Sent = z.object({ to: z.string() });
const plain = defineMessages({ Sent });

/** What both ways to parse have refused it with. */
async function refusalOf(
  catalogue: Pick<typeof plain, "parse" | "safeParse">,
  message: unknown,
): Promise<Error> {
  const thrown = await catalogue.parse(message).then(
    () => assert.fail("it was parsed"),
    (it) => it,
  );
  const result = await catalogue.safeParse(message);
  assert.ok(!result.success);
  assert.deepEqual(result.error, thrown);
  return result.error;
}

describe("parse() and safeParse()", () => {
  test("make of a message from anywhere what a read makes of it", async () => {
    const streamName = await writtenStream();
    const read = await readStream(db.sql, streamName, { messages: account });
    assert.deepEqual(read.map(({ data }) => data), [
      { amount: 11, currency: "EUR" },
      { owner: "Ada", on: new Date(0) },
      { amount: 5, currency: "SEK" },
    ]);
    const unparsed = await readStream(db.sql, streamName);
    const lines: string[] = [];
    for await (const line of exportMessages(db.sql, streamName)) lines.push(line);
    const handle = gateway(db.sql, { authorize: () => true });
    const live = await handle(
      new Request(`http://localhost/streams/${streamName}/messages`, {
        headers: { accept: "text/event-stream" },
      }),
    );
    const events: string[] = [];
    let text = "";
    for await (const bytes of live.body!) {
      text += new TextDecoder().decode(bytes as Uint8Array);
      events.splice(0, Infinity, ...[...text.matchAll(/^data: ?(.*)\n/gm)].map(([, it]) => it!));
      if (events.length === 3) break;
    }
    const ways = {
      "a read without a catalogue": unparsed,
      "a queue": JSON.parse(JSON.stringify(unparsed)),
      "a file": lines.map((it) => JSON.parse(it)),
      "an EventSource": events.map((it) => JSON.parse(it)),
    };
    for (const [way, messages] of Object.entries(ways)) {
      const parsed = await Promise.all(messages.map((it: unknown) => account.parse(it)));
      assert.deepEqual(parsed, read, way);
      const safely = await Promise.all(messages.map((it: unknown) => account.safeParse(it)));
      assert.deepEqual(safely, read.map((message) => ({ success: true, message })), way);
    }
  });

  test("keep the reference of an aggregate's message", async () => {
    const streamName = newStream();
    const ledger = newStream().replace("-1", "");
    await write(db.sql, streamName, plain.Sent({ to: "Bob" }));
    const from = [streamName.replace("-1", "")];
    await aggregate(db.sql, { name: ledger, from, partition: () => 0 }, { once: true });
    const [message] = await readAggregate(db.sql, ledger);
    const parsed = await plain.parse(JSON.parse(JSON.stringify(message)));
    assert.deepEqual(parsed, message);
  });

  test("leave the message that they are given as it was", async () => {
    const message = Object.freeze({ ...stored, data: Object.freeze({ to: "Bob" }) });
    const parsed = await plain.parse(message);
    assert.deepEqual(parsed, { ...stored, time: new Date(stored.time) });
  });

  test("need no receiver", async () => {
    const { parse, safeParse } = plain;
    assert.equal((await parse(stored)).data.to, "Bob");
    assert.equal((await safeParse(stored)).success, true);
  });

  test("take a time of any zone, and a Date", async () => {
    for (
      const time of [
        "2026-07-28T09:30:00.123Z",
        "2026-07-28T11:30:00.123+02:00",
        "2026-07-28T09:30:00.123456Z",
        new Date("2026-07-28T09:30:00.123Z"),
      ]
    ) {
      const parsed = await plain.parse({ ...stored, time });
      assert.equal(parsed.time.toISOString(), "2026-07-28T09:30:00.123Z");
    }
  });

  test("take a message without data and metadata, which JSON may have lost: they are null", async () => {
    const { data: _, metadata: __, ...rest } = stored;
    const catalogue = defineMessages({ Sent: z.null() });
    const parsed = await catalogue.parse(rest);
    assert.deepEqual([parsed.data, parsed.metadata], [null, null]);
  });

  test.each<[string, unknown, RegExp]>([
    [
      "nothing",
      undefined,
      /^Cannot use undefined as "message": it must be an object: a message as/,
    ],
    ["null", null, /^Cannot use null as "message"/],
    ["a list", [stored], /^Cannot use an array as "message"/],
    ["its JSON", JSON.stringify(stored), /^Cannot use ".{20,25}…" as "message"/],
    ["no message", {}, /^Cannot use undefined as "type"/],
    ["a type that is none", { ...stored, type: 5 }, /^Cannot use 5 as "type"/],
    ["an empty type", { ...stored, type: "" }, /^Cannot use "" as "type"/],
    [
      "what a constructor has made",
      plain.Sent({ to: "Bob" }),
      /^Cannot use undefined as "streamName"/,
    ],
    ["no stream", { ...stored, streamName: null }, /^Cannot use null as "streamName"/],
    ["no id", { ...stored, id: undefined }, /^Cannot use undefined as "id": it must be a UUID$/],
    ["an id that is none", { ...stored, id: "1" }, /^Cannot use "1" as "id": it must be a UUID$/],
    ["a position as text", { ...stored, position: "0" }, /^Cannot use "0" as "position"/],
    ["half a position", { ...stored, position: 0.5 }, /^Cannot use 0.5 as "position"/],
    ["a position before all", { ...stored, position: -1 }, /^Cannot use -1 as "position"/],
    [
      "no global position",
      { ...stored, globalPosition: null },
      /^Cannot use null as "globalPosition"/,
    ],
    ["a global position too far", { ...stored, globalPosition: 2 ** 53 }, /"globalPosition"/],
    ["metadata as text", { ...stored, metadata: "{}" }, /^Cannot use "{}" as "metadata"/],
    ["metadata as a list", { ...stored, metadata: [] }, /^Cannot use \[\] as "metadata"/],
    [
      "no time",
      { ...stored, time: undefined },
      /^Cannot use undefined as "time": it must be a Date, or/,
    ],
    ["a time that is none", { ...stored, time: "soon" }, /^Cannot use "soon" as "time"/],
    ["a time as a number", { ...stored, time: 0 }, /^Cannot use 0 as "time"/],
    ["a time without a zone", { ...stored, time: "2026-07-28T09:30:00" }, /as "time"/],
    ["a day without a time", { ...stored, time: "2026-07-28" }, /as "time"/],
    ["a time that never was", { ...stored, time: "2026-13-28T09:30:00Z" }, /as "time"/],
    ["an invalid Date", { ...stored, time: new Date(NaN) }, /^Cannot use Invalid Date as "time"/],
  ])("refuse %s, and say which member is wrong", async (_, message, sentence) => {
    const error = await refusalOf(plain, message);
    assert.ok(error instanceof TypeError || error instanceof RangeError);
    assert.match(error.message, sentence);
  });

  test("refuse a message that does not fit, as a read does", async () => {
    const streamName = newStream();
    const bad: MessageInput[] = [
      { type: "Sent", data: { to: 5 } },
      { type: "Elsewhere", data: {} },
      { type: "Sent", data: null },
    ];
    for (const message of bad) {
      await write(db.sql, streamName, message);
      const last = await readLastMessage(db.sql, streamName);
      const expected = await readLastMessage(db.sql, streamName, { messages: plain })
        .then(() => assert.fail("it was read"), (error) => error);
      assert.ok(expected instanceof InvalidMessageError);
      assert.deepEqual(await refusalOf(plain, last), expected);
    }
  });

  test("refuse what cannot be lifted", async () => {
    const { message } = await refusalOf(
      defineMessages({ Sent: { schema: Sent, upcasts: [(data: { a: { b: 5 } }) => data.a.b] } }),
      stored,
    );
    assert.match(
      message,
      /^Cannot read message "Sent" at position 0 of stream "account-1": version 1 cannot be lifted/,
    );
    assert.match(
      (await refusalOf(plain, { ...stored, data: null })).message,
      /expected object, received null$/,
    );
  });

  test("answer nothing where a read leaves the message out", async () => {
    const codec = { encode: (data: unknown) => data, decode: () => FORGOTTEN };
    const skipping = defineMessages({ Made: Sent }, { unknown: "skip" });
    const forgetting = defineMessages({ Sent }, { codec, forgotten: "skip" });
    for (const { parse, safeParse } of [skipping, forgetting]) {
      assert.equal(await parse(stored), undefined);
      assert.deepEqual(await safeParse(stored), { success: true, message: undefined });
    }
    const passing = defineMessages({ Made: Sent }, { codec, unknown: "pass" });
    const sent = await passing.parse(stored);
    assert.equal(sent.type === "$unknown" && sent.storedType, "Sent");
    const made = await passing.parse({ ...stored, type: "Made" });
    assert.equal(made.type === "$forgotten" && made.storedType, "Made");
  });

  test("throw what the codec throws: it says nothing of the message", async () => {
    for (const down of [new Error("no answer"), new TypeError("fetch failed")]) {
      const { parse, safeParse } = defineMessages({ Sent }, {
        codec: { encode: (data) => data, decode: () => Promise.reject(down) },
      });
      await assert.rejects(parse(stored), down);
      await assert.rejects(safeParse(stored), down);
      const atOnce = defineMessages({ Sent }, {
        codec: {
          encode: (data) => data,
          decode: () => {
            throw down;
          },
        },
      });
      await assert.rejects(atOnce.parse(stored), down);
      await assert.rejects(atOnce.safeParse(stored), down);
    }
  });

  test("are no types: the catalogue has only those that are defined", () => {
    assert.deepEqual(Object.keys(plain), ["Sent"]);
    assert.deepEqual({ ...plain } as Record<string, unknown>, { Sent: plain.Sent });
  });

  test("can be the names of old types: a message of these is read by an alias", async () => {
    const catalogue = defineMessages({
      Sent: { schema: Sent, aliases: ["parse", "safeParse", "then"] },
    });
    for (const type of ["parse", "safeParse", "then"]) {
      const { type: now }: Message = await catalogue.parse({ ...stored, type });
      assert.equal(now, "Sent");
    }
  });
});
