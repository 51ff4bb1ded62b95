import { LRUCache } from "lru-cache";
import { describe, expectTypeOf, test } from "vitest";
import * as z from "zod";
import {
  decide,
  type Decided,
  type DecidedTogether,
  type Decision,
  defineMessages,
  type Entity,
  entity,
  type EntityCache,
  type Fetched,
  type Message,
  type MessageInput,
  type MessageInputOf,
  type MessageOf,
  type Sql,
} from "../../mod.ts";

const sql = {} as Sql;
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

describe("an entity", () => {
  test("has the state that init makes, and takes messages of its catalogue", () => {
    expectTypeOf(account).toEqualTypeOf<
      Entity<{ balance: number }, MessageInputOf<typeof messages>>
    >();
    expectTypeOf(counter).toEqualTypeOf<Entity<number, MessageInput>>();
    expectTypeOf(account.fetch(sql, "1")).resolves.toEqualTypeOf<Fetched<{ balance: number }>>();
    expectTypeOf(account.decide(sql, "1", () => null)).resolves.toEqualTypeOf<
      Decided<{ balance: number }>
    >();
    expectTypeOf(account.fold([])).resolves.toEqualTypeOf<{ balance: number }>();
  });

  test("gives evolve and handlers messages as the catalogue parses them", () => {
    entity({
      category: "account",
      messages,
      init: () => 0,
      evolve: (sum, message) => {
        expectTypeOf(message).toEqualTypeOf<MessageOf<typeof messages>>();
        return message.type === "Deposited" ? sum + message.data.amount : sum;
      },
    });
    entity({
      category: "account",
      init: () => 0,
      evolve: (sum, { data }: Message<{ amount: number }>) => sum + data.amount,
    });
    entity({
      category: "account",
      messages,
      init: () => 0,
      // @ts-expect-error: there is no such type
      handlers: { Withdrawn: (sum) => sum },
    });
    // @ts-expect-error: an entity has a category
    entity({ init: () => 0, evolve: (sum: number) => sum });
    // @ts-expect-error: evolve returns the state
    entity({ category: "account", init: () => 0, evolve: () => "text" });
  });

  test("has snapshots whose schema makes the state", () => {
    const dated = {
      category: "account",
      init: () => ({ at: new Date(0) }),
      evolve: (_: { at: Date }, { time }: Message) => ({ at: time }),
    };
    const at = z.codec(z.string(), z.date(), { decode: (it) => new Date(it), encode: String });
    const it = entity({ ...dated, snapshot: { every: 1, schema: z.object({ at }) } });
    expectTypeOf(it.fetch(sql, "1")).resolves.toEqualTypeOf<Fetched<{ at: Date }>>();
    entity({ ...dated, snapshot: { every: 1, version: "b" } });
    // @ts-expect-error: it makes another state
    entity({ ...dated, snapshot: { every: 1, schema: z.object({ at: z.string() }) } });
    // @ts-expect-error: every how many messages?
    entity({ ...dated, snapshot: { version: 1 } });
  });

  test("takes a cache of lru-cache, a Map, or what has their get and set", () => {
    const definition = { category: "account", init: () => 0, evolve: (sum: number) => sum };
    const own: EntityCache = { get: () => undefined, set: () => {} };
    entity({ ...definition, cache: own });
    entity({ ...definition, cache: new Map() });
    entity({ ...definition, cache: new Map<string, object>() });
    entity({ ...definition, cache: new LRUCache({ max: 10 }) });
    entity({ ...definition, cache: new LRUCache<string, object>({ max: 10, ttl: 1000 }) });
    // @ts-expect-error: a Set has no get
    entity({ ...definition, cache: new Set() });
    // @ts-expect-error: what it keeps are objects
    entity({ ...definition, cache: new Map<string, string>() });
  });
});

describe("a decision", () => {
  test("has the state and version, and answers a message, several, none, or a promise", () => {
    account.decide(sql, "1", (state, version) => {
      expectTypeOf(state).toEqualTypeOf<{ balance: number }>();
      expectTypeOf(version).toEqualTypeOf<number>();
    });
    account.decide(sql, "1", () => messages.Deposited({ amount: 1 }));
    account.decide(sql, "1", () => [
      messages.Deposited({ amount: 1 }),
      { type: "Closed", data: { reason: "moved" } },
    ]);
    account.decide(sql, "1", () => ({
      type: "Deposited",
      data: { amount: 1 },
      id: crypto.randomUUID(),
      metadata: { replyStreamName: "reply-1" },
    }));
    account.decide(sql, "1", async ({ balance }) => {
      await Promise.resolve();
      return balance > 5 ? messages.Closed({ reason: "rich" }) : null;
    });
    account.decide(sql, "1", ({ balance }) => {
      if (balance > 5) return;
      return [messages.Deposited({ amount: 1 })];
    }, { retries: 3 });
    counter.decide(sql, "1", () => ({ type: "Anything", data: [1] }));
    expectTypeOf<Decision<MessageInput>>().toExtend<unknown>();
  });

  test("is refused where it is of no message of the catalogue", () => {
    // @ts-expect-error: there is no such type
    account.decide(sql, "1", () => ({ type: "Withdrawn", data: { amount: 1 } }));
    // @ts-expect-error: the data does not fit
    account.decide(sql, "1", () => ({ type: "Deposited", data: { amount: "1" } }));
    // @ts-expect-error: one of them is not
    account.decide(sql, "1", () => [messages.Deposited({ amount: 1 }), { type: "Withdrawn" }]);
    // @ts-expect-error: as a promise, neither
    account.decide(sql, "1", () => Promise.resolve({ type: "Withdrawn", data: {} }));
    // @ts-expect-error: a decision is no text
    counter.decide(sql, "1", () => "text");
    // @ts-expect-error: a message has a type
    counter.decide(sql, "1", () => ({ data: 1 }));
  });
});

describe("decide() over several", () => {
  const pair = { from: [account, "1"], count: [counter, "2"] } as const;

  test("has their states and versions by name, and answers theirs", () => {
    const decided = decide(sql, pair, (states, versions) => {
      expectTypeOf(states.from).toEqualTypeOf<{ balance: number }>();
      expectTypeOf(states.count).toEqualTypeOf<number>();
      expectTypeOf(versions.count).toEqualTypeOf<number>();
      // @ts-expect-error: nobody has this name
      states.to;
      return { from: messages.Deposited({ amount: 1 }), count: [{ type: "Counted" }] };
    });
    expectTypeOf(decided).resolves.toEqualTypeOf<DecidedTogether<typeof pair>>();
    expectTypeOf(decided).resolves.toExtend<
      { states: { from: { balance: number }; count: number }; versions: { from: number } }
    >();
    // In place, too: no "as const" is needed.
    decide(sql, { one: [account, "1"], two: [account, "2"] }, async ({ one, two }) => {
      await Promise.resolve(one.balance + two.balance);
      return { one: null, two: messages.Closed({ reason: "moved" }) };
    });
    decide(sql, pair, () => ({}));
  });

  test("is refused where a decision is of no message of that one's catalogue", () => {
    // @ts-expect-error: there is no such type
    decide(sql, pair, () => ({ from: { type: "Counted" } }));
    // @ts-expect-error: the data does not fit
    decide(sql, pair, () => ({ from: { type: "Deposited", data: { amount: "1" } } }));
    // @ts-expect-error: nobody has this name
    decide(sql, pair, () => ({ to: messages.Deposited({ amount: 1 }) }));
    // @ts-expect-error: a participant is an entity and an id
    decide(sql, { from: account }, () => ({}));
    // @ts-expect-error: an id is text
    decide(sql, { from: [account, 1] }, () => ({}));
  });
});
