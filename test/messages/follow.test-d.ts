import { describe, expectTypeOf, test } from "vitest";
import * as z from "zod";
import {
  correlate,
  defineMessages,
  follow,
  type HandlerContext,
  type Message,
  type MessageInput,
  type Metadata,
  reply,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";

const sql = {} as Sql;
const previous = {} as Message;
const account = defineMessages({
  Deposited: z.object({ amount: z.number() }),
  Closed: z.object({ reason: z.string() }),
});
const deposited = account.Deposited({ amount: 1 });
const closed = account.Closed({ reason: "" });
interface Following {
  readonly metadata: Metadata;
}

describe("follow()", () => {
  test("answers a message with metadata", () => {
    const followed = follow(previous, { type: "Deposited", data: { amount: 11 } });
    expectTypeOf(followed.metadata).toEqualTypeOf<Metadata>();
    expectTypeOf(followed.metadata.causationMessagePosition).toEqualTypeOf<number | undefined>();
    expectTypeOf(followed.data).toEqualTypeOf<{ amount: number }>();
    expectTypeOf(follow(previous, {} as MessageInput)).toEqualTypeOf<MessageInput & Following>();
    // What the message says of its own stays.
    const { metadata } = follow(previous, { type: "Deposited", metadata: { by: "Ada" } });
    expectTypeOf(metadata.by).toEqualTypeOf<string>();
  });

  test("answers a list of messages with metadata, as long as it was", () => {
    const list = follow(previous, [deposited, deposited]);
    expectTypeOf(list).toEqualTypeOf<(typeof deposited & Following)[]>();
    const pair = follow(previous, [deposited, closed] as const);
    expectTypeOf(pair).toEqualTypeOf<
      readonly [typeof deposited & Following, typeof closed & Following]
    >();
    expectTypeOf(pair[1].metadata).toEqualTypeOf<Metadata>();
    expectTypeOf(follow(previous, [] as readonly MessageInput[])).toEqualTypeOf<
      readonly (MessageInput & Following)[]
    >();
  });

  test("answers nothing for nothing", () => {
    expectTypeOf(follow(previous, null)).toEqualTypeOf<null>();
    expectTypeOf(follow(previous, undefined)).toEqualTypeOf<undefined>();
    const maybe = follow(previous, {} as typeof deposited | null);
    expectTypeOf(maybe).toEqualTypeOf<typeof deposited & Following | null>();
    expectTypeOf(follow(previous, {} as MessageInput | MessageInput[] | undefined)).toEqualTypeOf<
      MessageInput & Following | (MessageInput & Following)[] | undefined
    >();
  });

  test("keeps the messages of a catalogue apart, and within the catalogue", () => {
    const either = follow(previous, {} as typeof deposited | typeof closed);
    if (either.type === "Closed") expectTypeOf(either.data).toEqualTypeOf<{ reason: string }>();
    write(sql, "account-1", follow(previous, deposited), { messages: account });
    writeBatch(sql, "account-1", follow(previous, [deposited, closed]), { messages: account });
    // @ts-expect-error: the catalogue has no such message
    write(sql, "account-1", follow(previous, { type: "Opened" }), { messages: account });
  });

  test("can be given a message of any kind by a function that takes any", () => {
    const writeNext = <Next extends MessageInput>(next: Next) =>
      write(sql, "account-1", follow(previous, next));
    writeNext(deposited);
  });

  test("takes keys to propagate, and a list of nothing else", () => {
    follow(previous, deposited, { propagate: ["tenantId"] });
    // @ts-expect-error: a list
    follow(previous, deposited, { propagate: "tenantId" });
    // @ts-expect-error: there is no such option
    follow(previous, deposited, { carry: ["tenantId"] });
    // @ts-expect-error: an index is no options
    [deposited].map(({} as HandlerContext).follow);
  });
});

test("a handler's follow() answers what follow() does", () => {
  const context = {} as HandlerContext;
  expectTypeOf(context.follow(deposited)).toEqualTypeOf<typeof deposited & Following>();
  expectTypeOf(context.follow([deposited], { propagate: ["tenantId"] })).toEqualTypeOf<
    (typeof deposited & Following)[]
  >();
  expectTypeOf(context.follow(null)).toEqualTypeOf<null>();
});

test("correlate() answers a message with metadata", () => {
  const correlated = correlate({ type: "Transfer" }, "transfer-7");
  expectTypeOf(correlated).toEqualTypeOf<{ type: string } & Following>();
});

test("reply() takes the messages of its catalogue", () => {
  reply(sql, follow(previous, deposited));
  reply(sql, follow(previous, deposited), { messages: account, expectedVersion: 5 });
  // @ts-expect-error: the catalogue has no such message
  reply(sql, { type: "Opened" }, { messages: account });
});
