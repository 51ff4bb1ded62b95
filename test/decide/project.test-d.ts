import { describe, expectTypeOf, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  type Evolve,
  type Evolvers,
  type Message,
  type MessageOf,
  project,
  projectCategory,
  type Projected,
  type ProjectedCategory,
  type Projection,
  type Sql,
  type UnknownMessage,
} from "../../mod.ts";

const sql = {} as Sql;
const account = defineMessages({
  Deposited: z.object({ amount: z.number() }),
  Closed: z.object({
    at: z.codec(z.string(), z.date(), { decode: () => new Date(), encode: String }),
  }),
});
const passing = defineMessages({ Deposited: z.object({ amount: z.number() }) }, {
  unknown: "pass",
});

describe("project()", () => {
  test("answers the state that init makes", () => {
    expectTypeOf(project(sql, "account-1", { init: () => 0, evolve: (sum) => sum + 1 }))
      .resolves.toEqualTypeOf<Projected<number>>();
    expectTypeOf(
      project(sql, "account-1", {
        init: () => ({ names: [] as string[] }),
        handlers: {
          Named: ({ names }, { data }: Message<{ name: string }>) => ({
            names: [...names, data.name],
          }),
        },
      }),
    ).resolves.toEqualTypeOf<Projected<{ names: string[] }>>();
    expectTypeOf(
      project(sql, "account-1", {
        init: (): { balance?: number } => ({}),
        evolve: (state) => ({ balance: (state.balance ?? 0) + 1 }),
      }),
    ).resolves.toEqualTypeOf<Projected<{ balance?: number }>>();
  });

  test("gives messages of data that nobody knows, unless evolve says what they are", () => {
    project(sql, "account-1", {
      init: () => 0,
      evolve: (sum, message) => {
        expectTypeOf(sum).toEqualTypeOf<number>();
        expectTypeOf(message).toEqualTypeOf<Message>();
        return sum;
      },
    });
    project(sql, "account-1", {
      init: () => 0,
      evolve: (sum, { data }: Message<{ amount: number }>) => sum + data.amount,
    });
    project(sql, "account-1", {
      init: () => 0,
      handlers: {
        Any: (sum, message) => {
          expectTypeOf(message.data).toEqualTypeOf<unknown>();
          return sum;
        },
      },
    });
  });

  test("is typed by the catalogue: a union for evolve, one of it for each handler", () => {
    project(sql, "account-1", {
      messages: account,
      init: () => 0,
      evolve: (sum, message) => {
        expectTypeOf(message).toEqualTypeOf<MessageOf<typeof account>>();
        return message.type === "Deposited" ? sum + message.data.amount : message.data.at.getTime();
      },
    });
    project(sql, "account-1", {
      messages: account,
      init: () => 0,
      handlers: {
        Deposited: (sum, message) => {
          expectTypeOf(sum).toEqualTypeOf<number>();
          expectTypeOf(message).toEqualTypeOf<MessageOf<typeof account, "Deposited">>();
          return sum + message.data.amount;
        },
        Closed: (_, { data, type }) => {
          expectTypeOf(type).toEqualTypeOf<"Closed">();
          return data.at.getTime();
        },
      },
    });
  });

  test("gives what the catalogue passes to evolve, and has no handler for it", () => {
    project(sql, "account-1", {
      messages: passing,
      init: () => "",
      evolve: (state, message) => {
        if (message.type === "$unknown") {
          expectTypeOf(message).toEqualTypeOf<UnknownMessage>();
          return message.storedType;
        }
        return state + message.data.amount;
      },
    });
    project(sql, "account-1", {
      messages: passing,
      init: () => "",
      // @ts-expect-error: a message of an unknown type is passed over
      handlers: { $unknown: (state) => state },
    });
  });

  test("refuses at compile time what it would at run time, or what is a slip", () => {
    // @ts-expect-error: there is no first state
    project(sql, "account-1", { evolve: (sum: number) => sum });
    // @ts-expect-error: a state is returned
    project(sql, "account-1", { init: () => 0, evolve: () => {} });
    // @ts-expect-error: not a promise of one
    project(sql, "account-1", { init: () => 0, evolve: (sum) => Promise.resolve(sum) });
    // @ts-expect-error: a state of the type that init makes
    project(sql, "account-1", { init: () => 0, evolve: (sum) => String(sum) });
    // @ts-expect-error: as a handler does
    project(sql, "account-1", { init: () => 0, handlers: { One: () => "text" } });
    project(sql, "account-1", {
      messages: account,
      init: () => 0,
      // @ts-expect-error: there is no such type
      handlers: { Deposit: (sum) => sum },
    });
    project(sql, "account-1", {
      messages: account,
      init: () => 0,
      handlers: {
        // @ts-expect-error: the data is not that
        Deposited: (sum, { data }: Message<{ total: number }>) => sum + data.total,
      },
    });
    // @ts-expect-error: it is skipped or refused
    project(sql, "account-1", { init: () => 0, handlers: {}, unknown: "pass" });
    // @ts-expect-error: a position is a number
    project(sql, "account-1", { init: () => 0, handlers: {}, from: "0" });
    // @ts-expect-error: a stream has no correlation
    project(sql, "account-1", { init: () => 0, handlers: {}, correlation: "cause" });
  });

  test("takes a projection that is written down apart from the call", () => {
    const balance: Projection<number, MessageOf<typeof account>> = {
      messages: account,
      init: () => 0,
      handlers: { Deposited: (sum, { data }) => sum + data.amount },
    };
    expectTypeOf(project(sql, "account-1", { ...balance, until: 3 }))
      .resolves.toEqualTypeOf<Projected<number>>();
    const evolve: Evolve<number, Message<number>> = (sum, { data }) => sum + data;
    const handlers: Evolvers<number> = { Counted: evolve };
    expectTypeOf(project(sql, "account-1", { init: () => 0, handlers }))
      .resolves.toEqualTypeOf<Projected<number>>();
  });
});

describe("projectCategory()", () => {
  test("answers a state and a global position, and is typed by the catalogue", () => {
    expectTypeOf(
      projectCategory(sql, "account", {
        messages: account,
        init: () => new Map<string, number>(),
        handlers: {
          Deposited: (balances, { streamName, data }) => balances.set(streamName, data.amount),
        },
        correlation: "transfer",
        consumerGroup: { member: 0, size: 2 },
      }),
    ).resolves.toEqualTypeOf<ProjectedCategory<Map<string, number>>>();
    // @ts-expect-error: a group has a size
    projectCategory(sql, "account", { init: () => 0, handlers: {}, consumerGroup: { member: 0 } });
  });
});
