import assert from "node:assert/strict";
import fc from "fast-check";
import { LRUCache } from "lru-cache";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import {
  append,
  type Consumer,
  decide,
  defineMessages,
  entity,
  type Message,
  type MessageInput,
  type MessageOf,
  NO_STREAM,
  readCategory,
  readLastMessage,
  readMessages,
  readStream,
  type Sql,
  STREAM_EXISTS,
  streamVersion,
  write,
  writeBatch,
  writeStreams,
} from "@messagedb/client";
import { given } from "@messagedb/client/testing";
import { memoryStore } from "../../src/testing/_memory_store.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

const cents = z.codec(z.string().regex(/^\d+$/), z.bigint(), { decode: BigInt, encode: String });
const messages = defineMessages({
  Opened: z.object({ owner: z.string(), currency: z.string().default("EUR") }),
  Deposited: {
    schema: z.object({ amount: cents }),
    upcasts: [({ euros }: { euros: number }) => ({ amount: String(euros * 100) })],
  },
  Withdrawn: z.object({ amount: cents }),
});
const { Opened, Deposited, Withdrawn } = messages;
const account = entity({
  category: "account",
  messages,
  init: () => ({ owner: "", balance: 0n }),
  handlers: {
    Opened: (state, { data }) => ({ ...state, owner: `${data.owner} (${data.currency})` }),
    Deposited: (state, { data }) => ({ ...state, balance: state.balance + data.amount }),
    Withdrawn: (state, { data }) => {
      if (state.balance < data.amount) throw new RangeError("below zero");
      return { ...state, balance: state.balance - data.amount };
    },
  },
  snapshot: { every: 1, schema: z.object({ owner: z.string(), balance: cents }) },
  cache: new LRUCache<string, object>({ max: 10 }),
});
type Account = Awaited<ReturnType<typeof account.fold>>;

function withdraw({ balance }: Account, amount: bigint) {
  if (balance < amount) throw new Error("There is not enough");
  return Withdrawn({ amount });
}

describe("given(entity, messages).when(decision)", () => {
  test("answers what was decided, and the state after it", async () => {
    const rich = given(account, [Opened({ owner: "Ada" }), Deposited({ amount: 11n })]);
    const outcome = await rich.when((state, version) => {
      assert.equal(version, 1);
      return withdraw(state, 5n);
    });
    expect(outcome).toEqual({
      messages: [Withdrawn({ amount: 5n })],
      state: { owner: "Ada (EUR)", balance: 6n },
    });
    // The outcome of one decision is not there for the next.
    assert.deepEqual(await rich.when(() => null), {
      messages: [],
      state: { owner: "Ada (EUR)", balance: 11n },
    });
    const several = await given(account).when(() => [
      Deposited({ amount: 1n }),
      Opened({ owner: "" }),
    ]);
    assert.deepEqual(several.messages.map(({ type }) => type), ["Deposited", "Opened"]);
  });

  test("rejects with what the decision throws", async () => {
    await assert.rejects(given(account).when((state) => withdraw(state, 5n)), /not enough/);
  });

  test("takes messages as they are stored, and lifts old ones", async () => {
    const { state } = await given(account, [
      { type: "Deposited", data: { euros: 2 } },
      { type: "Deposited", data: { amount: "7" }, metadata: { schemaVersion: "2" } },
    ]).when(() => null);
    assert.equal(state.balance, 207n);
  });

  test("refuses what decide() would refuse", async () => {
    const little = given(account, [Deposited({ amount: 1n })]);
    await assert.rejects(
      little.when(() => Withdrawn({ amount: 2n })),
      /write message "Withdrawn" .* cannot be folded: RangeError: below/,
    );
    const wrong = { type: "Withdrawn", data: { amount: "x" } } as never;
    await assert.rejects(given(account).when(() => wrong), { code: "INVALID_MESSAGE" });
    await assert.rejects(given(account, [wrong]).when(() => null), { code: "INVALID_MESSAGE" });
    await assert.rejects(given(account, [{} as never]).when(() => null), TypeError);
    await assert.rejects(given(account).when(7 as never), /as "decision": it must be a function/);
  });
});

describe("given(entities).when(decision)", () => {
  const pay = ({ from }: { from: Account }) => ({
    from: withdraw(from, 5n),
    to: [Deposited({ amount: 5n })],
  });

  test("answers what was decided for each of them, and their states", async () => {
    const outcome = await given({
      from: [account, [Deposited({ amount: 11n })]],
      to: [account, [Deposited({ amount: 1n })]],
      idle: [account, []],
    }).when(pay);
    expect(outcome).toEqual({
      messages: { from: [Withdrawn({ amount: 5n })], to: [Deposited({ amount: 5n })], idle: [] },
      states: {
        from: { owner: "", balance: 6n },
        to: { owner: "", balance: 6n },
        idle: { owner: "", balance: 0n },
      },
    });
    const poor = given({ from: [account, []], to: [account, []] }).when(pay);
    await assert.rejects(poor, /not enough/);
  });

  test("takes a list, too", async () => {
    const list = given([[account, [Deposited({ amount: 3n })]], [account, []]]);
    const { messages: decided, states } = await list.when(([one], [, other]) => {
      assert.deepEqual([one.balance, other], [3n, NO_STREAM]);
      return [null, Deposited({ amount: one.balance })];
    });
    assert.deepEqual(decided.map((it) => it.length), [0, 1]);
    assert.deepEqual(states.map(({ balance }) => balance), [3n, 3n]);
  });

  test("refuses what is no entity with its messages", async () => {
    await assert.rejects(given({ from: [account, "1"] } as never).when((() => {}) as never), {
      message: /as "from": it must be an entity and its messages/,
    });
  });
});

describe("given(projection, messages).state()", () => {
  const balances = {
    init: () => new Map<string, bigint>(),
    messages,
    handlers: {
      Deposited: (all: Map<string, bigint>, { streamName, data }: Message<{ amount: bigint }>) =>
        all.set(streamName, (all.get(streamName) ?? 0n) + data.amount),
    },
  };

  test("folds the messages of a stream, or of several", async () => {
    const deposited = Deposited({ amount: 2n });
    const one = await given(balances, [deposited, deposited]).state();
    assert.deepEqual([...one.values()], [4n]);
    const several = await given(balances, {
      "account-1": [Opened({ owner: "Ada" }), deposited],
      "account-2": deposited,
    }).state();
    assert.deepEqual([...several], [["account-1", 2n], ["account-2", 2n]]);
  });
});

describe("given(consumer, streams).when(streams)", () => {
  const requests = defineMessages({
    Requested: z.object({ from: z.string(), amount: cents }),
    Ignored: z.object({}),
  });
  const withdrawals: Consumer<Sql, MessageOf<typeof requests>> = {
    category: "transfer",
    consumerId: "withdrawals",
    messages: requests,
    handlers: {
      async Requested({ id, data }, { sql, follow }) {
        const { from, amount } = data;
        await account.decide(sql, from, (state) => follow(withdraw(state, amount)), {
          commandId: id,
        });
        await write(sql, `log-${from}`, { type: "Logged" });
      },
    },
    onError: { retry: 3, then: "park" },
  };
  const requested = requests.Requested({ from: "1", amount: 5n });

  test("answers what the handlers wrote", async () => {
    const history = { "account-1": [Opened({ owner: "Ada" }), Deposited({ amount: 7n })] };
    const { messages: written, verdicts } = await given(withdrawals, history).when({
      "transfer-7": [requested, requests.Ignored()],
    });
    assert.deepEqual(verdicts, [null, null]);
    expect(written).toMatchObject([
      {
        streamName: "account-1",
        position: 2,
        type: "Withdrawn",
        data: { amount: "5" },
        metadata: { causationMessageStreamName: "transfer-7", causationMessagePosition: 0 },
      },
      { streamName: "log-1", position: 0, type: "Logged", data: null, metadata: null },
    ]);
    assert.deepEqual((await messages.parse(written[0])).data, { amount: 5n });
  });

  test("rejects with what a handler throws, in its first attempt", async () => {
    await assert.rejects(given(withdrawals).when({ "transfer-7": requested }), /not enough/);
  });

  test("answers the verdicts, and passes over what the consumer does not read", async () => {
    const seen: string[] = [];
    const careful = {
      category: "transfer",
      consumerId: "careful",
      correlation: "order",
      transactional: true,
      handle(message: Message) {
        seen.push(message.type);
        return message.type === "Bad" ? "park" as const : null;
      },
    };
    const correlated = { correlationStreamName: "order-1" };
    const { verdicts } = await given(careful).when({
      "transfer-1": [
        { type: "Good", metadata: correlated },
        { type: "Bad", metadata: correlated },
        { type: "Other", metadata: { correlationStreamName: "cart-1" } },
        { type: "None" },
      ],
    });
    assert.deepEqual(verdicts, [null, "park", null, null]);
    assert.deepEqual(seen, ["Good", "Bad"]);
    await assert.rejects(given(careful).when({ "account-1": { type: "Good" } }), {
      message: /"account-1" as "streams": it must be streams of the category "transfer", which it/,
    });
  });

  test("hands a page to handlePage", async () => {
    const pages: number[] = [];
    const paged = {
      category: "transfer",
      consumerId: "paged",
      messages: requests,
      types: ["Requested"],
      handlePage(page: readonly Message[]) {
        pages.push(page.length);
        return "skip" as const;
      },
    };
    const { verdicts } = await given(paged).when({
      "transfer-1": [requested, requests.Ignored(), requested],
    });
    assert.deepEqual(pages, [2]);
    assert.deepEqual(verdicts, ["skip", null, "skip"]);
  });

  test("refuses a statement that only a database can answer, and says what to do", async () => {
    const handle = async (_: Message, { sql }: { sql: Sql }) => {
      await sql`insert into balances values (1)`;
    };
    await assert.rejects(
      given({ category: "a", consumerId: "x", handle }).when({ "a-1": { type: "T" } }),
      /Cannot do this without a database: .* testStore\(\)/,
    );
  });
});

describe("what a test without a database does", () => {
  /** Operations on a few streams. */
  const step = fc.record({
    operation: fc.constantFrom(
      "write",
      "batch",
      "append",
      "streams",
      "read",
      "back",
      "category",
      "last",
      "version",
      "ids",
      "decide",
      "command",
    ),
    id: fc.nat(2),
    ids: fc.array(fc.nat(5), { minLength: 1, maxLength: 3 }),
    expectedVersion: fc.constantFrom(undefined, STREAM_EXISTS, -1, 0, 1, 2),
    position: fc.nat(3),
    size: fc.integer({ min: 1, max: 3 }),
  });
  type Step = typeof step extends fc.Arbitrary<infer It> ? It : never;

  test("is what the database does", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const run = crypto.randomUUID().replaceAll("-", "");
        const uuids = Array.from({ length: 6 }, () => crypto.randomUUID());
        const store = memoryStore();
        for (const it of steps) {
          const [inMemory, inDatabase] = await Promise.all(
            [store.sql, db.sql].map((sql) =>
              perform(sql, it, uuids, run).catch(({ name, message }) => ({ name, message }))
            ),
          );
          assert.deepEqual(inMemory, inDatabase);
        }
      }),
      { numRuns: 40 },
    );
  });

  async function perform(
    sql: Sql,
    { operation, id, ids, expectedVersion, position, size }: Step,
    uuids: readonly string[],
    run: string,
  ): Promise<unknown> {
    const name = `${run}${id % 2}-${id}`;
    const batch = ids.map((at): MessageInput => {
      return { type: `T${at % 2}`, data: { at }, ...(at > 2 && { id: uuids[at] }) };
    });
    switch (operation) {
      case "write":
        return await write(sql, name, batch[0]!, { expectedVersion });
      case "batch":
        return await writeBatch(sql, name, batch, { expectedVersion });
      case "append":
        return (await append(sql, name, batch, { expectedVersion })).position;
      case "streams":
        return await writeStreams(sql, [
          { streamName: `${run}1-other`, messages: batch },
          { streamName: name, messages: [], expectedVersion: 0 },
        ]);
      case "read":
        return (await readStream(sql, name, { position, batchSize: size })).map(lasting);
      case "back":
        return (await readStream(sql, name, { direction: "backward", batchSize: size })).map(
          lasting,
        );
      case "category":
        return (await readCategory(sql, `${run}0`, { batchSize: size })).map(lasting);
      case "last":
        return lasting(await readLastMessage(sql, name, { type: "T1" }));
      case "version":
        return await streamVersion(sql, name);
      case "ids":
        return (await readMessages(sql, uuids.slice(size))).map(lasting);
      default: {
        const summing = entity({
          category: `${run}0`,
          init: () => 0,
          evolve: (sum, { data }: Message<{ at: number }>) => sum + data.at,
        });
        const decision = () => ({ one: batch.map(({ type, data }) => ({ type, data })) });
        const command = operation === "command" ? { commandId: `${name} ${size}` } : {};
        const pair = { one: [summing, String(id)], two: [summing, "two"] } as const;
        const { versions, states } = await decide(sql, pair, decision, command);
        return { versions, states };
      }
    }
  }

  /** What is the same in two stores that were written to alike. */
  function lasting(message: Message | null) {
    if (message === null) return null;
    const { streamName, type, position, data, metadata } = message;
    return { streamName, type, position, data, metadata };
  }
});
