import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createServer } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { neon, neonConfig } from "@neondatabase/serverless";
import pg from "pg";
import postgres from "postgres";
import { afterEach, describe, onTestFinished, test, vi } from "vitest";
import * as z from "zod";
import {
  defineMessages,
  fromQuery,
  type Message,
  NotInstalledError,
  readAll,
  readStream,
  type Sql,
  streamVersion,
  subscribe,
  type SubscribeOptions,
  write,
  writeBatch,
} from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { freePort } from "../_free_port.ts";
import { serve } from "../_serve.ts";
import { startNeonBridge } from "../runtimes/neon_bridge.ts";
import { PATIENCE } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const broken = useDatabase();

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const newCategory = () => `c${crypto.randomUUID().replaceAll("-", "")}`;
const counted = (count: number, type = "Written") =>
  Array.from({ length: count }, (_, data) => ({ type, data }));

/** Waits for what needs no timer to come, so that timers can be fake. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${holds}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

/** As many messages as these. */
async function take(messages: AsyncIterable<Message>, count: number): Promise<Message[]> {
  const taken: Message[] = [];
  for await (const message of messages) {
    taken.push(message);
    if (taken.length === count) break;
  }
  return taken;
}

/** All that is there now. */
async function caughtUp(
  source: string,
  options: SubscribeOptions = {},
  sql: Sql = db.sql,
): Promise<Message[]> {
  const ending = new AbortController();
  const onCaughtUp = () => ending.abort();
  const messages: Message[] = [];
  for await (
    const message of subscribe(sql, source, { ...options, onCaughtUp, signal: ending.signal })
  ) messages.push(message);
  return messages;
}

/** The next message, from when the subscription waits for it. */
async function firstOf(
  source: string,
  options: SubscribeOptions,
  come: () => Promise<unknown>,
  sql: Sql = db.sql,
): Promise<Message> {
  let waits = false;
  const messages = subscribe(sql, source, { ...options, onCaughtUp: () => waits = true });
  const next = messages.next();
  await until(() => waits);
  await come();
  const { value } = await next;
  await messages.return();
  return value!;
}

/** A handle that records what it sends. */
function recording(sql: postgres.Sql = db.sql) {
  const sent: { text: string; parameters: (string | null)[] }[] = [];
  return {
    sent,
    sql: fromQuery((text, parameters) => {
      sent.push({ text, parameters });
      return sql.unsafe(text, parameters);
    }),
  };
}

async function nextPosition(): Promise<number> {
  const [last] = await readAll(db.sql, { direction: "backward", batchSize: 1 });
  return (last?.globalPosition ?? 0) + 1;
}

async function insertAt(streamName: string, times: readonly string[]): Promise<void> {
  for (const [position, time] of times.entries()) {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, time)
      values (${streamName}, ${position}, 'Timed', ${time}::text::timestamp)`;
  }
}

describe("subscribe() starts", () => {
  test("at the beginning, where nothing is said, and goes on with what comes", async () => {
    const category = newCategory();
    const stream = `${category}-1`;
    await writeBatch(db.sql, stream, counted(5));
    await write(db.sql, `${category}-2`, { type: "Written" });
    const all = await readAll(db.sql);
    const own = all.filter(({ streamName }) => streamName.startsWith(category));
    for (
      const [source, there] of [[stream, own.slice(0, 5)], [category, own], ["$all", all]] as const
    ) {
      for (const startAt of [undefined, "beginning", 0] as const) {
        assert.deepEqual(await caughtUp(source, { startAt, batchSize: 2 }), there);
      }
      const first = subscribe(db.sql, source);
      for (const message of there) assert.deepEqual((await first.next()).value, message);
      const next = first.next();
      await write(db.sql, stream, { type: "Later" });
      assert.equal((await next).value!.type, "Later");
      await first.return();
      const [later] = await readStream(db.sql, stream, { direction: "backward", batchSize: 1 });
      all.push(later!);
      own.push(later!);
    }
  });

  test("at a position, which is included: of a stream, in the stream; else global", async () => {
    const category = newCategory();
    const stream = `${category}-1`;
    await write(db.sql, `${category}-0`, { type: "Written" });
    await writeBatch(db.sql, stream, counted(5));
    const messages = await readStream(db.sql, stream);
    assert.deepEqual(await caughtUp(stream, { startAt: 3 }), messages.slice(3));
    const startAt = messages[3]!.globalPosition;
    assert.deepEqual(await caughtUp(category, { startAt }), messages.slice(3));
    assert.deepEqual(await caughtUp("$all", { startAt }), messages.slice(3));
  });

  test("at a position that is yet to come: of a stream, any; else the next", async () => {
    const category = newCategory();
    const stream = `${category}-1`;
    const come = () => writeBatch(db.sql, stream, counted(5));
    assert.equal((await firstOf(stream, { startAt: 3 }, come)).position, 3);
    for (const source of [category, "$all"]) {
      const startAt = await nextPosition();
      assert.equal((await firstOf(source, { startAt }, come)).globalPosition, startAt);
    }
  });

  test("at the end, which is the beginning where nothing is", async () => {
    for (const count of [0, 3]) {
      const category = newCategory();
      const stream = `${category}-1`;
      if (count > 0) await writeBatch(db.sql, stream, counted(count));
      for (const source of [stream, category, "$all"]) {
        const type = `Of ${source}`;
        const come = () => write(db.sql, stream, { type });
        assert.equal((await firstOf(source, { startAt: "end" }, come)).type, type);
      }
    }
  });

  for (const zone of ["UTC", "Asia/Kolkata", "America/St_Johns"]) {
    test(`at the first message of a time or later, in a session in ${zone}`, async () => {
      const sql = db.connect({ connection: { TimeZone: zone, DateStyle: "SQL, DMY" } });
      const category = newCategory();
      const stream = `${category}-1`;
      // Not in this order: whoever writes by hand may.
      await insertAt(stream, [
        "2101-05-06 10:00:00",
        "2101-05-06 12:00:00.122999",
        "2101-05-06 12:00:00.123",
        "2101-05-06 11:00:00",
        "2101-05-06 12:00:00.123999",
        "2101-05-06 12:00:00.124",
      ]);
      const first = async (source: string, time: string) =>
        (await caughtUp(source, { startAt: new Date(time) }, sql))
          .filter(({ streamName }) => streamName === stream)[0]?.position;
      for (const source of [stream, category, "$all"]) {
        assert.equal(await first(source, "2101-05-06T09:59:59.999Z"), 0);
        assert.equal(await first(source, "2101-05-06T10:00:00Z"), 0);
        assert.equal(await first(source, "2101-05-06T10:00:00.001Z"), 1);
        assert.equal(await first(source, "2101-05-06T12:00:00.123Z"), 2);
      }
      for (const source of [stream, category, "$all"]) {
        assert.equal(await first(source, "2101-05-06T12:00:00.124Z"), 5);
        assert.equal(await first(source, "2101-05-06T12:00:00.125Z"), undefined);
      }
      await db.sql`delete from message_store.messages where stream_name = ${stream}`;
    });
  }

  test("at the end, where no message is of that time yet", async () => {
    const category = newCategory();
    const stream = `${category}-1`;
    await writeBatch(db.sql, stream, counted(3));
    for (const source of [stream, category, "$all"]) {
      for (const startAt of [new Date(Date.now() + 3_600_000), new Date(8.64e15)]) {
        const type = `Of ${source}`;
        const come = () => write(db.sql, stream, { type });
        assert.equal((await firstOf(source, { startAt }, come)).type, type);
      }
    }
  });

  test("at the beginning, where all is of a later time", async () => {
    const category = newCategory();
    const stream = `${category}-1`;
    await writeBatch(db.sql, stream, counted(3));
    for (const startAt of [new Date(0), new Date(-8.64e15), new Date("-000001-01-01T00:00:00Z")]) {
      for (const source of [stream, category]) {
        assert.equal((await caughtUp(source, { startAt })).length, 3);
      }
      assert.deepEqual(await caughtUp("$all", { startAt }), await readAll(db.sql));
    }
  });

  test("at a message's own time, to the millisecond", async () => {
    const stream = `${newCategory()}-1`;
    await insertAt(
      stream,
      Array.from(
        { length: 1000 },
        (_, at) => `2002-05-06 12:00:00.${String(at).padStart(3, "0")}`,
      ),
    );
    const messages = await readStream(db.sql, stream);
    for (let at = 0; at < 1000; at += 37) {
      const [first] = await take(subscribe(db.sql, stream, { startAt: messages[at]!.time }), 1);
      assert.equal(first!.position, at);
    }
  });

  test("over $all before a message of the time whose writer has not committed", async () => {
    const stream = `${newCategory()}-1`;
    const startAt = new Date(Date.now() + 1000 * 3600 * 24 * 365);
    const time = new Date(startAt.getTime() + 1).toISOString();
    const writer = await db.connect({
      fetch_types: true,
      connection: { idle_in_transaction_session_timeout: 5000 },
    }).reserve();
    await writer`begin`;
    await writer`
      insert into message_store.messages (stream_name, position, type, time)
      values (${stream}, 0, 'Late', ${time}::text::timestamp)`;
    await db.sql`
      insert into message_store.messages (stream_name, position, type, time)
      values (${stream}, 1, 'Early', ${time}::text::timestamp)`;
    const { sql, sent } = recording();
    const messages = subscribe(sql, "$all", { startAt, onCaughtUp: () => assert.fail() });
    const first = messages.next();
    await until(() => sent.some(({ text }) => text.includes("pg_locks")));
    await writer`commit`;
    writer.release();
    assert.deepEqual(
      [(await first).value!.type, (await messages.next()).value!.type],
      ["Late", "Early"],
    );
    await messages.return();
    await db.sql`update message_store.messages set time = now() where stream_name = ${stream}`;
  });
});

describe("subscribe() ends without an error", () => {
  test("and without a statement, when the signal has aborted before", async () => {
    const { sql, sent } = recording();
    for await (const _ of subscribe(sql, "$all", { signal: AbortSignal.abort() })) assert.fail();
    const ending = new AbortController();
    const messages = subscribe(sql, "$all", { signal: ending.signal });
    ending.abort();
    assert.equal((await messages.next()).done, true);
    assert.deepEqual(sent, []);
  });

  test("when the signal aborts while it reads, for the first time or later", async () => {
    const category = newCategory();
    await write(db.sql, `${category}-1`, { type: "Written" });
    for (const startAt of ["beginning", "end", new Date()] as const) {
      for (const source of [`${category}-1`, category, "$all"]) {
        const { sql, sent } = recording();
        const ending = new AbortController();
        const messages = subscribe(sql, source, { startAt, signal: ending.signal, batchSize: 1 });
        if (startAt === "beginning") await messages.next();
        await db.sql.begin(async (holder) => {
          await holder`lock table message_store.messages in access exclusive mode`;
          const before = sent.length;
          const rest = collect(messages);
          await until(() => sent.length > before || startAt === "beginning");
          ending.abort();
          assert.ok((await rest).length <= 1);
        });
        assert.deepEqual(getEventListeners(ending.signal, "abort"), []);
      }
    }
  });

  test("when the signal aborts while it waits", async () => {
    const ending = new AbortController();
    const { signal } = ending;
    let waits = false;
    const messages = subscribe(db.sql, newCategory(), { signal, onCaughtUp: () => waits = true });
    const next = messages.next();
    await until(() => waits);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    ending.abort();
    assert.deepEqual(await next, { done: true, value: undefined });
    assert.deepEqual(await messages.next(), { done: true, value: undefined });
    assert.equal(vi.getTimerCount(), 0);
  });

  test("when the signal aborts while a message is being taken: that was the last", async () => {
    const stream = `${newCategory()}-1`;
    await writeBatch(db.sql, stream, counted(20));
    for (const last of [0, 4, 5, 9, 19]) {
      const ending = new AbortController();
      const seen: number[] = [];
      for await (
        const { position } of subscribe(db.sql, stream, { signal: ending.signal, batchSize: 5 })
      ) {
        seen.push(position);
        if (position === last) ending.abort();
      }
      assert.equal(seen.length, last + 1);
      assert.deepEqual(getEventListeners(ending.signal, "abort"), []);
    }
  });

  test("when the signal aborts while a lost connection is tried again", async () => {
    const sql = db.connect({ max: 1 });
    let isGone = false;
    const handle = fromQuery((text, parameters) => {
      if (isGone) return Promise.reject(Object.assign(new Error("gone"), { code: "ECONNRESET" }));
      return sql.unsafe(text, parameters);
    });
    const ending = new AbortController();
    const errors: unknown[] = [];
    for await (
      const _ of subscribe(handle, newCategory(), {
        signal: ending.signal,
        onCaughtUp: () => isGone = true,
        onRetry: (error) => {
          errors.push(error);
          if (errors.length === 3) ending.abort();
        },
      })
    ) assert.fail();
    assert.equal(errors.length, 3);
  });

  test("and leaves nothing at a signal that lives on, however it ends", async () => {
    const { signal } = new AbortController();
    const stream = `${newCategory()}-1`;
    await writeBatch(db.sql, stream, counted(20));
    const options = { signal, batchSize: 2 };
    const listeners = () => getEventListeners(signal, "abort").length;
    const never = subscribe(db.sql, stream, options);
    assert.equal(listeners(), 0);
    await take(subscribe(db.sql, stream, options), 3);
    assert.equal(listeners(), 0);
    const open = Array.from({ length: 5 }, () => subscribe(db.sql, stream, options));
    for (const messages of open) await take({ [Symbol.asyncIterator]: () => messages }, 1);
    assert.equal(listeners(), 0);
    const thrown = subscribe(db.sql, stream, options);
    await thrown.next();
    assert.equal(listeners(), 1);
    await assert.rejects(thrown.throw(new Error("mine")), /mine/);
    const onCaughtUp = () => {
      throw new Error("told");
    };
    await assert.rejects(take(subscribe(db.sql, stream, { ...options, onCaughtUp }), 21), /told/);
    await never.return();
    assert.equal(listeners(), 0);
  });

  for (const how of ["break", "throw"]) {
    test(`when the loop is left by ${how}: it reads no more, and the handle can end`, async () => {
      const stream = `${newCategory()}-1`;
      await writeBatch(db.sql, stream, counted(20));
      const connection = db.connect({ max: 1 });
      await connection`select 1`;
      const { sql, sent } = recording(connection);
      const loop = async () => {
        for await (const _ of subscribe(sql, stream, { batchSize: 2, pollInterval: 1 })) {
          if (how === "break") break;
          throw new Error("left");
        }
      };
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      if (how === "break") await loop();
      else await assert.rejects(loop, /left/);
      // By then, the page that was read ahead is answered.
      for (let at = 0; at < 5; at++) await connection`select 1`;
      assert.equal(vi.getTimerCount(), 0);
      assert.equal(sent.length, 2);
      await connection.end();
    });
  }
});

describe("subscribe() ends its wait for a message", () => {
  type Subscription = AsyncGenerator<Message, void, undefined>;
  /** What a caller does whose next message does not come. */
  const endings: Record<string, (subscription: Subscription) => () => Promise<unknown>> = {
    "by return()": (subscription) => {
      const next = subscription.next();
      return async () => {
        assert.deepEqual(await subscription.return(), { value: undefined, done: true });
        assert.deepEqual(await next, { value: undefined, done: true });
      };
    },
    "by throw()": (subscription) => {
      const next = subscription.next();
      return async () => {
        await assert.rejects(subscription.throw(new Error("left")), /left/);
        assert.equal((await next).done, true);
      };
    },
    "by return() after many calls of next()": (subscription) => {
      const nexts = Array.from({ length: 5 }, () => subscription.next());
      return async () => {
        await subscription.return();
        assert.ok((await Promise.all(nexts)).every(({ done }) => done));
      };
    },
    "by await using": (subscription) => {
      const next = subscription.next();
      return async () => {
        const methods = subscription as unknown as Record<PropertyKey, () => Promise<unknown>>;
        const { asyncDispose = "return" } = Symbol as { asyncDispose?: symbol };
        // Node 20 has the symbol, and no generator with it.
        await methods[asyncDispose in methods ? asyncDispose : "return"]!();
        assert.equal((await next).done, true);
      };
    },
    "when a race with a timer is lost": (subscription) => {
      const next = Promise.race([subscription.next(), sleep(1)]);
      return () => next.then(() => subscription.return());
    },
    "by cancel() of a ReadableStream": (subscription) => {
      const { from } = ReadableStream as unknown as {
        from(source: AsyncIterable<Message>): ReadableStream<Message>;
      };
      const reader = from(subscription).getReader();
      const next = reader.read();
      return async () => {
        await reader.cancel();
        assert.equal((await next).done, true);
      };
    },
    "by destroy() of a Readable": (subscription) => {
      const readable = Readable.from(subscription);
      readable.resume();
      return async () => {
        readable.destroy();
        await once(readable, "close");
      };
    },
  };

  for (const [how, begin] of Object.entries(endings)) {
    test(`${how}: the wait is over, and nothing is read any more`, async () => {
      await install(db.sql, { notify: true });
      const { sql, sent } = recording();
      let listeners = 0;
      const listening = Object.assign(sql, {
        listen: async (...wanted: Parameters<typeof db.sql.listen>) => {
          const { unlisten } = await db.sql.listen(...wanted);
          listeners++;
          return {
            unlisten: () => {
              listeners--;
              return unlisten();
            },
          };
        },
      });
      for (const source of [`${newCategory()}-1`, newCategory(), "$all"]) {
        let waits = false;
        const subscription = subscribe(listening, source, {
          startAt: "end",
          notify: true,
          onCaughtUp: () => waits = true,
        });
        assert.equal(subscription[Symbol.asyncIterator](), subscription);
        const end = begin(subscription);
        await until(() => waits);
        assert.equal(listeners, 1);
        await end();
        await until(() => listeners === 0);
        const read = sent.length;
        await write(db.sql, `${newCategory()}-1`, { type: "Written" });
        // Ten polls of a subscription that goes on would be over.
        for (let at = 0; at < 10; at++) await sleep(30);
        assert.equal(sent.length, read);
        assert.deepEqual(await subscription.next(), { value: undefined, done: true });
      }
    });
  }

  test("by return() while the database does not answer, or a codec does not", async () => {
    const stream = `${newCategory()}-1`;
    await write(db.sql, stream, { type: "Written" });
    const never = () => new Promise<never>(() => {});
    const silent = subscribe(fromQuery(never), stream);
    const unanswered = silent.next();
    await silent.return();
    assert.equal((await unanswered).done, true);

    let isAsked = false;
    const messages = defineMessages({ Written: z.unknown() }, {
      codec: {
        encode: (data) => data,
        decode: () => {
          isAsked = true;
          return never();
        },
      },
    });
    const undecoded = subscribe(db.sql, stream, { messages });
    const next = undecoded.next();
    await until(() => isAsked);
    await undecoded.return();
    assert.equal((await next).done, true);
  });

  test("by throw() where a message is being taken, with the error that is thrown", async () => {
    const stream = `${newCategory()}-1`;
    await write(db.sql, stream, { type: "Written" });
    const subscription = subscribe(db.sql, stream);
    await subscription.next();
    await assert.rejects(subscription.throw(new Error("left")), /left/);
    assert.equal((await subscription.next()).done, true);
  });
});

describe("subscribe() reads", () => {
  const sources = {
    stream: (category: string) => `${category}-1`,
    category: (category: string) => category,
    "$all": () => "$all",
  };
  for (const [what, sourceOf] of Object.entries(sources)) {
    test(`of ${what} a page ahead of what is being taken, and no more`, async () => {
      const category = newCategory();
      const startAt = what === "stream" ? 0 : await nextPosition();
      await writeBatch(db.sql, `${category}-1`, counted(50));
      const connection = db.connect({ max: 1 });
      const { sql, sent } = recording(connection);
      const messages = subscribe(sql, sourceOf(category), { startAt, batchSize: 10 });
      for (let taken = 0; taken < 50; taken++) {
        await messages.next();
        // What has been sent since would have been answered.
        for (let at = 0; at < 3; at++) await connection`select 1`;
        // The last page is full, so that there may be more.
        assert.equal(sent.length, Math.floor(taken / 10) + 2);
      }
      await messages.return();
      assert.equal(sent.length, 6);
    });
  }

  const filters: Record<string, { source: (category: string) => string; index: number }> = {
    types: { source: (category) => category, index: 1 },
    correlation: { source: (category) => category, index: 1 },
    consumerGroup: { source: (category) => category, index: 1 },
    "types of a stream": { source: (category) => `${category}-1`, index: 1 },
    "types of $all": { source: () => "$all", index: 2 },
  };
  for (const [filter, { source, index }] of Object.entries(filters)) {
    for (const batchSize of [1000, 20, 7]) {
      test(`what ${filter} left out once only, ${batchSize} at a time`, async () => {
        const category = newCategory();
        const startAt = source(category).includes("-") ? 0 : await nextPosition();
        await writeBatch(db.sql, `${category}-1`, counted(60));
        const share = { consumerGroup: { member: 0, size: 2 } };
        const member = (await caughtUp(category, share)).length > 0 ? 1 : 0;
        const options = {
          startAt,
          batchSize,
          ...(filter.startsWith("types") && { types: ["Wanted"] }),
          ...(filter === "correlation" && { correlation: "wanted" }),
          ...(filter === "consumerGroup" && { consumerGroup: { member, size: 2 } }),
        };
        const { sql, sent } = recording();
        const ending = new AbortController();
        for await (
          const _ of subscribe(sql, source(category), {
            ...options,
            signal: ending.signal,
            pollInterval: 5,
            onCaughtUp: () => {
              const polled = sent.length + 2;
              until(() => sent.length >= polled).then(() => ending.abort());
            },
          })
        ) {
          assert.fail();
        }
        const from = sent.map(({ parameters }) => Number(parameters[index]) - startAt);
        const pages = from.slice(0, from.indexOf(60) + 1);
        const scanned = filter === "correlation" || filter === "consumerGroup" ? 60 : batchSize;
        assert.deepEqual(
          pages,
          Array.from({ length: pages.length }, (_, at) => Math.min(at * scanned, 60)),
        );
        assert.equal(pages.at(-1), 60);
        assert.ok(from.slice(pages.length).every((position) => position === 60));
      });
    }
  }

  test("only what its options ask for", async () => {
    const category = newCategory();
    const start = await nextPosition();
    const metadata = { correlationStreamName: "wanted-1" };
    for (let at = 0; at < 40; at++) {
      const type = ["A", "B", "C"][at % 3]!;
      await write(db.sql, `${category}-${at % 8}`, {
        type,
        data: at,
        ...(at % 5 === 0 && { metadata }),
      });
    }
    const data = (messages: Message[]) => messages.map((message) => message.data as number);
    const numbers = Array.from({ length: 40 }, (_, at) => at);
    for (const batchSize of [1, 3, 1000]) {
      const types = ["A", "C"];
      const wanted = numbers.filter((at) => at % 3 !== 1);
      assert.deepEqual(data(await caughtUp(category, { types, batchSize })), wanted);
      assert.deepEqual(
        data(await caughtUp("$all", { types, batchSize, startAt: start })),
        wanted,
      );
      assert.deepEqual(
        data(await caughtUp(`${category}-0`, { types, batchSize })),
        wanted.filter((at) => at % 8 === 0),
      );
      assert.deepEqual(
        data(await caughtUp(category, { types, batchSize, correlation: "wanted" })),
        wanted.filter((at) => at % 5 === 0),
      );
      const shares = await Promise.all([0, 1, 2].map(async (member) => {
        const share = { consumerGroup: { member, size: 3 }, batchSize };
        const messages = await caughtUp(category, share);
        assert.deepEqual(
          messages,
          messages.toSorted((a, b) => a.globalPosition - b.globalPosition),
        );
        return data(messages);
      }));
      assert.deepEqual(shares.flat().toSorted((a, b) => a - b), numbers);
    }
  });

  test("again after 25 ms, then ever later up to the poll interval; at 25 ms again after a message", async () => {
    const stream = `${newCategory()}-1`;
    const connection = db.connect({ max: 1 });
    await connection`select 1`;
    const { sql, sent } = recording(connection);
    const waits = waitAtOnce();
    for (const batchSize of [1000, 1]) {
      const startAt = await streamVersion(db.sql, stream) + 1;
      waits.length = sent.length = 0;
      const messages = subscribe(sql, stream, { batchSize, pollInterval: 300, startAt });
      const next = messages.next();
      await until(() => sent.length >= 8);
      await write(db.sql, stream, { type: "Written" });
      await next;
      const idle = waits.length;
      assert.deepEqual(waits.slice(0, 7), [25, 50, 100, 200, 300, 300, 300]);
      const after = messages.next();
      await until(() => waits.length >= idle + 6);
      assert.deepEqual(waits.slice(idle, idle + 6), [25, 50, 100, 200, 300, 300]);
      await write(db.sql, stream, { type: "Written" });
      await after;
      await messages.return();
    }
  });

  test("no more often than the poll interval says, where that is shorter than the first wait", async () => {
    const connection = db.connect({ max: 1 });
    await connection`select 1`;
    const { sql } = recording(connection);
    const waits = waitAtOnce();
    const ending = new AbortController();
    const { signal } = ending;
    const ended = take(subscribe(sql, newCategory(), { pollInterval: 7, signal }), 1);
    await until(() => waits.length >= 5);
    ending.abort();
    await ended;
    assert.deepEqual(waits.slice(0, 5), [7, 7, 7, 7, 7]);
  });

  /** Makes the waits between polls short, and answers how long they were to be. */
  function waitAtOnce(): number[] {
    const waits: number[] = [];
    const wait = globalThis.setTimeout;
    vi.spyOn(globalThis, "setTimeout").mockImplementation(
      ((run: () => void, delay: number) => {
        if (delay >= 30_000) return wait(run, delay); // the limit of an answer
        waits.push(delay);
        return wait(run, 0);
      }) as typeof setTimeout,
    );
    return waits;
  }
});

test("subscribe() says when it has caught up: for the first time, and after each time that more came", async () => {
  for (const batchSize of [1, 2, 1000]) {
    const category = newCategory();
    const source = { stream: `${category}-1`, category, all: "$all" };
    for (const [what, name] of Object.entries(source)) {
      const startAt = what === "stream" ? 0 : await nextPosition();
      if (what === "stream") await writeBatch(db.sql, `${category}-1`, counted(4));
      const { sql, sent } = recording();
      const told: number[] = [];
      let taken = 0;
      const ending = new AbortController();
      const done = (async () => {
        for await (
          const { type } of subscribe(sql, name, {
            startAt,
            batchSize,
            types: ["Written"],
            pollInterval: 5,
            signal: ending.signal,
            onCaughtUp: () => told.push(taken),
          })
        ) {
          assert.equal(type, "Written");
          taken++;
        }
      })();
      const first = what === "stream" ? 4 : 0;
      await until(() => told.length === 1);
      const polled = sent.length + 3;
      await until(() => sent.length >= polled);
      // What is left out is nothing new.
      await writeBatch(db.sql, `${category}-1`, counted(4, "Left out"));
      const left = sent.length + 8;
      await until(() => sent.length >= left);
      await writeBatch(db.sql, `${category}-1`, counted(4));
      await until(() => told.length === 2);
      ending.abort();
      await done;
      assert.deepEqual(told, [first, first + 4]);
    }
  }
});

describe("subscribe() of $all", () => {
  test("waits before the position of a writer that has not committed, and passes one that rolled back", async () => {
    for (const how of ["commit", "rollback"]) {
      const startAt = await nextPosition();
      const [open, behind] = [`${newCategory()}-1`, `${newCategory()}-1`];
      const writer = await db.connect({ fetch_types: true }).reserve();
      await writer`begin`;
      await write(writer, open, { type: "Open" });
      await writeBatch(db.sql, behind, counted(3));
      const { sql, sent } = recording();
      const seen: Message[] = [];
      const reading = (async () => {
        for await (const message of subscribe(sql, "$all", { startAt, batchSize: 2 })) {
          seen.push(message);
          if (seen.length === (how === "commit" ? 4 : 3)) break;
        }
      })();
      await until(() => sent.length >= 20);
      assert.deepEqual(seen, []);
      await writer.unsafe(how);
      writer.release();
      await reading;
      assert.deepEqual(
        seen.map(({ streamName }) => streamName),
        [...how === "commit" ? [open] : [], behind, behind, behind],
      );
    }
  });

  test("loses nothing and has nothing twice while 12 writers commit late, roll back and insert by hand", async () => {
    const start = await nextPosition();
    const sql = db.connect({ max: 14 });
    const inserted = async () => {
      const messages = await readAll(db.sql, { position: start, batchSize: 100_000 });
      return messages.filter(({ type }) => type === "Inserted");
    };
    const last = crypto.randomUUID();
    const all = [1000, 50, 1].map((batchSize) =>
      readTo(last, db.connect({ max: 1 }), "$all", { startAt: start, batchSize, pollInterval: 50 })
    );
    const late = readTo(last, db.connect(), "$all", { startAt: "end", batchSize: 7 });
    const shared = db.connect({ max: 2 });
    const some = [3, 100].map((batchSize) =>
      readTo(last, shared, "$all", { startAt: start, batchSize, types: ["Inserted", "Last"] })
    );
    const committed: string[] = [];
    await Promise.all(
      Array.from({ length: 12 }, (_, writer) => keepWriting(sql, writer, 100, committed)),
    );
    await write(db.sql, `${newCategory()}-1`, { id: last, type: "Last" });
    committed.push(last);
    committed.sort();
    for (const seen of await Promise.all(all)) {
      assert.deepEqual(seen.map(({ id }) => id).sort(), committed);
      assertInOrder(seen);
    }
    for (const seen of await Promise.all(some)) {
      assert.deepEqual(seen.slice(0, -1), await inserted());
      assert.equal(seen.at(-1)!.id, last);
    }
    const seen = await late;
    assert.deepEqual(new Set(seen.map(({ id }) => id)).size, seen.length);
  });
});

/** Reads until there is the message of this id. */
async function readTo(
  id: string,
  sql: Sql,
  source: string,
  options: SubscribeOptions,
): Promise<Message[]> {
  const seen: Message[] = [];
  for await (const message of subscribe(sql, source, options)) {
    seen.push(message);
    if (message.id === id) break;
  }
  return seen;
}

function assertInOrder(seen: readonly Message[]): void {
  for (let at = 1; at < seen.length; at++) {
    assert.ok(seen[at]!.globalPosition > seen[at - 1]!.globalPosition);
  }
}

/** Writes one message a transaction, half of them by a plain INSERT, and commits each late or never. */
async function keepWriting(
  sql: postgres.Sql,
  writer: number,
  transactions: number,
  committed: string[],
): Promise<void> {
  const roll = random(writer + 1);
  const category = newCategory();
  for (let at = 0; at < transactions; at++) {
    const id = crypto.randomUUID();
    const stream = `${category}-${at}`;
    try {
      await sql.begin(async (sql) => {
        if (at % 2) await write(sql, stream, { type: "Written", id });
        else {
          await sql`
            insert into message_store.messages (id, stream_name, position, type)
            values (${id}, ${stream}, 0, 'Inserted')`;
        }
        await sleep(roll() * 30);
        if (roll() < 0.2) throw new Error("rolled back");
      });
      committed.push(id);
    } catch (error) {
      assert.equal((error as Error).message, "rolled back");
    }
  }
}

/** Reproducible: a linear congruential generator. */
function random(seed: number): () => number {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

/** Ends all connections of this name, and answers how many these were. */
async function terminate(name: string): Promise<number> {
  const [row] = await db.sql<{ count: number }[]>`
    select count(*) filter (where pg_terminate_backend(pid))::int as count
    from pg_stat_activity
    where application_name = ${name} and datname = current_database()`;
  return row!.count;
}

describe("subscribe() over a connection that is lost", () => {
  const handles: Record<string, (name: string) => Sql> = {
    // What it asks about types where it opens a connection, it leaves unhandled when that is lost.
    "postgres.js": (name) =>
      db.connect({ max: 2, fetch_types: false, connection: { application_name: name } }),
    "pg's Pool": (name) => {
      const pool = new pg.Pool({ connectionString: db.url, max: 2, application_name: name });
      // Else an idle connection that breaks ends the process.
      pool.on("error", () => {});
      onTestFinished(() => pool.end());
      return fromQuery((text, parameters) => pool.query(text, parameters));
    },
    "fetchSql()": (name) => {
      const sql = db.connect({
        max: 2,
        fetch_types: false,
        connection: { application_name: name },
      });
      const handle = gateway(sql, { authorize: () => true });
      const fetch = (url: string, init: RequestInit) => handle(new Request(url, init));
      return fetchSql("http://gateway.test/sql", { fetch: fetch as typeof globalThis.fetch });
    },
  };
  for (const [what, connect] of Object.entries(handles)) {
    test(`of ${what} has each message once, in order, and tells of what it tries again`, async () => {
      const category = newCategory();
      const stream = `${category}-0`;
      const startAt = await nextPosition();
      const last = crypto.randomUUID();
      const name = `lost${crypto.randomUUID().slice(0, 8)}`;
      const sql = connect(name);
      let reading = 0;
      const errors: unknown[] = [];
      await write(db.sql, stream, { type: "First" });
      const follow = async (source: string) => {
        const seen: Message[] = [];
        const options = {
          startAt: source === stream ? 0 : startAt,
          batchSize: 10,
          pollInterval: 20,
          onRetry: (error: unknown) => errors.push(error),
        };
        for await (const message of subscribe(sql, source, options)) {
          if (seen.push(message) === 1) reading++;
          if (message.id === last) break;
        }
        return seen;
      };
      const all = Promise.all([stream, category, "$all"].map(follow));
      await Promise.race([until(() => reading === 3), all]);
      let count = 1;
      let writing = true;
      const writers = Promise.all(Array.from({ length: 3 }, async () => {
        for (; writing; count++) await write(db.sql, stream, { type: "Written" });
      }));
      // fetchSql() tries again by itself.
      const enough = () => what === "fetchSql()" ? count > 300 : errors.length >= 10;
      while (!enough()) {
        const before = errors.length;
        const written = count;
        assert.ok(await terminate(name) <= 6);
        // A connection that was idle is replaced without a word.
        await until(() => errors.length > before || count > written + 20);
      }
      writing = false;
      await writers;
      await write(db.sql, stream, { id: last, type: "Last" });
      const written = await readStream(db.sql, stream, { batchSize: 100_000 });
      assert.equal(written.length, count + 1);
      for (const seen of await all) assert.deepEqual(seen, written);
    });
  }

  test("throws what the first read says, and does not try it again", async () => {
    const port = await freePort();
    const onRetry = () => assert.fail();
    const handles: [() => Sql, string][] = [
      [() => postgres({ host: "127.0.0.1", port, max: 1 }), "ECONNREFUSED"],
      [() => fetchSql(`http://127.0.0.1:${port}/sql`, { timeout: 100 }), "FETCH_FAILED"],
    ];
    for (const [connect, code] of handles) {
      for (
        const [source, startAt] of [["account", 0], ["account-1", "end"], [
          "$all",
          new Date(),
        ]] as const
      ) {
        await assert.rejects(
          subscribe(connect(), source, { startAt, onRetry }).next(),
          (error: { code: string }) => error.code === code,
        );
      }
    }
  });

  test("of neon() goes on", async () => {
    const port = await freePort();
    let state: "there" | "gone" | "busy" = "there";
    const { endpoint, close } = await startNeonBridge();
    onTestFinished(() => close());
    const endpoints = {
      there: endpoint,
      gone: `http://127.0.0.1:${port}/`,
      busy: await serve(() => new Response("busy", { status: 503 })),
    };
    neonConfig.fetchEndpoint = () => endpoints[state];
    const stream = `${newCategory()}-1`;
    await write(db.sql, stream, { type: "Written" });
    const handle = neon(db.url);
    const errors: unknown[] = [];
    const onRetry = (error: unknown) => errors.push(error);
    const messages = subscribe(handle, stream, { onRetry });
    await messages.next();
    for (const trouble of ["gone", "busy"] as const) {
      state = trouble;
      errors.length = 0;
      const next = messages.next();
      await Promise.race([until(() => errors.length >= 2), next]);
      state = "there";
      await write(db.sql, stream, { type: trouble });
      assert.equal((await next).value!.type, trouble);
    }
    await messages.return();
  });

  test("throws an error that is none of a connection", async () => {
    const onRetry = () => assert.fail();
    const open = ["account-1", "account", "$all"].map((source) => {
      let waits = false;
      const onCaughtUp = () => waits = true;
      const messages = subscribe(broken.sql, source, { startAt: "end", onRetry, onCaughtUp });
      return { messages, next: messages.next(), waits: () => waits };
    });
    await until(() => open.every(({ waits }) => waits()));
    const rejected = Promise.all(open.map(({ next }) => assert.rejects(next, NotInstalledError)));
    // Renamed rather than dropped: a statement that is at work meanwhile has another error then.
    await broken.sql`alter schema message_store rename to elsewhere`;
    await rejected;
    for (const { messages } of open) assert.equal((await messages.next()).done, true);
  });

  test("ends with the driver's error when the caller ends the handle", async () => {
    for (const source of ["account-1", "account", "$all"]) {
      const sql = db.connect();
      const onRetry = () => assert.fail();
      const messages = subscribe(sql, source, {
        startAt: "end",
        onRetry,
        onCaughtUp: () => void sql.end(),
      });
      await assert.rejects(
        messages.next(),
        (error: { code: string }) => error.code === "CONNECTION_ENDED",
      );
    }
    const pool = new pg.Pool({ connectionString: db.url });
    const messages = subscribe(
      fromQuery((text, parameters) => pool.query(text, parameters)),
      "account",
      { startAt: "end", onRetry: () => assert.fail(), onCaughtUp: () => void pool.end() },
    );
    await assert.rejects(messages.next(), /after calling end on the pool/);
  });
});

describe("subscribe() with notify", () => {
  /** A handle that counts its reads, and who listens through it. */
  function listening(options: Parameters<typeof db.connect>[0] = {}) {
    const connection = db.connect(options);
    const { sql: recorded, sent } = recording(connection);
    let listeners = 0;
    const listen = async (...parameters: Parameters<typeof connection.listen>) => {
      listeners++;
      const { state, unlisten } = await connection.listen(...parameters);
      return {
        state,
        unlisten: () => {
          listeners--;
          return unlisten();
        },
      };
    };
    return { sql: Object.assign(recorded, { listen }), connection, sent, count: () => listeners };
  }

  /** Sets up the trigger, and lets no wait between two polls come to its end. */
  async function installed(): Promise<void> {
    await install(db.sql, { notify: true });
    const wait = globalThis.setTimeout;
    const isPoll = (delay: number) => Number.isInteger(Math.log2(delay / 25));
    vi.spyOn(globalThis, "setTimeout").mockImplementation(
      ((run: () => void, delay: number) =>
        isPoll(delay) ? wait(() => {}, 0) : wait(run, delay)) as typeof setTimeout,
    );
    onTestFinished(() => install(db.sql, { notify: false }).then(() => {}));
  }

  for (const what of ["stream", "category", "$all"]) {
    test(`is woken where no poll is due: ${what}`, async () => {
      await installed();
      const category = newCategory();
      const stream = `${category}-1`;
      const source = { stream, category, "$all": "$all" }[what]!;
      const { sql, sent } = listening();
      let caught = 0;
      const options = { startAt: "end", notify: true, pollInterval: 25 * 2 ** 12 } as const;
      const messages = subscribe(sql, source, { ...options, onCaughtUp: () => caught++ });
      let next = messages.next();
      await until(() => caught === 1);
      for (let at = 0; at < 20; at++) {
        await write(db.sql, stream, { type: "Written", data: at });
        assert.equal((await next).value!.data, at);
        next = messages.next();
        await until(() => caught === at + 2);
      }
      // Each notification is one read at most; the first is of those who begin to listen.
      assert.ok(sent.length <= 1 + 2 + 20 * 2, String(sent.length));
      await write(db.sql, stream, { type: "Last" });
      await next;
      await messages.return();
    });
  }

  test("reads for its own category's notifications only", async () => {
    await installed();
    const category = newCategory();
    const { sql, connection, sent } = listening();
    let caught = 0;
    const options = { notify: true, onCaughtUp: () => caught++ };
    const messages = subscribe(sql, category, options);
    let next = messages.next();
    await until(() => caught === 1);
    const told: string[] = [];
    const witness = await connection.listen("message_store", (payload) => told.push(payload));
    // One more may be on its way.
    await write(db.sql, `${category}-1`, { type: "Written" });
    await next;
    next = messages.next();
    await until(() => caught === 2);
    for (let at = 0; at < 3; at++) await connection`select 1`;
    const before = sent.length;
    for (const other of [newCategory(), `${category}:command`, `${category}x`, "$other"]) {
      await write(db.sql, `${other}-1`, { type: "Written" });
      await until(() => told.includes(other));
      for (let at = 0; at < 3; at++) await connection`select 1`;
      assert.equal(sent.length, before);
    }
    await write(db.sql, `${category}-2`, { type: "Written" });
    assert.equal((await next).value!.streamName, `${category}-2`);
    assert.equal(sent.length, before + 1);
    await messages.return();
    await witness.unlisten();
  });

  test("reads again for what was told while a page ahead was read", async () => {
    await installed();
    const stream = `${newCategory()}-1`;
    await writeBatch(db.sql, stream, counted(4));
    const { sql, connection, sent } = listening();
    const told: string[] = [];
    const witness = await connection.listen("message_store", (payload) => told.push(payload));
    const messages = subscribe(sql, stream, { notify: true, batchSize: 4 });
    for (let at = 0; at < 4; at++) await messages.next();
    // The page ahead has been answered: it is empty. Its consumer is still at the one before.
    await until(() => sent.length === 2);
    for (let at = 0; at < 20; at++) await connection`select 1`;
    await write(db.sql, stream, { type: "Fifth" });
    await until(() => told.length === 1);
    assert.equal((await messages.next()).value!.type, "Fifth");
    await messages.return();
    await witness.unlisten();
  });

  test("polls on beneath, where there is no trigger", async () => {
    const stream = `${newCategory()}-1`;
    const { sql } = listening();
    for (const source of [stream, "$all"]) {
      for (let at = 0; at < 3; at++) {
        const type = `Of ${source} ${at}`;
        const come = () => write(db.sql, stream, { type });
        const options = { startAt: "end", notify: true, pollInterval: 20 } as const;
        assert.equal((await firstOf(source, options, come, sql)).type, type);
      }
    }
  });

  test("is woken after its listening connection was lost", async () => {
    await installed();
    const stream = `${newCategory()}-1`;
    const name = `listen${crypto.randomUUID().slice(0, 8)}`;
    const { sql, connection } = listening({ connection: { application_name: name } });
    const told: string[] = [];
    let listens = 0;
    const witness = await connection.listen(
      "message_store",
      (payload) => told.push(payload),
      () => listens++,
    );
    let caught = 0;
    const options = { notify: true, pollInterval: 25 * 2 ** 20, onCaughtUp: () => caught++ };
    const messages = subscribe(sql, stream, options);
    let next = messages.next();
    await until(() => caught === 1);
    for (let round = 0; round < 5; round++) {
      assert.ok(await terminate(name) > 0);
      await until(() => listens === round + 2);
      await write(db.sql, stream, { type: "Written", data: round });
      assert.equal((await next).value!.data, round);
      next = messages.next();
      await until(() => caught === round + 2);
    }
    await write(db.sql, stream, { type: "Last" });
    await next;
    await messages.return();
    await witness.unlisten();
  });

  test("listens no more when it has ended", async () => {
    await installed();
    const stream = `${newCategory()}-1`;
    await writeBatch(db.sql, stream, counted(3));
    const { sql, count } = listening();
    await take(subscribe(sql, stream, { notify: true }), 2);
    await until(() => count() === 0);
    const ending = new AbortController();
    const { signal } = ending;
    const onCaughtUp = () => ending.abort();
    assert.equal(
      (await collect(subscribe(sql, stream, { notify: true, signal, onCaughtUp }))).length,
      3,
    );
    await until(() => count() === 0);
    assert.deepEqual(getEventListeners(signal, "abort"), []);
    const thrown = subscribe(sql, stream, {
      notify: true,
      onCaughtUp: () => {
        throw new Error("told");
      },
    });
    await assert.rejects(take(thrown, 4), /told/);
    await until(() => count() === 0);
  });

  test("listens no more when it was ended before it began to", async () => {
    const connection = db.connect();
    let begin = () => {};
    const begun = new Promise<void>((resolve) => begin = resolve);
    let listeners = 0;
    let asked = false;
    const sql: Sql = Object.assign(recording(connection).sql, {
      listen: async () => {
        asked = true;
        await begun;
        listeners++;
        return { unlisten: () => Promise.resolve(listeners--) };
      },
    });
    const ending = new AbortController();
    const next = subscribe(sql, "account", { notify: true, signal: ending.signal }).next();
    await until(() => asked);
    ending.abort();
    assert.equal((await next).done, true);
    begin();
    await begun;
    await until(() => listeners === 0);
    assert.equal(listeners, 0);
  });

  test("ends at once though the database does not answer", async () => {
    const server = createServer(() => {}).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await until(() => server.listening);
    const { port } = server.address() as { port: number };
    const sql = postgres({ host: "127.0.0.1", port, max: 1, connect_timeout: 0 });
    onTestFinished(() => sql.end({ timeout: 0 }));
    for (const notify of [true, false]) {
      const ending = new AbortController();
      const next = subscribe(sql, "account", { notify, signal: ending.signal }).next();
      server.once("connection", () => {});
      await new Promise((resolve) => setImmediate(resolve));
      ending.abort();
      assert.equal((await next).done, true);
    }
    // What does not answer any more when it is told to listen no more.
    const stuck: Sql = Object.assign(recording().sql, {
      listen: () => Promise.resolve({ unlisten: () => new Promise(() => {}) }),
    });
    const ending = new AbortController();
    const onCaughtUp = () => ending.abort();
    const options = { notify: true, signal: ending.signal, onCaughtUp };
    assert.deepEqual(await collect(subscribe(stuck, newCategory(), options)), []);
  });

  test("throws what listening says, where that is not possible", async () => {
    const { sql } = recording();
    const refused = Object.assign(sql, { listen: () => Promise.reject(new Error("refused")) });
    await assert.rejects(subscribe(refused, "account", { notify: true }).next(), /refused/);
  });

  test("is for a handle that can listen", () => {
    const pool = fromQuery(() => Promise.resolve([]));
    for (const sql of [pool, fetchSql("http://127.0.0.1")]) {
      assert.throws(() => subscribe(sql, "account", { notify: true }), TypeError);
    }
  });
});

describe("subscribe() over a gateway", () => {
  test("has every source, start and filter", async () => {
    const url = await serve(gateway(db.sql, { authorize: () => true }));
    const sql = fetchSql(`${url}/sql`);
    const category = newCategory();
    const stream = `${category}-1`;
    const startAt = await nextPosition();
    await db.sql`select nextval('message_store.messages_global_position_seq')`;
    await writeBatch(db.sql, stream, counted(10));
    await writeBatch(db.sql, stream, counted(5, "Other"));
    const written = await readStream(db.sql, stream);
    const time = written[0]!.time;
    for (const source of [stream, category, "$all"]) {
      const from = source === stream ? 0 : startAt;
      const options = { startAt: from, batchSize: 4 };
      assert.deepEqual(await caughtUp(source, options, sql), written);
      assert.deepEqual(await caughtUp(source, { startAt: time }, sql), written);
      assert.deepEqual(await caughtUp(source, { startAt: "end" }, sql), []);
      assert.deepEqual(
        await caughtUp(source, { ...options, types: ["Other"] }, sql),
        written.slice(10),
      );
    }
    const consumerGroup = { member: 0, size: 1 };
    assert.deepEqual(await caughtUp(category, { consumerGroup }, sql), written);
    assert.deepEqual(await caughtUp(category, { correlation: "other" }, sql), []);
    assert.deepEqual(await caughtUp(stream, { startAt: new Date(-8.64e15) }, sql), written);
    assert.deepEqual(await caughtUp(stream, { startAt: new Date(8.64e15) }, sql), []);
    const come = () => write(db.sql, stream, { type: "Later" });
    assert.equal((await firstOf(category, { startAt: "end" }, come, sql)).type, "Later");
  });
});

test("subscribe() starts at the first message of a stream since a time, not at the first of ten", async () => {
  await writeBatch(db.sql, "long-1", Array.from({ length: 12 }, () => ({ type: "Written" })));
  await db.sql`
    update message_store.messages
    set time = timestamp '2020-01-01' + position * interval '1 day'
    where stream_name = 'long-1'`;
  for await (
    const { position } of subscribe(db.sql, "long-1", { startAt: new Date("2020-01-10") })
  ) {
    assert.equal(position, 9);
    break;
  }
});
