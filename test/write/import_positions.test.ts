/** Stores are copied, and their consumers, aggregates and entities go on in the copy. */
import assert from "node:assert/strict";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import fc from "fast-check";
import { beforeEach, describe, test } from "vitest";
import {
  aggregate,
  category,
  type Consumer,
  drain,
  entity,
  follow,
  importMessages,
  iterateAll,
  iterateCategory,
  iterateMatching,
  type Message,
  readAggregate,
  readAll,
  readCategory,
  readLastMessage,
  readStream,
  replayParked,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const from = useDatabase();
const to = useDatabase();

beforeEach(async () => {
  for (const { sql } of [from, to]) await sql`truncate message_store.messages restart identity`;
});

/** Takes global positions that no message has. */
async function skip(count: number, sql: Sql = from.sql): Promise<void> {
  await sql`
    select nextval('message_store.messages_global_position_seq')
    from generate_series(1, ${String(count)}::text::int)`;
}

/** Writes a message that a statement has no room for with any other. */
async function cut(): Promise<void> {
  await write(from.sql, "cut-1", { type: "Large", data: "x".repeat(300_000) });
}

let isCut = false;

async function deposit(sql: Sql, count: number, streams = 3): Promise<void> {
  for (let at = 0; at < count; at++) {
    await write(sql, `account-${at % streams}`, { type: "Deposited", data: { amount: 1 } });
    if (sql === from.sql && at % 2 === 0) await skip(3);
  }
  if (isCut && sql === from.sql) await cut();
}

/** Records that everything is handled. */
async function record(name: string): Promise<void> {
  const [last] = await readAll(from.sql, { direction: "backward", batchSize: 1 });
  const data = { position: last!.globalPosition };
  await write(from.sql, name, { type: "Recorded", data });
}

const copy = () => importMessages(to.sql, iterateAll(from.sql));

/** Drains, and returns what was handled. */
async function handled(
  sql: Sql,
  consumer: Partial<Consumer> & { readonly category: string; readonly consumerId: string },
): Promise<string[]> {
  const ids: string[] = [];
  const handle = ({ id }: Message) => void ids.push(id);
  await drain(sql, { ...consumer, handle } as Consumer);
  return ids;
}

const idsAfter = async (name: string, count: number) =>
  (await readCategory(from.sql, name)).slice(count).map(({ id }) => id);

describe.each([
  ["in one statement", false],
  ["in several statements", true],
])("a consumer of a store copied %s goes on where it was:", (_, inParts) => {
  beforeEach(() => {
    isCut = inParts;
    return () => isCut = false;
  });

  const plain = { category: "account", consumerId: "balances" };
  test.each<[string, Parameters<typeof handled>[1]]>([
    ["a plain one", plain],
    ["one of a category with a type", { category: "account:command", consumerId: "x" }],
    ["a transactional one", { ...plain, transactional: true } as never],
    ["one with types", { ...plain, types: ["Deposited"] }],
    ["one whose names are odd", { category: "a%_\\'\"ä:x+y", consumerId: "b-%_\\'\"語" }],
  ])("%s", async (_, consumer) => {
    const name = consumer.category;
    const deposited = async (sql: Sql, count: number) => {
      for (let at = 0; at < count; at++) {
        await skip(at % 3);
        await write(sql, `${name}-${at % 4}`, { type: "Deposited" });
      }
      if (isCut && sql === from.sql) await cut();
    };
    await skip(50);
    await deposited(from.sql, 5);
    assert.equal((await handled(from.sql, consumer)).length, 5);
    await deposited(from.sql, 4);
    await copy();
    await deposited(to.sql, 3);
    const rest = (await readCategory(to.sql, name)).slice(5).map(({ id }) => id);
    assert.deepEqual(await handled(to.sql, consumer), rest);
    assert.equal(rest.length, 7);
  });

  test("one that is at the end", async () => {
    await skip(50);
    await deposit(from.sql, 5);
    await handled(from.sql, plain);
    await copy();
    assert.deepEqual(await handled(to.sql, plain), []);
    await deposit(to.sql, 5);
    assert.equal((await handled(to.sql, plain)).length, 5);
  });

  test("one of all streams", async () => {
    const all = { category: "$all", consumerId: "everything", types: ["Deposited"] };
    await deposit(from.sql, 5);
    assert.equal((await handled(from.sql, all)).length, 5);
    await deposit(from.sql, 4);
    await copy();
    assert.deepEqual(await handled(to.sql, all), await idsAfter("account", 5));
  });

  test("the members of a group that had several sizes", async () => {
    const member = (member: number, size: number) => ({
      ...plain,
      consumerGroup: { member, size },
    });
    await deposit(from.sql, 12, 12);
    const before = [
      ...await handled(from.sql, member(0, 2)),
      ...await handled(from.sql, member(1, 2)),
    ];
    assert.equal(before.length, 12);
    await deposit(from.sql, 12, 12);
    before.push(...await handled(from.sql, member(1, 3)));
    await deposit(from.sql, 6, 6);
    await copy();
    const after: string[] = [];
    for (let at = 0; at < 3; at++) after.push(...await handled(to.sql, member(at, 3)));
    const all = (await readCategory(from.sql, "account")).map(({ id }) => id);
    assert.equal(all.length, 30);
    assert.deepEqual([...before, ...after].sort(), all.sort());
  });

  test("one whose position names no message, or a message of another category", async () => {
    await deposit(from.sql, 3);
    await skip(10);
    await write(from.sql, "other-1", { type: "Other" });
    await skip(10);
    await deposit(from.sql, 3);
    const messages = await readAll(from.sql);
    const [other] = await readCategory(from.sql, "other");
    const positions = [
      5,
      other!.globalPosition - 1,
      other!.globalPosition,
      other!.globalPosition + 4,
    ];
    for (const [at, position] of positions.entries()) {
      await write(from.sql, `account:position-p${at}`, { type: "Recorded", data: { position } });
    }
    await copy();
    for (const [at, position] of positions.entries()) {
      const rest = messages.filter(({ globalPosition, streamName }) =>
        globalPosition > position && category(streamName) === "account"
      );
      const consumer = { category: "account", consumerId: `p${at}` };
      assert.deepEqual(await handled(to.sql, consumer), rest.map(({ id }) => id), `at ${position}`);
    }
  });

  test("one whose position is before the first message, or beyond the last", async () => {
    await skip(100);
    await deposit(from.sql, 3);
    for (const [consumerId, position] of [["before", 50], ["none", 0], ["beyond", 1e6]] as const) {
      const recorded = { type: "Recorded", data: { position } };
      await write(from.sql, `account:position-${consumerId}`, recorded);
    }
    await copy();
    await deposit(to.sql, 2);
    const count = async (consumerId: string) =>
      (await handled(to.sql, { category: "account", consumerId })).length;
    assert.deepEqual([await count("before"), await count("none"), await count("beyond")], [
      5,
      5,
      2,
    ]);
  });

  test("one of an aggregate, and the aggregate", async () => {
    const ledger = { name: "ledger", from: ["account"], partition: () => 0 };
    const reading = { aggregate: "ledger", category: undefined as never, consumerId: "reader" };
    await skip(30);
    await deposit(from.sql, 5);
    await aggregate(from.sql, ledger, { once: true });
    const consumer = { category: "ledger", consumerId: "references" };
    await deposit(from.sql, 2);
    await aggregate(from.sql, ledger, { once: true });
    assert.equal((await handledOf(from.sql, reading)).length, 7);
    assert.equal((await handled(from.sql, consumer)).length, 7);
    await deposit(from.sql, 3);
    await aggregate(from.sql, ledger, { once: true });
    await deposit(from.sql, 1);
    await copy();
    const referred = async (sql: Sql) => (await readAggregate(sql, "ledger")).map(({ id }) => id);
    assert.deepEqual(await referred(to.sql), await referred(from.sql));
    await aggregate(to.sql, ledger, { once: true });
    assert.deepEqual(await referred(to.sql), await idsAfter("account", 0));
    assert.deepEqual(await handledOf(to.sql, reading), await idsAfter("account", 7));
    assert.equal((await handled(to.sql, consumer)).length, 4);
  });

  test("one of an aggregate that has parked messages", async () => {
    const ledger = { name: "ledger", from: ["account"], partition: () => 0 };
    const reading = { aggregate: "ledger", consumerId: "reader", onError: "park" } as const;
    await skip(30);
    await deposit(from.sql, 3);
    await aggregate(from.sql, ledger, { once: true });
    await drain(from.sql, { ...reading, handle: () => "park" as const });
    await copy();
    const [at] = await readAggregate(to.sql, "ledger");
    const [parked] = await readStream<{ reference: unknown }>(to.sql, "ledger:parked-reader");
    assert.deepEqual(parked!.data.reference, at!.reference);
    const replayed: string[] = [];
    await replayParked(to.sql, { ...reading, handle: ({ id }) => void replayed.push(id) });
    assert.deepEqual(replayed, await idsAfter("account", 0));
  });

  test("one that has parked messages: they are replayed from where the replay was", async () => {
    const failing = { ...plain, onError: "park" } as const;
    const no = () => {
      throw new Error("no");
    };
    await skip(20);
    await deposit(from.sql, 3);
    await drain(from.sql, { ...failing, handle: no });
    await replayParked(from.sql, { ...failing, handle() {} }, { limit: 1 });
    await deposit(from.sql, 2);
    await drain(from.sql, { ...failing, handle: no });
    await copy();
    const replayed: string[] = [];
    await replayParked(to.sql, { ...failing, handle: ({ id }) => void replayed.push(id) });
    assert.deepEqual(replayed, await idsAfter("account", 1));
    for (
      const { data } of await readStream<{ message: Message }>(to.sql, "account:parked-balances")
    ) {
      const { id, position, globalPosition } = data.message;
      const [origin] = (await readAll(to.sql)).filter((it) => it.id === id);
      assert.deepEqual([position, globalPosition], [origin!.position, origin!.globalPosition]);
    }
  });
});

/** Drains a consumer of an aggregate. */
async function handledOf(sql: Sql, consumer: object): Promise<string[]> {
  const ids: string[] = [];
  const handle = ({ id }: Message) => void ids.push(id);
  const { category: _, ...rest } = consumer as { category?: unknown };
  await drain(sql, { ...rest, handle } as unknown as Consumer);
  return ids;
}

test("claims are left out: no consumer of the copy waits for a process of the source", async () => {
  const group = { category: "account", consumerId: "x", consumerGroup: { member: 0, size: 1 } };
  await deposit(from.sql, 3);
  const claim = { owner: "elsewhere", leaseDuration: 1e9 };
  for (const name of ["account:position-x", "account:position-x+0+1"]) {
    const recorded = { type: "Recorded", data: { position: 0 }, metadata: { ...claim, note: 1 } };
    await write(from.sql, name, recorded);
  }
  const claimed = { type: "Claimed", data: { version: 0, owner: "elsewhere" } };
  await write(from.sql, "account:claim-x", claimed);
  await write(from.sql, "account:group-x+waiting", { type: "Waiting", data: claim });
  await write(from.sql, "account:group-x+waiting", { type: "Waiting", data: "of the application" });
  assert.deepEqual({ ...await copy(), last: 0 }, { count: 8, written: 6, last: 0 });
  const copied = await readAll(to.sql);
  assert.deepEqual(
    copied.slice(3).map(({ streamName, metadata }) => [streamName, metadata]),
    [
      ["account:position-x", { note: 1 }],
      ["account:position-x+0+1", { note: 1 }],
      ["account:group-x+waiting", null],
    ],
  );
  assert.equal((await handled(to.sql, group)).length, 3);
});

test("snapshots name their message in the copy, and are read", async () => {
  const balance = entity({
    category: "account",
    init: () => ({ sum: 0 }),
    evolve: ({ sum }) => ({ sum: sum + 1 }),
    snapshot: { every: 2 },
  });
  await skip(9);
  await deposit(from.sql, 4, 1);
  await balance.fetch(from.sql, "0");
  await copy();
  const snapshot = await readLastMessage<{ messageId: string; messageGlobalPosition: number }>(
    to.sql,
    "account:snapshot-0",
  );
  const last = await readLastMessage(to.sql, "account-0");
  const { messageId, messageGlobalPosition } = snapshot!.data;
  assert.deepEqual([messageId, messageGlobalPosition], [last!.id, last!.globalPosition]);
  assert.deepEqual(await balance.fetch(to.sql, "0"), { state: { sum: 4 }, version: 3 });
});

test("causes are named by their places in the copy, in any statement, and left out if they are gone", async () => {
  await skip(7);
  for (let at = 0; at < 1200; at++) {
    await write(from.sql, "account:command-1", { type: "Deposit", data: at });
    if (at === 0) await skip(11);
    if (at % 300 > 1) continue;
    const cause = await readLastMessage(from.sql, "account:command-1");
    const message = { type: "Deposited", metadata: { properties: { a: 1 } } };
    await write(from.sql, "account-1", follow(cause!, message));
  }
  const [first] = await readStream(from.sql, "account:command-1");
  await write(from.sql, "account-1", follow(first!, { type: "Late" }));
  await write(from.sql, "account-1", follow({ ...first!, globalPosition: 3 }, { type: "Before" }));
  await write(
    from.sql,
    "account-1",
    follow({ ...first!, globalPosition: 9999 }, { type: "Ahead" }),
  );
  await from
    .sql`delete from message_store.messages where stream_name = 'account:command-1' and position = 1`;
  await copy();
  const byPlace = new Map(
    (await readAll(to.sql, { batchSize: 2000 })).map((it) => [it.globalPosition, it]),
  );
  const told: unknown[] = [];
  for (const { type, metadata } of await readStream(to.sql, "account-1")) {
    const at = metadata!.causationMessageGlobalPosition;
    const cause = at === undefined ? undefined : byPlace.get(at);
    if (cause) assert.equal(metadata!.causationMessagePosition, cause.position);
    told.push([type, cause?.data, metadata!.causationMessageStreamName]);
  }
  assert.deepEqual(told, [
    ...[0, undefined, 300, 301, 600, 601, 900, 901].map((
      at,
    ) => ["Deposited", at, "account:command-1"]),
    ["Late", 0, "account:command-1"],
    ["Before", undefined, "account:command-1"],
    ["Ahead", undefined, "account:command-1"],
  ]);
});

describe("a copy that is done in parts:", () => {
  const consumer = { category: "account", consumerId: "x" };

  test("from the beginning again, it goes on, and translates what is new", async () => {
    await deposit(from.sql, 6);
    await handled(from.sql, consumer);
    await deposit(from.sql, 4);
    const all = await readAll(from.sql);
    const parts = all.map((_, at) => all.slice(0, at + 1));
    for (const part of parts) {
      const { count, written } = await importMessages(to.sql, part);
      assert.deepEqual([count, written], [part.length, 1]);
    }
    const { count, written } = await copy();
    assert.deepEqual([count, written], [all.length, 0]);
    assert.deepEqual(await handled(to.sql, consumer), await idsAfter("account", 6));
  });

  test("from the middle on, it refuses a position, and a cause from before", async () => {
    await deposit(from.sql, 6);
    const [first] = await readAll(from.sql);
    await write(from.sql, "other-1", { type: "Other" });
    await importMessages(to.sql, iterateAll(from.sql));
    const position = (await readAll(from.sql)).at(-1)!.globalPosition + 1;
    await deposit(from.sql, 1);
    await record("account:position-x");
    const before = await readAll(to.sql);
    await assert.rejects(importMessages(to.sql, iterateAll(from.sql, { position })), {
      name: "TypeError",
      message:
        'Cannot import message 2: "account:position-x" has positions of the source, and the ' +
        "store has messages from before the import: begin the source at its beginning, if it was cut " +
        'short, or leave positions out, by the option positions: "omit"',
    });
    const caused = await write(from.sql, "b-1", follow(first!, { type: "Caused" })).then(() =>
      readStream(from.sql, "b-1")
    );
    await assert.rejects(importMessages(to.sql, caused), /message \d+: "b-1" has positions/);
    assert.deepEqual(await readAll(to.sql), before);
    await copy();
    assert.deepEqual(await handled(to.sql, consumer), []);
  });

  test("two copies at once make one", async () => {
    await deposit(from.sql, 6);
    await handled(from.sql, consumer);
    await deposit(from.sql, 4);
    await Promise.all([copy(), importMessages(to.connect({ max: 1 }), iterateAll(from.sql))]);
    assert.equal((await readAll(to.sql)).length, (await readAll(from.sql)).length);
    assert.deepEqual(await handled(to.sql, consumer), await idsAfter("account", 6));
  });
});

describe("a store that has messages already", () => {
  const consumer = { category: "account", consumerId: "x" };

  test("takes another's consumers of other categories", async () => {
    await deposit(from.sql, 3);
    await handled(from.sql, consumer);
    await deposit(from.sql, 2);
    await writeBatch(to.sql, "other-1", [{ type: "A" }, { type: "B" }]);
    await skip(5, to.sql);
    await copy();
    assert.deepEqual(await handled(to.sql, consumer), await idsAfter("account", 3));
  });

  test("refuses a consumer's position where the category has other messages, writing nothing", async () => {
    await deposit(from.sql, 3);
    await handled(from.sql, consumer);
    await write(to.sql, "account-9", { type: "Before" });
    await assert.rejects(
      copy(),
      /message \d+: "account:position-x" has positions of the source, and/,
    );
    assert.equal((await readAll(to.sql)).length, 1);
  });

  test("refuses a position of all streams, and an aggregate's, where there is any other message", async () => {
    await write(to.sql, "other-1", { type: "Before" });
    await deposit(from.sql, 3);
    await handled(from.sql, { category: "$all", consumerId: "x" });
    await assert.rejects(
      copy(),
      /message \d+: "\$all:position-x" has positions of the source, and/,
    );
    await from.sql`truncate message_store.messages`;
    await deposit(from.sql, 3);
    const ledger = { name: "ledger", from: ["account"], partition: () => 0 };
    await aggregate(from.sql, ledger, { once: true });
    await assert.rejects(copy(), /"ledger:aggregate-ledger" has positions of the source, and/);
  });

  test("refuses to mix the positions of two consumers of one name, and parked messages", async () => {
    await deposit(from.sql, 3);
    await handled(from.sql, consumer);
    await write(to.sql, "account:position-x", { type: "Recorded", data: { position: 0 } });
    await assert.rejects(copy(), {
      name: "TypeError",
      message:
        'Cannot import message 4: "account:position-x" has other messages here, or lacks some ' +
        "that it had in the source: import into a store that has no such stream, or leave positions " +
        'out, by the option positions: "omit"',
    });
    await from.sql`truncate message_store.messages`;
    await drain(from.sql, { ...consumer, consumerId: "y", handle: () => "park" as const });
    await deposit(from.sql, 1);
    await drain(from.sql, { ...consumer, consumerId: "y", handle: () => "park" as const });
    const parked = await readStream(from.sql, "account:parked-y");
    assert.equal(parked.length, 1);
    await write(to.sql, "account:parked-y", { type: "Other" });
    await assert.rejects(
      importMessages(to.sql, parked),
      /"account:parked-y" has other messages here/,
    );
  });

  test("names causes where their streams are longer", async () => {
    await write(to.sql, "a-1", { type: "Before" });
    await write(from.sql, "a-1", { type: "Cause" });
    const cause = await readLastMessage(from.sql, "a-1");
    await write(from.sql, "b-1", follow(cause!, { type: "Effect" }));
    await cut();
    await write(from.sql, "b-1", follow(cause!, { type: "Effect" }));
    await copy();
    await write(from.sql, "b-1", follow(cause!, { type: "Effect" }));
    await copy();
    for (const { metadata } of await readStream(to.sql, "b-1")) {
      const { causationMessagePosition, causationMessageGlobalPosition } = metadata!;
      assert.deepEqual([causationMessagePosition, causationMessageGlobalPosition], [1, 2]);
    }
  });
});

test("positions need the order of the source", async () => {
  await deposit(from.sql, 4);
  await write(from.sql, "other-1", { type: "Other" });
  await record("account:position-x");
  const all = await readAll(from.sql);
  async function* byCategory() {
    yield* iterateCategory(from.sql, "other");
    yield* iterateCategory(from.sql, "account");
    yield* iterateCategory(from.sql, "account:position");
  }
  const refusal = {
    name: "TypeError",
    message: 'Cannot import message 6: "account:position-x" has positions of the source, and its ' +
      "messages came in another order than that of their global positions, or are in another order " +
      'here: leave positions out, by the option positions: "omit"',
  };
  await assert.rejects(importMessages(to.sql, byCategory()), refusal);
  assert.deepEqual(await readAll(to.sql), []);
  // The same order as in the source, but the store has a later message before.
  await importMessages(to.sql, all.slice(4, 5));
  await assert.rejects(copy(), refusal);
  await cut();
  await handled(from.sql, { category: "other", consumerId: "x" });
  const withoutFirst = iterateMatching(from.sql, "%-%");
  async function* withoutPosition() {
    for await (const it of withoutFirst) if (it.streamName !== "account:position-x") yield it;
  }
  await assert.rejects(
    importMessages(to.sql, withoutPosition()),
    /"other:position-x" .* another order/,
  );
});

test("positions need the order of the source in the store, from one statement to the next", async () => {
  await deposit(from.sql, 3);
  await cut();
  await write(from.sql, "account-9", { type: "Deposited" });
  await handled(from.sql, { category: "account", consumerId: "x" });
  const all = await readAll(from.sql);
  const isEarly = (it: Message, at: number) => at === 0 || it.streamName === "account-9";
  await importMessages(to.sql, all.filter(isEarly));
  await assert.rejects(copy(), /"account:position-x" .* in another order here/);
});

test("a category with its consumers is copied by a pattern", async () => {
  await write(from.sql, "other-1", { type: "Other" });
  await deposit(from.sql, 4);
  await write(from.sql, "other-1", { type: "Other" });
  const consumer = { category: "account", consumerId: "x" };
  await handled(from.sql, consumer);
  await write(from.sql, "other-1", { type: "Other" });
  await deposit(from.sql, 2);
  await importMessages(to.sql, iterateMatching(from.sql, "account%"));
  assert.deepEqual(await handled(to.sql, consumer), await idsAfter("account", 4));
});

test('positions: "omit" leaves out what has positions, and no message of the application', async () => {
  await deposit(from.sql, 4);
  const [first] = await readAll(from.sql);
  await write(from.sql, "account-1", follow(first!, { type: "Caused" }));
  await handled(from.sql, { category: "account", consumerId: "x" });
  await aggregate(from.sql, { name: "ledger", from: ["account"], partition: () => 0 }, {
    once: true,
  });
  const mine = { type: "Recorded", data: { position: "ahead" } };
  await write(from.sql, "account:position-mine", mine);
  // The store has messages already, and of these categories.
  await deposit(to.sql, 3);
  const positions = "omit";
  const { written } = await importMessages(to.sql, iterateAll(from.sql), { positions });
  assert.equal(written, 6);
  const copied = (await readAll(to.sql)).slice(3);
  assert.deepEqual(copied.slice(4).map(({ type, data, metadata }) => [type, data, metadata]), [
    ["Caused", null, {
      causationMessageStreamName: first!.streamName,
      causationMessagePosition: first!.position,
    }],
    ["Recorded", mine.data, null],
  ]);
  assert.equal((await handled(to.sql, { category: "account", consumerId: "x" })).length, 8);
});

test("a message that was read from no store is written as it is", async () => {
  const message = {
    streamName: "account:position-x",
    id: crypto.randomUUID(),
    type: "Recorded",
    data: { position: 7 },
    metadata: { owner: "a", causationMessageGlobalPosition: 5 },
  };
  await importMessages(to.sql, [message]);
  const [written] = await readAll(to.sql);
  assert.deepEqual([written!.data, written!.metadata], [message.data, message.metadata]);
});

test("what is settled elsewhere is left out, also without its global position", async () => {
  const settled = {
    id: crypto.randomUUID(),
    streamName: "$all:settled-all",
    type: "Settled",
    data: { position: 1 },
  };
  assert.equal((await importMessages(to.sql, [settled])).written, 0);
  assert.equal((await importMessages(to.sql, [{ ...settled, globalPosition: 5 }])).written, 0);
});

test("Eventide's position of a consumer without an identifier is translated", async () => {
  await skip(10);
  await deposit(from.sql, 3);
  const head = (await readAll(from.sql)).at(-1)!.globalPosition;
  const recordedThere = { type: "Recorded", data: { position: head } };
  const id = crypto.randomUUID();
  await importMessages(from.sql, [{ ...recordedThere, id, streamName: "account:position" }]);
  await copy();
  const recorded = await readLastMessage(to.sql, "account:position");
  assert.deepEqual(recorded!.data, { position: 3 });
});

test("a source is refused where it is not as said", async () => {
  const message = { streamName: "a-1", id: crypto.randomUUID(), type: "A" };
  const refused = async (source: unknown, options: unknown, error: object) =>
    await assert.rejects(importMessages(to.sql, source as never, options as never), error);
  await refused([{ ...message, globalPosition: -1 }], {}, {
    name: "RangeError",
    message:
      'Cannot import message 1: Cannot use -1 as "globalPosition": it must be an integer from 0 ' +
      "to 9007199254740991",
  });
  await refused([{ ...message, globalPosition: "1" }], {}, { name: "TypeError" });
  await refused([{ ...message, globalPosition: 1, position: "1" }], {}, { name: "TypeError" });
  await refused([], { positions: "keep" }, {
    name: "TypeError",
    message: 'Cannot use "keep" as "positions": it must be "translate" or "omit"',
  });
});

test("lines of JSON are taken as messages", async () => {
  await deposit(from.sql, 3);
  await handled(from.sql, { category: "account", consumerId: "x" });
  const all = await readAll(from.sql);
  const lines = all.map((it) => `${JSON.stringify(it)}\n`);
  const { count, last } = await importMessages(to.sql, [...lines, "", "\n"]);
  assert.deepEqual([count, last], [all.length, all.at(-1)]);
  assert.deepEqual(
    (await readAll(to.sql)).map(({ id, time }) => [id, time]),
    all.map(({ id, time }) => [id, time]),
  );
  for (
    const [line, error] of [["{", /line 1: it is not JSON: /], ["7", /as "message"/], [
      '{"time":7}',
      /as "streamName"/,
    ]] as const
  ) {
    await assert.rejects(importMessages(to.sql, [line]), { name: "TypeError", message: error });
  }
});

test("a copy through a gateway is the same, and the gateway replaces positions only", async () => {
  await deposit(from.sql, 4);
  const [first] = await readAll(from.sql);
  await write(from.sql, "b-1", follow(first!, { type: "Caused" }));
  const consumer = { category: "account", consumerId: "x" };
  await handled(from.sql, consumer);
  await deposit(from.sql, 2);
  const bodies: { query: string; params: string[] }[] = [];
  const handle = gateway(to.sql, { authorize: () => true });
  const sql = fetchSql("http://gateway/sql", {
    fetch: async (url, init) => {
      bodies.push(JSON.parse(String(init!.body)));
      return await handle(new Request(url, init));
    },
  });
  await importMessages(sql, iterateAll(from.sql));
  const cause = (await readLastMessage(to.sql, "b-1"))!.metadata!.causationMessageGlobalPosition;
  assert.equal(cause, 1);
  const { query, params } = bodies[0]!;
  assert.deepEqual(await handled(to.sql, consumer), await idsAfter("account", 4));
  const columns = JSON.parse(params[0]!);
  const post = async (change: object) => {
    const body = JSON.stringify({ query, params: [JSON.stringify({ ...columns, ...change })] });
    const headers = { "content-type": "application/json" };
    return (await handle(new Request("http://gateway/sql", { method: "POST", headers, body })))
      .status;
  };
  const count = columns.id.length;
  const each = (value: unknown) => Array.from({ length: count }, () => value);
  assert.equal(await post({ upTo: each(1), path: each("amount") }), 422);
  assert.equal(await post({ upTo: each(1), path: each("position") }), 422);
  assert.equal(await post({ cause: each(1) }), 422);
  assert.equal(await post({ highest: each("1") }), 422);
  assert.equal(await post({ first: "x", apart: each("account") }), 422);
});

test("beside writers and consumers of the source, copies end in one whose consumer goes on", async () => {
  const consumer = { category: "account", consumerId: "x" };
  const end = new AbortController();
  const writing = Promise.all(
    Array.from({ length: 4 }, async (_, writer) => {
      const sql = from.connect({ max: 1 });
      for (let at = 0; at < 40; at++) {
        await sql.begin(async (sql) => {
          await write(sql, `account-${writer}`, { type: "Deposited" });
          await write(sql, `other${writer}-1`, { type: "Other" });
          if (at % 5 === 0) throw new Error("rolled back");
        }).catch((error) => assert.match(error.message, /rolled back/));
      }
    }),
  );
  const before: string[] = [];
  const consuming = (async () => {
    const sql = from.connect({ max: 2 });
    while (!end.signal.aborted) before.push(...await handled(sql, consumer));
  })();
  let isWritten = false;
  void writing.then(() => isWritten = true);
  while (!isWritten) await copy();
  end.abort();
  await Promise.all([writing, consuming]);
  await deposit(from.sql, 5);
  await copy();
  const after = await handled(to.sql, consumer);
  const all = (await readCategory(from.sql, "account")).map(({ id }) => id);
  assert.equal(all.length, 4 * 32 + 5);
  assert.deepEqual([...before, ...after], all);
});

test("whatever the gaps, the statements and the positions, what is handled in the copy is what was not", async () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ write: fc.constantFrom("account-1", "account-2", "other-1") }),
    },
    { weight: 3, arbitrary: fc.record({ skip: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 2, arbitrary: fc.record({ record: fc.constantFrom("a", "b"), back: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ copy: fc.constant(true) }) },
    { weight: 2, arbitrary: fc.record({ cut: fc.constant(true) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      for (const { sql } of [from, to]) await sql`truncate message_store.messages restart identity`;
      const recorded = new Map<string, number>();
      let head = 0;
      for (
        const it of steps as {
          write?: string;
          skip?: number;
          record?: string;
          back?: number;
          cut?: true;
        }[]
      ) {
        if (it.write) {
          await write(from.sql, it.write, { type: "W" });
          head = (await readLastMessage(from.sql, it.write))!.globalPosition;
        } else if (it.skip) await skip(it.skip);
        else if (it.record) {
          const position = Math.max(head - it.back!, 0);
          recorded.set(it.record, position);
          const message = { type: "Recorded", data: { position } };
          await write(from.sql, `account:position-${it.record}`, message);
        } else if (it.cut) await cut();
        else await copy();
      }
      await copy();
      for (const [consumerId, position] of recorded) {
        const rest = (await readCategory(from.sql, "account"))
          .filter(({ globalPosition }) => globalPosition > position)
          .map(({ id }) => id);
        assert.deepEqual(await handled(to.sql, { category: "account", consumerId }), rest);
      }
    }),
    { numRuns: 30 },
  );
});
