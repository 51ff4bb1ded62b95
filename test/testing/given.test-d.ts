import {
  type Consumer,
  defineMessages,
  entity,
  type Message,
  type MessageInputOf,
  type MessageOf,
  type Sql,
} from "@messagedb/client";
import { given, type Reaction } from "@messagedb/client/testing";
import { describe, expectTypeOf, test } from "vitest";
import * as z from "zod";

const messages = defineMessages({
  Deposited: z.object({ amount: z.number() }),
  Closed: z.object({ reason: z.string() }),
});
const account = entity({
  category: "account",
  messages,
  init: () => ({ balance: 0 }),
  handlers: { Deposited: ({ balance }, { data }) => ({ balance: balance + data.amount }) },
});
const counter = entity({ category: "counter", init: () => 0, evolve: (count) => count + 1 });

describe("given()", () => {
  test("knows the state and the messages of an entity", async () => {
    const outcome = await given(account, [messages.Deposited({ amount: 1 })]).when(
      (state, version) => {
        expectTypeOf(state).toEqualTypeOf<{ balance: number }>();
        expectTypeOf(version).toEqualTypeOf<number>();
        return messages.Closed({ reason: "moved" });
      },
    );
    expectTypeOf(outcome.messages).toEqualTypeOf<readonly MessageInputOf<typeof messages>[]>();
    expectTypeOf(outcome.state).toEqualTypeOf<{ balance: number }>();
    // @ts-expect-error: the catalogue has no such message
    given(account).when(() => ({ type: "Opened" }));
  });

  test("knows those of several entities, by their names or in their order", async () => {
    const { messages: decided, states } = await given({
      from: [account, [messages.Deposited({ amount: 1 })]],
      count: [counter, []],
    }).when(({ from, count }) => {
      expectTypeOf(from).toEqualTypeOf<{ balance: number }>();
      expectTypeOf(count).toEqualTypeOf<number>();
      return { count: { type: "Counted" } };
    });
    expectTypeOf(decided.from).toEqualTypeOf<readonly MessageInputOf<typeof messages>[]>();
    expectTypeOf(states.count).toEqualTypeOf<number>();
    const list = await given([[account, []], [counter, []]]).when(([one]) => {
      return [messages.Deposited({ amount: one.balance })];
    });
    expectTypeOf(list.states[1]).toEqualTypeOf<number>();
    // @ts-expect-error: nobody has this name
    given({ from: [account, []] }).when(() => ({ to: { type: "Counted" } }));
  });

  test("knows the state of a projection, and takes any consumer", () => {
    const sum = given({
      init: () => 0n,
      evolve: (sum, { data }: Message<number>) => sum + BigInt(data),
    }, { "stream-1": { type: "T" } });
    expectTypeOf(sum.state()).resolves.toEqualTypeOf<bigint>();
    const typed: Consumer<Sql, MessageOf<typeof messages>> = {
      category: "account",
      consumerId: "x",
      messages,
      handlers: { Closed() {} },
    };
    expectTypeOf(given(typed).when({})).resolves.toEqualTypeOf<Reaction>();
    given({ category: "account", consumerId: "x", handle() {} }, { "a-1": [] }).when({});
    // @ts-expect-error: that is nothing to test
    given({ category: "account" });
  });
});
