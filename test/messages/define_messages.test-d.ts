import { type } from "arktype";
import type postgres from "postgres";
import * as v from "valibot";
import { describe, expectTypeOf, test } from "vitest";
import * as z from "zod";
import {
  type Aggregated,
  append,
  type CodedMessage,
  consume,
  correlate,
  defineMessages,
  drain,
  follow,
  groupCommit,
  iterateAll,
  iterateCategory,
  iterateMatching,
  iterateStream,
  type Message,
  type MessageInputOf,
  type MessageOf,
  type Metadata,
  read,
  readAggregate,
  readAll,
  readCategory,
  readLastMessage,
  readMatching,
  readMessage,
  readMessages,
  readStream,
  replayParked,
  type Sql,
  subscribe,
  synchronize,
  type TypedMessage,
  type TypedMessageInput,
  type UnknownMessage,
  write,
  writeBatch,
  writeStreams,
} from "../../mod.ts";

const sql = {} as Sql;
const iso = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});

const account = defineMessages({
  Deposited: z.object({ amount: z.number(), at: iso, by: z.string().default("Ada") }),
  Renamed: v.object({ name: v.string(), born: v.pipe(v.string(), v.transform(BigInt2)) }),
  Closed: type({ reason: "string", at: "string.date.iso.parse" }),
});
function BigInt2(text: string): bigint {
  return BigInt(text);
}
const other = defineMessages({ Sent: z.object({ to: z.string() }) });
const passing = defineMessages({ Sent: z.object({ to: z.string() }) }, { unknown: "pass" });
const skipping = defineMessages({ Sent: z.object({ to: z.string() }) }, { unknown: "skip" });

interface Deposited {
  amount: number;
  at: Date;
  by: string;
}
interface Renamed {
  name: string;
  born: bigint;
}
interface Closed {
  reason: string;
  at: Date;
}
type Account = MessageOf<typeof account>;

describe("a constructor", () => {
  test("takes what its schema takes, by zod, valibot and arktype", () => {
    const at = new Date();
    account.Deposited({ amount: 1, at: "2026-02-03T04:05:06Z" });
    account.Deposited({ amount: 1, at: "2026-02-03T04:05:06Z", by: "Bob" });
    account.Renamed({ name: "a", born: "5" });
    account.Closed({ reason: "a", at: "2026-02-03" });
    // What zod makes of it, too: it knows the way back.
    account.Deposited({ amount: 1, at, by: "Bob" });

    // @ts-expect-error: it has data
    account.Deposited();
    // @ts-expect-error: the amount is a number
    account.Deposited({ amount: "1", at });
    // @ts-expect-error: the amount is missing
    account.Deposited({ at, by: "Bob" });
    // @ts-expect-error: valibot has no way back
    account.Renamed({ name: "a", born: 5n });
    // @ts-expect-error: nor has arktype
    account.Closed({ reason: "a", at });
    // @ts-expect-error: there is no such type
    account.Opened;
    // @ts-expect-error: the id is a text
    account.Deposited({ amount: 1, at: "" }, { id: 5 });
    // @ts-expect-error: there is no such option
    account.Deposited({ amount: 1, at: "" }, { expectedVersion: 5 });
  });

  test("takes what an encode takes, too, of any library", () => {
    const encoding = defineMessages({
      Closed: {
        schema: type({ at: "string.date.iso.parse" }),
        encode: ({ at }: { at: Date }) => ({ at: at.toISOString() }),
      },
      Renamed: {
        schema: v.object({ born: v.pipe(v.string(), v.transform(BigInt2)) }),
        encode: (data: { born: bigint }) => ({ born: String(data.born) }),
        aliases: ["Called"],
      },
    });
    encoding.Closed({ at: new Date() });
    encoding.Closed({ at: "2026-02-03" });
    encoding.Renamed({ born: 5n });
    encoding.Renamed({ born: "5" });
    // @ts-expect-error: it is neither
    encoding.Renamed({ born: 5 });
    // @ts-expect-error: an alias is only read
    encoding.Called;
    expectTypeOf<MessageOf<typeof encoding, "Renamed">["data"]>()
      .toEqualTypeOf<{ born: bigint }>();
  });

  test("can be called without data where nothing is required", () => {
    const made = defineMessages({
      Opened: z.object({}),
      Set: z.object({ n: z.number().default(3), text: z.string().optional() }),
      Begun: v.object({ n: v.optional(v.number(), 3) }),
      Ended: type({ "n?": "number" }),
    });
    made.Opened();
    made.Set();
    made.Set({ n: 5 }, { id: crypto.randomUUID() });
    made.Begun();
    made.Ended();
  });

  test("makes a message of its type", () => {
    const message = other.Sent({ to: "Bob" }, { metadata: { by: "Ada" } });
    expectTypeOf(message).toExtend<TypedMessageInput<"Sent", { to: string }>>();
    expectTypeOf(message.type).toEqualTypeOf<"Sent">();
    expectTypeOf(message.data).toEqualTypeOf<{ to: string }>();
    type Sent = typeof message & { readonly metadata: Metadata };
    expectTypeOf(follow({} as Message, message)).toEqualTypeOf<Sent>();
    expectTypeOf(correlate(message, "transfer-1")).toEqualTypeOf<Sent>();
  });
});

describe("MessageOf and MessageInputOf", () => {
  test("are the union of all messages, or the one of a type", () => {
    expectTypeOf<Account>().toEqualTypeOf<
      | TypedMessage<"Deposited", Deposited>
      | TypedMessage<"Renamed", Renamed>
      | TypedMessage<"Closed", Closed>
    >();
    expectTypeOf<MessageOf<typeof account, "Deposited">>()
      .toEqualTypeOf<TypedMessage<"Deposited", Deposited>>();
    expectTypeOf<MessageOf<typeof account, "Opened">>().toEqualTypeOf<never>();
    expectTypeOf<MessageInputOf<typeof other>["data"]>().toEqualTypeOf<{ to: string }>();
    expectTypeOf<TypedMessageInput<"Sent", { to: string }>>()
      .toExtend<MessageInputOf<typeof other>>();
    expectTypeOf<MessageInputOf<typeof account, "Closed">>()
      .toEqualTypeOf<TypedMessageInput<"Closed", { reason: string; at: string }>>();
    expectTypeOf<MessageInputOf<typeof account>["type"]>()
      .toEqualTypeOf<"Deposited" | "Renamed" | "Closed">();
  });

  test("have what is not defined only where it is passed", () => {
    expectTypeOf<MessageOf<typeof passing>>()
      .toEqualTypeOf<TypedMessage<"Sent", { to: string }> | UnknownMessage>();
    expectTypeOf<MessageOf<typeof passing, "$unknown">>().toEqualTypeOf<UnknownMessage>();
    expectTypeOf<MessageOf<typeof skipping>>()
      .toEqualTypeOf<TypedMessage<"Sent", { to: string }>>();
    expectTypeOf<MessageInputOf<typeof passing>["type"]>().toEqualTypeOf<"Sent">();
  });
});

describe("a union that was read", () => {
  test("is told apart by its type, and a switch over all of them is exhaustive", () => {
    const told = (message: Account): string => {
      switch (message.type) {
        case "Deposited":
          expectTypeOf(message.data).toEqualTypeOf<Deposited>();
          return message.data.at.toISOString();
        case "Renamed":
          expectTypeOf(message.data).toEqualTypeOf<Renamed>();
          return message.data.name;
        case "Closed":
          expectTypeOf(message.data).toEqualTypeOf<Closed>();
          return message.data.reason;
      }
    };
    const forgetting = (message: Account): string => {
      switch (message.type) {
        case "Deposited":
          return "";
        case "Closed":
          return "";
        default:
          // @ts-expect-error: one is forgotten
          message satisfies never;
          return "";
      }
    };
    const misspelt = (message: Account) => {
      // @ts-expect-error: there is no such type
      return message.type === "Deposit";
    };
    void [told, forgetting, misspelt];
  });

  test("has $unknown with what it is stored with, where that is passed", () => {
    const told = (message: MessageOf<typeof passing>): string => {
      switch (message.type) {
        case "Sent":
          return message.data.to;
        case "$unknown":
          expectTypeOf(message.data).toEqualTypeOf<unknown>();
          expectTypeOf(message.storedType).toEqualTypeOf<string>();
          return message.storedType;
      }
    };
    void told;
  });
});

describe("every read with a catalogue", () => {
  const messages = account;

  test("gives its union", () => {
    expectTypeOf(read(sql, "account", { messages })).resolves.toEqualTypeOf<Account[]>();
    expectTypeOf(readStream(sql, "account-1", { messages, direction: "backward" }))
      .resolves.toEqualTypeOf<Account[]>();
    expectTypeOf(readCategory(sql, "account", { messages, correlation: "transfer" }))
      .resolves.toEqualTypeOf<Account[]>();
    expectTypeOf(readAll(sql, { messages })).resolves.toEqualTypeOf<Account[]>();
    expectTypeOf(readMatching(sql, "a%", { messages })).resolves.toEqualTypeOf<Account[]>();
    expectTypeOf(readMessages(sql, [], { messages })).resolves.toEqualTypeOf<Account[]>();
    expectTypeOf(readMessage(sql, "", { messages })).resolves.toEqualTypeOf<Account | null>();
    expectTypeOf(readLastMessage(sql, "account-1", { messages, type: "Closed" }))
      .resolves.toEqualTypeOf<Account | null>();
    expectTypeOf(readAggregate(sql, "ledger", { messages, partition: 0 }))
      .resolves.toEqualTypeOf<Aggregated<Account>[]>();

    type Iterated = AsyncGenerator<Account, void, undefined>;
    expectTypeOf(iterateStream(sql, "account-1", { messages, limit: 5 }))
      .toEqualTypeOf<Iterated>();
    expectTypeOf(iterateCategory(sql, "account", { messages })).toEqualTypeOf<Iterated>();
    expectTypeOf(iterateAll(sql, { messages })).toEqualTypeOf<Iterated>();
    expectTypeOf(iterateMatching(sql, "a%", { messages })).toEqualTypeOf<Iterated>();
    expectTypeOf(subscribe(sql, "account", { messages, startAt: "end" }))
      .toEqualTypeOf<Iterated>();
    expectTypeOf(subscribe(sql, { aggregate: "ledger" }, { messages }))
      .toEqualTypeOf<AsyncGenerator<Aggregated<Account>, void, undefined>>();
  });

  test("narrows what an aggregate refers to, with the place of the reference", async () => {
    for (const message of await readAggregate(sql, "ledger", { messages })) {
      expectTypeOf(message.reference.position).toEqualTypeOf<number>();
      if (message.type === "Closed") expectTypeOf(message.data).toEqualTypeOf<Closed>();
    }
  });

  test("takes no other object for one, and gives unknown data without", () => {
    // @ts-expect-error: this is none
    readStream(sql, "account-1", { messages: {} });
    // @ts-expect-error: nor is a schema
    readStream(sql, "account-1", { messages: z.object({}) });
    expectTypeOf(readStream(sql, "account-1")).resolves.toEqualTypeOf<Message<unknown>[]>();
    expectTypeOf(readStream<{ n: number }>(sql, "account-1"))
      .resolves.toEqualTypeOf<Message<{ n: number }>[]>();
  });
});

describe("every write with a catalogue", () => {
  const messages = account;
  const closed = account.Closed({ reason: "", at: "" });
  const sent = other.Sent({ to: "" });
  const plain = { type: "Closed", data: { reason: "", at: "" } } as const;
  const id = crypto.randomUUID();

  test("takes its messages, made or plain", () => {
    write(sql, "account-1", closed, { messages, expectedVersion: 5 });
    write(sql, "account-1", plain, { messages });
    write(sql, "account-1", { type: "Deposited", data: { amount: 1, at: "" } }, { messages });
    write(sql, "account-1", { type: "Closed", data: { reason: "", at: "" }, id }, { messages });
    writeBatch(sql, "account-1", [closed, plain], { messages });
    append(sql, "account-1", closed, { messages });
    append(sql, "account-1", [closed, plain], { messages });
    writeStreams(sql, [{ streamName: "account-1", messages: [closed, plain] }], { messages });
    synchronize(sql, "account-1", [{ ...plain, id }], { messages });
    write(sql, "account-1", follow({} as Message, closed), { messages });
    expectTypeOf(groupCommit(sql)("account-1", closed, { messages })).toEqualTypeOf<
      Promise<number>
    >();
  });

  test("takes no other", () => {
    // @ts-expect-error: it is of another catalogue
    write(sql, "account-1", sent, { messages });
    // @ts-expect-error: it is of no catalogue
    write(sql, "account-1", { type: "Opened", data: {} }, { messages });
    // @ts-expect-error: its data are of another type
    write(sql, "account-1", { type: "Closed", data: { amount: 1, at: "" } }, { messages });
    // @ts-expect-error: it has no data
    write(sql, "account-1", { type: "Closed" }, { messages });
    // @ts-expect-error: one is of another catalogue
    writeBatch(sql, "account-1", [closed, sent], { messages });
    // @ts-expect-error: it is of another catalogue
    append(sql, "account-1", sent, { messages });
    // @ts-expect-error: one is of another catalogue
    append(sql, "account-1", [closed, sent], { messages });
    // @ts-expect-error: one is of another catalogue
    writeStreams(sql, [{ streamName: "account-1", messages: [closed, sent] }], { messages });
    // @ts-expect-error: it is of another catalogue
    synchronize(sql, "account-1", [{ ...sent, id }], { messages });
    // @ts-expect-error: it has no id
    synchronize(sql, "account-1", [plain], { messages });
    // @ts-expect-error: it is of another catalogue
    groupCommit(sql)("account-1", sent, { messages });
  });

  test("takes any without one", () => {
    write(sql, "account-1", sent);
    groupCommit(sql)("account-1", sent);
    writeBatch(sql, "account-1", [closed, sent, { type: "Opened" }]);
    writeStreams(sql, [{ streamName: "account-1", messages: [closed, sent] }]);
    append(sql, "account-1", [closed, sent]);
  });

  test("that synchronizes takes what a constructor has made with an id", () => {
    const identified = account.Closed({ reason: "", at: "" }, { id });
    synchronize(sql, "account-1", [identified]);
    synchronize(sql, "account-1", [identified], { messages });
    synchronize(sql, "account-1", [follow({} as Message, identified)], { messages });
    // @ts-expect-error: it has no id
    synchronize(sql, "account-1", [closed]);
    // @ts-expect-error: it may have none
    synchronize(sql, "account-1", [account.Closed({ reason: "", at: "" }, {})], { messages });
  });
});

describe("a consumer with a catalogue", () => {
  const names = { category: "account", consumerId: "it" };

  test("has handlers of its types", () => {
    consume(sql, {
      ...names,
      messages: account,
      handlers: {
        Deposited: (message, { sql: handle, follow }) => {
          expectTypeOf(message).toEqualTypeOf<TypedMessage<"Deposited", Deposited>>();
          expectTypeOf(handle).toEqualTypeOf<Sql>();
          const closed = account.Closed({ reason: "", at: "" });
          expectTypeOf(follow(closed)).toExtend<typeof closed>();
          expectTypeOf(follow(closed).metadata).toEqualTypeOf<Metadata>();
        },
        Closed: async ({ data }) => {
          expectTypeOf(data).toEqualTypeOf<Closed>();
          await Promise.resolve();
        },
      },
    });
    drain({} as postgres.Sql, {
      ...names,
      messages: account,
      transactional: true,
      handlers: {
        Renamed: ({ data }, { sql }) => {
          expectTypeOf(data).toEqualTypeOf<Renamed>();
          expectTypeOf(sql).toEqualTypeOf<postgres.TransactionSql>();
        },
      },
    });
    replayParked(sql, {
      ...names,
      messages: account,
      handlers: { Closed: ({ data }) => void expectTypeOf(data).toEqualTypeOf<Closed>() },
    });
    // @ts-expect-error: there is no such type
    consume(sql, { ...names, messages: account, handlers: { Opened: () => {} } });
    consume(sql, {
      ...names,
      messages: account,
      // @ts-expect-error: its data are of another type
      handlers: { Closed: (message: Message<{ amount: number }>) => void message },
    });
  });

  test("has a handler of its union", () => {
    consume(sql, {
      ...names,
      messages: account,
      handle: (message) => {
        expectTypeOf(message).toEqualTypeOf<Account>();
        if (message.type === "Renamed") expectTypeOf(message.data).toEqualTypeOf<Renamed>();
      },
    });
    consume(sql, {
      ...names,
      messages: passing,
      handle: (message) => {
        expectTypeOf(message).toEqualTypeOf<MessageOf<typeof passing>>();
        return "skip";
      },
    });
    consume(sql, {
      ...names,
      messages: passing,
      // @ts-expect-error: there is no handler of what is not defined
      handlers: { $unknown: () => {} },
    });
  });

  test("asks its policy about a message as it is stored", () => {
    consume(sql, {
      ...names,
      messages: account,
      handle: () => {},
      onError: (_, message) => {
        expectTypeOf(message).toEqualTypeOf<Message>();
        return "park";
      },
    });
  });
});

describe("defineMessages()", () => {
  test("refuses what is no definition", () => {
    // @ts-expect-error: this is no schema
    defineMessages({ Made: {} });
    // @ts-expect-error: nor is there one
    defineMessages({ Made: { aliases: ["Old"] } });
    // @ts-expect-error: there is no such choice
    defineMessages({ Made: z.object({}) }, { unknown: "drop" });
    // @ts-expect-error: a codec goes both ways
    defineMessages({ Made: z.object({}) }, { codec: { encode: (data: unknown) => data } });
    // @ts-expect-error: a guard has something to lift
    defineMessages({ Made: { schema: z.object({}), upcasts: [{ when: () => true }] } });
  });

  test("has upcasts that say what they take, and a codec that knows what it has in hand", () => {
    defineMessages({
      Made: {
        schema: z.object({ n: z.number() }),
        upcasts: [
          ({ old }: { old: number }, message) => {
            expectTypeOf(message).toEqualTypeOf<Message>();
            return { n: old };
          },
          { when: (data) => data === null, lift: (data: null) => ({ n: data }) },
        ],
      },
    }, {
      codec: {
        encode: (data, message) => {
          expectTypeOf(data).toEqualTypeOf<unknown>();
          expectTypeOf(message).toEqualTypeOf<CodedMessage>();
          return Promise.resolve(data);
        },
        decode: (data, { streamName }) => [streamName, data],
      },
    });
  });
});
