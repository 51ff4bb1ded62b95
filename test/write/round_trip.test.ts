import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import * as z from "zod";
import { defineMessages, readStream, writeBatch } from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** A schema, and the values that it makes. */
interface Made {
  readonly schema: z.ZodType;
  readonly values: fc.Arbitrary<unknown>;
}

const iso = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});
const digits = z.codec(z.string(), z.bigint(), { decode: BigInt, encode: String });

const text = fc.string({ unit: "grapheme" }).filter((it) => !it.includes("\0"));
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((it) => it === 0 ? 0 : it);
// Beyond those years, ISO 8601 has a sign, which zod does not read.
const date = fc.date({
  noInvalidDate: true,
  min: new Date("0001-01-01T00:00:00Z"),
  max: new Date("9999-12-31T00:00:00Z"),
});
const key = fc.constantFrom("a", "b", "amount", "1", "to string");

const { schema: schemas } = fc.letrec<{ schema: Made; leaf: Made }>((tie) => ({
  leaf: fc.constantFrom<Made>(
    { schema: z.string(), values: text },
    { schema: z.number(), values: number },
    { schema: z.boolean(), values: fc.boolean() },
    { schema: z.null(), values: fc.constant(null) },
    { schema: z.enum(["one", "two"]), values: fc.constantFrom("one", "two") },
    { schema: iso, values: date },
    { schema: digits, values: fc.bigInt() },
  ),
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    tie("leaf"),
    tie("schema").map(({ schema, values }) => ({
      schema: z.array(schema),
      values: fc.array(values, { maxLength: 3 }),
    })),
    tie("schema").map(({ schema, values }) => ({
      schema: schema.nullable(),
      values: fc.option(values),
    })),
    fc.dictionary(key, tie("schema"), { maxKeys: 4, noNullPrototype: true }).map(objectOf),
    fc.tuple(tie("schema"), tie("schema")).map(([one, two]) => ({
      schema: z.discriminatedUnion("is", [
        z.object({ is: z.literal("one"), it: one.schema }),
        z.object({ is: z.literal("two"), it: two.schema }),
      ]),
      values: fc.oneof(
        fc.record({ is: fc.constant("one"), it: one.values }, { noNullPrototype: true }),
        fc.record({ is: fc.constant("two"), it: two.values }, { noNullPrototype: true }),
      ),
    })),
    fc.tuple(tie("schema"), tie("schema")).map(([one, two]) => ({
      schema: z.tuple([one.schema, two.schema]),
      values: fc.tuple(one.values, two.values),
    })),
    tie("schema").map(({ schema, values }) => ({
      schema: z.record(z.string(), schema),
      values: fc.dictionary(key, values, { maxKeys: 3, noNullPrototype: true }),
    })),
  ),
}));

/** An object, half of whose members may be left out. */
function objectOf(members: Record<string, Made>): Made {
  const entries = Object.entries(members);
  const isOptional = (at: number) => at % 2 === 1;
  const required = entries.filter((_, at) => !isOptional(at)).map(([name]) => name);
  return {
    schema: z.object(Object.fromEntries(
      entries.map(([name, { schema }], at) => [name, isOptional(at) ? schema.optional() : schema]),
    )),
    values: fc.record(
      Object.fromEntries(entries.map(([name, { values }]) => [name, values])),
      { requiredKeys: required, noNullPrototype: true },
    ),
  };
}

test("any schema's values survive the round trip", async () => {
  let streams = 0;
  const cases = schemas.chain(({ schema, values }) =>
    fc.record({
      schema: fc.constant(schema),
      batch: fc.array(values, { minLength: 1, maxLength: 4 }),
    })
  );
  await fc.assert(
    fc.asyncProperty(cases, async ({ schema, batch }) => {
      const messages = defineMessages({ Made: schema });
      const streamName = `made-${++streams}`;
      await writeBatch(db.sql, streamName, batch.map((data) => messages.Made(data)));
      const read = await readStream(db.sql, streamName, { messages });
      assert.deepEqual(read.map(({ data }) => data), batch);
    }),
    { numRuns: 300 },
  );
});
