import assert from "node:assert/strict";
import process from "node:process";
import { type } from "arktype";
import fc from "fast-check";
import * as v from "valibot";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  InvalidMessageError,
  type MessageCatalogue,
  type MessageDefinition,
  readStream,
  type StandardSchema,
  write,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";
import { unchecked } from "./_unchecked.ts";

const db = useDatabase();
let streams = 0;
const newStream = () => `constructed${++streams}-1`;

/** What is thrown, without the sentence about a stream; null for nothing. */
function described(error: unknown): unknown {
  if (error instanceof InvalidMessageError) return error.issues;
  assert.ok(error instanceof Error);
  return `${error.name}: ${error.message}`;
}

const construct = (catalogue: MessageCatalogue, data: unknown) =>
  (catalogue as unknown as { Made(data: unknown): unknown }).Made(data);

function constructed(catalogue: MessageCatalogue, data: unknown): unknown {
  try {
    construct(catalogue, data);
    return null;
  } catch (error) {
    return described(error);
  }
}

async function written(catalogue: MessageCatalogue, data: unknown): Promise<unknown> {
  return await write(db.sql, newStream(), unchecked(catalogue, "Made", data))
    .then(() => null, described);
}

const iso = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});
const OutOfOrder = class extends Error {
  override readonly name = "OutOfOrder";
};
const own: StandardSchema = {
  "~standard": {
    validate: (value) => {
      if (typeof value !== "object") throw new RangeError("no object");
      if (value === null || Array.isArray(value)) throw new OutOfOrder("the disk is full");
      return { value };
    },
  },
};

/** Schemas that answer at once, whatever they are asked. */
const atOnce: Record<string, MessageDefinition> = {
  "zod's object": z.object({ n: z.number().positive(), at: z.string().optional() }),
  "zod's strict object": z.strictObject({ n: z.int() }),
  "zod's codec": z.object({ n: z.number(), at: iso }),
  "zod's default and codec": z.object({ n: z.number().default(3), at: iso.optional() }),
  "zod's transform that stays": z.object({ at: z.string().trim().toLowerCase() }),
  "zod's transform that grows": z.object({ at: z.string().transform((it) => `${it}!`) }),
  "zod's transform with an encode": {
    schema: z.object({ at: z.string().transform((it) => ({ text: it })) }),
    encode: ({ at }: { at: { text: string } }) => ({ at: at.text }),
  },
  "zod's coercion": z.object({ n: z.coerce.number(), at: z.coerce.date() }),
  "zod's dates without a codec": z.object({ at: z.date() }),
  "zod's union": z.union([z.object({ n: z.number() }), z.object({ at: iso }), z.null()]),
  "zod's refine": z.object({ n: z.number(), at: z.unknown() }).refine(({ n, at }) => n > 0 || !at),
  "zod's anything": z.unknown(),
  "zod's catch": z.object({ n: z.number().catch(1) }),
  "valibot's object": v.object({
    n: v.pipe(v.number(), v.minValue(1)),
    at: v.optional(v.string()),
  }),
  "valibot's date": v.object({
    at: v.pipe(v.union([v.string(), v.date()]), v.transform((it) => new Date(it)), v.date()),
  }),
  "valibot's bigint": v.object({
    n: v.pipe(v.union([v.string(), v.bigint()]), v.transform((it) => BigInt(it))),
  }),
  "valibot's default": v.object({ n: v.optional(v.number(), 3) }),
  "valibot's encode": {
    schema: v.object({ at: v.pipe(v.string(), v.transform((it) => new Date(it)), v.date()) }),
    encode: ({ at }: { at: Date }) => ({ at: at.toISOString() }),
  },
  "arktype's object": type({ n: "number > 0", "at?": "string" }),
  "arktype's date": type({ at: "string.date.iso.parse" }),
  "arktype's default": type({ n: "number = 3" }),
  "arktype's encode": {
    schema: type({ at: "string.date.iso.parse" }),
    encode: ({ at }: { at: Date }) => ({ at: at.toISOString() }),
  },
  "a schema of one's own, which throws": own,
};

/** Schemas that answer by a promise, always or where they throw. */
const byPromise: Record<string, MessageDefinition> = {
  "zod's asynchronous refine": z.object({
    n: z.number().refine(async (n) => (await Promise.resolve(n)) > 0),
  }),
  "zod's codec that throws": z.object({
    n: z.codec(z.string(), z.bigint(), { decode: BigInt, encode: String }),
  }),
  "zod's asynchronous codec": z.object({
    n: z.codec(z.number(), z.number(), {
      decode: (n) => Promise.resolve(n + 1),
      encode: (n) => Promise.resolve(n - 1),
    }),
  }),
  "valibot's asynchronous check": v.objectAsync({
    n: v.pipeAsync(v.number(), v.checkAsync(async (n) => (await Promise.resolve(n)) > 0)),
  }),
  "an asynchronous encode": {
    schema: z.object({ n: z.number() }),
    encode: (data) => Promise.resolve(data),
  },
};

const members = fc.constantFrom<unknown>(
  ...[0, 1, -1, 5.5, NaN, 5n, -5n, "", "x", "7", "A b ", "\0", null, undefined, true],
  ...["2026-02-03T04:05:06.789Z", new Date(0), new Date(NaN), new Map(), () => 1],
  ...[[], [undefined], {}, { n: 1 }, { text: "x" }, Symbol("x")],
);
const data = fc.oneof(
  { weight: 4, arbitrary: fc.record({ n: members, at: members }, { requiredKeys: [] }) },
  { weight: 1, arbitrary: members.filter((it) => it !== undefined) },
);

/** Of these, each schema refuses one, and each that takes anything as it is takes one. */
const EXAMPLES: [data: unknown][] = [
  { n: 1, at: "2026-02-03T04:05:06.789Z" },
  { n: 1, at: "x" },
  { n: 1 },
  { n: 5n },
  { at: { text: "x" } },
  { n: NaN, at: NaN },
  "x",
].map((it) => [it]);

describe("a constructor", () => {
  test.each(Object.entries(atOnce))(
    "throws what a write would throw, and nothing else: %s",
    async (_, Made) => {
      const catalogue = defineMessages({ Made });
      let [taken, refused] = [0, 0];
      await fc.assert(
        fc.asyncProperty(data, async (data) => {
          const outcome = constructed(catalogue, data);
          assert.deepEqual(outcome, await written(catalogue, data));
          if (outcome === null) taken++;
          else refused++;
        }),
        { numRuns: 200, examples: EXAMPLES },
      );
      assert.ok(refused > 0);
      assert.ok(taken > 0 || /grows|without a codec/.test(_), "some data was taken");
    },
  );

  test.each(Object.entries(byPromise))(
    "throws nothing that a write would not throw: %s",
    async (_, Made) => {
      const catalogue = defineMessages({ Made });
      await fc.assert(
        fc.asyncProperty(data, async (data) => {
          const outcome = constructed(catalogue, data);
          if (outcome !== null) assert.deepEqual(outcome, await written(catalogue, data));
        }),
        { numRuns: 200 },
      );
    },
  );

  test("says what is wrong, and where", () => {
    const account = defineMessages({
      Withdrawn: z.object({
        amount: z.number().positive("it is no amount"),
        by: z.string("no one"),
      }),
    });
    const metadata = { by: "Ada" };
    const make = () => account.Withdrawn({ amount: -5 } as never, { metadata });
    assert.throws(make, (error) => {
      assert.ok(error instanceof InvalidMessageError);
      assert.equal(
        error.message,
        'Cannot make message "Withdrawn": amount: it is no amount; by: no one',
      );
      assert.deepEqual(error.issues.map(({ path }) => path), [["amount"], ["by"]]);
      assert.deepEqual(error.invalidMessage, { type: "Withdrawn", data: { amount: -5 }, metadata });
      return true;
    });
  });

  test("keeps the data as it is given, be it the schema's input or its output", () => {
    const wallet = defineMessages({
      Paid: z.object({ at: iso, n: z.number().default(3) }),
      Named: z.object({ name: z.string().trim() }),
    });
    for (const data of [{ at: new Date(0), n: 1 }, { at: "1970-01-01T00:00:00.000Z" }]) {
      assert.equal(wallet.Paid(data).data, data);
    }
    assert.deepEqual(wallet.Named({ name: " Ada " }).data, { name: " Ada " });
  });

  test("lets the write decide what a schema decides by a promise", async () => {
    const isPositive = async (n: number) => (await Promise.resolve(n)) > 0;
    const catalogue = defineMessages({ Made: z.object({ n: z.number().refine(isPositive) }) });
    const message = catalogue.Made({ n: -1 });
    await assert.rejects(write(db.sql, newStream(), message), InvalidMessageError);
    const streamName = newStream();
    await write(db.sql, streamName, catalogue.Made({ n: 1 }));
    assert.equal((await readStream(db.sql, streamName)).length, 1);
  });

  test("leaves no rejection behind", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.prependListener("unhandledRejection", note);
    try {
      const failing = () => Promise.reject(new Error("no answer"));
      const schema: StandardSchema = { "~standard": { validate: failing } };
      const definitions = [
        schema,
        { schema, encode: failing },
        { schema: z.object({}), encode: failing },
        z.codec(z.string(), z.bigint(), { decode: BigInt, encode: String }),
      ];
      for (const Made of definitions) construct(defineMessages({ Made }), "x");
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    } finally {
      process.off("unhandledRejection", note);
    }
    assert.deepEqual(unhandled, []);
  });

  test("does not ask the codec", () => {
    const never = () => assert.fail("it was asked");
    const { Made } = defineMessages({ Made: z.object({ n: z.number() }) }, {
      codec: { encode: never, decode: never },
    });
    Made({ n: 5 });
    assert.throws(() => Made({ n: "5" } as never), InvalidMessageError);
  });
});

test("data that was changed after the constructor has seen it is refused by the write", async () => {
  const account = defineMessages({ Withdrawn: z.object({ amount: z.number().positive() }) });
  const data = { amount: 5 };
  const message = account.Withdrawn(data);
  data.amount = -5;
  await assert.rejects(write(db.sql, newStream(), message), {
    message: /^Cannot write message "Withdrawn" to stream "constructed\d+-1": amount: Too small/,
  });
});
