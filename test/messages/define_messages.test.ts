import assert from "node:assert/strict";
import process from "node:process";
import { type } from "arktype";
import fc from "fast-check";
import * as v from "valibot";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  aggregate,
  append,
  type CodedMessage,
  defineMessages,
  drain,
  entity,
  HandlerFailedError,
  InvalidMessageError,
  iterateAll,
  iterateCategory,
  iterateMatching,
  iterateStream,
  type Message,
  type MessageCatalogue,
  type MessageInput,
  NO_STREAM,
  read,
  readAggregate,
  readAll,
  readCategory,
  readLastMessage,
  readMatching,
  readMessage,
  readMessages,
  readStream,
  replayParked,
  type Source,
  type StandardSchema,
  streamVersion,
  subscribe,
  synchronize,
  type Typed,
  write,
  writeBatch,
  writeStreams,
} from "../../mod.ts";
import { start } from "../consume/_consuming.ts";
import { counting } from "../decide/_folding.ts";
import { until } from "../_until.ts";
import { unchecked } from "./_unchecked.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
let categories = 0;
/** A category that no other test has. */
const newCategory = () => `typed${++categories}`;
const newStream = () => `${newCategory()}-1`;

const at = new Date("2026-02-03T04:05:06.789Z");
const iso = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});
const digits = z.codec(z.string(), z.bigint(), {
  decode: (text) => BigInt(text),
  encode: (value) => String(value),
});

/** What is stored of a message, and what is read of that. */
async function throughStore(messages: MessageCatalogue, message: MessageInput) {
  const streamName = newStream();
  await write(db.sql, streamName, message);
  const [stored] = await readStream(db.sql, streamName);
  const [read] = await readStream(db.sql, streamName, { messages });
  return { stored: stored!.data, read: read!.data };
}

/** What a write throws that writes nothing. */
async function refusalOf(message: MessageInput, messages?: MessageCatalogue): Promise<Error> {
  const streamName = newStream();
  const options = messages && { messages };
  const error: unknown =
    await (options
      ? write(db.sql, streamName, message, options)
      : write(db.sql, streamName, message)).then(() => assert.fail("it was written"), (it) => it);
  assert.ok(error instanceof Error);
  assert.equal(await streamVersion(db.sql, streamName), NO_STREAM);
  return error;
}

async function issuesOf(message: MessageInput, messages?: MessageCatalogue) {
  const error = await refusalOf(message, messages);
  assert.ok(error instanceof InvalidMessageError, String(error));
  return error.issues;
}

describe("a Date and a bigint", () => {
  const parsed = { at, cents: 12345678901234567890n };
  const stored = { at: at.toISOString(), cents: "12345678901234567890" };
  const encode = ({ at, cents }: typeof parsed) => ({
    at: at.toISOString(),
    cents: String(cents),
  });
  const zod = z.object({ at: iso, cents: digits });
  const valibot = v.object({
    at: v.pipe(v.string(), v.isoTimestamp(), v.transform((text) => new Date(text))),
    cents: v.pipe(v.string(), v.digits(), v.transform((it) => BigInt(it))),
  });
  const arktype = type({
    at: "string.date.iso.parse",
    cents: type("string.integer").pipe((text) => BigInt(text)),
  });
  const byCodec = defineMessages({ Deposited: zod });
  const byZod = defineMessages({
    Deposited: {
      schema: z.object({
        at: z.string().transform((it) => new Date(it)),
        cents: z.string().transform(BigInt),
      }),
      encode,
    },
  });
  const byValibot = defineMessages({ Deposited: { schema: valibot, encode } });
  const byArktype = defineMessages({ Deposited: { schema: arktype, encode } });

  test.each([
    ["zod's codecs", byCodec, byCodec.Deposited(parsed), byCodec.Deposited(stored)],
    ["zod and an encode", byZod, byZod.Deposited(parsed), byZod.Deposited(stored)],
    ["valibot and an encode", byValibot, byValibot.Deposited(parsed), byValibot.Deposited(stored)],
    ["arktype and an encode", byArktype, byArktype.Deposited(parsed), byArktype.Deposited(stored)],
  ])("go in, are stored as JSON and come out by %s", async (_, catalogue, output, input) => {
    assert.deepEqual(await throughStore(catalogue, output), { stored, read: parsed });
    assert.deepEqual(await throughStore(catalogue, input), { stored, read: parsed });
  });

  const valibotAlone = defineMessages({ Deposited: valibot });
  const arktypeAlone = defineMessages({ Deposited: arktype });
  const coerced = defineMessages({
    Deposited: z.object({ at: z.coerce.date(), cents: z.coerce.bigint() }),
  });
  const either = defineMessages({
    Deposited: v.object({
      at: v.pipe(v.union([v.string(), v.date()]), v.transform((it) => new Date(it))),
      cents: v.pipe(v.union([v.string(), v.bigint()]), v.transform((it) => BigInt(it))),
    }),
  });
  test.each([
    ["valibot's pipes", valibotAlone, valibotAlone.Deposited(stored)],
    ["arktype's morphs", arktypeAlone, arktypeAlone.Deposited(stored)],
    ["zod's coerce", coerced, coerced.Deposited(parsed)],
    ["a union of valibot's", either, either.Deposited(parsed)],
  ])(
    "come out of what JSON can be read again, without a way back, by %s",
    async (_, catalogue, message) => {
      assert.deepEqual(await throughStore(catalogue, message), { stored, read: parsed });
    },
  );

  test("are stored in one way, however they went in", async () => {
    const { stored, read } = await throughStore(
      arktypeAlone,
      arktypeAlone.Deposited({ at: "2026-02-03T05:05:06.789+01:00", cents: "7" }),
    );
    assert.deepEqual(stored, { at: at.toISOString(), cents: "7" });
    assert.deepEqual(read, { at, cents: 7n });
  });

  test("are refused by a schema that takes no JSON", async () => {
    const hint = "(as JSON holds it: a codec, or encode, can make JSON of what does not fit)";
    for (
      const message of [
        unchecked(defineMessages({ Made: z.object({ at: z.date() }) }), "Made", { at }),
        unchecked(defineMessages({ Made: v.object({ at: v.date() }) }), "Made", { at }),
        unchecked(defineMessages({ Made: type({ at: "Date" }) }), "Made", { at }),
        unchecked(defineMessages({ Made: z.object({ at: z.bigint() }) }), "Made", { at: 5n }),
        unchecked(defineMessages({ Made: v.object({ at: v.bigint() }) }), "Made", { at: 5n }),
        unchecked(defineMessages({ Made: type({ at: "bigint" }) }), "Made", { at: 5n }),
      ]
    ) {
      const issues = await issuesOf(message);
      assert.deepEqual(issues.map(({ path }) => path), [["at"]]);
      assert.ok(issues[0]!.message.endsWith(hint), issues[0]!.message);
    }
  });

  test("are refused by a schema that would leave them as the text that JSON makes of them", async () => {
    for (const it of [at, 5n]) {
      for (
        const message of [
          unchecked(defineMessages({ Made: z.object({ it: z.unknown() }) }), "Made", { it }),
          unchecked(
            defineMessages({
              Made: z.object({ it: z.union([z.date(), z.bigint(), z.string()]), list: z.json() }),
            }),
            "Made",
            { it, list: [] },
          ),
          unchecked(defineMessages({ Made: v.object({ it: v.any() }) }), "Made", { it }),
          unchecked(
            defineMessages({ Made: v.object({ it: v.union([v.date(), v.bigint(), v.string()]) }) }),
            "Made",
            { it },
          ),
          unchecked(defineMessages({ Made: type({ it: "Date | bigint | string" }) }), "Made", {
            it,
          }),
          unchecked(
            defineMessages({ Made: { schema: z.unknown(), encode: (data) => data } }),
            "Made",
            [it],
          ),
        ]
      ) {
        const [issue] = await issuesOf(message);
        assert.match(issue!.message, /^the schema reads its own output as another value/);
      }
    }
  });

  test("are refused where the text is none", async () => {
    const Made = z.object({ cents: digits });
    assert.match(
      (await issuesOf(unchecked(defineMessages({ Made }), "Made", { cents: "x" })))[0]!.message,
      /x/,
    );
    const pipe = v.pipe(v.string(), v.transform((it) => BigInt(it)));
    const issues = await issuesOf(unchecked(defineMessages({ Made: pipe }), "Made", "x"));
    assert.deepEqual(issues, [{ path: [], message: "Cannot convert x to a BigInt" }]);
    const day = defineMessages({ Made: z.object({ at: iso }) });
    assert.deepEqual(
      (await issuesOf(unchecked(day, "Made", { at: new Date(NaN) }))).map(({ path }) => path),
      [["at"]],
    );
  });
});

describe("what a schema makes of the data", () => {
  const defaults = [
    defineMessages({ Made: z.object({ n: z.number().default(3) }) }),
    defineMessages({ Made: v.object({ n: v.optional(v.number(), 3) }) }),
    defineMessages({ Made: type({ n: "number = 3" }) }),
  ] as const;

  test("is stored: a default, too", async () => {
    for (const catalogue of defaults) {
      const message = catalogue.Made();
      assert.deepEqual(message, { type: "Made", data: {} });
      assert.deepEqual(await throughStore(catalogue, message), {
        stored: { n: 3 },
        read: { n: 3 },
      });
    }
  });

  test("is a default, of a message that was stored without", async () => {
    for (const messages of defaults) {
      const streamName = newStream();
      await write(db.sql, streamName, { type: "Made", data: {} });
      const [read] = await readStream(db.sql, streamName, { messages });
      assert.deepEqual(read!.data, { n: 3 });
    }
  });

  test("is stored without what it strips, and keeps what it lets through", async () => {
    const stripping = defineMessages({ Made: z.object({ n: z.number() }) });
    const loose = defineMessages({ Made: z.looseObject({ n: z.number() }) });
    const data = { n: 1, more: [null, { a: "b" }] };
    assert.deepEqual((await throughStore(stripping, stripping.Made(data))).stored, { n: 1 });
    assert.deepEqual(await throughStore(loose, loose.Made(data)), { stored: data, read: data });
  });

  test("is any JSON: null, text, a number, a list", async () => {
    for (const data of [null, "text", 5, false, [1, [2]], {}]) {
      const catalogue = defineMessages({ Made: z.json() });
      assert.deepEqual(await throughStore(catalogue, catalogue.Made(data)), {
        stored: data,
        read: data,
      });
    }
  });

  test("is stored, where it is the same when it is made of that", async () => {
    const upper = z.object({ name: z.string().trim().transform((it) => it.toUpperCase()) });
    const catalogue = defineMessages({ Made: upper });
    assert.deepEqual(await throughStore(catalogue, catalogue.Made({ name: " ada" })), {
      stored: { name: "ADA" },
      read: { name: "ADA" },
    });
  });

  test("is refused, where it is something else when it is made of that", async () => {
    const growing = [
      defineMessages({ Made: z.string().transform((it) => `${it}!`) }),
      defineMessages({ Made: v.pipe(v.string(), v.transform((it) => `${it}!`)) }),
      defineMessages({ Made: type("string").pipe((it) => `${it}!`) }),
    ];
    for (const catalogue of growing) {
      const [issue, ...more] = await issuesOf(unchecked(catalogue, "Made", "a"));
      assert.deepEqual([issue!.path, more], [[], []]);
      assert.match(issue!.message, /^the schema reads its own output as another value/);
    }
    const catalogue = defineMessages({
      Made: {
        schema: z.string().transform((it) => `${it}!`),
        encode: (it: string) => it.slice(0, -1),
      },
    });
    assert.deepEqual(await throughStore(catalogue, catalogue.Made("a!")), {
      stored: "a",
      read: "a!",
    });
  });

  test("is what an encode, which may be slow, makes JSON of: any object", async () => {
    const schema = z.array(z.tuple([z.string(), z.number()])).transform((it) => new Map(it));
    const encode = async (map: Map<string, number>) => await Promise.resolve([...map]);
    const catalogue = defineMessages({ Made: { schema, encode } });
    const read = new Map([["a", 1]]);
    const expected = { stored: [["a", 1]], read };
    assert.deepEqual(await throughStore(catalogue, catalogue.Made(read)), expected);
    assert.deepEqual(await throughStore(catalogue, catalogue.Made([["a", 1]])), expected);
  });

  test("is what a way back makes JSON of, of what goes in as JSON, too", async () => {
    const hex = z.codec(z.string(), z.bigint(), {
      decode: (text) => BigInt(`0x${text}`),
      encode: (value) => value.toString(16),
    });
    const padded = v.pipe(v.string(), v.transform((it) => BigInt(`0x${it}`)));
    const encode = (value: bigint) => {
      if (typeof value !== "bigint") throw new Error("this is no bigint");
      return value.toString(16);
    };
    const byCodec = defineMessages({ Made: hex });
    const byEncode = defineMessages({ Made: { schema: padded, encode } });
    const expected = { stored: "ff", read: 255n };
    for (const data of [255n, "ff", "00FF"]) {
      assert.deepEqual(await throughStore(byCodec, byCodec.Made(data)), expected);
      assert.deepEqual(await throughStore(byEncode, byEncode.Made(data)), expected);
    }
  });

  test("is read the same where a part has a way back, and JSON's own does for another", async () => {
    const minutes = z.codec(z.number(), z.object({ ms: z.number() }), {
      decode: (it) => ({ ms: it * 60_000 }),
      encode: ({ ms }) => ms / 60_000,
    });
    const catalogue = defineMessages({ Made: z.object({ at: z.coerce.date(), minutes }) });
    const read = { at, minutes: { ms: 120_000 } };
    assert.deepEqual(await throughStore(catalogue, catalogue.Made(read)), {
      stored: { at: at.toISOString(), minutes: 2 },
      read,
    });
  });

  test("that has a way back is told what is wrong in the form that it is closer to", async () => {
    const catalogue = defineMessages({
      Made: z.object({ at: iso, cents: digits, n: z.number() }),
    });
    const pathsOf = async (data: unknown) => {
      const issues = await issuesOf(unchecked(catalogue, "Made", data));
      return issues.map(({ path }) => path);
    };
    assert.deepEqual(await pathsOf({ at, cents: 5n, n: "5" }), [["n"]]);
    assert.deepEqual(await pathsOf({ at: at.toISOString(), cents: "5", n: "5" }), [["n"]]);
    assert.deepEqual(await pathsOf({ at, cents: "5", n: 5 }), [["cents"]]);
  });

  test("is refused with a TypeError where JSON would lose it", async () => {
    const any = defineMessages({ Made: z.object({ it: z.unknown() }) });
    for (
      const [it, words] of [
        [NaN, "it is NaN"],
        [new Map(), "it is [object Map]"],
        [new Set([1]), "it is [object Set]"],
        [() => 1, "it is function"],
        [[undefined], "it is undefined"],
        [new Date(NaN), "it is an invalid date"],
      ] as const
    ) {
      const error = await refusalOf(unchecked(any, "Made", { it }));
      const where = Array.isArray(it) ? "data.it[0]" : "data.it";
      assert.deepEqual(
        [error.name, error.message],
        ["TypeError", `Cannot write "${where}" as JSON: ${words}`],
      );
    }
    const strict = defineMessages({ Made: z.object({ it: z.map(z.string(), z.number()) }) });
    assert.equal((await refusalOf(unchecked(strict, "Made", { it: new Map() }))).name, "TypeError");
    const cycle: Record<string, unknown> = {};
    cycle["it"] = cycle;
    assert.match(
      String(await refusalOf(unchecked(any, "Made", { it: cycle }))),
      /^TypeError: .*circular/s,
    );
  });

  test("is checked by what is asynchronous, when it is written and when it is read", async () => {
    const isPositive = async (n: number) => (await Promise.resolve(n)) > 0;
    for (
      const catalogue of [
        defineMessages({ Made: z.object({ n: z.number().refine(isPositive, "too small") }) }),
        defineMessages({
          Made: v.objectAsync({
            n: v.pipeAsync(v.number(), v.checkAsync(isPositive, "too small")),
          }),
        }),
      ]
    ) {
      const expected = [{ path: ["n"], message: "too small" }];
      assert.deepEqual(await issuesOf(unchecked(catalogue, "Made", { n: 0 })), expected);
      const data = { n: 1 };
      assert.deepEqual(await throughStore(catalogue, catalogue.Made(data)), {
        stored: data,
        read: data,
      });
      const streamName = newStream();
      await write(db.sql, streamName, { type: "Made", data: { n: 0 } });
      await assert.rejects(readStream(db.sql, streamName, { messages: catalogue }), {
        code: "INVALID_MESSAGE",
        issues: expected,
      });
    }
  });

  test("is an issue where the schema throws at it, and the schema's own error else", async () => {
    class OutOfOrder extends Error {}
    const throwing = (thrown: Error): StandardSchema => ({
      "~standard": {
        validate: (value) => {
          if (value === "bad") throw thrown;
          return { value };
        },
      },
    });
    for (const Class of [TypeError, RangeError, SyntaxError]) {
      const catalogue = defineMessages({ Made: throwing(new Class("no good")) });
      assert.deepEqual(await issuesOf(unchecked(catalogue, "Made", "bad")), [{
        path: [],
        message: "no good",
      }]);
    }
    const error = new OutOfOrder("the disk is full");
    const catalogue = defineMessages({ Made: throwing(error) });
    assert.equal(await refusalOf(unchecked(catalogue, "Made", "bad")), error);
    const streamName = newStream();
    await write(db.sql, streamName, { type: "Made", data: "bad" });
    const reading = readStream(db.sql, streamName, { messages: catalogue });
    assert.equal(await reading.catch((it) => it), error);
  });
});

describe("an issue", () => {
  const bad = { who: { name: 5 }, list: ["a", 1] };
  const who = z.object({ name: z.string() });

  test.each([
    [
      "zod",
      unchecked(
        defineMessages({ Made: z.object({ who, list: z.array(z.string()) }) }),
        "Made",
        bad,
      ),
    ],
    [
      "valibot",
      unchecked(
        defineMessages({
          Made: v.object({ who: v.object({ name: v.string() }), list: v.array(v.string()) }),
        }),
        "Made",
        bad,
      ),
    ],
    [
      "arktype",
      unchecked(
        defineMessages({ Made: type({ who: { name: "string" }, list: "string[]" }) }),
        "Made",
        bad,
      ),
    ],
  ])("has the path of keys and indexes from the data down, by %s", async (_, message) => {
    const issues = await issuesOf(message);
    const paths = issues.map(({ path }) => path.map(String).join(".")).sort();
    assert.deepEqual(paths, ["list.1", "who.name"]);
    const [list] = issues.filter(({ path }) => path[0] === "list");
    assert.equal(Number(list!.path[1]), 1);
    for (const { message } of issues) assert.match(message, /string/i);
  });

  test("of a message to be written is in an error that says which and where", async () => {
    const catalogue = defineMessages({
      Deposited: z.object({
        amount: z.number("no number"),
        by: z.object({ id: z.string("none") }),
      }),
    });
    const message = unchecked(catalogue, "Deposited", { amount: "11", by: {} });
    const error = await write(db.sql, "wrong-1", message).catch((it) => it);
    assert.ok(error instanceof InvalidMessageError);
    assert.equal(error.name, "InvalidMessageError");
    assert.equal(error.code, "INVALID_MESSAGE");
    assert.equal(error.invalidMessage, message);
    assert.deepEqual(error.issues, [
      { path: ["amount"], message: "no number" },
      { path: ["by", "id"], message: "none" },
    ]);
    assert.equal(
      error.message,
      'Cannot write message "Deposited" to stream "wrong-1": amount: no number; by.id: none',
    );
  });

  test("of a message that was read is in an error with that as it is stored", async () => {
    const messages = defineMessages({ Deposited: z.record(z.string(), z.number("no number")) });
    const streamName = newStream();
    await write(db.sql, streamName, { type: "Deposited", data: {} });
    const data = { a: "1", b: "2", c: "3", d: "4", e: "5" };
    await write(db.sql, streamName, { type: "Deposited", data, metadata: { by: "Ada" } });
    const error = await readStream(db.sql, streamName, { messages }).catch((it) => it);
    assert.ok(error instanceof InvalidMessageError);
    assert.deepEqual(error.invalidMessage, (await readStream(db.sql, streamName))[1]);
    assert.equal(error.issues.length, 5);
    assert.equal(
      error.message,
      `Cannot read message "Deposited" at position 1 of stream "${streamName}": ` +
        "a: no number; b: no number; c: no number; 2 more",
    );
  });
});

const account = defineMessages({
  Deposited: { schema: z.object({ at: iso }), aliases: ["Paid"] },
  Closed: z.object({ reason: z.string() }),
});
const skipping = defineMessages({
  Deposited: { schema: z.object({ at: iso }), aliases: ["Paid"] },
}, { unknown: "skip" });
const passing = defineMessages({
  Deposited: { schema: z.object({ at: iso }), aliases: ["Paid"] },
}, { unknown: "pass" });

describe("a constructor", () => {
  test("makes a message of its type, with an id and metadata where it is given them", () => {
    assert.deepEqual(account.Closed({ reason: "moved" }), {
      type: "Closed",
      data: { reason: "moved" },
    });
    const options = { id: crypto.randomUUID(), metadata: { by: "Ada" } };
    assert.deepEqual(account.Closed({ reason: "moved" }, options), {
      type: "Closed",
      data: { reason: "moved" },
      ...options,
    });
    assert.deepEqual(Object.keys(account), ["Deposited", "Closed"]);
  });

  test("makes a message whose id and metadata are written", async () => {
    const streamName = newStream();
    const options = { id: crypto.randomUUID(), metadata: { by: "Ada" } };
    const message = account.Closed({ reason: "moved" }, options);
    assert.equal(await write(db.sql, streamName, message), 0);
    assert.equal(await write(db.sql, streamName, message), 0);
    const [stored, ...more] = await readStream(db.sql, streamName);
    assert.deepEqual([{ id: stored!.id, metadata: stored!.metadata }, more], [options, []]);
  });

  test("makes a message that is refused where its id is none", async () => {
    for (const id of ["", "5"]) {
      const error = await refusalOf(account.Closed({ reason: "moved" }, { id }));
      assert.deepEqual(
        [error.name, error.message],
        ["TypeError", `Cannot use "${id}" as "id": it must be a UUID`],
      );
    }
  });

  test("is there for a type of any name", async () => {
    const names = ["__proto__", "constructor", "toString", "a b"];
    const definitions = Object.fromEntries(names.map((name) => [name, z.object({ n: z.int() })]));
    const catalogue = defineMessages(definitions);
    for (const name of names) {
      const data = { n: 5 };
      const message = catalogue[name]!(data);
      assert.equal(message.type, name);
      assert.deepEqual(await throughStore(catalogue, message), { stored: data, read: data });
      const issues = await issuesOf(unchecked(catalogue, name, { n: "5" }));
      assert.deepEqual(issues.map(({ path }) => path), [["n"]]);
    }
    await issuesOf({ type: "hasOwnProperty", data: {} }, catalogue);
  });
});

describe("defineMessages()", () => {
  test("refuses what is no schema, no function, no option", () => {
    const schema = z.object({});
    const wrong: readonly [() => unknown, RegExp][] = [
      [() => defineMessages(null as never), /"definitions"/],
      [() => defineMessages({ Made: {} } as never), /"Made": it must be a schema/],
      [() => defineMessages({ Made: null } as never), /"Made": it must be a schema/],
      [() => defineMessages({ Made: { schema: {} } } as never), /"Made": it must be a schema/],
      [() => defineMessages({ Made: { schema, encode: 5 } } as never), /"Made.encode"/],
      [() => defineMessages({ Made: { schema, aliases: "Old" } } as never), /"Made.aliases"/],
      [() => defineMessages({ Made: { schema, aliases: [5] } } as never), /"type"/],
      [() => defineMessages({ Made: { schema, upcasts: {} } } as never), /"Made.upcasts"/],
      [() => defineMessages({ Made: { schema, upcasts: [5] } } as never), /"Made.upcasts.when"/],
      [
        () => defineMessages({ Made: { schema, upcasts: [{ when: () => true }] } } as never),
        /"Made.upcasts.lift"/,
      ],
      [() => defineMessages({ "": schema }), /"type"/],
      [() => defineMessages({ $unknown: schema }), /\$unknown/],
      [() => defineMessages({ Made: schema }, null as never), /"options"/],
      [() => defineMessages({ Made: schema }, { unknown: "drop" as never }), /"unknown"/],
      [() => defineMessages({ Made: schema }, { codec: {} as never }), /"codec.encode"/],
      [
        () => defineMessages({ Made: schema }, { codec: { encode: () => 1 } as never }),
        /"codec.decode"/,
      ],
    ];
    for (const [define, message] of wrong) assert.throws(define, { name: "TypeError", message });
  });

  test("refuses a type or an alias that is there already", () => {
    const schema = z.object({});
    const rule = /it must be given once, as a type or an alias$/;
    for (
      const definitions of [
        { Made: { schema, aliases: ["Made"] } },
        { Made: { schema, aliases: ["Old", "Old"] } },
        { Made: { schema, aliases: ["Other"] }, Other: schema },
        { Other: schema, Made: { schema, aliases: ["Other"] } },
        { Made: { schema, aliases: ["Old"] }, Other: { schema, aliases: ["Old"] } },
      ]
    ) {
      assert.throws(() => defineMessages(definitions), { name: "TypeError", message: rule });
    }
  });

  test("refuses types that have a meaning already", () => {
    for (const type of ["$unknown", "then", "parse", "safeParse"]) {
      const rule = /it must be another name, since this one has a meaning already$/;
      assert.throws(() => defineMessages({ [type]: z.object({}) }), { message: rule });
    }
  });
});

describe("every write", () => {
  const id = () => crypto.randomUUID();
  type Options = { messages?: MessageCatalogue };
  const writes: Record<
    string,
    (streamName: string, messages: MessageInput[], options?: Options) => Promise<unknown>
  > = {
    "write()": async (streamName, messages, options) => {
      for (const it of messages) await write(db.sql, streamName, it, options as Typed<Message>);
    },
    "writeBatch()": (streamName, messages, options) =>
      writeBatch(db.sql, streamName, messages, options as Typed<Message>),
    "writeStreams()": (streamName, messages, options) =>
      writeStreams(db.sql, [{ streamName, messages }], options as Typed<Message>),
    "append()": (streamName, messages, options) =>
      append(db.sql, streamName, messages, options as Typed<Message>),
    "synchronize()": (streamName, messages, options) =>
      synchronize(db.sql, streamName, messages as never, options as Typed<Message>),
  };
  describe.each(Object.entries(writes))("%s", (_, write) => {
    test("parses what a constructor has made, and nothing else", async () => {
      const streamName = newStream();
      const plain = { type: "Deposited", data: { at: "whatever" }, id: id() };
      await write(streamName, [account.Deposited({ at }, { id: id() }), plain]);
      const stored = await readStream(db.sql, streamName);
      assert.deepEqual(stored.map(({ data }) => data), [{ at: at.toISOString() }, plain.data]);
      const other = newStream();
      const message = unchecked(account, "Closed", {}, id());
      await assert.rejects(write(other, [message]), {
        name: "InvalidMessageError",
        invalidMessage: message,
        issues: [{
          path: ["reason"],
          message: "Invalid input: expected string, received undefined",
        }],
      });
      assert.equal(await streamVersion(db.sql, other), NO_STREAM);
    });

    test("takes plain messages with a catalogue, and refuses all that are not of it", async () => {
      const streamName = newStream();
      const messages = account;
      await write(streamName, [{ type: "Deposited", data: { at }, id: id() }], { messages });
      const [stored] = await readStream(db.sql, streamName);
      assert.deepEqual(stored!.data, { at: at.toISOString() });
      const other = defineMessages({ Opened: z.object({}), Deposited: z.object({ n: z.int() }) });
      for (
        const [message, path] of [
          [{ type: "Opened", data: {}, id: id() }, []],
          // By whichever catalogue it was made, it is of another one.
          [other.Opened({}, { id: id() }), []],
          [other.Deposited({ n: 1 }, { id: id() }), ["at"]],
          // Neither by its alias: it is written by the name that it has now.
          [{ type: "Paid", data: { at }, id: id() }, []],
        ] as const
      ) {
        const error = await write(newStream(), [message], { messages }).catch((it) => it);
        assert.ok(error instanceof InvalidMessageError, String(error));
        assert.deepEqual(error.issues.map(({ path }) => path), [path]);
        if (path.length > 0) continue;
        assert.equal(
          error.issues[0]!.message,
          `the type "${message.type}" is not defined; those that are: "Deposited", "Closed"`,
        );
      }
    });

    test("refuses what is no message, with a catalogue as without", async () => {
      for (const message of [null, undefined, "Deposited", 5]) {
        for (const options of [{}, { messages: account }]) {
          await assert.rejects(write(newStream(), [message as never], options), {
            name: "TypeError",
            message: /as "message": it must be an object with a type$/,
          });
        }
      }
    });

    test("refuses a type that is not defined, whatever a read does with it", async () => {
      for (const messages of [skipping, passing]) {
        const streamName = newStream();
        const message = { type: "Elsewhere", data: {}, id: id() };
        await assert.rejects(write(streamName, [message], { messages }), {
          name: "InvalidMessageError",
        });
        assert.equal(await streamVersion(db.sql, streamName), NO_STREAM);
      }
    });

    test("refuses a catalogue that is none", async () => {
      for (const messages of [{}, [], "account", 5, null]) {
        await assert.rejects(
          write(newStream(), [{ type: "Made", id: id() }], { messages: messages as never }),
          {
            name: "TypeError",
            message: /as "messages": it must be what defineMessages\(\) makes$/,
          },
        );
      }
    });
  });

  test("of several messages writes none where one does not fit", async () => {
    const [one, two] = [newStream(), newStream()];
    const good = () => account.Deposited({ at }, { id: id() });
    const bad = () => unchecked(account, "Deposited", { at: "yesterday" }, id());
    const error = { name: "InvalidMessageError" };
    await assert.rejects(writeBatch(db.sql, one, [good(), bad()]), error);
    await assert.rejects(append(db.sql, one, [good(), bad()]), error);
    await assert.rejects(synchronize(db.sql, one, [good(), bad()] as never), error);
    await assert.rejects(
      writeStreams(db.sql, [
        { streamName: one, messages: [good()] },
        { streamName: two, messages: [good(), bad()] },
      ]),
      { ...error, message: new RegExp(`to stream "${two}"`) },
    );
    for (const it of [one, two]) assert.equal(await streamVersion(db.sql, it), NO_STREAM);
  });

  test("takes messages of several catalogues, each parsed by its own", async () => {
    const other = defineMessages({ Sent: z.object({ n: digits }) });
    const streamName = newStream();
    await writeBatch(db.sql, streamName, [
      account.Deposited({ at }),
      other.Sent({ n: 5n }),
      { type: "Plain", data: [1] },
    ]);
    const stored = await readStream(db.sql, streamName);
    assert.deepEqual(stored.map(({ data }) => data), [{ at: at.toISOString() }, { n: "5" }, [1]]);
  });

  test("takes a copy of a message for a plain one", async () => {
    const streamName = newStream();
    const copy = { ...account.Deposited({ at }), data: { at: "yesterday" } };
    await write(db.sql, streamName, copy);
    assert.deepEqual((await readStream(db.sql, streamName))[0]!.data, { at: "yesterday" });
  });
});

/** What a read gives, and what it throws. */
async function outcomeOf(
  reading: Promise<readonly Message[]> | AsyncIterable<Message>,
  count = Infinity,
): Promise<{ seen: readonly Message[]; error?: unknown }> {
  const seen: Message[] = [];
  try {
    if (reading instanceof Promise) return { seen: await reading };
    for await (const message of reading) {
      seen.push(message);
      if (seen.length === count) break;
    }
    return { seen };
  } catch (error) {
    return { seen, error };
  }
}

interface Written {
  readonly streamName: string;
  readonly category: string;
  readonly stored: readonly Message[];
  readonly ledger: string;
}

/** Writes messages in one batch, with an aggregate of them behind. */
async function written(messages: readonly MessageInput[]): Promise<Written> {
  const category = newCategory();
  const streamName = `${category}-1`;
  const ledger = newCategory();
  await writeBatch(db.sql, streamName, messages);
  await aggregate(db.sql, { name: ledger, from: [category], partition: () => 0 }, { once: true });
  return { streamName, category, ledger, stored: await readStream(db.sql, streamName) };
}

type Reading = (
  written: Written,
  options: Typed<Message>,
) => Promise<readonly Message[]> | AsyncIterable<Message>;

const first = ({ stored }: Written) => stored[0]!.globalPosition;
const last = ({ stored }: Written) => stored.at(-1)!.globalPosition;
const backward = { direction: "backward" } as const;
const lists: Record<string, Reading> = {
  "read() of a stream": ({ streamName }, it) => read(db.sql, streamName, it),
  "read() of a category": ({ category }, it) => read(db.sql, category, it),
  "read() of $all": (of, it) =>
    read(db.sql, "$all", { ...it, position: first(of), batchSize: of.stored.length }),
  "readStream()": ({ streamName }, it) => readStream(db.sql, streamName, it),
  "readStream() backward": ({ streamName }, it) =>
    readStream(db.sql, streamName, { ...it, ...backward }),
  "readCategory()": ({ category }, it) => readCategory(db.sql, category, it),
  "readCategory() backward": ({ category }, it) =>
    readCategory(db.sql, category, { ...it, ...backward }),
  "readAll()": (of, it) =>
    readAll(db.sql, { ...it, position: first(of), batchSize: of.stored.length }),
  "readAll() backward": (of, it) =>
    readAll(db.sql, { ...it, ...backward, position: last(of), batchSize: of.stored.length }),
  "readMatching()": ({ category }, it) => readMatching(db.sql, `${category}-%`, it),
  "readMessages()": ({ stored }, it) => readMessages(db.sql, stored.map(({ id }) => id), it),
  "readAggregate()": ({ ledger }, it) => readAggregate(db.sql, ledger, it),
  "readAggregate() of a partition": ({ ledger }, it) =>
    readAggregate(db.sql, ledger, { ...it, partition: 0 }),
};
const iterators: Record<string, Reading> = {
  "iterateStream()": ({ streamName }, it) =>
    iterateStream(db.sql, streamName, { ...it, batchSize: 2 }),
  "iterateStream() backward": ({ streamName }, it) =>
    iterateStream(db.sql, streamName, { ...it, ...backward, batchSize: 1 }),
  "iterateCategory()": ({ category }, it) =>
    iterateCategory(db.sql, category, { ...it, batchSize: 2 }),
  "iterateCategory() backward": ({ category }, it) =>
    iterateCategory(db.sql, category, { ...it, ...backward, batchSize: 1 }),
  "iterateMatching()": ({ category }, it) =>
    iterateMatching(db.sql, `${category}-%`, { ...it, batchSize: 2 }),
};
const subscriptions: Record<string, (written: Written) => [Source, position: number]> = {
  "subscribe() to a stream": ({ streamName }) => [streamName, 0],
  "subscribe() to a category": ({ category }) => [category, 0],
  "subscribe() to $all": (of) => ["$all", first(of)],
  "subscribe() to an aggregate": ({ ledger }) => [{ aggregate: ledger }, 0],
};

describe("every read", () => {
  const paid = { type: "Paid", data: { at: at.toISOString() }, metadata: { by: "Ada" } };
  const deposited = account.Deposited({ at });
  const elsewhere = { type: "Elsewhere", data: [5] };

  /** As a catalogue reads what is stored. */
  const asRead = ({ stored }: Written) =>
    stored.filter(({ type }) => type !== "Elsewhere")
      .map((it) => ({ ...it, type: "Deposited", data: { at } }));
  /** Without the place in an aggregate. */
  const plain = (messages: readonly Message[]) =>
    messages.map(({ reference: _, ...message }: Message & { reference?: unknown }) => message);
  const inOrder = (name: string, messages: readonly Message[]) =>
    name.endsWith("backward") ? [...messages].reverse() : messages;

  test.each(Object.entries({ ...lists, ...iterators }))(
    "%s parses, and knows a renamed type",
    async (name, reading) => {
      const of = await written([paid, deposited, paid]);
      const { seen, error } = await outcomeOf(reading(of, { messages: account }));
      assert.equal(error, undefined);
      assert.deepEqual(plain(seen), inOrder(name, asRead(of)));
    },
  );

  test.each(Object.entries({ ...lists, ...iterators }))(
    "%s refuses, skips or passes a type that is not defined",
    async (name, reading) => {
      const of = await written([paid, elsewhere, deposited]);
      const refused = await outcomeOf(reading(of, { messages: account }));
      assert.ok(refused.error instanceof InvalidMessageError, String(refused.error));
      assert.deepEqual(plain([refused.error.invalidMessage as Message]), [of.stored[1]]);
      assert.deepEqual(refused.error.issues, [{
        path: [],
        message: 'the type "Elsewhere" is not defined; those that are: "Deposited", "Closed"',
      }]);

      const skipped = await outcomeOf(reading(of, { messages: skipping }));
      assert.deepEqual(plain(skipped.seen), inOrder(name, asRead(of)));

      const passed = await outcomeOf(reading(of, { messages: passing }));
      const [before, after] = asRead(of);
      const unknown = { ...of.stored[1]!, type: "$unknown", storedType: "Elsewhere" };
      assert.deepEqual(plain(passed.seen), inOrder(name, [before!, unknown, after!]));
    },
  );

  test.each(Object.entries({ ...lists, ...iterators }))(
    "%s throws at a message that does not fit",
    async (name, reading) => {
      const of = await written([paid, { type: "Deposited", data: { at: 5 } }, deposited]);
      const { seen, error } = await outcomeOf(reading(of, { messages: account }));
      assert.ok(error instanceof InvalidMessageError);
      assert.deepEqual(plain([error.invalidMessage as Message]), [of.stored[1]]);
      assert.deepEqual(error.issues.map(({ path }) => path), [["at"]]);
      // An iterator gives those before.
      const before = name in iterators ? inOrder(name, asRead(of)).slice(0, 1) : [];
      assert.deepEqual(plain(seen), before);
    },
  );

  test.each(Object.entries({ ...lists, ...iterators }))(
    "%s refuses a catalogue that is none, and takes none",
    async (_, reading) => {
      const of = await written([paid]);
      const { error } = await outcomeOf((async function* () {
        const messages = await reading(of, { messages: {} as MessageCatalogue });
        yield* messages;
      })());
      assert.match(String(error), /^TypeError: Cannot use an object of Object as "messages"/);
      const unparsed = await outcomeOf(reading(of, { messages: undefined } as never));
      assert.deepEqual(plain(unparsed.seen), of.stored);
    },
  );

  test.each(Object.entries(subscriptions))(
    "%s parses, skips, and gives what is before a message that does not fit",
    async (_, sourceOf) => {
      const of = await written([
        paid,
        elsewhere,
        deposited,
        { type: "Paid", data: { at: "soon" } },
        deposited,
      ]);
      const [source, startAt] = sourceOf(of);
      const options = { messages: skipping, startAt, batchSize: 2 };
      const { seen, error } = await outcomeOf(subscribe(db.sql, source, options));
      const expected = asRead(of).slice(0, 2);
      assert.deepEqual(plain(seen), expected);
      assert.ok(error instanceof InvalidMessageError);
      assert.deepEqual(plain([error.invalidMessage as Message]), [of.stored[3]]);

      const passed = await outcomeOf(
        subscribe(db.sql, source, { ...options, messages: passing }),
        2,
      );
      const unknown = { ...of.stored[1]!, type: "$unknown", storedType: "Elsewhere" };
      assert.deepEqual(plain(passed.seen), [expected[0], unknown]);
      const refused = await outcomeOf(
        subscribe(db.sql, source, { ...options, messages: account }),
      );
      assert.deepEqual(plain(refused.seen), [expected[0]]);
      assert.match(String(refused.error), /the type "Elsewhere" is not defined/);
    },
  );

  test.each(Object.entries(subscriptions))(
    "%s with types gives what is stored under their aliases, too, and those alone",
    async (_, sourceOf) => {
      const closed = { type: "Closed", data: "not to be parsed" };
      const of = await written([paid, closed, elsewhere, deposited]);
      const [source, startAt] = sourceOf(of);
      const messages = account;
      const options = { messages, startAt, types: ["Deposited"] };
      const { seen, error } = await outcomeOf(subscribe(db.sql, source, options), 2);
      assert.equal(error, undefined);
      const { stored } = of;
      assert.deepEqual(plain(seen), asRead({ ...of, stored: [stored[0]!, stored[3]!] }));
    },
  );

  test("subscribe() is told that all is taken where the last ones are skipped", async () => {
    const of = await written([paid, elsewhere]);
    const ending = new AbortController();
    const { seen } = await outcomeOf(subscribe(db.sql, of.streamName, {
      messages: skipping,
      signal: ending.signal,
      onCaughtUp: () => ending.abort(),
    }));
    assert.deepEqual(seen, asRead(of));
  });

  test("subscribe() refuses a catalogue that is none", () => {
    const messages = {} as MessageCatalogue;
    assert.throws(() => subscribe(db.sql, "account", { messages }), { name: "TypeError" });
  });

  test("readAggregate() and subscribe() say where the aggregate has what they parse", async () => {
    const { ledger } = await written([paid, deposited]);
    const places = (await readAggregate(db.sql, ledger)).map(({ reference }) => reference);
    assert.deepEqual(places.map(({ position }) => position), [0, 1]);
    const messages = account;
    const read = await readAggregate(db.sql, ledger, { messages });
    assert.deepEqual(read.map(({ reference }) => reference), places);
    const seen = [];
    for await (const { reference } of subscribe(db.sql, { aggregate: ledger }, { messages })) {
      if (seen.push(reference) === 2) break;
    }
    assert.deepEqual(seen, places);
  });

  test("readMessage() parses, and answers null for what is skipped", async () => {
    const { stored: [first, second] } = await written([paid, elsewhere]);
    const read = await readMessage(db.sql, first!.id, { messages: account });
    assert.deepEqual(read, { ...first, type: "Deposited", data: { at } });
    assert.equal(await readMessage(db.sql, second!.id, { messages: skipping }), null);
    const passed = await readMessage(db.sql, second!.id, { messages: passing });
    assert.deepEqual(passed, { ...second, type: "$unknown", storedType: "Elsewhere" });
    await assert.rejects(readMessage(db.sql, second!.id, { messages: account }), {
      name: "InvalidMessageError",
    });
  });

  test("readLastMessage() parses, and answers the last that is not skipped", async () => {
    const { streamName, stored } = await written([deposited, paid, elsewhere]);
    const expected = { ...stored[1]!, type: "Deposited", data: { at } };
    assert.deepEqual(await readLastMessage(db.sql, streamName, { messages: skipping }), expected);
    await assert.rejects(readLastMessage(db.sql, streamName, { messages: account }), {
      name: "InvalidMessageError",
    });
    const passed = await readLastMessage(db.sql, streamName, { messages: passing });
    assert.equal(passed?.type === "$unknown" && passed.storedType, "Elsewhere");
    const none = newStream();
    await write(db.sql, none, elsewhere);
    assert.equal(await readLastMessage(db.sql, none, { messages: skipping }), null);
    assert.equal(await readLastMessage(db.sql, newStream(), { messages: account }), null);
  });

  test("readLastMessage() of a type knows its aliases, whichever was written last", async () => {
    for (const order of [[paid, deposited], [deposited, paid]]) {
      const { streamName, stored } = await written([...order, elsewhere]);
      const messages = account;
      const last = await readLastMessage(db.sql, streamName, { messages, type: "Deposited" });
      assert.deepEqual(last, { ...stored[1], type: "Deposited", data: { at } });
      assert.equal(await readLastMessage(db.sql, streamName, { messages, type: "Closed" }), null);
    }
  });

  test("an iterator counts to its limit only what it gives, over all pages", async () => {
    const batch = [elsewhere, deposited, elsewhere, elsewhere, paid, elsewhere, deposited, paid];
    const of = await written(batch);
    const all = asRead(of);
    const messages = skipping;
    for (const limit of [1, 2, 3, 4, 5]) {
      for (const batchSize of [1, 2, 3, 100]) {
        const options = { messages, limit, batchSize };
        const position = first(of);
        const iterations = {
          forward: [
            iterateStream(db.sql, of.streamName, options),
            iterateCategory(db.sql, of.category, options),
            iterateMatching(db.sql, `${of.category}-%`, options),
            ...(limit < 5 ? [iterateAll(db.sql, { ...options, position })] : []),
          ],
          backward: [
            iterateStream(db.sql, of.streamName, { ...options, ...backward }),
            iterateCategory(db.sql, of.category, { ...options, ...backward }),
            ...(limit < 5
              ? [iterateAll(db.sql, { ...options, ...backward, position: last(of) })]
              : []),
          ],
        };
        for (const iteration of iterations.forward) {
          assert.deepEqual((await outcomeOf(iteration)).seen, all.slice(0, limit));
        }
        for (const iteration of iterations.backward) {
          assert.deepEqual((await outcomeOf(iteration)).seen, [...all].reverse().slice(0, limit));
        }
      }
    }
  });

  test("iterateAll() parses both ways, and gives what is before one that does not fit", async () => {
    const of = await written([paid, { type: "Deposited", data: null }, deposited]);
    const messages = account;
    const forward = await outcomeOf(iterateAll(db.sql, { messages, position: first(of) }));
    assert.deepEqual([forward.seen.length, forward.seen[0]], [1, asRead(of)[0]]);
    const options = { messages, ...backward, position: last(of) };
    const back = await outcomeOf(iterateAll(db.sql, options));
    assert.deepEqual([back.seen.length, back.seen[0]], [1, asRead(of)[2]]);
    for (const { error } of [forward, back]) {
      assert.ok(error instanceof InvalidMessageError);
      assert.deepEqual(error.invalidMessage, of.stored[1]);
    }
  });
});

describe("a consumer with a catalogue", () => {
  test("handles by the type that is defined what is stored under an alias", async () => {
    const category = newCategory();
    await writeBatch(db.sql, `${category}-1`, [
      { type: "Paid", data: { at: at.toISOString() } },
      { type: "Elsewhere", data: null },
      account.Deposited({ at }),
      account.Closed({ reason: "moved" }),
    ]);
    const seen: unknown[] = [];
    const common = { category, messages: account };
    const handlers = { Deposited: ({ type, data }: Message) => void seen.push([type, data]) };
    await drain(db.sql, { ...common, consumerId: "one", handlers });
    await drain(db.sql, { ...common, consumerId: "two", handlers, transactional: true });
    const running = start(db.sql, { ...common, consumerId: "three", handlers });
    await until(() => seen.length === 6);
    await running.stop();
    assert.deepEqual(seen, Array(6).fill(["Deposited", { at }]));
  });

  test("handles all that its types name, by any alias, and passes over what is skipped", async () => {
    const category = newCategory();
    await writeBatch(db.sql, `${category}-1`, [
      { type: "Paid", data: { at: at.toISOString() } },
      { type: "Elsewhere", data: null },
      { type: "Deposited", data: { at: at.toISOString() } },
    ]);
    const types: string[] = [];
    const handle = (message: Message) => void types.push(message.type);
    const messages = skipping;
    await drain(db.sql, { category, consumerId: "all", messages, handle });
    assert.deepEqual(types.splice(0), ["Deposited", "Deposited"]);
    await drain(db.sql, {
      category,
      consumerId: "types",
      messages: account,
      types: ["Deposited"],
      handle,
    });
    assert.deepEqual(types.splice(0), ["Deposited", "Deposited"]);
    await drain(db.sql, { category, consumerId: "pass", messages: passing, handle });
    assert.deepEqual(types, ["Deposited", "$unknown", "Deposited"]);
  });

  test("stops before a message that does not fit, and says what is wrong", async () => {
    const category = newCategory();
    await writeBatch(db.sql, `${category}-1`, [
      account.Deposited({ at }),
      { type: "Deposited", data: { at: "soon" } },
    ]);
    const consumer = { category, consumerId: "it", messages: account };
    for (const transactional of [false, true] as const) {
      const seen: unknown[] = [];
      const error = await drain(db.sql, {
        ...consumer,
        consumerId: `it${transactional}`,
        transactional,
        handle: ({ data }: Message) => void seen.push(data),
      } as never).catch((it) => it);
      assert.ok(error instanceof HandlerFailedError, String(error));
      assert.ok(error.cause instanceof InvalidMessageError);
      const [, stored] = await readStream(db.sql, `${category}-1`);
      assert.deepEqual(error.failedMessage, stored);
      assert.deepEqual(error.cause.invalidMessage, stored);
      // The transaction with both is rolled back, and the first is handled again.
      assert.deepEqual(seen, transactional ? [{ at }, { at }] : [{ at }]);
    }
  });

  test("asks its policy about a message that does not fit, with that as it is stored", async () => {
    const category = newCategory();
    const bad = { type: "Deposited", data: { at: "soon" } };
    await writeBatch(db.sql, `${category}-1`, [bad, account.Deposited({ at }), bad]);
    const asked: unknown[] = [];
    const seen: unknown[] = [];
    const { handled } = await drain(db.sql, {
      category,
      consumerId: "it",
      messages: account,
      handlers: { Deposited: ({ data }) => void seen.push(data) },
      onError: (error, message, { attempt }) => {
        assert.ok(error instanceof InvalidMessageError);
        asked.push([message.data, attempt, error.issues[0]!.path]);
        return attempt < 2 ? "retry" : "skip";
      },
    });
    assert.equal(handled, 3);
    assert.deepEqual(seen, [{ at }]);
    const [one, two] = [[bad.data, 1, ["at"]], [bad.data, 2, ["at"]]];
    assert.deepEqual(asked, [one, two, one, two]);
  });

  test("parks it, and replays it with a catalogue that was mended", async () => {
    const category = newCategory();
    const streamName = `${category}-1`;
    await writeBatch(db.sql, streamName, [
      { type: "Deposited", data: { at: at.getTime() } },
      account.Deposited({ at }),
      { type: "Paid", data: { at: at.getTime() } },
    ]);
    const seen: unknown[] = [];
    const handlers = {
      Deposited: ({ data, position }: Message) => void seen.push([position, data]),
    };
    const consumer = {
      category,
      consumerId: "it",
      messages: account,
      handlers,
      onError: "park",
    } as const;
    await drain(db.sql, consumer);
    assert.deepEqual(seen.splice(0), [[1, { at }]]);
    const parked = await readStream<{ error: { name: string; message: string } }>(
      db.sql,
      `${category}:parked-it`,
    );
    assert.equal(parked.length, 2);
    assert.equal(parked[0]!.data.error.name, "InvalidMessageError");
    assert.match(parked[0]!.data.error.message, /at position 0 of stream .*: at: /);

    assert.deepEqual(await replayParked(db.sql, consumer, { limit: 1 }), {
      replayed: 1,
      parked: 1,
      busy: false,
    });
    const mended = defineMessages({
      Deposited: {
        schema: z.object({ at: z.union([iso, z.number().transform((it) => new Date(it))]) }),
        aliases: ["Paid"],
      },
    });
    assert.deepEqual(await replayParked(db.sql, { ...consumer, messages: mended }), {
      replayed: 2,
      parked: 0,
      busy: false,
    });
    assert.deepEqual(seen, [[2, { at }], [0, { at }]]);
  });

  test("refuses a catalogue that is none", async () => {
    const messages = {} as MessageCatalogue;
    const consumer = { category: "account", consumerId: "it", messages, handle: () => {} };
    await assert.rejects(drain(db.sql, consumer), { name: "TypeError" });
  });

  test("of an aggregate parses what that refers to", async () => {
    const { ledger, stored } = await written([
      { type: "Paid", data: { at: at.toISOString() } },
      account.Deposited({ at }),
    ]);
    const seen: unknown[] = [];
    await drain(db.sql, {
      aggregate: ledger,
      consumerId: "it",
      messages: account,
      handlers: { Deposited: ({ id, data }) => void seen.push([id, data]) },
    });
    assert.deepEqual(seen, stored.map(({ id }) => [id, { at }]));
  });
});

test("an encode that throws is told of where the schema does not take the data either", async () => {
  const catalogue = defineMessages({
    Made: {
      schema: z.object({ at: z.iso.datetime() }),
      encode: () => {
        throw new Error("no calendar");
      },
    },
  });
  const issues = await issuesOf(unchecked(catalogue, "Made", { at: new Date() }));
  assert.match(issues.at(-1)!.message, /the way back has thrown: Error: no calendar/);
});

test("a consumer's handlers are by the types of its catalogue, not by aliases", async () => {
  const messages = defineMessages({ Deposited: { schema: z.object({}), aliases: ["Paid"] } });
  for (const [type, more] of [["Paid", ': "Paid" is an alias of "Deposited"'], ["Other", ""]]) {
    const handlers = { [type!]() {} };
    const consumer = { category: "account", consumerId: "a", messages, handlers };
    await assert.rejects(drain(db.sql, consumer as never), {
      name: "TypeError",
      message: `Cannot use "${type}" as "handlers.${type}": ` +
        `it must be a type that the catalogue defines${more}`,
    });
  }
});

test("what a union would read as another kind is refused", async () => {
  const text = z.string();
  for (
    const [schema, data] of [
      [z.union([text, digits]), 5n],
      [z.union([text, iso]), at],
      [z.codec(text, z.date(), { decode: (it) => new Date(it), encode: () => "2000-01-01" }), at],
      [z.record(text, z.union([text, digits])), { one: "1", two: 2n }],
    ] as const
  ) {
    const catalogue = defineMessages({ Made: schema as StandardSchema });
    const [issue] = await issuesOf(unchecked(catalogue, "Made", data));
    assert.match(issue!.message, /^the schema reads its own output as another value/);
  }
});

test("a message that was read, and is written where it does not fit, is one that cannot be written", async () => {
  const streamName = newStream();
  await write(db.sql, streamName, { type: "Made", data: "x" });
  const [made] = await readStream(db.sql, streamName);
  const messages = defineMessages({ Made: z.number() });
  const error = await refusalOf(made!, messages);
  assert.match(error.message, /^Cannot write message "Made" to stream "typed\d+-1": /);
});

test("readLastMessage() of a type that is not defined finds it, and refuses it", async () => {
  const streamName = newStream();
  await write(db.sql, streamName, { type: "Other", data: 1 });
  const messages = defineMessages({ Made: z.number() });
  const reading = readLastMessage(db.sql, streamName, { type: "Other", messages });
  await assert.rejects(reading, InvalidMessageError);
});

test("an iterator with a limit reads no more often for what is skipped", async () => {
  const streamName = newStream();
  const skipped = Array.from({ length: 300 }, () => ({ type: "Other", data: 1 }));
  await writeBatch(db.sql, streamName, [...skipped, { type: "Made", data: 1 }]);
  const messages = defineMessages({ Made: z.number() }, { unknown: "skip" });
  const sql = counting(db.sql);
  const made: unknown[] = [];
  for await (const { data } of iterateStream(sql, streamName, { limit: 1, messages })) {
    made.push(data);
  }
  assert.deepEqual([made, sql.statements], [[1], 1]);
});

test("snapshots are nothing to a consumer of all streams", async () => {
  const messages = defineMessages({ Counted: z.number() });
  const counter = entity({
    category: newCategory(),
    messages,
    init: () => 0,
    handlers: { Counted: (state) => state + 1 },
    snapshot: { every: 1 },
  });
  const { globalPosition } = await counter.decide(db.sql, "1", () => messages.Counted(1));
  await counter.fetch(db.sql, "1");
  const types: string[] = [];
  const handle = ({ type }: Message) => void types.push(type);
  await drain(db.sql, {
    category: "$all",
    consumerId: "all",
    startAt: globalPosition!,
    handle,
  });
  assert.deepEqual(types, ["Counted"]);
});

describe("the codec of a catalogue", () => {
  /** A key for each stream, as WebCrypto has it. */
  const keys = new Map<string, Promise<CryptoKey>>();
  const keyOf = ({ streamName }: CodedMessage) => {
    const key = keys.get(streamName) ?? crypto.subtle.generateKey(
      { name: "AES-GCM", length: 256 },
      false,
      ["encrypt", "decrypt"],
    ) as Promise<CryptoKey>;
    keys.set(streamName, key);
    return key;
  };
  const toBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
  const fromBase64 = (text: string) => Uint8Array.from(atob(text), (it) => it.charCodeAt(0));
  const encrypting = {
    encode: async (data: unknown, message: CodedMessage) => {
      const iv = crypto.getRandomValues(new Uint8Array(12));
      const bytes = new TextEncoder().encode(JSON.stringify(data));
      const secret = await crypto.subtle.encrypt(
        { name: "AES-GCM", iv },
        await keyOf(message),
        bytes,
      );
      return { iv: toBase64(iv), secret: toBase64(new Uint8Array(secret)) };
    },
    decode: async (data: unknown, message: CodedMessage) => {
      const { iv, secret } = data as { iv: string; secret: string };
      const bytes = await crypto.subtle.decrypt(
        { name: "AES-GCM", iv: fromBase64(iv) },
        await keyOf(message),
        fromBase64(secret),
      );
      return JSON.parse(new TextDecoder().decode(bytes));
    },
  };

  test("encrypts a subject's data on its way in, and decrypts it on its way out", async () => {
    const person = defineMessages({
      Registered: z.object({ name: z.string(), born: iso }),
    }, { codec: encrypting });
    const [ada, bob] = [newStream(), newStream()];
    const born = new Date("1815-12-10T00:00:00.000Z");
    await write(db.sql, ada, person.Registered({ name: "Ada", born }));
    await write(db.sql, bob, person.Registered({ name: "Bob", born }));
    const [stored] = await readStream<Record<string, unknown>>(db.sql, ada);
    assert.deepEqual(Object.keys(stored!.data).sort(), ["iv", "secret"]);
    const [read] = await readStream(db.sql, ada, { messages: person });
    assert.deepEqual(read!.data, { name: "Ada", born });
    const seen = await Promise.all([ada, bob].map(async (it) => {
      return (await outcomeOf(iterateStream(db.sql, it, { messages: person }))).seen[0]!.data;
    }));
    assert.deepEqual(seen, [{ name: "Ada", born }, { name: "Bob", born }]);
    // Who has no key reads nothing: it is the other subject's.
    keys.delete(ada);
    await assert.rejects(readStream(db.sql, ada, { messages: person }), { name: "OperationError" });
    assert.equal((await readStream(db.sql, bob, { messages: person })).length, 1);
  });

  test("is waited for by a subscription and a consumer, in the order of the messages", async () => {
    const codec = {
      encode: (data: unknown) => [data],
      // The first takes longest.
      decode: async (data: unknown) => {
        const [value] = data as [{ n: number }];
        for (let turns = 5 - value.n; turns > 0; turns--) await new Promise(setImmediate);
        return value;
      },
    };
    const messages = defineMessages({ Made: z.object({ n: z.number() }) }, { codec });
    const category = newCategory();
    const all = [1, 2, 3, 4].map((n) => ({ n }));
    await writeBatch(db.sql, `${category}-1`, all.map((it) => messages.Made(it)));
    const { seen } = await outcomeOf(subscribe(db.sql, category, { messages }), 4);
    assert.deepEqual(seen.map(({ data }) => data), all);
    const handled: unknown[] = [];
    await drain(db.sql, {
      category,
      consumerId: "it",
      messages,
      handle: ({ data }) => void handled.push(data),
    });
    assert.deepEqual(handled, all);
    const read = await readCategory(db.sql, category, { messages });
    assert.deepEqual(read.map(({ data }) => data), all);
  });

  test("gets the JSON, the stored type, the stream and the metadata as it is stored", async () => {
    const calls: unknown[] = [];
    const noting = (name: string) => (data: unknown, message: CodedMessage) => {
      calls.push([name, data, message]);
      return data;
    };
    const messages = defineMessages({
      Deposited: {
        schema: z.object({ at: iso }),
        aliases: ["Paid"],
        upcasts: [(data) => data],
      },
    }, { codec: { encode: noting("encode"), decode: noting("decode") } });
    const streamName = newStream();
    const data = { at: at.toISOString() };
    await write(db.sql, streamName, messages.Deposited({ at }, { metadata: { by: "Ada" } }));
    const metadata = { by: "Ada", schemaVersion: "2" };
    assert.deepEqual(calls.splice(0), [
      ["encode", data, { type: "Deposited", streamName, metadata, isSnapshot: false }],
    ]);
    await write(db.sql, streamName, { type: "Paid", data });
    await readStream(db.sql, streamName, { messages });
    assert.deepEqual(calls, [
      ["decode", data, { type: "Deposited", streamName, metadata, isSnapshot: false }],
      ["decode", data, { type: "Paid", streamName, metadata: null, isSnapshot: false }],
    ]);
  });

  test("may answer what is no Promise, and can be waited for, and so may a schema", async () => {
    const later = <T>(data: T) => ({
      then(resolve: (data: T) => void) {
        resolve(data);
      },
    });
    const Made = z.object({ n: z.number() });
    const slow: StandardSchema = {
      "~standard": {
        validate: (value) => later(Made["~standard"].validate(value)) as never,
      },
    };
    const codec = { encode: later, decode: later };
    for (const definition of [Made, slow, { schema: slow, encode: later }]) {
      const messages = defineMessages({ Made: definition }, { codec });
      const streamName = newStream();
      await write(db.sql, streamName, messages.Made({ n: 1 }));
      const [made] = await readStream(db.sql, streamName, { messages });
      assert.deepEqual(made!.data, { n: 1 });
    }
  });

  test("may be at once, and is over what the schema makes and below what is lifted", async () => {
    const codec = {
      encode: (data: unknown) => ({ wrapped: data }),
      decode: (data: unknown) => (data as { wrapped: unknown }).wrapped,
    };
    const schema = z.object({ n: digits });
    const catalogue = defineMessages({
      Made: { schema, upcasts: [(data: { old: string }) => ({ n: data.old })] },
    }, { codec });
    const streamName = newStream();
    await write(db.sql, streamName, { type: "Made", data: { wrapped: { old: "4" } } });
    await write(db.sql, streamName, catalogue.Made({ n: 5n }));
    const stored = await readStream(db.sql, streamName);
    assert.deepEqual(stored[1]!.data, { wrapped: { n: "5" } });
    const read = await readStream(db.sql, streamName, { messages: catalogue });
    assert.deepEqual(read.map(({ data }) => data), [{ n: 4n }, { n: 5n }]);
  });

  test("is not asked about what does not fit, nor about a type that is not defined", async () => {
    const never = () => assert.fail("it was asked");
    const codec = { encode: never, decode: never };
    const strict = defineMessages({ Made: z.object({ n: z.number() }) }, { codec });
    await issuesOf(unchecked(strict, "Made", { n: "5" }));
    await issuesOf({ type: "Elsewhere", data: {} }, strict);
    const streamName = newStream();
    await write(db.sql, streamName, { type: "Elsewhere", data: {} });
    const messages = defineMessages({ Made: z.object({}) }, { codec, unknown: "pass" });
    assert.equal((await readStream(db.sql, streamName, { messages }))[0]!.type, "$unknown");
  });

  test("throws its own error, which writes nothing", async () => {
    const error = new Error("there is no such key");
    const codec = {
      encode: (): unknown => {
        throw error;
      },
      decode: (data: unknown) => data,
    };
    const catalogue = defineMessages({ Made: z.object({}) }, { codec });
    assert.equal(await refusalOf(catalogue.Made()), error);
    const lossy = { encode: () => new Map(), decode: (data: unknown) => data };
    const losing = defineMessages({ Made: z.object({}) }, { codec: lossy });
    assert.equal((await refusalOf(losing.Made())).name, "TypeError");
  });

  test("leaves no rejection behind where a message after the one that it fails with is refused", async () => {
    const error = new Error("there is no such key");
    const codec = {
      encode: (data: unknown) => data,
      decode: () => Promise.reject(error),
    };
    const messages = defineMessages({ Made: z.object({}) }, { codec });
    const streamName = newStream();
    await writeBatch(db.sql, streamName, [{ type: "Made", data: {} }, { type: "Elsewhere" }]);
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    // Node tells of those that no one has handled when the microtasks are done.
    process.prependListener("unhandledRejection", note);
    try {
      await assert.rejects(readStream(db.sql, streamName, { messages }));
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    } finally {
      process.off("unhandledRejection", note);
    }
    assert.deepEqual(unhandled, []);
  });
});

describe("without a catalogue", () => {
  test("nothing is parsed: what is read is what is stored", async () => {
    const { streamName, stored } = await written([
      { type: "Deposited", data: { at: "soon" } },
      { type: "Closed", data: null, metadata: { schemaVersion: "99" } },
      { type: "$unknown", data: [1] },
    ]);
    assert.deepEqual(stored.map(({ type, data, metadata }) => ({ type, data, metadata })), [
      { type: "Deposited", data: { at: "soon" }, metadata: null },
      { type: "Closed", data: null, metadata: { schemaVersion: "99" } },
      { type: "$unknown", data: [1], metadata: null },
    ]);
    assert.deepEqual(await readStream(db.sql, streamName), stored);
  });
});

describe("any values of a schema", () => {
  interface Values {
    readonly n: number;
    readonly text: string;
    readonly big: bigint;
    readonly at: Date;
    readonly maybe?: boolean;
    readonly nested: { readonly list: readonly { readonly at: Date; readonly big: bigint }[] };
    readonly either: number | string | null;
    readonly kind: { readonly is: "a"; readonly big: bigint } | {
      readonly is: "b";
      readonly text: string;
    };
  }
  // What jsonb holds: no NUL, no lone surrogate; and JSON has no -0.
  const text = fc.string({ unit: "grapheme" }).filter((it) => !it.includes("\0"));
  const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n === 0 ? 0 : n);
  const date = fc.date({ noInvalidDate: true });
  const values: fc.Arbitrary<Values> = fc.record({
    n: number,
    text,
    big: fc.bigInt(),
    at: date,
    maybe: fc.boolean(),
    nested: fc.record({
      list: fc.array(fc.record({ at: date, big: fc.bigInt() }), { maxLength: 4 }),
    }),
    either: fc.oneof(number, text, fc.constant(null)),
    kind: fc.oneof(
      fc.record({ is: fc.constant("a" as const), big: fc.bigInt() }),
      fc.record({ is: fc.constant("b" as const), text }),
    ),
  }, { requiredKeys: ["n", "text", "big", "at", "nested", "either", "kind"] });

  /** The way back, for the libraries that have none. */
  const encode = ({ big, at, nested, kind, ...rest }: Values) => ({
    ...rest,
    big: String(big),
    at: at.toISOString(),
    nested: {
      list: nested.list.map(({ at, big }) => ({ at: at.toISOString(), big: String(big) })),
    },
    kind: kind.is === "a" ? { ...kind, big: String(kind.big) } : kind,
  });

  const isoText = z.codec(z.string(), z.date(), {
    decode: (text) => new Date(text),
    encode: (date) => date.toISOString(),
  });
  const zod = defineMessages({
    Made: z.object({
      n: z.number(),
      text: z.string(),
      big: digits,
      at: isoText,
      maybe: z.boolean().optional(),
      nested: z.object({ list: z.array(z.object({ at: isoText, big: digits })) }),
      either: z.union([z.number(), z.string(), z.null()]),
      kind: z.discriminatedUnion("is", [
        z.object({ is: z.literal("a"), big: digits }),
        z.object({ is: z.literal("b"), text: z.string() }),
      ]),
    }),
  });
  const vDate = v.pipe(v.string(), v.transform((it) => new Date(it)), v.date());
  const vBig = v.pipe(v.string(), v.transform((it) => BigInt(it)));
  const valibot = defineMessages({
    Made: {
      schema: v.object({
        n: v.number(),
        text: v.string(),
        big: vBig,
        at: vDate,
        maybe: v.optional(v.boolean()),
        nested: v.object({ list: v.array(v.object({ at: vDate, big: vBig })) }),
        either: v.union([v.number(), v.string(), v.null()]),
        kind: v.variant("is", [
          v.object({ is: v.literal("a"), big: vBig }),
          v.object({ is: v.literal("b"), text: v.string() }),
        ]),
      }),
      encode,
    },
  });
  const aDate = type("string").pipe((it) => new Date(it));
  const aBig = type("string").pipe((it) => BigInt(it));
  const arktype = defineMessages({
    Made: {
      schema: type({
        n: "number",
        text: "string",
        big: aBig,
        at: aDate,
        "maybe?": "boolean",
        nested: { list: type({ at: aDate, big: aBig }).array() },
        either: "number | string | null",
        kind: type({ is: "'a'", big: aBig }).or({ is: "'b'", text: "string" }),
      }),
      encode,
    },
  });

  test.each<[string, MessageCatalogue, (data: Values) => MessageInput]>([
    ["zod", zod, (data) => zod.Made(data as never)],
    ["valibot", valibot, (data) => valibot.Made(data as never)],
    ["arktype", arktype, (data) => arktype.Made(data as never)],
  ])("survive the round trip, by %s", async (_, messages, make) => {
    await fc.assert(
      fc.asyncProperty(fc.array(values, { minLength: 1, maxLength: 5 }), async (batch) => {
        const streamName = newStream();
        await writeBatch(db.sql, streamName, batch.map(make));
        const read = await readStream(db.sql, streamName, { messages });
        assert.deepEqual(read.map(({ data }) => data), structuredClone(batch));
      }),
      { numRuns: 100 },
    );
  });
});
