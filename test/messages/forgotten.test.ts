import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  aggregate,
  type Codec,
  consume,
  decide,
  defineMessages,
  drain,
  entity,
  follow,
  FORGOTTEN,
  id,
  importMessages,
  InvalidMessageError,
  iterateAll,
  iterateCategory,
  iterateStream,
  type Message,
  project,
  projectCategory,
  readAggregate,
  readAll,
  readCategory,
  readLastMessage,
  readMessage,
  readMessages,
  readStream,
  replayParked,
  streamVersion,
  subscribe,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
let categories = 0;
/** A category that no other test has. */
const newCategory = () => `person${++categories}`;

/** Who is not forgotten: stands for a table of keys. */
const keys = new Set<string>();
const codec: Codec = {
  encode: (data) => ({ hidden: btoa(JSON.stringify(data)) }),
  decode: (stored, { streamName }) =>
    keys.has(id(streamName)!) ? JSON.parse(atob((stored as { hidden: string }).hidden)) : FORGOTTEN,
};
/** The same, by a promise. */
const asyncCodec: Codec = {
  encode: codec.encode,
  decode: (...parameters) => Promise.resolve(codec.decode(...parameters)),
};
const definitions = {
  Registered: {
    schema: z.object({ name: z.string() }),
    aliases: ["SignedUp"],
    upcasts: [(data: { called: string }) => ({ name: data.called })],
  },
  Moved: z.object({ to: z.string() }),
};
const person = defineMessages(definitions, { codec });
const { Registered, Moved } = person;

/** Ada, who is forgotten, and Bob, who is not: each with two messages. */
async function adaAndBob() {
  const category = newCategory();
  const [ada, bob] = [crypto.randomUUID(), crypto.randomUUID()];
  const people = { category, ada: `${category}-${ada}`, bob: `${category}-${bob}`, adaId: ada };
  await write(db.sql, people.ada, Registered({ name: "Ada" }));
  await write(db.sql, people.bob, Registered({ name: "Bob" }));
  await write(db.sql, people.ada, {
    type: "SignedUp",
    data: codec.encode({ called: "Ada again" }, {} as never),
  });
  await write(db.sql, people.bob, Moved({ to: "Rome" }));
  keys.add(bob);
  const stored = await readCategory(db.sql, category);
  const [registered, , signedUp] = stored;
  const forgotten = [registered!, signedUp!].map((message) => ({
    ...message,
    type: "$forgotten",
    storedType: "Registered",
    data: null,
  }));
  return { ...people, stored, forgotten, remember: () => keys.add(ada) };
}

const told = (messages: readonly Message[]) =>
  messages.map(({ type, data }) => [type, data && Object.values(data)[0]]);

async function collect(messages: AsyncIterable<Message>, count = Infinity): Promise<Message[]> {
  const seen: Message[] = [];
  for await (const message of messages) if (seen.push(message) === count) break;
  return seen;
}

const OF_BOB: [string, string | null][] = [["Registered", "Bob"], ["Moved", "Rome"]];
const [ofBob, laterOfBob] = OF_BOB;
const OF_BOTH: typeof OF_BOB = [["$forgotten", null], ofBob!, ["$forgotten", null], laterOfBob!];

describe.each([["at once", codec], ["by a promise", asyncCodec]])("FORGOTTEN %s", (_, codec) => {
  const messages = defineMessages(definitions, { codec });
  const skipping = defineMessages(definitions, { codec, forgotten: "skip" });

  test("stops no read and no consumer: the rest is read and handled", async () => {
    const { category, forgotten } = await adaAndBob();
    const read = await readCategory(db.sql, category, { messages });
    assert.deepEqual(told(read), OF_BOTH);
    assert.deepEqual(read.filter(({ type }) => type === "$forgotten"), forgotten);
    const names: string[] = [];
    const { handled } = await drain(db.sql, {
      category,
      consumerId: "names",
      messages,
      handlers: { Registered: ({ data }) => void names.push(data.name) },
    });
    assert.deepEqual([names, handled], [["Bob"], 3]);
  });

  test("is what every read gives, or leaves out", async () => {
    const { category, ada, bob, stored } = await adaAndBob();
    const ledger = newCategory();
    await aggregate(db.sql, { name: ledger, from: [category], partition: () => 0 }, { once: true });
    const here = { position: stored[0]!.globalPosition, batchSize: 4 };
    const ids = stored.map(({ id }) => id);
    for (
      const [of, expected] of [[messages, OF_BOTH], [skipping, OF_BOB]] as const
    ) {
      const options = { messages: of as typeof messages };
      const count = expected.length;
      const reads = [
        await readCategory(db.sql, category, options),
        await readAll(db.sql, { ...options, ...here }),
        await readMessages(db.sql, ids, options),
        await readAggregate(db.sql, ledger, options),
        await collect(iterateCategory(db.sql, category, options)),
        await collect(iterateAll(db.sql, { ...options, ...here, limit: count })),
        await collect(subscribe(db.sql, category, options), count),
        await collect(subscribe(db.sql, { aggregate: ledger }, options), count),
      ];
      for (const read of reads) assert.deepEqual(told(read), expected);
      const ofAda = expected.filter(([type]) => type === "$forgotten");
      assert.deepEqual(told(await readStream(db.sql, ada, options)), ofAda);
      assert.deepEqual(told(await collect(iterateStream(db.sql, ada, options))), ofAda);
      assert.equal((await readMessage(db.sql, ids[0]!, options))?.type, ofAda[0]?.[0]);
      assert.equal((await readLastMessage(db.sql, ada, options))?.type, ofAda[0]?.[0]);
      assert.equal((await readLastMessage(db.sql, bob, options))?.type, "Moved");
    }
  });

  test("is not the last message where it is left out: readLastMessage() goes back", async () => {
    const streamName = `${newCategory()}-1`;
    const open = { type: "Moved", data: codec.encode({ to: "Rome" }, {} as never) };
    const sealed: Codec = {
      encode: codec.encode,
      decode: (stored, { metadata }) =>
        metadata === null ? codec.decode(stored, { streamName: "a-1" } as never) : FORGOTTEN,
    };
    keys.add("1");
    const messages = defineMessages(definitions, { codec: sealed, forgotten: "skip" });
    const last = () => readLastMessage(db.sql, streamName, { messages });
    const lastMoved = () => readLastMessage(db.sql, streamName, { messages, type: "Moved" });
    const lost = { ...open, metadata: { lost: true } };
    await writeBatch(db.sql, streamName, [lost, lost]);
    assert.deepEqual([await last(), await lastMoved()], [null, null]);
    await write(db.sql, streamName, open);
    await writeBatch(db.sql, streamName, Array.from({ length: 150 }, () => lost));
    await write(db.sql, streamName, { ...lost, type: "SignedUp" });
    assert.deepEqual([(await last())?.position, (await lastMoved())?.position], [2, 2]);
    const registered = { messages, type: "Registered" };
    assert.equal(await readLastMessage(db.sql, streamName, registered), null);
  });

  test("is passed over by handlers without $forgotten, and is for them who have it", async () => {
    const { category, forgotten } = await adaAndBob();
    const seen: unknown[] = [];
    const note = (message: Message) => void seen.push(message);
    const { handled } = await drain(db.sql, {
      category,
      consumerId: "erase",
      messages,
      handlers: { $forgotten: note },
    });
    assert.deepEqual([seen.splice(0), handled], [forgotten, 4]);
    await drain(db.sql, {
      category,
      consumerId: "all",
      messages,
      handlers: { $forgotten: ({ type }) => note({ type } as never), Moved: note },
    });
    const [first, second, moved] = seen.splice(0) as Message[];
    assert.deepEqual([first, second], [{ type: "$forgotten" }, { type: "$forgotten" }]);
    assert.deepEqual(moved!.data, { to: "Rome" });
    for (const how of ["handle", "handlePage"] as const) {
      const handle = how === "handle" ? note : (page: readonly Message[]) => page.forEach(note);
      await drain(
        db.sql,
        { category, consumerId: how, messages, [how]: handle } as never,
      );
      assert.deepEqual(told(seen.splice(0) as Message[]), OF_BOTH);
      await drain(
        db.sql,
        { category, consumerId: `${how}2`, messages: skipping, [how]: handle } as never,
      );
      assert.deepEqual(told(seen.splice(0) as Message[]), OF_BOB);
    }
  });

  test("goes through a transactional consumer", async () => {
    const { category, forgotten } = await adaAndBob();
    const seen: unknown[] = [];
    await drain(db.sql, {
      category,
      consumerId: "it",
      transactional: true,
      messages,
      handlers: {
        Registered: ({ data }) => void seen.push(data.name),
        $forgotten: (message) => void seen.push(message),
      },
    });
    assert.deepEqual(seen, [forgotten[0], "Bob", forgotten[1]]);
  });

  test("of a parked message: the replay passes over it, or hands it to $forgotten", async () => {
    const { category, forgotten, ada } = await adaAndBob();
    keys.add(id(ada)!);
    for (const [consumerId, seen] of [["one", []], ["two", []]] as [string, unknown[]][]) {
      const names = { category, consumerId, messages };
      await drain(db.sql, { ...names, handle: () => "park" as const });
      keys.delete(id(ada)!);
      const replayed = await replayParked(db.sql, {
        ...names,
        handlers: {
          Registered: ({ data }) => void seen.push(data.name),
          ...(consumerId === "two" &&
            { $forgotten: (message: Message) => void seen.push(message) }),
        },
      });
      keys.add(id(ada)!);
      const ofAda = consumerId === "two" ? forgotten : [];
      assert.deepEqual(seen, [...ofAda.slice(0, 1), "Bob", ...ofAda.slice(1)]);
      assert.equal(replayed.replayed, 4);
    }
  });

  test("changes no state, unless a projection has a handler for it, or an evolve", async () => {
    const { category, ada } = await adaAndBob();
    const init = (): string[] => [];
    const named = {
      Registered: (state: string[], { data }: { data: { name: string } }) => [...state, data.name],
    };
    const by = { init, messages };
    const passing = await projectCategory(db.sql, category, { ...by, handlers: named });
    assert.deepEqual(passing.state, ["Bob"]);
    // It has a handler, so it is not refused.
    await project(db.sql, ada, { ...by, handlers: named, unknown: "refuse" });
    const counting = await projectCategory(db.sql, category, {
      ...by,
      handlers: {
        ...named,
        $forgotten: (state, { storedType, position }) => [...state, `${storedType} ${position}`],
      },
    });
    assert.deepEqual(counting.state, ["Registered 0", "Bob", "Registered 1"]);
    const evolved = await projectCategory(db.sql, category, {
      ...by,
      evolve: (state, { type }) => [...state, type],
    });
    assert.deepEqual(evolved.state, OF_BOTH.map(([type]) => type));
    const skipped = await projectCategory(db.sql, category, {
      init,
      messages: skipping,
      evolve: (state, { type }) => [...state, type],
    });
    assert.deepEqual(skipped.state, ["Registered", "Moved"]);
    // Only the forgotten ones of a type without a handler are handled: the others are refused as before.
    const only = { ...by, handlers: { $forgotten: (state: string[]) => [...state, "?"] } };
    assert.deepEqual((await projectCategory(db.sql, category, only)).state, ["?", "?"]);
    assert.deepEqual((await project(db.sql, ada, { ...only, unknown: "refuse" })).state, [
      "?",
      "?",
    ]);
    await assert.rejects(
      projectCategory(db.sql, category, { ...only, unknown: "refuse" }),
      InvalidMessageError,
    );
  });

  test("lets an entity go on: it is folded over, decided on and snapshotted", async () => {
    const { category, ada, adaId } = await adaAndBob();
    const people = entity({
      category,
      messages,
      init: () => ({ names: [] as string[], moves: 0 }),
      handlers: {
        Registered: (state, { data }) => ({ ...state, names: [...state.names, data.name] }),
        Moved: (state) => ({ ...state, moves: state.moves + 1 }),
      },
      snapshot: { every: 1 },
    });
    keys.add(adaId);
    const before = await people.fetch(db.sql, adaId);
    assert.deepEqual(before.state, { names: ["Ada", "Ada again"], moves: 0 });
    const [snapshot] = await readStream(db.sql, `${category}:snapshot-${adaId}`);
    assert.ok(snapshot, "the state was kept");
    keys.delete(adaId);
    const after = await people.fetch(db.sql, adaId);
    assert.deepEqual(after, { state: { names: [], moves: 0 }, version: 1 });
    await people.decide(db.sql, adaId, ({ names }) => Moved({ to: `${names.length}` }));
    await decide(db.sql, [[people, adaId]], ([{ moves }]) => [Moved({ to: `${moves}` })]);
    assert.equal(await streamVersion(db.sql, ada), 3);
  });
});

describe("a forgotten message", () => {
  test("is not written again: it cannot be", async () => {
    const { ada, stored } = await adaAndBob();
    const [message] = await readStream(db.sql, ada, { messages: person });
    const sentence = (type: string) =>
      `Cannot write message "${type}" to stream "copy-1": it is forgotten: its data cannot be read, so it cannot be written`;
    const writes = [
      write(db.sql, "copy-1", message!),
      write(db.sql, "copy-1", follow(stored[1]!, message!)),
      write(db.sql, "copy-1", message as never, { messages: person }),
    ];
    for (const writing of writes) {
      await assert.rejects(writing, {
        name: "InvalidMessageError",
        message: sentence("$forgotten"),
      });
    }
    await assert.rejects(
      importMessages(db.sql, iterateStream(db.sql, ada, { messages: person })),
      /it is forgotten/,
    );
    assert.equal(await streamVersion(db.sql, "copy-1"), -1);
  });

  test("can be the cause of another", async () => {
    const { ada } = await adaAndBob();
    const [cause] = await readStream(db.sql, ada, { messages: person });
    const effect = follow(cause!, Moved({ to: "Rome" }));
    assert.equal(effect.metadata?.["causationMessageStreamName"], ada);
  });

  test("is copied as it is stored: an import without a catalogue needs no key", async () => {
    const { ada, stored } = await adaAndBob();
    const copy = newCategory();
    const lines = stored.filter(({ streamName }) => streamName === ada)
      .map((message) => ({ ...message, id: crypto.randomUUID(), streamName: `${copy}-1` }));
    await importMessages(db.sql, lines);
    const imported = await readStream(db.sql, `${copy}-1`);
    assert.deepEqual(imported.map(({ data }) => data), lines.map(({ data }) => data));
  });
});

test("a message of a type that is not defined is not written as $unknown", async () => {
  const streamName = `${newCategory()}-1`;
  await write(db.sql, streamName, { type: "Elsewhere", data: { n: 5 } });
  const messages = defineMessages({ Moved: z.object({}) }, { unknown: "pass" });
  const [unknown] = await readStream(db.sql, streamName, { messages });
  await assert.rejects(write(db.sql, streamName, unknown!), {
    message:
      `Cannot write message "$unknown" to stream "${streamName}": it was read as a type that is not ` +
      'defined, "Elsewhere": give it that type to write it',
  });
  await write(db.sql, streamName, { ...unknown!, type: "Elsewhere" } as never);
});

test("what a codec throws is no forgetting: a key service that is down stops reads and consumers", async () => {
  const { category } = await adaAndBob();
  const down = new Error("the key service does not answer");
  const messages = defineMessages(definitions, {
    codec: { encode: codec.encode, decode: () => Promise.reject(down) },
  });
  await assert.rejects(readCategory(db.sql, category, { messages }), down);
  const names = { category, consumerId: "it", messages };
  for (const handlers of [{ Moved: () => {} }, { $forgotten: () => {} }]) {
    await assert.rejects(drain(db.sql, { ...names, handlers }), { code: "HANDLER_FAILED" });
  }
});

describe("defineMessages()", () => {
  test("has no type $forgotten, and no handler of it where nothing can be forgotten", async () => {
    const schema = z.object({});
    for (
      const definitions of [{ $forgotten: schema }, { Made: { schema, aliases: ["$forgotten"] } }]
    ) {
      assert.throws(() => defineMessages(definitions as never), {
        message:
          'Cannot use "$forgotten" as "type": it must be another name, since this one has a meaning already',
      });
    }
    assert.throws(() => defineMessages({ Made: schema }, { codec, forgotten: "drop" as never }), {
      message: 'Cannot use "drop" as "forgotten": it must be "pass" or "skip"',
    });
    for (
      const messages of [
        defineMessages(definitions),
        defineMessages(definitions, { codec, forgotten: "skip" }),
      ]
    ) {
      const handlers = { $forgotten: () => {} } as never;
      const rule =
        /"handlers.\$forgotten": it must be a type that .*: a read gives no forgotten message/;
      await assert.rejects(
        drain(db.sql, { category: newCategory(), consumerId: "it", messages, handlers }),
        { name: "TypeError", message: rule },
      );
      await assert.rejects(
        consume(db.sql, { category: newCategory(), consumerId: "it", messages, handlers }),
        { name: "TypeError", message: rule },
      );
      await assert.rejects(
        project(db.sql, "person-1", { init: () => 0, messages, handlers }),
        { name: "TypeError", message: rule },
      );
    }
  });
});
