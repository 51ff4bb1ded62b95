import assert from "node:assert/strict";
import { describe, onTestFinished, test } from "vitest";
import {
  consume,
  type Consumer,
  type Message,
  type Sql,
  subscribe,
  type SubscribeOptions,
  write,
} from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { readerFor } from "../../src/consume/_reader_for.ts";
import { readFor } from "../../src/consume/_go_back.ts";
import { keepPosition } from "../../src/consume/_kept_position.ts";
import { beginWork, momentNow, type Underway, workSince } from "../../src/lib/share_work.ts";
import { readerOf } from "../../src/subscribe/_reader.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const newCategory = () => `c${crypto.randomUUID().replaceAll("-", "")}`;

interface CountingReads {
  readonly sql: Sql;
  readonly reads: number;
  readonly looks: number;
  idle(): Promise<number>;
  hold(): () => void;
}

/** A handle that counts its reads of pages, and keeps their answers back while it is told to. */
function countingReads(): CountingReads {
  let held: Promise<void> | undefined;
  const state = {
    reads: 0,
    looks: 0,
    sql: (async (strings, ...parameters) => {
      const answer = db.sql(strings, ...parameters);
      if (strings.join("").includes("txid_current_snapshot")) state.looks++;
      if (!strings.join("").includes('"standing":')) return await answer;
      state.reads++;
      const rows = await answer;
      await held;
      return rows;
    }) as Sql,
    /** Waits until all who follow have nothing to do: the second look from here is for all of them. */
    idle: async (): Promise<number> => {
      const { looks, reads } = state;
      await until(() => state.looks >= looks + 2);
      return state.reads === reads ? reads : await state.idle();
    },
    /** Keeps the answers from now on, and returns what lets them go. */
    hold: () => {
      let release: () => void;
      held = new Promise((resolve) => release = resolve);
      return () => {
        held = undefined;
        release();
      };
    },
  };
  return state;
}

/** Follows until the test ends, and keeps what comes. */
function follow(sql: Sql, source: string, options: SubscribeOptions = {}): Message[] {
  const end = new AbortController();
  const messages: Message[] = [];
  const done = (async () => {
    const following = { pollInterval: 50, signal: end.signal, ...options };
    for await (const message of subscribe(sql, source, following)) messages.push(message);
  })();
  onTestFinished(async () => {
    end.abort();
    await done;
  });
  return messages;
}

/** Consumes until the test ends, and keeps what comes. */
function handled(sql: Sql, category: string, onStored: () => void): Message[] {
  const end = new AbortController();
  const messages: Message[] = [];
  const consumer: Consumer = {
    category,
    consumerId: `c${crypto.randomUUID().slice(0, 8)}`,
    pollInterval: 50,
    positionUpdateInterval: 1,
    handle: (message) => void messages.push(message),
    onEvent: ({ type }) => type === "positionStored" && onStored(),
  };
  const done = consume(sql, consumer, { signal: end.signal });
  onTestFinished(async () => {
    end.abort();
    await done;
  });
  return messages;
}

describe("who follow the same on one handle", () => {
  const sources: [string, (category: string) => string][] = [
    ["a category", (category) => category],
    ["a stream", (category) => `${category}-1`],
    ["all messages", () => "$all"],
  ];
  test.each(sources)(
    "read what is new in %s once, each a message of its own",
    async (_, sourceOf) => {
      const category = newCategory();
      const counting = countingReads();
      const options: SubscribeOptions = { startAt: "end", types: ["A"] };
      const lists = Array.from(
        { length: 10 },
        () => follow(counting.sql, sourceOf(category), options),
      );
      await until(() => counting.reads >= 10);
      for (let position = 0; position < 3; position++) {
        const before = await counting.idle();
        await write(db.sql, `${category}-1`, { type: "A", data: { list: [] } });
        await until(() => lists.every(({ length }) => length === position + 1));
        assert.equal(counting.reads - before, 1);
        const found = lists.map((messages) => messages[position]!);
        assert.equal(new Set(found).size, 10);
        assert.equal(new Set(found.map(({ data }) => data)).size, 10);
      }
    },
  );

  test("share it with consumers, which store their positions meanwhile", async () => {
    const category = newCategory();
    const counting = countingReads();
    let stored = 0;
    const lists = [
      ...Array.from({ length: 3 }, () => follow(counting.sql, category)),
      ...Array.from({ length: 3 }, () => handled(counting.sql, category, () => stored++)),
    ];
    await until(() => counting.reads >= 6);
    for (let written = 1; written <= 3; written++) {
      const before = await counting.idle();
      await write(db.sql, `${category}-1`, { type: "A" });
      await until(() => lists.every(({ length }) => length === written));
      assert.equal(counting.reads - before, 1);
      await until(() => stored === 3 * written);
    }
  });

  test("share nothing where they choose other messages", async () => {
    const category = newCategory();
    const counting = countingReads();
    const chosen: SubscribeOptions[] = [
      {},
      { types: ["A"] },
      { correlation: "transfer" },
      { consumerGroup: { member: 0, size: 2 } },
      { consumerGroup: { member: 1, size: 2 } },
      { batchSize: 10 },
    ];
    const lists = chosen.map((options) => follow(counting.sql, category, options));
    await until(() => counting.reads >= chosen.length);
    const before = await counting.idle();
    const metadata = { correlationStreamName: "transfer-1" };
    await write(db.sql, `${category}-1`, { type: "A", metadata });
    await until(() => counting.reads - before >= chosen.length);
    await until(() => lists.flat().length === chosen.length - 1);
    assert.deepEqual(lists[3]!.length + lists[4]!.length, 1);
  });
});

test("a subscription is given what was written before it began, though a read of others is under way", async () => {
  const category = newCategory();
  const counting = countingReads();
  const release = counting.hold();
  const first = follow(counting.sql, category);
  await until(() => counting.reads === 1);
  await write(db.sql, `${category}-1`, { type: "A" });
  const second = follow(counting.sql, category);
  await until(() => counting.reads === 2);
  release();
  await until(() => second.length === 1 && first.length === 1);
});

test("who gives up ends the wait for a gap of nobody else", async () => {
  const category = newCategory();
  const counting = countingReads();
  const { read } = readerOf(counting.sql, "$all", { types: [category] });
  await db.connect({ max: 1 }).begin(async (open) => {
    await write(open, `${newCategory()}-1`, { type: "Open" });
    await write(db.sql, `${category}-1`, { type: category });
    const ending = new AbortController();
    const ended = read(1, null, ending.signal, 0);
    const waiting = read(1, null, undefined, 0);
    assert.equal(counting.reads, 1);
    ending.abort();
    for (const page of await Promise.all([ended, waiting])) assert.equal(page.isSettled, false);
    assert.equal(counting.reads, 2);
  });
});

test("an error of a shared read is told each in the same words", async () => {
  const replica: Sql = () => {
    const error = new Error('schema "message_store" does not exist');
    throw Object.assign(error, { code: "3F000", severity: "ERROR" });
  };
  const consumer = {
    sql: db.sql,
    readFrom: replica,
    isDrained: false,
    source: newCategory(),
    types: undefined,
    correlation: undefined,
    batchSize: 10,
    onRetry: undefined,
  };
  const reading = [1, 2, 3].map(() =>
    readerFor(consumer, undefined).read(1, null, undefined, 0).catch((error) => String(error))
  );
  const told = await Promise.all(reading);
  assert.equal(new Set(told).size, 1);
  assert.match(String(told[0]), /^NotInstalledError: Cannot find .+" \(the replica of readFrom\)$/);
});

// A Worker ends a fetch with the request that has begun it, and the handle may outlive that.
test("a handle over HTTP shares no read", async () => {
  const category = newCategory();
  const counting = countingReads();
  const answer = gateway(counting.sql, { authorize: () => true });
  const sql = fetchSql("http://gateway.test/sql", {
    fetch: (...call) => answer(new Request(...call)),
  });
  const readers = [readerOf(sql, category, {}), readerOf(sql, category, {})];
  await Promise.all(readers.map(({ read }) => read(1, null, undefined, 0)));
  assert.equal(counting.reads, 2);
});

test("a read that began before a position was recorded proves nothing of that record", async () => {
  const category = newCategory();
  const counting = countingReads();
  const reader = readerOf(counting.sql, category, {});
  const settings = {
    sql: db.sql,
    answerTimeout: 1000,
    types: undefined,
    positionUpdateInterval: 1,
  };
  const start = { position: 0, version: -1, versionId: null, stored: -1 };
  const kept = keepPosition(settings, `${category}:position-one`, start);
  const { read } = readFor(kept, reader);
  const release = counting.hold();
  const others = reader.read(1, null, undefined, 0);
  kept.unproven.set(crypto.randomUUID(), momentNow());
  const own = read(1, null, undefined, 0);
  await until(() => counting.reads === 2);
  assert.equal(kept.unproven.size, 1);
  release();
  await Promise.all([others, own]);
  assert.equal(kept.unproven.size, 0);
});

test("work is shared by who wants the same, unless it began before what they were told of", async () => {
  const works = new Map<string, Underway<string>>();
  const answers: ((answer: string) => void)[] = [];
  const work = () => new Promise<string>((resolve) => answers.push(resolve));
  const share = (since: number) => workSince(works, "a", since) ?? beginWork(works, "a", work);
  const old = [0, 0].map(share);
  const told = momentNow();
  const newer = [told, told].map(share);
  assert.equal(answers.length, 2);
  answers[0]!("old");
  assert.deepEqual(await Promise.all(old), ["old", "old"]);
  const later = share(told);
  answers[1]!("new");
  assert.deepEqual(await Promise.all([...newer, later]), ["new", "new", "new"]);
  assert.equal(works.size, 0);
});
