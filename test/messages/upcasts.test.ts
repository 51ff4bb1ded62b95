import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  drain,
  InvalidMessageError,
  type Message,
  type MessageCatalogue,
  type Metadata,
  readStream,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
let streams = 0;
const newStream = () => `lifted-${++streams}`;

/** Writes data as any writer could have, and reads it with a catalogue. */
async function readBack(
  messages: MessageCatalogue,
  ...stored: readonly { type?: string; data: unknown; metadata?: Metadata | null }[]
): Promise<readonly Message[]> {
  const streamName = newStream();
  await writeBatch(db.sql, streamName, stored.map((it) => ({ type: "Renamed", ...it })));
  return await readStream(db.sql, streamName, { messages });
}

async function dataOf(...parameters: Parameters<typeof readBack>): Promise<unknown[]> {
  return (await readBack(...parameters)).map(({ data }) => data);
}

const stamped = (schemaVersion: unknown) => ({ schemaVersion } as Metadata);

describe("upcasts by schemaVersion", () => {
  const asked: string[] = [];
  const person = defineMessages({
    Renamed: {
      schema: z.object({ first: z.string(), last: z.string(), titles: z.array(z.string()) }),
      upcasts: [
        (data: { fullName: string }) => {
          asked.push("1");
          return { name: data.fullName };
        },
        ({ name }: { name: string }) => {
          asked.push("2");
          const [first, last] = name.split(" ");
          return { first, last };
        },
        (data: object) => {
          asked.push("3");
          return { ...data, titles: [] };
        },
      ],
    },
  });
  const ada = { first: "Ada", last: "Lovelace", titles: [] };

  test("lift each version through all that follow it, in their order, and no other", async () => {
    const versions = [
      [{ fullName: "Ada Lovelace" }, "1", ["1", "2", "3"]],
      [{ name: "Ada Lovelace" }, "2", ["2", "3"]],
      [{ first: "Ada", last: "Lovelace" }, "3", ["3"]],
      [{ ...ada, titles: ["Countess"] }, "4", []],
    ] as const;
    for (const [data, version, lifts] of versions) {
      asked.length = 0;
      const expected = version === "4" ? { ...ada, titles: ["Countess"] } : ada;
      assert.deepEqual(await dataOf(person, { data, metadata: stamped(version) }), [expected]);
      assert.deepEqual(asked, lifts);
    }
    const all = versions.map(([data, version]) => ({ data, metadata: stamped(version) }));
    assert.deepEqual(await dataOf(person, ...all), [ada, ada, ada, versions[3][0]]);
  });

  test("take a message without one for the first version", async () => {
    for (const metadata of [undefined, null, { schemaVersion: null } as never, {}, { by: "Ada" }]) {
      const stored = { data: { fullName: "Ada Lovelace" }, ...(metadata && { metadata }) };
      assert.deepEqual(await dataOf(person, stored), [ada]);
    }
  });

  test("take a number for what it says", async () => {
    const stored = { data: { name: "Ada Lovelace" }, metadata: stamped(2) };
    assert.deepEqual(await dataOf(person, stored), [ada]);
  });

  test("leave the metadata as it is stored", async () => {
    const metadata = { schemaVersion: "2", by: "Ada" };
    const [read] = await readBack(person, { data: { name: "Ada Lovelace" }, metadata });
    assert.deepEqual(read!.metadata, metadata);
  });

  test.each([
    "5",
    "0",
    "-1",
    "1.5",
    "two",
    "",
    " ",
    " 2 ",
    "0x2",
    "02",
    true,
    [2],
    {},
    5,
  ])(
    "refuse a version that is not defined: %j",
    async (version) => {
      const metadata = { schemaVersion: version } as unknown as Metadata;
      const streamName = newStream();
      // As JSON holds it.
      const json = JSON.parse(JSON.stringify(metadata));
      await write(db.sql, streamName, { type: "Renamed", data: ada, metadata: json });
      const error = await readStream(db.sql, streamName, { messages: person }).catch((it) => it);
      assert.ok(error instanceof InvalidMessageError, String(error));
      const { schemaVersion } = json;
      assert.deepEqual(error.issues, [{
        path: [],
        message: `its schemaVersion is ${
          JSON.stringify(schemaVersion)
        }, and those up to "4" are defined`,
      }]);
    },
  );

  test("stamp what is written, whatever the message's metadata says", async () => {
    const streamName = newStream();
    await writeBatch(db.sql, streamName, [
      person.Renamed(ada),
      person.Renamed(ada, { metadata: { by: "Ada", schemaVersion: "1" } }),
    ]);
    const stored = await readStream(db.sql, streamName);
    assert.deepEqual(stored.map(({ metadata }) => metadata), [
      { schemaVersion: "4" },
      { by: "Ada", schemaVersion: "4" },
    ]);
    asked.length = 0;
    const read = await readStream(db.sql, streamName, { messages: person });
    assert.deepEqual([read.map(({ data }) => data), asked], [[ada, ada], []]);
  });

  test("stamp nothing where there are none", async () => {
    const plain = defineMessages({ Renamed: { schema: z.object({}), upcasts: [] } });
    const streamName = newStream();
    const own = { metadata: { schemaVersion: "7" } };
    await writeBatch(db.sql, streamName, [plain.Renamed({}), plain.Renamed({}, own)]);
    const stored = await readStream(db.sql, streamName);
    assert.deepEqual(stored.map(({ metadata }) => metadata), [null, own.metadata]);
    assert.equal((await readStream(db.sql, streamName, { messages: plain })).length, 2);
  });

  test("do not make metadata of what is none", async () => {
    for (const metadata of ["text", ["Ada"], 5]) {
      const streamName = newStream();
      const message = person.Renamed(ada, { metadata: metadata as never });
      await assert.rejects(write(db.sql, streamName, message), {
        name: "TypeError",
        message: /as "metadata": it must be an object$/,
      });
      assert.equal(await streamVersion(db.sql, streamName), -1);
    }
  });

  test("are given what is stored, and the message that it is of", async () => {
    const given: unknown[] = [];
    const messages = defineMessages({
      Renamed: {
        schema: z.unknown(),
        upcasts: [(data, message) => {
          given.push(data, message);
          return "lifted";
        }],
      },
    });
    const streamName = newStream();
    await write(db.sql, streamName, { type: "Renamed", data: "old", metadata: { by: "Ada" } });
    const [read] = await readStream(db.sql, streamName, { messages });
    const [stored] = await readStream(db.sql, streamName);
    assert.deepEqual(given, ["old", stored]);
    assert.deepEqual(read, { ...stored, data: "lifted" });
  });

  test("that throw, or make what does not fit, are an InvalidMessageError", async () => {
    const thrown = new Error("no name");
    const throwing = defineMessages({
      Renamed: {
        schema: z.object({ name: z.string() }),
        upcasts: [(data) => data, (data: { name?: number }) => {
          if (data.name === undefined) throw thrown;
          return data;
        }],
      },
    });
    const error = await readBack(throwing, { data: {} }).then(() => assert.fail(), (it) => it);
    assert.ok(error instanceof InvalidMessageError, String(error));
    assert.deepEqual(error.issues, [{
      path: [],
      message: "version 2 cannot be lifted: Error: no name",
    }]);
    assert.equal(error.cause, thrown);
    await assert.rejects(readBack(throwing, { data: { name: 5 } }), {
      name: "InvalidMessageError",
      issues: [{ path: ["name"], message: "Invalid input: expected string, received number" }],
    });
  });
});

describe("upcasts by a guard", () => {
  const isObject = (data: unknown): data is object => typeof data === "object" && data !== null;
  const deposited = defineMessages({
    Deposited: {
      schema: z.object({ amount: z.number(), currency: z.string() }),
      upcasts: [
        { when: (data) => typeof data === "number", lift: (amount) => ({ amount }) },
        {
          when: (data) => isObject(data) && !("currency" in data),
          lift: (data: object) => ({ ...data, currency: "EUR" }),
        },
      ],
    },
  });
  const five = { amount: 5, currency: "EUR" };

  test("lift what they say is older, where no schemaVersion tells", async () => {
    const dollars = { amount: 5, currency: "USD" };
    const all = [5, { amount: 5 }, dollars].map((data) => ({ type: "Deposited", data }));
    assert.deepEqual(await dataOf(deposited, ...all), [five, five, dollars]);
  });

  test("are not asked where a schemaVersion tells", async () => {
    const asked: unknown[] = [];
    const messages = defineMessages({
      Deposited: {
        schema: z.unknown(),
        upcasts: [{
          when: (data) => {
            asked.push(data);
            return data === "new";
          },
          lift: (data) => `lifted ${data}`,
        }],
      },
    });
    const type = "Deposited";
    const read = await dataOf(
      messages,
      { type, data: "old", metadata: stamped("1") },
      { type, data: "new", metadata: stamped("2") },
      { type, data: "new" },
      { type, data: "newer" },
    );
    assert.deepEqual(read, ["lifted old", "new", "lifted new", "newer"]);
    assert.deepEqual(asked, ["new", "newer"]);
  });

  test("are given what was lifted so far, and the message as it is stored", async () => {
    const given: unknown[] = [];
    const messages = defineMessages({
      Deposited: {
        schema: z.unknown(),
        upcasts: [
          { when: () => true, lift: () => "lifted" },
          {
            when: (data, message) => {
              given.push(data, message);
              return false;
            },
            lift: () => assert.fail("it was not to be lifted"),
          },
        ],
      },
    });
    const [read] = await readBack(messages, { type: "Deposited", data: "old" });
    assert.deepEqual(given, ["lifted", { ...read, data: "old" }]);
    assert.equal(read!.data, "lifted");
  });

  test("that throw are an InvalidMessageError", async () => {
    const messages = defineMessages({
      Deposited: {
        schema: z.unknown(),
        upcasts: [{ when: (data) => (data as string[]).length > 1, lift: (data) => data }],
      },
    });
    await assert.rejects(readBack(messages, { type: "Deposited", data: null }), {
      name: "InvalidMessageError",
      message: /: version 1 cannot be lifted: TypeError: /,
    });
  });

  test("go with lifts that have none, which are of every message without a schemaVersion", async () => {
    const mixed = defineMessages({
      Deposited: {
        schema: z.object({ cents: z.number(), currency: z.string() }),
        upcasts: [
          {
            when: (data) => isObject(data) && !("currency" in data),
            lift: (data: object) => ({ ...data, currency: "EUR" }),
          },
          ({ amount, currency }: { amount: number; currency: string }) => ({
            cents: amount * 100,
            currency,
          }),
        ],
      },
    });
    const type = "Deposited";
    const read = await dataOf(
      mixed,
      { type, data: { amount: 5 } },
      { type, data: { amount: 5, currency: "USD" } },
      { type, data: { amount: 5, currency: "USD" }, metadata: stamped("2") },
      { type, data: { cents: 5, currency: "USD" }, metadata: stamped("3") },
    );
    assert.deepEqual(read, [
      { cents: 500, currency: "EUR" },
      { cents: 500, currency: "USD" },
      { cents: 500, currency: "USD" },
      { cents: 5, currency: "USD" },
    ]);
  });
});

describe("a renamed type", () => {
  const account = defineMessages({
    Deposited: {
      schema: z.object({ amount: z.number() }),
      aliases: ["Paid", "PaidIn"],
      upcasts: [(data: { sum: number }) => ({ amount: data.sum })],
    },
    Withdrawn: z.object({ amount: z.number() }),
  });

  test("is read as the one that it is now, lifted as that is", async () => {
    const read = await readBack(
      account,
      { type: "Paid", data: { sum: 1 } },
      { type: "PaidIn", data: { amount: 2 }, metadata: stamped("2") },
      { type: "Deposited", data: { sum: 3 } },
      { type: "Withdrawn", data: { amount: 4 } },
    );
    assert.deepEqual(read.map(({ type, data }) => [type, data]), [
      ["Deposited", { amount: 1 }],
      ["Deposited", { amount: 2 }],
      ["Deposited", { amount: 3 }],
      ["Withdrawn", { amount: 4 }],
    ]);
  });

  test("is written by its new name, and has no constructor by the old", async () => {
    assert.deepEqual(Object.keys(account), ["Deposited", "Withdrawn"]);
    const streamName = newStream();
    await write(db.sql, streamName, account.Deposited({ amount: 5 }));
    const [{ type, data, metadata } = assert.fail()] = await readStream(db.sql, streamName);
    assert.deepEqual([type, data, metadata], ["Deposited", { amount: 5 }, { schemaVersion: "2" }]);
  });

  test("is told by its old name where it does not fit", async () => {
    await assert.rejects(readBack(account, { type: "Paid", data: { sum: "1" } }), {
      message: /^Cannot read message "Paid" at position 0 of stream /,
    });
  });
});

test("a lift that changes what it is given does so once, however often a handler is called", async () => {
  const category = "retried";
  await write(db.sql, `${category}-1`, { type: "Made", data: { amount: 5 } });
  const messages = defineMessages({
    Made: {
      schema: z.object({ amount: z.number() }),
      upcasts: [(data: { amount: number }) => (data.amount *= 100, data)],
    },
  });
  const amounts: number[] = [];
  await drain(db.sql, {
    category,
    consumerId: "lifting",
    messages,
    onError: { retry: 2, delay: 0 },
    handlers: {
      Made: ({ data }) => {
        amounts.push(data.amount);
        if (amounts.length < 3) throw new Error("not yet");
      },
    },
  });
  assert.deepEqual(amounts, [500, 500, 500]);
});
