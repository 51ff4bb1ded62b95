import {
  aggregate,
  append,
  cardinalId,
  categories,
  category,
  ConditionNotActivatedError,
  consume,
  type Consumer,
  ConsumerBehindError,
  decide,
  defineMessages,
  drain,
  DuplicateMessageError,
  entity,
  entityIds,
  follow,
  fromQuery,
  groupCommit,
  id,
  ids,
  importMessages,
  inSchema,
  InvalidMessageError,
  isCategory,
  iterateAll,
  iterateCategory,
  iterateStream,
  type Message,
  MessageDbError,
  MessageMismatchError,
  messageStoreVersion,
  NO_STREAM,
  NotInstalledError,
  project,
  projectCategory,
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
  type StandardSchema,
  streamName,
  streamNames,
  streamVersion,
  subscribe,
  type SubscribeOptions,
  synchronize,
  types,
  waitFor,
  write,
  writeBatch,
  writeStreams,
  WrongExpectedVersionError,
} from "@messagedb/client";
import { studio } from "@messagedb/client/studio";
import { deepEqual, equal, ok } from "node:assert/strict";
import type { Environment, Outcome } from "./environment.ts";

/** What holds in every runtime and with every driver. */
interface Behaviour {
  readonly name: string;
  /** What it needs of the handle besides the library's own statements. */
  readonly needs?: "transactions" | "other SQL";
  readonly run: (environment: Required<Environment>) => Promise<void>;
}

const behaviours: Behaviour[] = [];

function it(name: string, run: Behaviour["run"]): void {
  behaviours.push({ name, run });
}

function itInTransaction(name: string, run: Behaviour["run"]): void {
  behaviours.push({ name, needs: "transactions", run });
}

function itWithOtherSql(name: string, run: Behaviour["run"]): void {
  behaviours.push({ name, needs: "other SQL", run });
}

/** A category that no other behaviour, run or process uses. */
function newCategory(): string {
  return `c${crypto.randomUUID().replaceAll("-", "")}`;
}

function newStream(): string {
  return streamName(newCategory(), "1");
}

/** What `promise` rejects with, which has to be of this class. */
async function failure<E extends Error>(
  promise: Promise<unknown>,
  // deno-lint-ignore no-explicit-any -- the constructors take what they like
  Class: abstract new (...parameters: any[]) => E,
): Promise<E> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Class) return error;
    throw error;
  }
  throw new Error(`Expected ${Class.name}, but nothing was thrown`);
}

/** The one value that a statement of the suite's own answers, as text. */
async function value(answer: ReturnType<Sql>): Promise<string> {
  const rows = await answer;
  const [row] = "rows" in rows ? rows.rows : rows;
  return Object.values(row as Record<string, string>)[0]!;
}

function positions(messages: readonly Message[]): number[] {
  return messages.map(({ position }) => position);
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

/** As many messages as asked for, of type `Counted`, their data their numbers from 0. */
function counted(count: number): { type: string; data: number }[] {
  return numbers(0, count - 1).map((data) => ({ type: "Counted", data }));
}

async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of iterable) all.push(each);
  return all;
}

/** The last global position of the store. */
async function end(sql: Sql): Promise<number> {
  const [last] = await readAll(sql, { direction: "backward", batchSize: 1 });
  return last?.globalPosition ?? 0;
}

class Rollback extends Error {}

/** Runs `work` in a transaction that is rolled back. */
async function rolledBack(
  begin: Required<Environment>["begin"],
  work: (sql: Sql) => Promise<void>,
): Promise<void> {
  const transaction = begin(async (sql) => {
    await work(sql);
    throw new Rollback();
  });
  await failure(transaction, Rollback);
}

// Writing

it("write() answers the position in the stream, from 0", async ({ sql }) => {
  const stream = newStream();
  equal(await write(sql, stream, { type: "Opened" }), 0);
  equal(await write(sql, stream, { type: "Closed" }), 1);
  equal(await write(sql, newStream(), { type: "Opened" }), 0);
});

it("write() at NO_STREAM starts a stream that is not there, and no other", async ({ sql }) => {
  const stream = newStream();
  equal(
    await write(sql, stream, { type: "Opened" }, {
      expectedVersion: NO_STREAM,
    }),
    0,
  );
  const again = write(sql, stream, { type: "Opened" }, {
    expectedVersion: NO_STREAM,
  });
  const error = await failure(again, WrongExpectedVersionError);
  equal(error.expectedVersion, NO_STREAM);
  equal(error.actualVersion, 0);
  equal(await streamVersion(sql, stream), 0);
});

it("write() takes 0 for an expected version like any other", async ({ sql }) => {
  const stream = newStream();
  const tooEarly = write(sql, stream, { type: "Second" }, {
    expectedVersion: 0,
  });
  equal(
    (await failure(tooEarly, WrongExpectedVersionError)).actualVersion,
    NO_STREAM,
  );
  await write(sql, stream, { type: "First" });
  equal(
    await write(sql, stream, { type: "Second" }, { expectedVersion: 0 }),
    1,
  );
  const tooLate = write(sql, stream, { type: "Third" }, { expectedVersion: 0 });
  equal((await failure(tooLate, WrongExpectedVersionError)).actualVersion, 1);
});

it("WrongExpectedVersionError says what was wrong, and has the driver's error as its cause", async ({ sql }) => {
  const stream = newStream();
  const error = await failure(
    write(sql, stream, { type: "Opened" }, { expectedVersion: 7 }),
    WrongExpectedVersionError,
  );
  ok(error instanceof MessageDbError);
  equal(error.name, "WrongExpectedVersionError");
  equal(error.code, "WRONG_EXPECTED_VERSION");
  equal(error.streamName, stream);
  equal(error.expectedVersion, 7);
  equal(error.actualVersion, -1);
  ok(error.message.includes(`"${stream}"`), error.message);
  ok((error.cause as Error).message.includes("Wrong expected version: 7"));
});

it("write() answers the first position when the same id is written again", async ({ sql }) => {
  const stream = newStream();
  const message = {
    id: crypto.randomUUID(),
    type: "Deposited",
    data: { amount: 11 },
  };
  equal(await write(sql, stream, message, { expectedVersion: NO_STREAM }), 0);
  equal(await write(sql, stream, { type: "Other" }), 1);
  equal(await write(sql, stream, message), 0);
  equal(await write(sql, stream, message, { expectedVersion: NO_STREAM }), 0);
  equal(
    await write(sql, stream, { ...message, id: message.id.toUpperCase() }),
    0,
  );
  equal(await streamVersion(sql, stream), 1);
});

it("write() of an id that another stream has is a DuplicateMessageError", async ({ sql }) => {
  const id = crypto.randomUUID();
  const [here, there] = [newStream(), newStream()];
  await write(sql, here, { id, type: "Opened" });
  const error = await failure(
    write(sql, there, { id, type: "Opened" }),
    DuplicateMessageError,
  );
  equal(error.id, id);
  equal(error.code, "DUPLICATE_MESSAGE");
  equal(await streamVersion(sql, there), NO_STREAM);
});

it("write() of one id 20 times at once writes it once and answers one position", async ({ sql }) => {
  const stream = newStream();
  await write(sql, stream, { type: "Opened" });
  for (const version of numbers(0, 9)) {
    const message = { id: crypto.randomUUID(), type: "Deposited" };
    const answers = await Promise.all(
      numbers(1, 20).map(() => write(sql, stream, message, { expectedVersion: version })),
    );
    deepEqual(answers, Array(20).fill(version + 1));
  }
  equal(await streamVersion(sql, stream), 10);
});

it("write() of one id to 20 streams at once writes it to one of them", async ({ sql }) => {
  const message = { id: crypto.randomUUID(), type: "Opened" };
  const outcomes = await Promise.allSettled(
    numbers(1, 20).map(() => write(sql, newStream(), message)),
  );
  const lost = outcomes.filter((outcome) => outcome.status === "rejected");
  equal(lost.length, 19);
  for (const { reason } of lost) {
    ok(reason instanceof DuplicateMessageError, String(reason));
    equal(reason.id, message.id);
  }
});

it("50 concurrent writers to one stream get 50 positions without a gap", async ({ sql }) => {
  const stream = newStream();
  const written = await Promise.all(
    numbers(0, 49).map((data) => write(sql, stream, { type: "Counted", data })),
  );
  deepEqual(written.toSorted((a, b) => a - b), numbers(0, 49));
  const messages = await readStream<number>(sql, stream);
  deepEqual(positions(messages), numbers(0, 49));
  for (const { data, position } of messages) equal(written[data], position);
});

it("of 50 concurrent writers that expect one version, one writes", async ({ sql }) => {
  const stream = newStream();
  const outcomes = await Promise.allSettled(
    numbers(1, 50).map(() => write(sql, stream, { type: "Won" }, { expectedVersion: NO_STREAM })),
  );
  const lost = outcomes.filter((outcome) => outcome.status === "rejected");
  equal(lost.length, 49);
  for (const { reason } of lost) {
    ok(reason instanceof WrongExpectedVersionError, String(reason));
    equal(reason.actualVersion, 0);
  }
  equal(await streamVersion(sql, stream), 0);
});

it("50 concurrent writers to 50 streams each write", async ({ sql }) => {
  const category = newCategory();
  const streams = numbers(0, 49).map((number) => streamName(category, `${number}`));
  const written = await Promise.all(
    streams.map((stream) => write(sql, stream, { type: "Opened" }, { expectedVersion: NO_STREAM })),
  );
  deepEqual(written, streams.map(() => 0));
  deepEqual(await streamNames(sql, category), streams.toSorted());
});

it("writeBatch() writes in order and answers the last position", async ({ sql }) => {
  const stream = newStream();
  equal(
    await writeBatch(sql, stream, counted(3), { expectedVersion: NO_STREAM }),
    2,
  );
  equal(await writeBatch(sql, stream, counted(2), { expectedVersion: 2 }), 4);
  const messages = await readStream(sql, stream);
  deepEqual(messages.map(({ data }) => data), [0, 1, 2, 0, 1]);
  deepEqual(positions(messages), numbers(0, 4));
});

it("writeBatch() at a wrong expected version writes nothing", async ({ sql }) => {
  const stream = newStream();
  await write(sql, stream, { type: "Opened" });
  const batch = writeBatch(sql, stream, counted(3), {
    expectedVersion: NO_STREAM,
  });
  const error = await failure(batch, WrongExpectedVersionError);
  deepEqual([error.streamName, error.expectedVersion, error.actualVersion], [
    stream,
    -1,
    0,
  ]);
  equal(await streamVersion(sql, stream), 0);
});

it("writeBatch() of the same ids again writes nothing and answers the same", async ({ sql }) => {
  const stream = newStream();
  const batch = counted(3).map((message) => ({
    ...message,
    id: crypto.randomUUID(),
  }));
  equal(
    await writeBatch(sql, stream, batch, { expectedVersion: NO_STREAM }),
    2,
  );
  equal(
    await writeBatch(sql, stream, batch, { expectedVersion: NO_STREAM }),
    2,
  );
  equal(await streamVersion(sql, stream), 2);
});

it("writeBatch() of one batch 10 times at once writes it once", async ({ sql }) => {
  for (const _ of numbers(1, 10)) {
    const stream = newStream();
    const batch = counted(5).map((message) => ({
      ...message,
      id: crypto.randomUUID(),
    }));
    const answers = await Promise.all(
      numbers(1, 10).map(() => writeBatch(sql, stream, batch, { expectedVersion: NO_STREAM })),
    );
    deepEqual(answers, Array(10).fill(4));
    equal(await streamVersion(sql, stream), 4);
  }
});

it("writeBatch() of which a part was written before writes nothing", async ({ sql }) => {
  const stream = newStream();
  const known = { id: crypto.randomUUID(), type: "Known" };
  await write(sql, stream, known);
  const batch = writeBatch(sql, stream, [{ type: "New" }, known]);
  equal((await failure(batch, DuplicateMessageError)).id, known.id);
  equal(await streamVersion(sql, stream), 0);
});

it("writeBatch() of messages that another stream has writes nothing", async ({ sql }) => {
  const [here, there] = [newStream(), newStream()];
  const batch = counted(2).map((message) => ({
    ...message,
    id: crypto.randomUUID(),
  }));
  await writeBatch(sql, here, batch);
  await failure(writeBatch(sql, there, batch), DuplicateMessageError);
  equal(await streamVersion(sql, there), NO_STREAM);
});

it("writeBatch() of one id twice writes nothing", async ({ sql }) => {
  const stream = newStream();
  const message = { id: crypto.randomUUID(), type: "Opened" };
  const error = await failure(
    writeBatch(sql, stream, [message, message]),
    DuplicateMessageError,
  );
  equal(error.id, message.id);
  equal(await streamVersion(sql, stream), NO_STREAM);
});

it("writeBatch() writes 1,000 messages at once", async ({ sql }) => {
  const stream = newStream();
  equal(await writeBatch(sql, stream, counted(1000)), 999);
  const messages = await readStream(sql, stream);
  deepEqual(messages.map(({ data }) => data), numbers(0, 999));
});

it("20 concurrent batches to one stream do not mix", async ({ sql }) => {
  const stream = newStream();
  const lasts = await Promise.all(
    numbers(1, 20).map((batch) =>
      writeBatch(sql, stream, [{ type: "A", data: batch }, {
        type: "B",
        data: batch,
      }])
    ),
  );
  deepEqual(
    lasts.toSorted((a, b) => a - b),
    numbers(1, 20).map((batch) => batch * 2 - 1),
  );
  const messages = await readStream(sql, stream);
  for (let at = 0; at < 40; at += 2) {
    deepEqual([messages[at]!.type, messages[at + 1]!.type], ["A", "B"]);
    equal(messages[at]!.data, messages[at + 1]!.data);
  }
});

it("append() answers the positions of the last message, in its stream and in the store", async ({ sql }) => {
  const stream = newStream();
  for (const messages of [{ type: "Opened" }, counted(3)]) {
    const { position, globalPosition } = await append(sql, stream, messages);
    const last = await readLastMessage(sql, stream);
    deepEqual([position, globalPosition], [
      last!.position,
      last!.globalPosition,
    ]);
  }
  equal(await streamVersion(sql, stream), 3);
});

it("append() of the same ids 10 times at once writes once and answers one place", async ({ sql }) => {
  const stream = newStream();
  const batch = counted(3).map((message) => ({
    ...message,
    id: crypto.randomUUID(),
  }));
  const answers = await Promise.all(
    numbers(1, 10).map(() => append(sql, stream, batch, { expectedVersion: NO_STREAM })),
  );
  const messages = await readStream(sql, stream);
  deepEqual(positions(messages), [0, 1, 2]);
  const globalPositions = messages.map((message) => message.globalPosition);
  const place = { position: 2, globalPosition: globalPositions[2], globalPositions };
  deepEqual(answers, Array(10).fill(place));
});

it("append() of concurrent writers answers the global position that each message has", async ({ sql }) => {
  const streams = [newStream(), newStream(), newStream()];
  const answers = await Promise.all(
    numbers(0, 29).map((data) => append(sql, streams[data % 3]!, { type: "Counted", data })),
  );
  for (const stream of streams) {
    const messages = await readStream<number>(sql, stream);
    equal(messages.length, 10);
    for (const { data, position, globalPosition } of messages) {
      deepEqual(answers[data], { position, globalPosition, globalPositions: [globalPosition] });
    }
  }
});

it("writeStreams() writes to several streams and answers their last positions", async ({ sql }) => {
  const [from, to] = [newStream(), newStream()];
  await write(sql, to, { type: "Opened" });
  const last = await writeStreams(sql, [
    { streamName: to, messages: counted(2), expectedVersion: 0 },
    { streamName: from, messages: counted(3), expectedVersion: NO_STREAM },
  ]);
  deepEqual(last, [2, 2]);
  deepEqual(positions(await readStream(sql, from)), [0, 1, 2]);
  deepEqual((await readStream(sql, to)).map(({ type }) => type), [
    "Opened",
    "Counted",
    "Counted",
  ]);
});

it("writeStreams() with one stream at a wrong version writes to none", async ({ sql }) => {
  const [from, to] = [newStream(), newStream()];
  const both = writeStreams(sql, [
    { streamName: from, messages: counted(1) },
    { streamName: to, messages: counted(1), expectedVersion: 4 },
  ]);
  const error = await failure(both, WrongExpectedVersionError);
  deepEqual([error.streamName, error.expectedVersion, error.actualVersion], [
    to,
    4,
    NO_STREAM,
  ]);
  deepEqual(
    await Promise.all([streamVersion(sql, from), streamVersion(sql, to)]),
    [-1, -1],
  );
});

it("writeStreams() to the same streams in opposite orders do not wait for each other", async ({ sql }) => {
  const [one, other] = [newStream(), newStream()];
  await Promise.all(
    numbers(1, 20).map((turn) => {
      const streams = [one, other].map((streamName) => ({
        streamName,
        messages: counted(1),
      }));
      return writeStreams(sql, turn % 2 === 0 ? streams : streams.toReversed());
    }),
  );
  deepEqual(
    await Promise.all([streamVersion(sql, one), streamVersion(sql, other)]),
    [19, 19],
  );
});

it("groupCommit() answers each of 300 concurrent writes its own outcome", async ({ sql }) => {
  const write = groupCommit(sql);
  const category = newCategory();
  const known = { id: crypto.randomUUID(), type: "Known" };
  const expecting = { expectedVersion: NO_STREAM };
  const outcomes = await Promise.allSettled([
    ...numbers(0, 299).map((at) => write(`${category}-${at % 3}`, { type: "Counted", data: at })),
    write(`${category}-3`, known, expecting),
    write(`${category}-3`, { type: "Late" }, expecting),
    write(`${category}-4`, known),
    write(`${category}-3`, known, expecting),
  ]);
  deepEqual(
    outcomes.map((it) => it.status === "fulfilled" ? it.value : it.reason.code),
    [
      ...numbers(0, 299).map((at) => Math.floor(at / 3)),
      0,
      "WRONG_EXPECTED_VERSION",
      "DUPLICATE_MESSAGE",
      0,
    ],
  );
  const messages = await readStream<number>(sql, `${category}-1`);
  deepEqual(
    messages.map(({ data }) => data),
    numbers(0, 99).map((at) => at * 3 + 1),
  );
});

it("importMessages() writes what is missing, with its times", async ({ sql }) => {
  const category = newCategory();
  const all = numbers(0, 1499).map((at) => ({
    streamName: `${category}-${at % 7}`,
    id: crypto.randomUUID(),
    type: "Counted",
    data: { at },
    metadata: { at },
    time: new Date(Date.UTC(2024, 1, 29) + at),
  }));
  equal((await importMessages(sql, all.slice(200, 300))).count, 100);
  equal((await importMessages(sql, all)).count, 1500);
  const stored: Message[] = [];
  for await (const message of iterateCategory(sql, category)) {
    stored.push(message);
  }
  deepEqual(
    stored.map(({ position: _, globalPosition: __, ...message }) => message),
    [...all.slice(200, 300), ...all.slice(0, 200), ...all.slice(300)],
  );
});

it("synchronize() writes what the stream does not have yet", async ({ sql }) => {
  const stream = newStream();
  const all = counted(3).map((message) => ({
    ...message,
    id: crypto.randomUUID(),
  }));
  equal(
    await synchronize(sql, stream, all.slice(0, 2), {
      expectedVersion: NO_STREAM,
    }),
    1,
  );
  equal(await synchronize(sql, stream, all, { expectedVersion: 1 }), 2);
  equal(await synchronize(sql, stream, all), 2);
  deepEqual(
    (await readStream(sql, stream)).map(({ id }) => id),
    all.map(({ id }) => id),
  );
});

it("synchronize() with a stream that holds something else is a MessageMismatchError", async ({ sql }) => {
  const stream = newStream();
  const id = crypto.randomUUID();
  await write(sql, stream, { type: "Opened" });
  const held = await readLastMessage(sql, stream);
  const error = await failure(
    synchronize(sql, stream, [{ id, type: "Opened" }, {
      id: crypto.randomUUID(),
      type: "New",
    }]),
    MessageMismatchError,
  );
  deepEqual([error.streamName, error.position, error.id], [stream, 0, id]);
  equal(error.actualId, held!.id);
  equal(await streamVersion(sql, stream), 0);
});

// What is written is what is read

it("a message is read as it was written, with its place and its time", async ({ sql }) => {
  const stream = newStream();
  const message = {
    id: crypto.randomUUID(),
    type: "Deposited",
    data: { amount: 11 },
    metadata: { correlationStreamName: "transfer-1", schemaVersion: "2" },
  };
  await write(sql, stream, message);
  const [stored] = await readStream(sql, stream);
  const { globalPosition, time, ...rest } = stored!;
  deepEqual(rest, { ...message, streamName: stream, position: 0 });
  ok(Number.isSafeInteger(globalPosition) && globalPosition > 0);
  // Near enough to tell a time zone's difference.
  ok(Math.abs(time.getTime() - Date.now()) < 10 * 60_000, time.toISOString());
});

itWithOtherSql(
  "a message's time is when the database wrote it, to the millisecond",
  async ({ sql }) => {
    const stream = newStream();
    const now = () =>
      value(
        sql`select floor(extract(epoch from clock_timestamp()) * 1000)::text`,
      );
    const before = await now();
    await write(sql, stream, { type: "Opened" });
    const after = await now();
    const { time } = (await readLastMessage(sql, stream))!;
    ok(
      Number(before) <= time.getTime() && time.getTime() <= Number(after),
      time.toISOString(),
    );
  },
);

it("data of any JSON comes back equal", async ({ sql }) => {
  const stream = newStream();
  const values = [
    null,
    {},
    [],
    true,
    false,
    0,
    -1.5,
    1e300,
    Number.MAX_SAFE_INTEGER,
    "",
    "null",
    '{"a":1}',
    'it\'s $1, \\ and "quoted"\n\t{,}',
    "žluťoučký 🐎 \u2028",
    [null, [], {}, [1, "2", [3]]],
    {
      camelCase: 1,
      snake_case: { nested_key: [{ x_y: null }] },
      "": "",
      "a b": "\\u0041",
    },
    "2024-01-01T00:00:00.000Z",
  ];
  await writeBatch(
    sql,
    stream,
    values.map((data) => ({ type: "Batched", data })),
  );
  for (const data of values) {
    await write(sql, stream, { type: "Written", data });
  }
  const messages = await readStream(sql, stream);
  deepEqual(messages.map(({ data }) => data), [...values, ...values]);
});

it("metadata comes back under its own keys; none is null and none of its keys is {}", async ({ sql }) => {
  const stream = newStream();
  const metadata = [null, {}, {
    causationMessageStreamName: "a-1",
    snake_case: { in_side: 1 },
  }];
  for (const each of metadata) {
    await write(sql, stream, { type: "Opened", metadata: each });
  }
  await writeBatch(
    sql,
    stream,
    metadata.map((metadata) => ({ type: "Opened", metadata })),
  );
  await write(sql, stream, { type: "Opened" });
  const messages = await readStream(sql, stream);
  deepEqual(messages.map(({ metadata }) => metadata), [
    ...metadata,
    ...metadata,
    null,
  ]);
});

it("a message of a megabyte comes back whole", async ({ sql }) => {
  const stream = newStream();
  const data = 'ab\n"é'.repeat(200_000);
  await write(sql, stream, { type: "Large", data });
  ok((await readLastMessage(sql, stream))?.data === data);
});

it("a stream name of other scripts, spaces and quotes is a name like any other", async ({ sql }) => {
  const stream = streamName(newCategory(), `Jürgen's "ключ" 🔑 {1,2} $1 \\ %`);
  await write(sql, stream, { type: `It's "done"` });
  await writeBatch(sql, stream, counted(1));
  const messages = await readStream(sql, stream);
  deepEqual(messages.map(({ streamName }) => streamName), [stream, stream]);
  equal(messages[0]!.type, `It's "done"`);
  const wrong = write(sql, stream, { type: "Late" }, { expectedVersion: 0 });
  equal((await failure(wrong, WrongExpectedVersionError)).streamName, stream);
});

// Reading

it("readStream() reads from a position, as many as asked for", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(6));
  deepEqual(positions(await readStream(sql, stream)), [0, 1, 2, 3, 4, 5]);
  deepEqual(
    positions(await readStream(sql, stream, { position: 2, batchSize: 3 })),
    [2, 3, 4],
  );
  deepEqual(positions(await readStream(sql, stream, { position: 5 })), [5]);
  deepEqual(await readStream(sql, stream, { position: 6 }), []);
  deepEqual(await readStream(sql, newStream()), []);
});

it("readStream() reads backward from the end or from a position", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(5));
  const backward = { direction: "backward" } as const;
  deepEqual(positions(await readStream(sql, stream, backward)), [
    4,
    3,
    2,
    1,
    0,
  ]);
  deepEqual(
    positions(await readStream(sql, stream, { ...backward, batchSize: 2 })),
    [4, 3],
  );
  deepEqual(
    positions(await readStream(sql, stream, { ...backward, position: 1 })),
    [1, 0],
  );
  deepEqual(
    positions(await readStream(sql, stream, { ...backward, position: 0 })),
    [0],
  );
});

it("readCategory() reads its streams, and no other category, by global position", async ({ sql }) => {
  const name = newCategory();
  const streams = ["1", "2", "1", "3+4"].map((id) => streamName(name, id));
  for (const stream of streams) {
    await write(sql, stream, { type: "Opened" });
    await write(sql, streamName(`${name}x`, "1"), { type: "Opened" });
    await write(sql, streamName(name, "1", ["command"]), { type: "Open" });
  }
  const messages = await readCategory(sql, name);
  deepEqual(messages.map(({ streamName }) => streamName), streams);
  const places = messages.map(({ globalPosition }) => globalPosition);
  deepEqual(places, places.toSorted((a, b) => a - b));
  deepEqual(
    await readCategory(sql, name, { position: places[1]!, batchSize: 2 }),
    [messages[1], messages[2]],
  );
  deepEqual(await readCategory(sql, name, { position: places[3]! + 1 }), []);
  deepEqual(
    await readCategory(sql, name, { direction: "backward" }),
    messages.toReversed(),
  );
  deepEqual(
    await readCategory(sql, name, {
      direction: "backward",
      position: places[2]!,
      batchSize: 2,
    }),
    [messages[2], messages[1]],
  );
});

it("readCategory() reads what correlates with a category", async ({ sql }) => {
  const name = newCategory();
  const origins = ["transfer-1", null, "other-1", "transfer-2"];
  for (const origin of origins) {
    const metadata = origin === null ? null : { correlationStreamName: origin };
    await write(sql, streamName(name, "1"), {
      type: "Replied",
      data: origin,
      metadata,
    });
  }
  const forward = await readCategory(sql, name, { correlation: "transfer" });
  deepEqual(forward.map(({ data }) => data), ["transfer-1", "transfer-2"]);
  const backward = await readCategory(sql, name, {
    correlation: "transfer",
    direction: "backward",
  });
  deepEqual(backward, forward.toReversed());
});

it("readCategory() gives each stream to one member of a consumer group", async ({ sql }) => {
  const name = newCategory();
  const streams = numbers(1, 30).map((id) => streamName(name, [`${id}`, "x"]));
  for (const streamName of streams) {
    await writeBatch(sql, streamName, counted(2));
  }
  await write(sql, streamName(name, "1"), { type: "Same cardinal id" });
  for (const direction of ["forward", "backward"] as const) {
    const shares = await Promise.all(
      [0, 1, 2].map((member) =>
        readCategory(sql, name, {
          direction,
          consumerGroup: { member, size: 3 },
        })
      ),
    );
    const owners = new Map<string, number>();
    shares.forEach((share, member) => {
      ok(share.length > 0);
      for (const { streamName } of share) {
        const id = cardinalId(streamName)!;
        equal(owners.get(id) ?? member, member);
        owners.set(id, member);
      }
    });
    equal(owners.size, 30);
    equal(shares.flat().length, 61);
  }
});

it("readAll() reads the store by global position, forward and backward", async ({ sql }) => {
  const start = await end(sql) + 1;
  const streams = [newStream(), newStream(), newStream()];
  for (const stream of streams) await write(sql, stream, { type: "Opened" });
  const forward = await readAll(sql, { position: start });
  deepEqual(forward.map(({ streamName }) => streamName), streams);
  deepEqual(
    await readAll(sql, { position: start, batchSize: 2 }),
    forward.slice(0, 2),
  );
  deepEqual(
    await readAll(sql, { direction: "backward", batchSize: 3 }),
    forward.toReversed(),
  );
  const position = forward[1]!.globalPosition;
  deepEqual(
    await readAll(sql, { direction: "backward", position, batchSize: 2 }),
    [forward[1], forward[0]],
  );
});

it("readMatching() reads the streams that a LIKE pattern matches", async ({ sql }) => {
  const name = newCategory();
  const ids = ["a1", "a2", "b1", "a_1"];
  for (const id of ids) {
    await write(sql, streamName(name, id), { type: "Opened" });
  }
  const matching = async (pattern: string, options = {}) =>
    (await readMatching(sql, `${name}-${pattern}`, options)).map((
      { streamName },
    ) => id(streamName));
  deepEqual(await matching("%"), ids);
  deepEqual(await matching("a%"), ["a1", "a2", "a_1"]);
  deepEqual(await matching("_1"), ["a1", "b1"]);
  deepEqual(await matching("a\\_1"), ["a_1"]);
  deepEqual(await matching("%", { batchSize: 2 }), ["a1", "a2"]);
  const [, second] = await readMatching(sql, `${name}-%`);
  deepEqual(
    await matching("%", { position: second!.globalPosition }),
    ids.slice(1),
  );
});

it("read() reads a stream, a category or all, by the name", async ({ sql }) => {
  const start = await end(sql) + 1;
  const stream = newStream();
  await writeBatch(sql, stream, counted(2));
  const messages = await readStream(sql, stream);
  deepEqual(await read(sql, stream), messages);
  deepEqual(await read(sql, stream, { position: 1 }), messages.slice(1));
  deepEqual(await read(sql, category(stream)), messages);
  deepEqual(await read(sql, "$all", { position: start }), messages);
});

it("readLastMessage() reads the last message, or the last of a type", async ({ sql }) => {
  const stream = newStream();
  equal(await readLastMessage(sql, stream), null);
  for (const type of ["A", "B", "A", "C"]) await write(sql, stream, { type });
  equal((await readLastMessage(sql, stream))?.position, 3);
  equal((await readLastMessage(sql, stream, { type: "A" }))?.position, 2);
  equal(await readLastMessage(sql, stream, { type: "D" }), null);
});

it("readMessage() and readMessages() read by id, in the order asked for", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(3));
  const [first, second, third] = await readStream(sql, stream);
  deepEqual(await readMessage(sql, second!.id), second);
  equal(await readMessage(sql, crypto.randomUUID()), null);
  const ids = [third!.id, crypto.randomUUID(), first!.id];
  deepEqual(await readMessages(sql, ids), [third, first]);
  deepEqual(await readMessages(sql, []), []);
});

it("streamVersion() is the last position, NO_STREAM where there is none", async ({ sql }) => {
  const stream = newStream();
  equal(await streamVersion(sql, stream), NO_STREAM);
  await writeBatch(sql, stream, counted(4));
  equal(await streamVersion(sql, stream), 3);
});

it("iterateStream() reads on over its batches, both ways, up to a limit", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(7));
  const all = await readStream(sql, stream);
  deepEqual(await collect(iterateStream(sql, stream, { batchSize: 2 })), all);
  deepEqual(
    await collect(
      iterateStream(sql, stream, { batchSize: 3, direction: "backward" }),
    ),
    all.toReversed(),
  );
  deepEqual(
    await collect(
      iterateStream(sql, stream, { batchSize: 2, position: 1, limit: 5 }),
    ),
    all.slice(1, 6),
  );
  deepEqual(await collect(iterateStream(sql, newStream())), []);
});

it("iterateCategory() reads on over its batches, for a member of a group too", async ({ sql }) => {
  const name = newCategory();
  for (const id of numbers(1, 9)) {
    await write(sql, streamName(name, `${id}`), { type: "Opened" });
  }
  const all = await readCategory(sql, name);
  deepEqual(await collect(iterateCategory(sql, name, { batchSize: 4 })), all);
  deepEqual(
    await collect(iterateCategory(sql, name, { batchSize: 2, limit: 5 })),
    all.slice(0, 5),
  );
  const consumerGroup = { member: 0, size: 2 };
  deepEqual(
    await collect(iterateCategory(sql, name, { batchSize: 1, consumerGroup })),
    await readCategory(sql, name, { consumerGroup }),
  );
});

it("iterateAll() reads on over its batches", async ({ sql }) => {
  const start = await end(sql) + 1;
  const stream = newStream();
  for (const data of numbers(0, 4)) {
    await write(sql, stream, { type: "Counted", data });
  }
  const all = await collect(iterateAll(sql, { position: start, batchSize: 2 }));
  deepEqual(all, await readStream(sql, stream));
});

it("leaving an iteration leaves the handle as it was", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(5));
  for await (
    const { position } of iterateStream(sql, stream, { batchSize: 2 })
  ) {
    if (position === 2) break;
  }
  equal(await write(sql, stream, { type: "Counted" }), 5);
});

it("streamNames(), entityIds() and categories() list what is there", async ({ sql }) => {
  const name = newCategory();
  for (const id of ["2", "1", "1+3", "2"]) {
    await write(sql, streamName(name, id), { type: "Opened" });
  }
  await write(sql, streamName(name, "9", ["command"]), { type: "Open" });
  deepEqual(
    await streamNames(sql, name),
    ["1", "1+3", "2"].map((id) => streamName(name, id)),
  );
  deepEqual(await entityIds(sql, name), ["1", "1+3", "2"]);
  deepEqual(await streamNames(sql, newCategory()), []);
  const own = (await categories(sql)).filter((each) => each.startsWith(name));
  deepEqual(own, [name, `${name}:command`]);
});

it("messageStoreVersion() is Message DB's", async ({ sql }) => {
  ok(/^1\.\d+\.\d+$/.test(await messageStoreVersion(sql)));
});

// Following

/** The next messages, from when the subscription waits for them. */
async function next(
  { sql, source, options, come, count }: {
    sql: Sql;
    source: string;
    options: SubscribeOptions;
    come: () => Promise<unknown>;
    count: number;
  },
): Promise<Message[]> {
  const ending = new AbortController();
  let coming: Promise<unknown> | undefined;
  const onCaughtUp = () => void (coming ??= come());
  const messages: Message[] = [];
  for await (
    const message of subscribe(sql, source, {
      ...options,
      onCaughtUp,
      signal: ending.signal,
    })
  ) {
    if (messages.push(message) === count) ending.abort();
  }
  await coming;
  return messages;
}

/** A schema that takes a number as text, and makes a bigint of it. */
const digits: StandardSchema<bigint | string, bigint> = {
  "~standard": {
    validate: (value) => {
      if (typeof value === "bigint") return { value };
      if (typeof value === "string" && /^\d+$/.test(value)) {
        return { value: BigInt(value) };
      }
      return { issues: [{ message: "not digits" }] };
    },
  },
};
const catalogue = defineMessages({ Added: digits });

it("a catalogue parses what is written and what is read", async ({ sql }) => {
  const stream = newStream();
  const cause = {
    type: "Asked",
    metadata: { correlationStreamName: "talk-1" },
  };
  await write(sql, stream, cause);
  const [asked] = await readStream(sql, stream);
  await writeBatch(sql, stream, [
    follow(asked!, catalogue.Added(9007199254740993n)),
  ]);
  const [stored] = await readStream(sql, stream, { position: 1 });
  equal(stored!.data, "9007199254740993");
  equal(
    stored!.metadata!.causationMessageGlobalPosition,
    asked!.globalPosition,
  );
  equal(stored!.metadata!.correlationStreamName, "talk-1");
  const [added] = await readStream(sql, stream, {
    position: 1,
    messages: catalogue,
  });
  equal(added!.data, 9007199254740993n);
  const wrong = { type: "Added", data: "x" } as const;
  const refused = write(sql, stream, wrong, { messages: catalogue });
  deepEqual((await failure(refused, InvalidMessageError)).issues, [
    { path: [], message: "not digits" },
  ]);
  await failure(
    readStream(sql, stream, { messages: catalogue }),
    InvalidMessageError,
  );
  equal(await streamVersion(sql, stream), 1);
});

it("project() folds page by page what was written", async ({ sql }) => {
  const name = newCategory();
  await writeBatch(sql, `${name}-1`, counted(7));
  await writeBatch(sql, `${name}-2`, counted(3));
  const sum = {
    init: () => 0,
    evolve: (state: number, { data }: Message<number>) => state + data,
    batchSize: 2,
  };
  deepEqual(await project(sql, `${name}-1`, sum), { state: 21, version: 6 });
  deepEqual(await project(sql, `${name}-1`, { ...sum, from: 2, until: 4 }), {
    state: 9,
    version: 4,
  });
  const { state, position } = await projectCategory(sql, name, sum);
  const [last] = await readCategory(sql, name, {
    direction: "backward",
    batchSize: 1,
  });
  deepEqual({ state, position }, { state: 24, position: last!.globalPosition });
});

it("entities are decided over, by snapshots and from a cache, and nothing is lost", async ({ sql }) => {
  const kept = new Map<string, object>();
  const counter = entity({
    category: newCategory(),
    messages: catalogue,
    init: () => ({ sum: "0" }),
    handlers: {
      Added: ({ sum }, { data }) => ({ sum: String(BigInt(sum) + data) }),
    },
    snapshot: { every: 3 },
    cache: {
      get: (name) => kept.get(name),
      set: (name, value) => kept.set(name, value),
    },
  });
  const deciding = numbers(1, 8).map((number) =>
    counter.decide(sql, "1", () => catalogue.Added(BigInt(number)), {
      retries: 50,
    })
  );
  const versions = (await Promise.all(deciding)).map(({ version }) => version);
  deepEqual(versions.sort((a, b) => a - b), numbers(0, 7));
  deepEqual(await counter.fetch(sql, "1"), {
    state: { sum: "36" },
    version: 7,
  });
  const [snapshot] = await readStream<{ entityVersion: number }>(
    sql,
    `${counter.category}:snapshot-1`,
    { direction: "backward", batchSize: 1 },
  );
  ok(snapshot!.data.entityVersion >= 2);
  kept.clear();
  deepEqual(await counter.fetch(sql, "1"), {
    state: { sum: "36" },
    version: 7,
  });

  const both = { from: [counter, "1"], to: [counter, "2"] } as const;
  const { versions: after } = await decide(sql, both, ({ from }) => {
    return { to: catalogue.Added(BigInt(from.sum)) };
  });
  deepEqual(after, { from: 7, to: 0 });
});

itInTransaction(
  "decide() in a transaction is undone with it",
  async ({ sql, begin }) => {
    const kept = new Map<string, object>();
    const counter = entity({
      category: newCategory(),
      init: () => 0,
      evolve: (state) => state + 1,
      cache: {
        get: (name) => kept.get(name),
        set: (name, value) => kept.set(name, value),
      },
    });
    await counter.decide(sql, "1", () => ({ type: "Added" }));
    await rolledBack(begin, async (sql) => {
      await counter.decide(
        sql,
        "1",
        (state) => (equal(state, 1), { type: "Added" }),
      );
      deepEqual(await counter.fetch(sql, "1"), { state: 2, version: 1 });
    });
    deepEqual(await counter.fetch(sql, "1"), { state: 1, version: 0 });
  },
);

it("subscribe() follows a category, its messages of some types", async ({ sql }) => {
  const name = newCategory();
  await writeBatch(sql, `${name}-1`, [{ type: "A" }, { type: "B" }, {
    type: "C",
  }]);
  const options = { types: ["A", "C"], batchSize: 2, pollInterval: 50 };
  const come = async () => {
    await write(sql, `${name}-2`, { type: "B" });
    await write(sql, `${name}-2`, { type: "A" });
  };
  const messages = await next({ sql, source: name, options, come, count: 3 });
  deepEqual(
    messages.map((
      { streamName, type, position },
    ) => [streamName, type, position]),
    [[`${name}-1`, "A", 0], [`${name}-1`, "C", 2], [`${name}-2`, "A", 1]],
  );
});

it("subscribe() starts a stream at a position, at its end, or at a time", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(5));
  const [{ time }] = await readStream(sql, stream) as [Message];
  const from = async (startAt: SubscribeOptions["startAt"], count: number) => {
    const come = () => writeBatch(sql, stream, counted(2));
    const options = { startAt, pollInterval: 50 };
    return positions(await next({ sql, source: stream, options, come, count }));
  };
  deepEqual(await from("end", 2), [5, 6]);
  deepEqual(await from(5, 4), [5, 6, 7, 8]);
  deepEqual(await from(time, 11), numbers(0, 10));
});

it("subscribe() follows all streams", async ({ sql }) => {
  const stream = newStream();
  const type = crypto.randomUUID();
  const options = {
    startAt: await end(sql) + 1,
    types: [type],
    pollInterval: 50,
  };
  const come = () => writeBatch(sql, stream, numbers(0, 4).map((data) => ({ type, data })));
  const messages = await next({ sql, source: "$all", options, come, count: 5 });
  deepEqual(
    messages.map(({ streamName, data }) => [streamName, data]),
    numbers(0, 4).map((data) => [stream, data]),
  );
});

it("subscribe() ends when its signal aborts, or when the loop is left", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(3));
  const ending = new AbortController();
  const { signal } = ending;
  const onCaughtUp = () => ending.abort();
  deepEqual(
    positions(await collect(subscribe(sql, stream, { signal, onCaughtUp }))),
    [0, 1, 2],
  );
  deepEqual(await collect(subscribe(sql, stream, { signal })), []);
  for await (const { position } of subscribe(sql, stream, { batchSize: 1 })) {
    if (position === 1) break;
  }
  equal(await streamVersion(sql, stream), 2);
});

// Errors

it("a database without Message DB is a NotInstalledError from every operation", async ({ bare }) => {
  const attempts = operations(bare, newStream());
  for (const [name, attempt] of Object.entries(attempts)) {
    const error = await failure(attempt(), NotInstalledError).catch((cause) => {
      throw new Error(`${name}() failed otherwise`, { cause });
    });
    deepEqual([error.code, error.reason], ["NOT_INSTALLED", "missing"]);
    ok(error.cause instanceof Error);
  }
});

it("a condition that the server does not allow is a ConditionNotActivatedError", async ({ sql }) => {
  const stream = newStream();
  for (const direction of ["forward", "backward"] as const) {
    const options = { direction, condition: "true" };
    const inStream = await failure(
      readStream(sql, stream, options),
      ConditionNotActivatedError,
    );
    equal(inStream.code, "CONDITION_NOT_ACTIVATED");
    await failure(
      readCategory(sql, category(stream), options),
      ConditionNotActivatedError,
    );
  }
});

it("a bad argument is a TypeError or a RangeError, before anything is sent", async () => {
  const sql: Sql = () => {
    throw new Error("Something was sent");
  };
  const stream = newStream();
  const message = { type: "Opened" };
  const self: { self?: unknown } = {};
  self.self = self;
  const typeErrors = [
    () => write(sql, "account", message),
    () => write(sql, "", message),
    () => write(sql, stream, { type: "" }),
    () => write(sql, stream, { type: "Opened", id: "1" }),
    () => write(sql, stream, { type: "Opened", data: 1n }),
    () => write(sql, stream, { type: "Opened", data: NaN }),
    () => write(sql, stream, { type: "Opened", data: self }),
    () => write(sql, stream, { type: "Opened", data: "\0" }),
    () => writeBatch(sql, stream, [message, { type: "" }]),
    () => readStream(sql, "account"),
    () => readCategory(sql, stream),
    () => readMessage(sql, "1"),
  ];
  const rangeErrors = [
    () => write(sql, stream, message, { expectedVersion: -2 }),
    () => write(sql, stream, message, { expectedVersion: 0.5 }),
    () => writeBatch(sql, stream, []),
    () => append(sql, stream, []),
    () => writeStreams(sql, []),
    () => readStream(sql, stream, { position: -1 }),
    () => readStream(sql, stream, { batchSize: 0 }),
    () =>
      readCategory(sql, category(stream), {
        consumerGroup: { member: 2, size: 2 },
      }),
    () => readAll(sql, { position: NaN }),
  ];
  for (const attempt of typeErrors) await failure(attempt(), TypeError);
  for (const attempt of rangeErrors) await failure(attempt(), RangeError);
});

it("an error of the driver that is none of these comes as it is", async () => {
  const error = new Error("connection refused");
  const attempt = write(() => Promise.reject(error), newStream(), {
    type: "Opened",
  });
  equal(await failure(attempt, Error), error);
});

it("what fails takes nothing from what runs beside it and after it", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(20));
  const outcomes = await Promise.all(
    numbers(1, 40).map(async (turn) => {
      if (turn % 2 === 0) {
        return positions(await readStream(sql, stream, { batchSize: 20 }));
      }
      const late = write(sql, stream, { type: "Late" }, { expectedVersion: 0 });
      return (await failure(late, WrongExpectedVersionError)).actualVersion;
    }),
  );
  outcomes.forEach((outcome, at) => deepEqual(outcome, at % 2 === 0 ? 19 : numbers(0, 19)));
  equal(
    await write(sql, stream, { type: "Next" }, { expectedVersion: 19 }),
    20,
  );
});

// Transactions

itInTransaction(
  "a transaction that rolls back has written nothing",
  async ({ sql, begin }) => {
    const streams = [newStream(), newStream(), newStream()];
    await rolledBack(begin, async (sql) => {
      await write(sql, streams[0]!, { type: "Opened" });
      await writeBatch(sql, streams[1]!, counted(3));
      await writeStreams(sql, [{
        streamName: streams[2]!,
        messages: counted(1),
      }]);
      for (const stream of streams) ok(await streamVersion(sql, stream) >= 0);
    });
    for (const stream of streams) deepEqual(await readStream(sql, stream), []);
  },
);

itInTransaction(
  "a transaction that commits has written all",
  async ({ sql, begin }) => {
    const stream = newStream();
    const last = await begin(async (sql) => {
      await write(sql, stream, { type: "Opened" }, {
        expectedVersion: NO_STREAM,
      });
      await writeBatch(sql, stream, counted(2), { expectedVersion: 0 });
      return await write(sql, stream, { type: "Closed" }, {
        expectedVersion: 2,
      });
    });
    equal(last, 3);
    equal(await streamVersion(sql, stream), 3);
  },
);

itInTransaction(
  "a wrong expected version in a transaction takes all of it back",
  async ({ sql, begin }) => {
    const stream = newStream();
    const transaction = begin(async (sql) => {
      await write(sql, stream, { type: "Opened" });
      await write(sql, stream, { type: "Late" }, {
        expectedVersion: NO_STREAM,
      });
    });
    equal(
      (await failure(transaction, WrongExpectedVersionError)).actualVersion,
      0,
    );
    equal(await streamVersion(sql, stream), NO_STREAM);
  },
);

itInTransaction(
  "a message written twice in one transaction is written once",
  async ({ sql, begin }) => {
    const stream = newStream();
    const message = { id: crypto.randomUUID(), type: "Opened" };
    await begin(async (sql) => {
      equal(
        await write(sql, stream, message, { expectedVersion: NO_STREAM }),
        0,
      );
      equal(
        await write(sql, stream, message, { expectedVersion: NO_STREAM }),
        0,
      );
    });
    equal(await streamVersion(sql, stream), 0);
  },
);

itInTransaction(
  "transactions that write to one stream take turns",
  async ({ sql, begin }) => {
    const stream = newStream();
    await Promise.all(
      numbers(1, 5).map((turn) =>
        begin(async (sql) => {
          for (const _ of numbers(1, 3)) {
            await write(sql, stream, { type: "Counted", data: turn });
          }
        })
      ),
    );
    const turns = (await readStream(sql, stream)).map(({ data }) => data);
    equal(turns.length, 15);
    for (let at = 0; at < 15; at += 3) {
      deepEqual(turns.slice(at, at + 3), Array(3).fill(turns[at]));
    }
  },
);

itInTransaction(
  "no operation changes the search path of its transaction",
  async ({ begin }) => {
    await rolledBack(begin, async (sql) => {
      await sql`select set_config('search_path', ${'"Some schema", pg_temp'}, true)`;
      for (
        const [name, operate] of Object.entries(operations(sql, newStream()))
      ) {
        await operate();
        const path = await value(
          sql`select current_setting('search_path') as path`,
        );
        equal(path, '"Some schema", pg_temp', name);
      }
    });
  },
);

itWithOtherSql(
  "no operation changes the search path of its session",
  async ({ sql }) => {
    const isUnchanged = () =>
      value(
        sql`select (setting = reset_val)::text from pg_settings where name = 'search_path'`,
      );
    for (
      const [name, operate] of Object.entries(operations(sql, newStream()))
    ) {
      await operate();
      deepEqual(
        await Promise.all(numbers(1, 10).map(isUnchanged)),
        Array(10).fill("true"),
        name,
      );
    }
  },
);

itInTransaction(
  "a condition filters where the server allows it",
  async ({ begin }) => {
    const stream = newStream();
    await rolledBack(begin, async (sql) => {
      await writeBatch(sql, stream, counted(6));
      await sql`select set_config('message_store.sql_condition', ${"on"}, true)`;
      const condition = "data::text::int % 2 = 1";
      const inStream = await readStream(sql, stream, { condition });
      deepEqual(positions(inStream), [1, 3, 5]);
      const name = category(stream);
      deepEqual(
        await readCategory(sql, name, { condition, batchSize: 2 }),
        inStream.slice(0, 2),
      );
      const backward = {
        condition,
        direction: "backward",
        batchSize: 2,
      } as const;
      deepEqual(positions(await readStream(sql, stream, backward)), [5, 3]);
      deepEqual(positions(await readCategory(sql, name, backward)), [5, 3]);
    });
  },
);

itInTransaction(
  "an error in the condition's SQL comes from the driver as it is",
  async ({ begin }) => {
    const transaction = begin(async (sql) => {
      await sql`select set_config('message_store.sql_condition', ${"on"}, true)`;
      await readStream(sql, newStream(), { condition: "no_such_column = 1" });
    });
    const error = await failure(transaction, Error);
    ok(!(error instanceof MessageDbError));
    ok(error.message.includes("no_such_column"), error.message);
  },
);

itInTransaction(
  "a position beyond the safe integers is a RangeError, not a rounded one",
  async ({ begin, schema = "message_store" }) => {
    const stream = newStream();
    await rolledBack(begin, async (sql) => {
      await sql`select set_config('search_path', ${schema}::text, true)`;
      await sql`
    insert into messages (stream_name, position, type)
    values (${stream}::text, ${"9007199254740993"}::text::bigint, ${"Far"}::text)`;
      await failure(readLastMessage(sql, stream), RangeError);
      await failure(streamVersion(sql, stream), RangeError);
      await failure(write(sql, stream, { type: "Next" }), RangeError);
    });
  },
);

// Consumers

it("drain() runs handlers by type, and goes on where it was", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, [...counted(3), { type: "Other" }]);
  const seen: unknown[] = [];
  const consumer = {
    category: category(stream),
    consumerId: "suite",
    handlers: { Counted: ({ data }: Message) => void seen.push(data) },
  };
  const { handled, position, caughtUp } = await drain(sql, consumer);
  deepEqual([handled, caughtUp, seen], [3, true, [0, 1, 2]]);
  const name = streamName(consumer.category, "suite", ["position"]);
  const recorded = await readStream(sql, name);
  deepEqual(recorded.map(({ type, data }) => [type, data]), [
    ["Recorded", { position: 0 }],
    ["Recorded", { position }],
  ]);
  await writeBatch(sql, stream, counted(1));
  equal(
    (await drain(sql, consumer, { deadline: Date.now() + 60_000 })).handled,
    1,
  );
  deepEqual(seen, [0, 1, 2, 0]);
});

it("a message is tried again, parked, and handled when that is replayed", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(2));
  const attempts: unknown[] = [];
  let isWell = false;
  const consumer: Consumer = {
    category: category(stream),
    consumerId: "suite",
    onError: { retry: 1, delay: 1, then: "park" },
    handle: ({ data }, { attempt }) => {
      attempts.push([data, attempt]);
      if (data === 0 && !isWell) throw new Error("not yet");
    },
  };
  equal((await drain(sql, consumer)).handled, 2);
  deepEqual(await replayParked(sql, consumer), {
    replayed: 1,
    parked: 1,
    busy: false,
  });
  isWell = true;
  deepEqual(await replayParked(sql, consumer), {
    replayed: 1,
    parked: 0,
    busy: false,
  });
  deepEqual(attempts, [[0, 1], [0, 2], [1, 1], [0, 1], [0, 2], [0, 1]]);
});

itInTransaction(
  "a handler's work and its position are one transaction",
  async (environment) => {
    const { sql, begin, schema = "message_store" } = environment;
    const stream = newStream();
    const effects = newStream();
    await writeBatch(sql, stream, counted(3));
    const own: Sql & {
      begin(work: (sql: Sql) => Promise<void>): Promise<void>;
    } = Object.assign(
      ((strings, ...parameters) => sql(strings, ...parameters)) as Sql,
      { begin: (work: (sql: Sql) => Promise<void>) => begin(work) },
    );
    const handle = inSchema(own, schema);
    const consumer: Consumer<typeof handle> = {
      category: category(stream),
      consumerId: "suite",
      transactional: true,
      handle: async ({ data }, context) => {
        await write(context.sql, effects, { type: "Handled", data });
        if (data === 1 && context.attempt === 1) throw new Error("once");
      },
      onError: { retry: 1, delay: 1 },
    };
    equal((await drain(handle, consumer)).handled, 3);
    deepEqual((await readStream(sql, effects)).map(({ data }) => data), [
      0,
      1,
      2,
    ]);
    const name = streamName(category(stream), "suite", ["position"]);
    const positions = (await readStream<{ position: number }>(sql, name))
      .map(({ data }) => data.position);
    const [first, second, third] = (await readStream(sql, stream))
      .map(({ globalPosition }) => globalPosition);
    // A claim, the message before the one that fails, that one alone, the rest, and the end.
    deepEqual(positions, [0, first, second, third, third]);
  },
);

it("waitFor() resolves when a consumer has passed, and rejects while not", async ({ sql }) => {
  const stream = newStream();
  const { globalPosition } = await append(sql, stream, counted(2));
  const consumer = { category: category(stream), consumerId: "suite" };
  const waiting = waitFor(sql, consumer, globalPosition, { timeout: 0 });
  equal((await failure(waiting, ConsumerBehindError)).position, 0);
  await drain(sql, { ...consumer, handle: () => {} });
  await waitFor(sql, consumer, globalPosition, { timeout: 0 });
});

it("consume() ends when its signal aborts, and its position is stored", async ({ sql }) => {
  const stream = newStream();
  await writeBatch(sql, stream, counted(3));
  const ending = new AbortController();
  const seen: unknown[] = [];
  await consume(sql, {
    category: category(stream),
    consumerId: "suite",
    handle: ({ data }) => {
      seen.push(data);
      if (data === 1) ending.abort();
    },
  }, { signal: ending.signal });
  deepEqual(seen, [0, 1]);
  const [, last] = await readStream(sql, stream);
  const name = streamName(category(stream), "suite", ["position"]);
  deepEqual((await readLastMessage(sql, name))?.data, {
    position: last!.globalPosition,
  });
});

// Aggregates

it("aggregate() keeps references to messages, each once, and readAggregate() resolves them", async ({ sql }) => {
  const [name, one, other] = [newCategory(), newCategory(), newCategory()];
  const first = { type: "odd", data: { b: 1, a: [null] } };
  const { globalPosition: startAt } = await append(sql, `${one}-1`, first);
  const keep = () =>
    aggregate(
      sql,
      {
        name,
        from: [one, `${other}-%`],
        partition: ({ type }) => type,
        batchSize: 2,
        startAt,
      },
      { once: true },
    );
  await writeStreams(sql, [
    { streamName: `${other}-é`, messages: [{ type: "even" }, { type: "odd" }] },
    { streamName: `${one}-1`, messages: [{ type: "odd" }] },
  ]);
  await Promise.all([keep(), keep()]);
  await keep();
  const odd = await readAggregate(sql, name, { partition: "odd" });
  deepEqual(odd.map(({ streamName }) => streamName), [
    `${one}-1`,
    `${other}-é`,
    `${one}-1`,
  ]);
  deepEqual(odd.map(({ reference }) => reference.position), [0, 1, 2]);
  deepEqual(odd[0]!.data, { b: 1, a: [null] });
  equal((await readAggregate(sql, name, { partition: "even" })).length, 1);
  equal((await readAggregate(sql, name)).length, 4);
  const shares = await Promise.all(
    [0, 1, 2].map((member) => readAggregate(sql, name, { consumerGroup: { member, size: 3 } })),
  );
  equal(shares.flat().length, 4);
});

it("subscribe() and drain() take an aggregate", async ({ sql }) => {
  const [name, one] = [newCategory(), newCategory()];
  const kept = {
    name,
    from: [one],
    partition: ({ position }: Message) => position,
    partitions: 2,
  };
  await writeBatch(sql, `${one}-1`, counted(4));
  await aggregate(sql, kept, { once: true });
  const followed: unknown[] = [];
  for await (const { data, reference } of subscribe(sql, { aggregate: name })) {
    followed.push([reference.streamName, reference.position, data]);
    if (followed.length === 4) break;
  }
  const [first, second] = [`${name}-0`, `${name}-1`];
  deepEqual(followed, [[first, 0, 0], [second, 0, 1], [first, 1, 2], [second, 1, 3]]);
  const handled: unknown[] = [];
  const handle = ({ data }: Message) => void handled.push(data);
  await drain(sql, { aggregate: name, consumerId: "reader", handle });
  await write(sql, `${one}-1`, { type: "Counted", data: 4 });
  await aggregate(sql, kept, { once: true });
  await drain(sql, { aggregate: name, consumerId: "reader", handle });
  deepEqual(handled, [0, 1, 2, 3, 4]);
});

// Without a database

it("names are composed and taken apart", () => {
  equal(streamName("account", "123"), "account-123");
  equal(streamName("account", ["1", "2"], ["command"]), "account:command-1+2");
  equal(category("account:command-1-2"), "account:command");
  equal(id("account-1-2"), "1-2");
  deepEqual(ids("account-1+2"), ["1", "2"]);
  equal(cardinalId("account-1+2"), "1");
  deepEqual(types("account:command+position-1"), ["command", "position"]);
  deepEqual([isCategory("account"), isCategory("account-1")], [true, false]);
  return Promise.resolve();
});

function studioOf(sql: Sql): {
  readonly handle: (request: Request) => Promise<Response>;
  readonly ask: (operation: string, given: object) => Promise<unknown>;
} {
  const handle = studio(sql, { authorize: () => true, basePath: "/studio", readOnly: false });
  const ask = async (operation: string, given: object) => {
    const answer = await handle(
      new Request(`http://localhost/studio/api/${operation}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-messagedb-studio": "1" },
        body: JSON.stringify(given),
      }),
    );
    return await answer.json();
  };
  return { handle, ask };
}

it("studio() serves its page and its files, and what the page writes", async ({ sql }) => {
  const { handle, ask } = studioOf(sql);
  const page = await handle(new Request("http://localhost/studio/streams/a-1"));
  equal(page.status, 200);
  equal(page.headers.get("x-frame-options"), "DENY");
  const [, script] = /<script type="module" src="([^"]+)">/.exec(await page.text())!;
  const file = await handle(new Request(`http://localhost${script}`));
  equal(file.headers.get("content-type"), "text/javascript; charset=utf-8");
  ok((await file.text()).length > 1000);
  equal((await ask("open", {}) as { readonly readOnly: boolean }).readOnly, false);
  const written = { streamName: newStream(), type: "Opened", data: { by: "studio" } };
  deepEqual(await ask("write", written), { position: 0 });
});

itWithOtherSql("studio() answers what its page asks", async ({ sql }) => {
  const { ask } = studioOf(sql);
  const streamName = newStream();
  await write(sql, streamName, { type: "Opened", data: { by: "studio" } });
  const { states } = await ask("states", { streamName }) as {
    readonly states: readonly { readonly state: string }[];
  };
  deepEqual(states.map(({ state }) => state), ['{"by":"studio"}']);
});

it("fromQuery() sends the text and the parameters of a handle", async () => {
  const sent: [string, unknown[]][] = [];
  const sql = fromQuery((text, parameters) => {
    sent.push([text, parameters]);
    return Promise.resolve({ rows: [] });
  });
  await sql`select ${"a"}::text, ${null}::text`;
  deepEqual(sent, [["select $1::text, $2::text", ["a", null]]]);
});

/** Every operation that asks the database, once, on one stream. */
function operations(
  sql: Sql,
  stream: string,
): Record<string, () => Promise<unknown>> {
  const name = category(stream);
  const id = crypto.randomUUID();
  const message = { id, type: "Opened" };
  return {
    write: () => write(sql, stream, { type: "Opened" }),
    "write with an id": () => write(sql, stream, message),
    "write with the same id": () => write(sql, stream, message),
    writeBatch: () => writeBatch(sql, stream, counted(2)),
    append: () => append(sql, stream, counted(2)),
    writeStreams: () => writeStreams(sql, [{ streamName: stream, messages: counted(2) }]),
    synchronize: () =>
      synchronize(sql, `${stream}s`, [{
        id: crypto.randomUUID(),
        type: "Opened",
      }]),
    read: () => read(sql, stream),
    readStream: () => readStream(sql, stream),
    "readStream backward": () => readStream(sql, stream, { direction: "backward" }),
    readCategory: () => readCategory(sql, name),
    "readCategory backward": () => readCategory(sql, name, { direction: "backward" }),
    readAll: () => readAll(sql),
    readMatching: () => readMatching(sql, `${name}-%`),
    readAggregate: () => readAggregate(sql, name),
    readLastMessage: () => readLastMessage(sql, stream),
    readMessage: () => readMessage(sql, id),
    readMessages: () => readMessages(sql, [id]),
    iterateStream: () => collect(iterateStream(sql, stream)),
    iterateCategory: () => collect(iterateCategory(sql, name)),
    iterateAll: () => collect(iterateAll(sql, { limit: 5 })),
    streamVersion: () => streamVersion(sql, stream),
    streamNames: () => streamNames(sql, name),
    entityIds: () => entityIds(sql, name),
    categories: () => categories(sql),
    messageStoreVersion: () => messageStoreVersion(sql),
  };
}

/** The names of all behaviours, in order. */
export const suite: readonly string[] = behaviours.map(({ name }) => name);

/** Runs one behaviour, or skips it where the handle cannot do what it is about. */
export async function run(
  name: string,
  environment: Environment,
): Promise<Outcome> {
  const { needs, run } = behaviours.find((behaviour) => behaviour.name === name)!;
  if (needs === "transactions" && !environment.begin) {
    return {
      name,
      skipped: "This driver has no transactions of more than one statement",
    };
  }
  if (needs === "other SQL" && environment.refusesOtherSql) {
    return {
      name,
      skipped: "This handle takes no statements but the library's",
    };
  }
  try {
    await run(environment as Required<Environment>);
    return { name };
  } catch (error) {
    return { name, error: describe(error) };
  }
}

/** The error's stack and those of its causes, as text that can travel. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, stack = "", cause } = error;
  const own = stack.includes(message) ? stack : `${error.name}: ${message}\n${stack}`;
  return cause === undefined ? own : `${own}\nCaused by ${describe(cause)}`;
}
