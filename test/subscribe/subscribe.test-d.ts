import postgres from "postgres";
import { describe, expectTypeOf, test } from "vitest";
import {
  type AggregatedMessage,
  type Message,
  type Sql,
  subscribe,
  type SubscribeOptions,
} from "../../mod.ts";

describe("subscribe()", () => {
  const sql = {} as Sql;

  test("has messages whose data is what the caller says it is, unknown otherwise", () => {
    expectTypeOf(subscribe(sql, "account")).toEqualTypeOf<
      AsyncGenerator<Message<unknown>, void, undefined>
    >();
    expectTypeOf(subscribe<{ amount: number }>(sql, "account-1")).toEqualTypeOf<
      AsyncGenerator<Message<{ amount: number }>, void, undefined>
    >();
  });

  test("has the references of an aggregate's messages", () => {
    expectTypeOf(subscribe<number>(sql, { aggregate: "ledger" })).toEqualTypeOf<
      AsyncGenerator<AggregatedMessage<number>, void, undefined>
    >();
  });

  test("takes postgres.js's sql, and options that may be undefined", () => {
    subscribe(postgres(), "$all", { startAt: new Date(), signal: AbortSignal.timeout(1) });
    subscribe(sql, "$all", { startAt: undefined, signal: undefined, types: undefined });
    expectTypeOf<SubscribeOptions["startAt"]>().toEqualTypeOf<
      number | "beginning" | "end" | Date | undefined
    >();
  });

  test("refuses what it would refuse at run time", () => {
    // @ts-expect-error: it starts at a position, an end or a time
    subscribe(sql, "account", { startAt: "start" });
    // @ts-expect-error: a signal is not its controller
    subscribe(sql, "account", { signal: new AbortController() });
    // @ts-expect-error: a member has a number
    subscribe(sql, "account", { consumerGroup: { size: 2 } });
    // @ts-expect-error: an aggregate has a name
    subscribe(sql, {});
  });
});
