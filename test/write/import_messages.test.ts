import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, test } from "vitest";
import {
  type ImportedMessage,
  importMessages,
  type ImportProgress,
  iterateAll,
  type Metadata,
  readAll,
  readCategory,
  readStream,
  type Sql,
  write,
  writeBatch,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const other = useDatabase();
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const messagesOf = (category: string, count: number, streams = 10): ImportedMessage[] =>
  numbers(count).map((at) => ({
    streamName: `${category}-${at % streams}`,
    type: "Counted",
    data: at,
    id: crypto.randomUUID(),
  }));

describe("importMessages()", () => {
  test("copies a store: streams, positions, order, data, metadata, ids and times", async () => {
    const followed = { metadata: { correlationStreamName: "other-1" } };
    for (const at of numbers(20)) {
      await writeBatch(other.sql, `copied${at % 3}-${at % 7}`, [
        { type: "First", data: { at, nested: [null, "\n", 0.1] } },
        { type: "Second", ...followed },
      ]);
    }
    const { count, written, last } = await importMessages(db.sql, iterateAll(other.sql));
    const plain = await readAll(other.sql);
    const copied = await readAll(db.sql);
    assert.deepEqual([count, written, last], [40, 40, plain.at(-1)]);
    const withoutPlace = ({ globalPosition: _, ...message }: (typeof plain)[0]) => message;
    assert.deepEqual(copied.map(withoutPlace), plain.map(withoutPlace));
  });

  test("takes any iterable, a thousand messages a statement, and tells of each", async () => {
    const messages = messagesOf("thousands", 2500);
    const progress: ImportProgress[] = [];
    const onProgress = (it: ImportProgress) => progress.push(it);
    await importMessages(db.sql, messages, { onProgress });
    assert.deepEqual(
      progress,
      [1000, 2000, 2500].map((count) => ({
        count,
        written: count,
        last: messages[count - 1],
      })),
    );
    const written = await readCategory(db.sql, "thousands", { batchSize: 3000 });
    assert.deepEqual(written.map(({ data }) => data), numbers(2500));
    assert.deepEqual(await importMessages(db.sql, []), {
      count: 0,
      written: 0,
      last: undefined,
    });
  });

  test("done again after it was cut short writes what is missing, once", async () => {
    const messages = messagesOf("resumed", 3500);
    let reached: ImportProgress | undefined;
    const cut = importMessages(db.sql, messages, {
      onProgress: (progress) => {
        reached = progress;
        if (progress.count === 2000) throw new Error("cut");
      },
    });
    await assert.rejects(cut, /cut/);
    assert.equal(reached!.count, 2000);
    assert.equal((await readCategory(db.sql, "resumed", { batchSize: 5000 })).length, 2000);
    const rest = await importMessages(db.sql, messages.slice(1234));
    assert.deepEqual([rest.count, rest.written], [2266, 1500]);
    const again = await importMessages(db.sql, messages);
    assert.deepEqual([again.count, again.written], [3500, 0]);
    const written = await readCategory(db.sql, "resumed", { batchSize: 5000 });
    assert.deepEqual(written.map(({ data }) => data), numbers(3500));
  });

  test("two at once write each message once", async () => {
    const messages = messagesOf("both", 3000);
    await Promise.all(
      numbers(2).map(() => importMessages(db.connect({ max: 1 }), messages)),
    );
    const written = await readCategory(db.sql, "both", { batchSize: 9000 });
    assert.deepEqual(written.map(({ data }) => data), numbers(3000));
  });

  /** Messages of a store are written by a statement of their own. */
  const origins = {
    "with no place in a store": (messages: ImportedMessage[]) => messages,
    "that were read from a store": (messages: ImportedMessage[]) =>
      messages.map((message, at) => ({ ...message, globalPosition: at + 1 })),
  };

  test.each(Object.entries(origins))(
    "writes messages %s behind what others have written meanwhile",
    async (_, from) => {
      const category = `meanwhile${crypto.randomUUID().slice(0, 8)}`;
      const messages = from(messagesOf(category, 10, 1));
      await whileLocked(
        db,
        `${category}-0`,
        1,
        (sql) => importMessages(sql, messages),
        (sql) => write(sql, `${category}-0`, { type: "Before" }),
      );
      const written = await readStream(db.sql, `${category}-0`);
      assert.deepEqual(written.map(({ data }) => data), [null, ...numbers(10)]);
    },
  );

  test("writes messages alike, whether they were read from a store or not", async () => {
    const places = ["-1", "-2", ""];
    const aMessage = fc.record({ place: fc.constantFrom(...places), id: fc.nat(7) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(aMessage, { maxLength: 3 }),
        fc.array(aMessage, { minLength: 1, maxLength: 12 }),
        async (before, imported) => {
          const outcomes = await Promise.all(
            Object.values(origins).map(async (from) => {
              const category = `alike${crypto.randomUUID().slice(0, 8)}`;
              const ids: string[] = numbers(8).map(() => crypto.randomUUID());
              const messagesAt = (all: typeof imported): ImportedMessage[] =>
                all.map(({ place, id }, data) => {
                  return { streamName: category + place, type: "Alike", data, id: ids[id]! };
                });
              const outcome = async (messages: ImportedMessage[]): Promise<unknown> => {
                try {
                  const { count, written } = await importMessages(db.sql, messages);
                  return [count, written];
                } catch (error) {
                  return [(error as Error).name, (error as Error & { cause: Error }).cause.message];
                }
              };
              const answers = [
                await outcome(messagesAt(before)),
                await outcome(from(messagesAt(imported))),
              ];
              const stored = await readCategory(db.sql, category);
              return [
                answers,
                stored.map(({ id, streamName, position, data }) => [
                  ids.indexOf(id),
                  streamName.slice(category.length),
                  position,
                  data,
                ]),
              ];
            }),
          );
          assert.deepEqual(outcomes[0], outcomes[1]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test.each(Object.entries(origins))(
    "writes messages %s behind what others have written meanwhile to a stream that is named as its category",
    async (_, from) => {
      const name = `named${crypto.randomUUID().slice(0, 8)}`;
      const message = { streamName: name, type: "Counted", data: 0, id: crypto.randomUUID() };
      const other = { ...message, id: crypto.randomUUID() };
      await whileLocked(
        db,
        name,
        1,
        (sql) => importMessages(sql, from([message, other])),
        (sql) => importMessages(sql, [other]),
      );
      const written = await readCategory(db.sql, name);
      assert.deepEqual(written.map(({ id, position }) => [id, position]), [
        [other.id, 0],
        [message.id, 1],
      ]);
    },
  );

  test("finds each message once in a stream that is named as its category, and its effects point right", async () => {
    const name = `effects${crypto.randomUUID().slice(0, 8)}`;
    const message = (globalPosition: number, streamName: string, metadata?: Metadata) => ({
      ...{ globalPosition, streamName, type: "Counted", data: 0, id: crypto.randomUUID() },
      ...(metadata && { metadata }),
    });
    const [first, second] = [message(1, name), message(2, name)];
    const effect = message(3, `${name}-1`, { causationMessageGlobalPosition: 1 });
    await importMessages(db.sql, [first]);
    await whileLocked(
      db,
      name,
      1,
      (sql) => importMessages(sql, [first, second, effect]),
      (sql) => importMessages(sql, [first, second]),
    );
    const [stored, , last] = await readCategory(db.sql, name);
    assert.equal(last!.id, effect.id);
    assert.equal(last!.metadata!.causationMessageGlobalPosition, stored!.globalPosition);
  });

  test("keeps the order across categories, whoever else writes to them", async () => {
    const messages = numbers(500).map((at) => ({
      streamName: `across${at % 5}-${at % 3}`,
      type: "Counted",
      data: at,
      id: crypto.randomUUID(),
    }));
    const others = numbers(100).map((at) => write(db.sql, `across${at % 5}-0`, { type: "Other" }));
    await importMessages(db.sql, messages);
    await Promise.all(others);
    const written = (await readAll(db.sql, { batchSize: 100_000 }))
      .filter(({ streamName, type }) => streamName.startsWith("across") && type === "Counted");
    assert.deepEqual(written.map(({ data }) => data), numbers(500));
  });

  test("a message that comes twice is written once", async () => {
    const [one, two] = messagesOf("twice", 2, 1) as [ImportedMessage, ImportedMessage];
    const shouted = { ...one, id: one.id.toUpperCase() };
    const { count } = await importMessages(db.sql, [one, two, shouted, two]);
    assert.equal(count, 4);
    assert.equal((await readStream(db.sql, "twice-0")).length, 2);
  });

  test("an id that another stream has ends it with a DuplicateMessageError", async () => {
    const [message] = messagesOf("taken", 1, 1) as [ImportedMessage];
    await write(db.sql, "taken-1", message);
    await assert.rejects(importMessages(db.sql, [message]), {
      name: "DuplicateMessageError",
      id: message.id,
    });
  });

  test("writes none of those that come with it, so that none comes before it later", async () => {
    const messages = messagesOf("mended", 5, 1) as ImportedMessage[];
    await write(db.sql, "taken-2", messages[1]!);
    await assert.rejects(importMessages(db.sql, messages), { name: "DuplicateMessageError" });
    assert.deepEqual(await readStream(db.sql, "mended-0"), []);
    messages[1] = { ...messages[1]!, id: crypto.randomUUID() };
    await importMessages(db.sql, messages);
    const written = await readStream(db.sql, "mended-0");
    assert.deepEqual(written.map(({ id }) => id), messages.map(({ id }) => id));
  });

  test("says which message it cannot write", async () => {
    const messages = messagesOf("which", 3);
    await assert.rejects(importMessages(db.sql, [...messages, { ...messages[0]!, data: NaN }]), {
      name: "TypeError",
      message: 'Cannot import message 4: Cannot write "data" as JSON: it is NaN',
    });
  });

  test("says which line it cannot write, with blank lines counted", async () => {
    const [one, two] = messagesOf("line", 2).map((it) => JSON.stringify(it)) as [string, string];
    await assert.rejects(importMessages(db.sql, ["\n", one, "", "{"]), {
      name: "TypeError",
      message: /^Cannot import line 4: it is not JSON: /,
    });
    const { id } = JSON.parse(two);
    await write(db.sql, "taken-3", { id, type: "Counted" });
    const { name, cause } = await importMessages(db.sql, [one, "", two])
      .then(() => assert.fail(), (error: Error) => error);
    assert.equal(name, "DuplicateMessageError");
    assert.match(String(cause), /: Cannot import line 3: another stream has its id/);
  });

  test("holds no more than two thousand messages, however slow the database", async () => {
    let made = 0;
    let stored = 0;
    let most = 0;
    async function* source(): AsyncGenerator<ImportedMessage> {
      for (const message of messagesOf("bounded", 10_000)) {
        most = Math.max(most, ++made - stored);
        yield message;
      }
    }
    await importMessages(db.sql, source(), { onProgress: ({ count }) => stored = count });
    assert.equal(stored, 10_000);
    assert(most <= 2001, `${most} messages`);

    const lengths: number[] = [];
    const watched = ((strings: TemplateStringsArray, ...parameters: string[]) => {
      lengths.push(parameters[0]!.length);
      return db.sql(strings, ...parameters);
    }) as Sql;
    const large = messagesOf("large", 20).map((it) => ({ ...it, data: "x".repeat(55_000) }));
    await importMessages(watched, large);
    assert.equal(lengths.length, 4);
  });

  test("sends no more than a gateway takes, whatever the script", async () => {
    const handle = gateway(db.sql, { authorize: () => true });
    const sql = fetchSql("http://gateway/sql", {
      fetch: (url, init) => handle(new Request(url, init)),
    });
    for (const character of ["語", '"', "\\", "\n"]) {
      const large = messagesOf("script", 20).map((it) => ({
        ...it,
        data: character.repeat(50_000),
      }));
      assert.equal((await importMessages(sql, large)).count, 20);
    }
  });

  test("takes the times of the years 1 to 9999, and dates of another realm", async () => {
    const times = ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", new Date(1).toJSON()];
    const dates = times.map((time) => runInNewContext(`new Date("${time}")`) as Date);
    const messages = messagesOf("times", 3, 1).map((it, at) => ({ ...it, time: dates[at] }));
    await importMessages(db.sql, messages);
    const written = await readStream(db.sql, "times-0");
    assert.deepEqual(written.map(({ time }) => time.toJSON()), times);
  });

  test("closes its source and stops, whoever fails", async () => {
    let isClosed = false;
    async function* source(messages: unknown[]): AsyncGenerator<ImportedMessage> {
      try {
        yield* messages as ImportedMessage[];
      } finally {
        isClosed = true;
      }
    }
    const [good] = messagesOf("bad", 1) as [ImportedMessage];
    for (
      const bad of [
        { ...good, id: undefined },
        { ...good, id: "1" },
        { ...good, streamName: "" },
        { ...good, time: new Date(NaN) },
        { ...good, time: "2026-01-01" },
        { ...good, time: new Date("+010000-01-01") },
        { ...good, time: new Date("0000-12-31") },
        { ...good, data: undefined },
        null,
      ]
    ) {
      isClosed = false;
      await assert.rejects(importMessages(db.sql, source([bad])), TypeError);
      assert(isClosed);
    }
    async function* broken(): AsyncGenerator<ImportedMessage> {
      yield* messagesOf("broken", 1500);
      throw new Error("the file ends here");
    }
    const onProgress = () => {};
    await assert.rejects(importMessages(db.sql, broken(), { onProgress }), /ends here/);
    assert.equal((await readCategory(db.sql, "broken", { batchSize: 5000 })).length, 1000);
    await assert.rejects(importMessages(db.sql, [], { onProgress: 1 as never }), TypeError);
  });
});
