import { expectTypeOf, test } from "vitest";
import * as z from "zod";
import {
  type Codec,
  defineMessages,
  type ForgottenMessage,
  InvalidMessageError,
  type MessageOf,
  type ParseResult,
  type TypedMessage,
  type UnknownMessage,
} from "../../mod.ts";

const codec = {} as Codec;
const definitions = { Sent: z.object({ to: z.string() }), Read: z.object({}) };
type Defined = TypedMessage<"Sent", { to: string }> | TypedMessage<"Read", Record<string, never>>;

const account = defineMessages(definitions);

test("parse() gives the union of the catalogue", () => {
  expectTypeOf(account.parse({})).resolves.toEqualTypeOf<MessageOf<typeof account>>();
  expectTypeOf(account.parse).parameter(0).toEqualTypeOf<unknown>();
  expectTypeOf(defineMessages(definitions, { unknown: "pass" }).parse({}))
    .resolves.toEqualTypeOf<Defined | UnknownMessage>();
  expectTypeOf(defineMessages(definitions, { codec }).parse({}))
    .resolves.toEqualTypeOf<Defined | ForgottenMessage>();
});

test("parse() may give nothing only where the catalogue leaves messages out", () => {
  expectTypeOf(defineMessages(definitions, { unknown: "skip" }).parse({}))
    .resolves.toEqualTypeOf<Defined | undefined>();
  expectTypeOf(defineMessages(definitions, { codec, forgotten: "skip" }).parse({}))
    .resolves.toEqualTypeOf<Defined | undefined>();
  expectTypeOf(defineMessages(definitions, { codec, unknown: "skip" }).parse({}))
    .resolves.toEqualTypeOf<Defined | ForgottenMessage | undefined>();
  // Nothing is forgotten without a codec.
  expectTypeOf(defineMessages(definitions, { forgotten: "skip" }).parse({}))
    .resolves.toEqualTypeOf<Defined>();
});

test("safeParse() is told apart by success", async () => {
  expectTypeOf(account.safeParse({}))
    .resolves.toEqualTypeOf<ParseResult<MessageOf<typeof account>>>();
  const result = await account.safeParse({});
  if (result.success) {
    if (result.message.type === "Sent") {
      expectTypeOf(result.message.data).toEqualTypeOf<{ to: string }>();
    }
    // @ts-expect-error: there is none
    result.error;
  } else {
    expectTypeOf(result.error).toEqualTypeOf<InvalidMessageError | TypeError | RangeError>();
    if (result.error instanceof InvalidMessageError) result.error.issues;
    // @ts-expect-error: there is none
    result.message;
  }
});

test("parse() and safeParse() need no receiver", () => {
  const { parse, safeParse } = account;
  parse({});
  safeParse({});
});
