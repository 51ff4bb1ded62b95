import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  correlate,
  defineMessages,
  drain,
  follow,
  type HandlerContext,
  InvalidMessageError,
  isFollowing,
  type Message,
  type MessageInput,
  type MessageOf,
  type Metadata,
  read,
  readCategory,
  readLastMessage,
  readStream,
  replayParked,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";
import { unchecked } from "./_unchecked.ts";

const db = useDatabase();
let categories = 0;
const newCategory = () => `followed${++categories}`;

/** A message as it is stored: the second of its stream. */
async function previousWith(metadata: Metadata | null): Promise<Message> {
  const streamName = `${newCategory()}-1`;
  await writeBatch(db.sql, streamName, [{ type: "First" }, { type: "Deposit", metadata }]);
  return (await readLastMessage(db.sql, streamName))!;
}

/** The metadata that is stored of a message. */
async function storedOf(message: Parameters<typeof write>[2]): Promise<Metadata | null> {
  const streamName = `${newCategory()}-1`;
  await write(db.sql, streamName, message);
  return (await readStream(db.sql, streamName))[0]!.metadata;
}

const causeOf = (previous: Message) => ({
  causationMessageStreamName: previous.streamName,
  causationMessagePosition: previous.position,
  causationMessageGlobalPosition: previous.globalPosition,
});

describe("follow()", () => {
  test("says which message is the cause, by its stream and both positions", async () => {
    for (const metadata of [null, {}, { by: "Ada" }]) {
      const previous = await previousWith(metadata);
      assert.equal(previous.position, 1);
      assert.notEqual(previous.globalPosition, 1);
      const stored = await storedOf(follow(previous, { type: "Deposited" }));
      assert.deepEqual(stored, causeOf(previous));
    }
  });

  test("takes over the correlation and the reply stream", async () => {
    const workflow = { correlationStreamName: "transfer-7", replyStreamName: "teller-1" };
    const previous = await previousWith(workflow);
    assert.deepEqual(await storedOf(follow(previous, { type: "Deposited" })), {
      ...workflow,
      ...causeOf(previous),
    });
  });

  test("takes nothing over of the cause's cause, its schemaVersion or what else it says", async () => {
    const previous = await previousWith({
      causationMessageStreamName: "other-1",
      causationMessagePosition: 11,
      causationMessageGlobalPosition: 111,
      schemaVersion: "3",
      by: "Ada",
    });
    assert.deepEqual(await storedOf(follow(previous, { type: "Deposited" })), causeOf(previous));
  });

  test("takes the place of what the message said of these, and keeps the rest", async () => {
    const own = {
      causationMessageStreamName: "other-1",
      causationMessagePosition: 11,
      causationMessageGlobalPosition: 111,
      correlationStreamName: "other-2",
      replyStreamName: "other-3",
      schemaVersion: "3",
      by: "Bob",
    };
    const workflow = { correlationStreamName: "transfer-7", replyStreamName: "teller-1" };
    const previous = await previousWith(workflow);
    const message = { type: "Deposited", metadata: own };
    assert.deepEqual(await storedOf(follow(previous, message)), {
      ...workflow,
      ...causeOf(previous),
      schemaVersion: "3",
      by: "Bob",
    });
    // As Eventide does where the cause has none.
    const alone = await previousWith(null);
    assert.deepEqual(await storedOf(follow(alone, message)), {
      ...causeOf(alone),
      schemaVersion: "3",
      by: "Bob",
    });
  });

  test("copies the properties that are not local, over the message's own", async () => {
    const properties = {
      tenant: { value: "a" },
      trace: { value: { id: 5 }, local: false },
      attempt: { value: 2, local: true },
      odd: { value: 3, local: "true" },
    };
    const previous = await previousWith({ properties });
    const { attempt: _, ...inherited } = properties;
    assert.deepEqual((await storedOf(follow(previous, { type: "Deposited" })))!["properties"], {
      ...inherited,
    });
    const own = { tenant: { value: "b" }, mine: { value: 1, local: true }, attempt: { value: 9 } };
    const followed = follow(previous, { type: "Deposited", metadata: { properties: own } });
    assert.deepEqual((await storedOf(followed))!["properties"], { ...own, ...inherited });
  });

  test("leaves the message's own properties where the cause has none to copy", async () => {
    const properties = { mine: { value: 1, local: true } };
    const message = { type: "Deposited", metadata: { properties } };
    for (
      const of of [
        null,
        {},
        { properties: {} },
        { properties: null },
        { properties: { other: { value: 1, local: true } } },
        // Of one's own, which Eventide does not know.
        { properties: "text" },
        { properties: ["a"] },
      ]
    ) {
      const previous = await previousWith(of);
      const stored = await storedOf(follow(previous, message));
      assert.deepEqual(stored, { ...causeOf(previous), properties });
      const bare = await storedOf(follow(previous, { type: "Deposited" }));
      assert.deepEqual(bare, causeOf(previous));
    }
  });

  const trace = {
    userId: "ada",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "vendor=1",
  };

  test("hands on the user and the trace, where the message says nothing of them", async () => {
    const previous = await previousWith({ ...trace, tenantId: "a" });
    assert.deepEqual(await storedOf(follow(previous, { type: "Deposited" })), {
      ...trace,
      ...causeOf(previous),
    });
    const bob = { type: "Deposited", metadata: { userId: "bob", by: "Bob" } };
    assert.deepEqual(await storedOf(follow(previous, bob)), {
      ...trace,
      ...bob.metadata,
      ...causeOf(previous),
    });
    // No user is a user, too: the program itself did it.
    const nobody = { type: "Deposited", metadata: { userId: null } };
    assert.equal((await storedOf(follow(previous, nobody)))!["userId"], null);
    const unset = { type: "Deposited", metadata: { userId: undefined } };
    assert.equal((await storedOf(follow(previous, unset)))!["userId"], "ada");
  });

  test("leaves the cause's tracestate out where the message has a traceparent", async () => {
    const previous = await previousWith(trace);
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const stored = await storedOf(follow(previous, { type: "Sent", metadata: { traceparent } }));
    assert.deepEqual(stored, { userId: "ada", traceparent, ...causeOf(previous) });
  });

  test("hands on the keys that it is told to, to each message of a list", async () => {
    const previous = await previousWith({ tenantId: { id: 5 }, region: null, by: "Ada" });
    const options = { propagate: ["tenantId", "region", "missing", "toString"] };
    const [first, second] = follow(
      previous,
      [{ type: "First" }, { type: "Second", metadata: { tenantId: { id: 6 } } }],
      options,
    );
    assert.deepEqual(await storedOf(first!), {
      tenantId: { id: 5 },
      region: null,
      ...causeOf(previous),
    });
    assert.deepEqual(await storedOf(second!), {
      tenantId: { id: 6 },
      region: null,
      ...causeOf(previous),
    });
    assert.equal(follow(previous, null, options), null);
  });

  test("keeps the cause and the conversation as they are, whatever it is told to hand on", async () => {
    const previous = await previousWith({
      causationMessagePosition: 11,
      correlationStreamName: "transfer-7",
      properties: { attempt: { value: 1, local: true } },
    });
    const own = { type: "Deposited", metadata: { correlationStreamName: "other-2" } };
    const propagate = ["causationMessagePosition", "correlationStreamName", "replyStreamName"];
    assert.deepEqual(await storedOf(follow(previous, own, { propagate })), {
      ...causeOf(previous),
      correlationStreamName: "transfer-7",
    });
  });

  test("refuses options that are none", async () => {
    const previous = await previousWith(null);
    const message = { type: "Deposited" };
    // As messages.map(follow) of a handler's follow would.
    for (const options of [0, null, ["tenantId"]]) {
      assert.throws(() => follow(previous, message, options as never), /as "options"/);
    }
    for (const propagate of ["tenantId", [""], [5], null]) {
      const options = { propagate } as never;
      assert.throws(() => follow(previous, message, options), /as "propagate"/);
      assert.throws(() => follow(previous, null, options), /as "propagate"/);
    }
  });

  test("gives a copy, and leaves both messages as they were", async () => {
    const previous = await previousWith({ properties: { a: { value: 1 } } });
    const before = structuredClone(previous);
    const message = {
      type: "Deposited",
      data: { amount: 5 },
      id: crypto.randomUUID(),
      metadata: { properties: { b: { value: 2 } } },
    };
    const own = structuredClone(message);
    const followed = follow(previous, message);
    assert.deepEqual([previous, message], [before, own]);
    const { metadata: _, ...rest } = followed;
    assert.deepEqual(rest, { type: "Deposited", data: { amount: 5 }, id: message.id });
  });

  test("of what a constructor has made is parsed when it is written", async () => {
    const previous = await previousWith(null);
    const account = defineMessages({
      Deposited: {
        schema: z.object({ cents: z.coerce.bigint() }),
        upcasts: [(data) => data],
      },
    });
    const streamName = `${newCategory()}-1`;
    await write(db.sql, streamName, follow(previous, account.Deposited({ cents: 5n })));
    const [stored] = await readStream(db.sql, streamName);
    assert.deepEqual(
      [stored!.data, stored!.metadata],
      [{ cents: "5" }, { ...causeOf(previous), schemaVersion: "2" }],
    );
    const wrong = unchecked(account, "Deposited", { cents: "x" });
    for (const message of [follow(previous, wrong), correlate(wrong, "transfer-7")]) {
      await assert.rejects(write(db.sql, streamName, message), InvalidMessageError);
    }
    assert.equal((await readStream(db.sql, streamName)).length, 1);
  });
});

describe("isFollowing()", () => {
  const metadata = { correlationStreamName: "transfer-7", replyStreamName: "teller-1" };

  test("is true of what follow() made, to write and as it was read, and of nothing before", async () => {
    for (const before of [null, {}, metadata]) {
      const previous = await previousWith(before);
      const followed = follow(previous, { type: "Deposited" });
      assert.equal(isFollowing(previous, followed), true);
      const streamName = `${newCategory()}-1`;
      await write(db.sql, streamName, followed);
      const [stored] = await readStream(db.sql, streamName);
      assert.equal(isFollowing(previous, stored!), true);
      assert.equal(isFollowing(stored!, previous), false);
      assert.equal(isFollowing(previous, previous), false);
      assert.equal(isFollowing(previous, follow(stored!, { type: "Next" })), false);
    }
  });

  test("is false where a part of the cause, or of what it hands on, is another", async () => {
    const previous = await previousWith(metadata);
    const followed = follow(previous, { type: "Deposited" });
    for (const key of [...Object.keys(causeOf(previous)), ...Object.keys(metadata)]) {
      for (const other of [undefined, null, 5, "other-1"]) {
        const message = { ...followed, metadata: { ...followed.metadata, [key]: other } };
        assert.equal(isFollowing(previous, message as MessageInput), false, `${key}: ${other}`);
      }
    }
    assert.equal(isFollowing(previous, { type: "Deposited" }), false);
    assert.equal(isFollowing(previous, { type: "Deposited", metadata: null }), false);
  });

  test("is true where the cause has no conversation, and the message began one", async () => {
    const previous = await previousWith(null);
    const followed = follow(previous, { type: "Deposited" });
    const begun = { ...followed, metadata: { ...followed.metadata, ...metadata } };
    assert.equal(isFollowing(previous, begun), true);
  });

  test("refuses what is no message", async () => {
    const previous = await previousWith(null);
    assert.throws(() => isFollowing(null as never, { type: "Next" }), /as "previous"/);
    assert.throws(() => isFollowing(previous, undefined as never), /as "message"/);
  });
});

describe("correlate()", () => {
  test("gives a copy with the stream, and keeps what else its metadata says", async () => {
    const message = { type: "Withdraw", data: 5, metadata: { by: "Ada" } };
    const correlated = correlate(message, "transfer-7");
    assert.deepEqual(message.metadata, { by: "Ada" });
    const metadata = { by: "Ada", correlationStreamName: "transfer-7" };
    assert.deepEqual(correlated, { ...message, metadata });
    assert.deepEqual(await storedOf(correlated), metadata);
    assert.deepEqual(await storedOf(correlate(correlated, "transfer-8")), {
      ...metadata,
      correlationStreamName: "transfer-8",
    });
    assert.deepEqual(await storedOf(correlate({ type: "Withdraw", metadata: null }, "a-1")), {
      correlationStreamName: "a-1",
    });
  });

  test("with a category, has its messages found as those of the category's streams", async () => {
    const [command, event, transfer] = [newCategory(), newCategory(), newCategory()];
    await write(db.sql, `${command}-1`, correlate({ type: "Withdraw" }, transfer));
    const [withdraw] = await readStream(db.sql, `${command}-1`);
    await write(db.sql, `${event}-1`, follow(withdraw!, { type: "Withdrawn" }));
    await write(db.sql, `${event}-1`, correlate({ type: "Other" }, `${transfer}:command`));
    await write(db.sql, `${event}-1`, correlate({ type: "Sent" }, `${transfer}-7`));
    const selection = { correlation: transfer };
    const found = ["Withdrawn", "Sent"];
    const forward = await readCategory(db.sql, event, selection);
    assert.deepEqual(forward.map(({ type }) => type), found);
    const backward = await readCategory(db.sql, event, { ...selection, direction: "backward" });
    assert.deepEqual(backward.map(({ type }) => type), found.toReversed());
    const handled: string[] = [];
    await drain(db.sql, {
      category: event,
      consumerId: "it",
      ...selection,
      handle: ({ type }) => void handled.push(type),
    });
    assert.deepEqual(handled, found);
  });

  test("refuses what is no name", () => {
    for (const name of ["", 5, null, "a\0-1"]) {
      assert.throws(() => correlate({ type: "Withdraw" }, name as string), {
        name: "TypeError",
        message: /as "streamName"/,
      });
    }
  });

  test("has readCategory() find all that follows, however far, and nothing else", async () => {
    const [command, event, transfer] = [newCategory(), newCategory(), newCategory()];
    const name = `${command}:command-1`;
    await write(db.sql, name, { type: "Withdraw", data: 0 });
    await write(db.sql, name, correlate({ type: "Withdraw", data: 1 }, `${transfer}-7`));
    await write(db.sql, name, correlate({ type: "Withdraw", data: 2 }, `${transfer}s-7`));
    for (const cause of await readStream(db.sql, name)) {
      await write(db.sql, `${event}-1`, follow(cause, { type: "Withdrawn", data: cause.data }));
      const withdrawn = (await readLastMessage(db.sql, `${event}-1`))!;
      await write(db.sql, `${event}-2`, follow(withdrawn, { type: "Sent", data: cause.data }));
    }
    const found = await readCategory(db.sql, event, { correlation: transfer });
    assert.deepEqual(found.map(({ type, data }) => [type, data]), [["Withdrawn", 1], ["Sent", 1]]);
    const commands = await read(db.sql, `${command}:command`, { correlation: transfer });
    assert.deepEqual(commands.map(({ data }) => data), [1]);
  });
});

describe("a handler's follow()", () => {
  test("hands on the keys that it is told to", async () => {
    const category = newCategory();
    const metadata = { userId: "ada", tenantId: "a", by: "Ada" };
    await write(db.sql, `${category}-1`, { type: "Deposit", metadata });
    const followed: Metadata[] = [];
    await drain(db.sql, {
      category,
      consumerId: "it",
      handle(_, { follow }) {
        followed.push(follow({ type: "Deposited" }, { propagate: ["tenantId"] }).metadata);
      },
    });
    assert.deepEqual(followed.map(({ userId, tenantId, by }) => [userId, tenantId, by]), [
      ["ada", "a", undefined],
    ]);
  });

  test("is of the message in hand, and can be called by itself", async () => {
    const category = newCategory();
    const account = defineMessages({
      Deposit: { schema: z.object({ cents: z.coerce.bigint() }), aliases: ["Pay"] },
      Deposited: z.object({ cents: z.coerce.bigint() }),
    });
    const command = `${category}:command`;
    await writeBatch(db.sql, `${command}-1`, [
      correlate(account.Deposit({ cents: 1n }), "transfer-7"),
      { type: "Pay", data: { cents: "2" }, metadata: { replyStreamName: "teller-1" } },
    ]);
    const stored = await readStream(db.sql, `${command}-1`);
    const consumer = { category: command, messages: account };
    const handlersFor = (events: string) => ({
      Deposit: async ({ data }: MessageOf<typeof account, "Deposit">, context: HandlerContext) => {
        const { sql, follow } = context;
        await write(sql, events, follow(account.Deposited(data)));
      },
    });
    const [plain, transactional] = [`${newCategory()}-1`, `${newCategory()}-1`];
    await drain(db.sql, { ...consumer, consumerId: "plain", handlers: handlersFor(plain) });
    await drain(db.sql, {
      ...consumer,
      consumerId: "transactional",
      transactional: true,
      handlers: handlersFor(transactional),
    });
    for (const events of [plain, transactional]) {
      const written = await readStream(db.sql, events);
      assert.deepEqual(written.map(({ data }) => data), [{ cents: "1" }, { cents: "2" }]);
      assert.deepEqual(written.map(({ metadata }) => metadata), [
        { ...causeOf(stored[0]!), correlationStreamName: "transfer-7" },
        { ...causeOf(stored[1]!), replyStreamName: "teller-1" },
      ]);
    }
  });

  test("is of the message itself where that is retried, or replayed, and not of what parked it", async () => {
    const category = newCategory();
    await writeBatch(db.sql, `${category}-1`, [{ type: "First" }, { type: "Second" }]);
    const [, second] = await readStream(db.sql, `${category}-1`);
    const followed: unknown[] = [];
    const consumer = {
      category,
      consumerId: "it",
      handlers: {
        Second: (_: Message, { attempt, follow }: HandlerContext) => {
          const { metadata } = follow<MessageInput>({ type: "Next" });
          followed.push([attempt, metadata?.causationMessagePosition]);
          throw new Error("not yet");
        },
      },
      onError: { retry: 1, delay: 0, then: "park" },
    } as const;
    await drain(db.sql, consumer);
    await replayParked(db.sql, consumer);
    assert.deepEqual(followed, [[1, 1], [2, 1], [1, 1], [2, 1]]);
    assert.equal(second!.position, 1);
  });
});
