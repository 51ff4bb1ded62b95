import { describe, expectTypeOf, test } from "vitest";
import * as z from "zod";
import {
  type Codec,
  consume,
  defineMessages,
  type DefineMessagesOptions,
  entity,
  FORGOTTEN,
  type ForgottenMessage,
  type MessageInputOf,
  type MessageOf,
  type Messages,
  projectCategory,
  readStream,
  type Sql,
  type TypedMessage,
  type UnknownMessage,
  write,
} from "../../mod.ts";

const sql = {} as Sql;
const codec: Codec = { encode: (data) => data, decode: () => FORGOTTEN };
const definitions = { Sent: z.object({ to: z.string() }) };
type Sent = TypedMessage<"Sent", { to: string }>;

const plain = defineMessages(definitions);
const forgetting = defineMessages(definitions, { codec });
const skipping = defineMessages(definitions, { codec, forgotten: "skip" });
const passing = defineMessages(definitions, { codec, forgotten: "pass", unknown: "pass" });

describe("the union of a catalogue", () => {
  test("has forgotten messages where there is a codec that may answer so", () => {
    expectTypeOf<MessageOf<typeof plain>>().toEqualTypeOf<Sent>();
    expectTypeOf<MessageOf<typeof forgetting>>().toEqualTypeOf<Sent | ForgottenMessage>();
    expectTypeOf<MessageOf<typeof skipping>>().toEqualTypeOf<Sent>();
    expectTypeOf<MessageOf<typeof passing>>()
      .toEqualTypeOf<Sent | ForgottenMessage | UnknownMessage>();
    expectTypeOf<MessageOf<typeof forgetting, "$forgotten">>().toEqualTypeOf<ForgottenMessage>();
    expectTypeOf<MessageInputOf<typeof forgetting>>().toEqualTypeOf<MessageInputOf<typeof plain>>();
    expectTypeOf<ForgottenMessage["data"]>().toEqualTypeOf<null>();
    expectTypeOf<ForgottenMessage["storedType"]>().toEqualTypeOf<string>();
    expectTypeOf(forgetting).toEqualTypeOf<Messages<typeof definitions, "refuse", "pass">>();
    expectTypeOf(plain).toEqualTypeOf<Messages<typeof definitions>>();
  });

  test("has them however the codec was made", () => {
    const inline = defineMessages(definitions, {
      codec: {
        encode: (data) => Promise.resolve(data),
        decode: async (data, { streamName }) =>
          await Promise.resolve(streamName === "" ? data : FORGOTTEN),
      },
    });
    class Keys implements Codec {
      encode(data: unknown): unknown {
        return data;
      }
      decode(data: unknown): unknown {
        return data;
      }
    }
    const ofClass = defineMessages(definitions, { codec: new Keys() });
    const maybe = defineMessages(definitions, { codec: Math.random() < 0.5 ? codec : undefined });
    const options: DefineMessagesOptions<"refuse"> = { codec };
    const wide = defineMessages(definitions, options);
    expectTypeOf<MessageOf<typeof inline>>().toEqualTypeOf<Sent | ForgottenMessage>();
    expectTypeOf<MessageOf<typeof ofClass>>().toEqualTypeOf<Sent | ForgottenMessage>();
    expectTypeOf<MessageOf<typeof maybe>>().toEqualTypeOf<Sent | ForgottenMessage>();
    expectTypeOf<MessageOf<typeof wide>>().toEqualTypeOf<Sent | ForgottenMessage>();
  });

  test("has none without a codec", () => {
    const none = defineMessages(definitions, { codec: undefined });
    const empty = defineMessages(definitions, {});
    const nothing = defineMessages(definitions, { forgotten: "pass" });
    expectTypeOf<MessageOf<typeof none>>().toEqualTypeOf<Sent>();
    expectTypeOf<MessageOf<typeof empty>>().toEqualTypeOf<Sent>();
    expectTypeOf<MessageOf<typeof nothing>>().toEqualTypeOf<Sent>();
  });

  test("is told apart by its type", async () => {
    for (const message of await readStream(sql, "a-1", { messages: forgetting })) {
      // @ts-expect-error: it may be forgotten
      message.data.to;
      if (message.type === "$forgotten") {
        expectTypeOf(message).toEqualTypeOf<ForgottenMessage>();
      } else expectTypeOf(message.data.to).toEqualTypeOf<string>();
    }
  });
});

test("handlers by type may have one of forgotten messages, and need none", () => {
  const names = { category: "a", consumerId: "it" };
  consume(sql, { ...names, messages: forgetting, handlers: { Sent: () => {} } });
  consume(sql, {
    ...names,
    messages: forgetting,
    handlers: {
      Sent: (message) => void expectTypeOf(message).toEqualTypeOf<Sent>(),
      $forgotten: (message) => void expectTypeOf(message).toEqualTypeOf<ForgottenMessage>(),
    },
  });
  consume(sql, {
    ...names,
    messages: forgetting,
    handle: (message) => void expectTypeOf(message).toEqualTypeOf<Sent | ForgottenMessage>(),
  });
  for (const messages of [plain, skipping]) {
    // @ts-expect-error: none is forgotten
    consume(sql, { ...names, messages, handlers: { $forgotten: () => {} } });
  }
});

test("projections and entities may have one, too", () => {
  projectCategory(sql, "a", {
    messages: forgetting,
    init: () => 0,
    handlers: {
      Sent: (state, { data }) => state + data.to.length,
      $forgotten: (state, message) => {
        expectTypeOf(message).toEqualTypeOf<ForgottenMessage>();
        return state;
      },
    },
  });
  entity({
    category: "a",
    messages: forgetting,
    init: () => 0,
    evolve: (state, message) => {
      expectTypeOf(message).toEqualTypeOf<Sent | ForgottenMessage>();
      return state;
    },
  });
  const it = entity({
    category: "a",
    messages: forgetting,
    init: () => 0,
    handlers: { Sent: (state) => state + 1 },
  });
  it.decide(sql, "1", (state) => forgetting.Sent({ to: `${state}` }));
  // @ts-expect-error: it cannot be written
  it.decide(sql, "1", () => ({} as ForgottenMessage));
  projectCategory(sql, "a", {
    messages: plain,
    init: () => 0,
    // @ts-expect-error: none is forgotten
    handlers: { $forgotten: (state: number) => state },
  });
});

test("a forgotten message is no message to write to a catalogue", () => {
  // @ts-expect-error: it has no data
  write(sql, "a-1", {} as ForgottenMessage, { messages: forgetting });
});

test("there are two choices", () => {
  // @ts-expect-error: there is no such choice
  defineMessages(definitions, { codec, forgotten: "refuse" });
  // @ts-expect-error: there is no such option
  defineMessages(definitions, { codec, forgot: "skip" });
});
