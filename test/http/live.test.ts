import {
  type Message,
  readAll,
  readCategory,
  readStream,
  type Sql,
  streamVersion,
  write,
  writeBatch,
} from "@messagedb/client";
import { gateway, type GatewayCall } from "@messagedb/client/gateway";
import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type postgres from "postgres";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { answerLive } from "../../src/http/gateway/rest/_live.ts";
import { serve } from "../_serve.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { api } from "./_api.ts";
import { type Event, follow, parse, take } from "./_follow.ts";

const db = useDatabase();
const newCategory = () => `c${crypto.randomUUID().replaceAll("-", "")}`;
const newStream = () => `account-${crypto.randomUUID()}`;
const everyone = () => true;
const live = { accept: "text/event-stream" };
const types = (events: readonly Event[]) => events.map(({ data }) => data.type).join("");

const served = (sql: Sql = db.sql) => serve(gateway(sql, { authorize: everyone }));

/** A handle that counts what it sends, and what of it is under way. */
function counting(sql: Sql = db.sql): { sql: Sql; sent: () => number; underWay: () => number } {
  let sent = 0;
  let settled = 0;
  return {
    sql: async (strings, ...parameters) => {
      sent++;
      try {
        return await sql(strings, ...parameters);
      } finally {
        settled++;
      }
    },
    sent: () => sent,
    underWay: () => sent - settled,
  };
}

async function writeTypes(streamName: string, types: string): Promise<void> {
  await writeBatch(db.sql, streamName, [...types].map((type) => ({ type })));
}

describe("an event stream", () => {
  test("has an event a message: its position, and the JSON that a list has, on one line", async () => {
    const category = newCategory();
    const stream = `${category}-1`;
    const data = { text: "a\nb\r\nc\rd\u2028e", "": ":\n\ndata: x", __proto__x: null };
    const body = `{"type":"T","data":${JSON.stringify(data)},"metadata":{"__proto__":1}}`;
    const server = api(db.sql);
    for (let count = 0; count < 2; count++) await server.post(`/streams/${stream}/messages`, body);
    const url = await served();
    const { messages } = (await server.get(`/streams/${stream}/messages`)).body;
    expect(await take(follow(`${url}/streams/${stream}/messages`), 2)).toEqual([
      { id: "0", data: messages[0] },
      { id: "1", data: messages[1] },
    ]);
    const global = messages.map((data: { globalPosition: number }) => ({
      id: String(data.globalPosition),
      data,
    }));
    expect(await take(follow(`${url}/categories/${category}/messages`), 2)).toEqual(global);
    const from = messages[0].globalPosition;
    expect(await take(follow(`${url}/messages?position=${from}`), 2)).toEqual(global);
  });

  test("goes on with what is written later", async () => {
    const stream = newStream();
    const events = follow(`${await served()}/streams/${stream}/messages`);
    for (let position = 0; position < 3; position++) {
      const next = events.next();
      await write(db.sql, stream, { type: "T" });
      expect((await next).value.id).toBe(String(position));
    }
    await events.return(undefined);
  });

  test("is answered before the first read has", async () => {
    const stream = newStream();
    await write(db.sql, stream, { type: "T" });
    const url = await served(db.connect({ max: 1 }));
    const events = await db.sql.begin(async (holder) => {
      await holder`lock table message_store.messages in access exclusive mode`;
      const response = await fetch(`${url}/streams/${stream}/messages`, { headers: live });
      expect([
        response.status,
        ...["content-type", "cache-control", "x-accel-buffering"]
          .map((name) => response.headers.get(name)),
      ])
        .toEqual([200, "text/event-stream", "no-store, no-transform", "no"]);
      const reader = response.body!.getReader();
      expect(new TextDecoder().decode((await reader.read()).value)).toBe("retry: 1000\n\n");
      reader.releaseLock();
      return response.body!;
    });
    expect(await take(parse(events), 1)).toMatchObject([{ id: "0" }]);
  });

  test("has pages of a size, and starts at a position", async () => {
    const stream = newStream();
    await writeTypes(stream, "abcdefg");
    const { sql, sent } = counting();
    const url = `${await served(sql)}/streams/${stream}/messages?batchSize=2&position=1`;
    expect(types(await take(follow(url), 6))).toBe("bcdefg");
    expect(sent()).toBeGreaterThanOrEqual(3);
  });

  test("of a category is of a member's share, and by correlation", async () => {
    const category = newCategory();
    const metadata = { correlationStreamName: "cart-1" };
    for (let id = 0; id < 10; id++) {
      await write(db.sql, `${category}-${id}`, { type: "T", ...id % 2 ? { metadata } : {} });
    }
    const url = `${await served()}/categories/${category}/messages`;
    for (const member of [0, 1]) {
      const share = await readCategory(db.sql, category, { consumerGroup: { member, size: 2 } });
      const events = await take(follow(`${url}?member=${member}&size=2`), share.length);
      expect(events.map(({ data }) => data.id)).toEqual(share.map(({ id }) => id));
    }
    const correlated = await take(follow(`${url}?correlation=cart`), 5);
    expect(correlated.map(({ data }) => data.streamName))
      .toEqual([1, 3, 5, 7, 9].map((id) => `${category}-${id}`));
  });

  test.each(["text/event-stream", "TEXT/Event-Stream", "text/html, text/event-stream;q=0.9"])(
    "is asked for by Accept: %s",
    async (accept) => {
      const { headers, body } = await api(db.sql).get("/messages", { accept });
      await body.cancel();
      expect(headers.get("content-type")).toBe("text/event-stream");
    },
  );

  test.each(["*/*", "application/json", "text/event-streams", "text/*"])(
    "is no answer to Accept: %s",
    async (accept) => {
      const { headers } = await api(db.sql).get("/messages", { accept });
      expect(headers.get("content-type")).toBe("application/json");
    },
  );

  test.each([
    ["/messages?direction=backward", {}, /Cannot follow messages backward/],
    [
      "/messages",
      { "last-event-id": "x" },
      /^Cannot use "x" as "Last-Event-ID": it must be an int/,
    ],
    ["/messages", { "last-event-id": "-1" }, /as "Last-Event-ID": it must be an integer from 0/],
    ["/messages", { "last-event-id": "1.5" }, /as "Last-Event-ID"/],
    ["/messages", { "last-event-id": "9007199254740991" }, /it must be an integer/],
    ["/messages?position=x", { "last-event-id": "1" }, /as "position"/],
    ["/messages?batchSize=0", {}, /as "batchSize"/],
    ["/messages?batchSize=1001", {}, /a call may have 1000 at most/],
    ["/streams/account/messages", {}, /"streamName"/],
    ["/categories/a/messages?member=0", {}, /"member" and "size"/],
  ])("is not begun where it is refused: %s %j", async (path, headers, detail) => {
    const { sql, sent } = counting();
    const { status, body } = await api(sql).get(path, { ...live, ...headers });
    expect([status, sent()]).toEqual([422, 0]);
    expect(body.detail).toMatch(detail);
  });

  test("is allowed by authorize, which sees where it goes on", async () => {
    const calls: GatewayCall[] = [];
    const { sql, sent } = counting();
    const stream = newStream();
    const server = api(sql, {
      authorize: (_, call) => {
        calls.push(call);
        return false;
      },
    });
    const headers = { ...live, "last-event-id": "7" };
    const { status } = await server.get(`/streams/${stream}/messages?position=3`, headers);
    expect([status, sent()]).toEqual([403, 0]);
    expect(calls).toEqual([{
      operation: "readStream",
      writes: false,
      streamName: stream,
      category: "account",
      position: 8,
      batchSize: 100,
    }]);
  });
});

describe("Last-Event-ID", () => {
  test.each([
    ["0", "?position=0", "bcd"],
    ["0", "", "bcd"],
    ["1", "?position=3", "cd"],
    ["", "", "abcd"],
    ["", "?position=2", "cd"],
  ])("%s goes on after it, whatever the query says: %s", async (id, query, expected) => {
    const stream = newStream();
    await writeTypes(stream, "abcd");
    const url = `${await served()}/streams/${stream}/messages${query}`;
    const events = await take(follow(url, { "last-event-id": id }), expected.length);
    expect(types(events)).toBe(expected);
  });

  test("is a global position of a category and of all", async () => {
    const category = newCategory();
    for (const type of "abc") await write(db.sql, `${category}-${type}`, { type });
    const [first] = await readCategory(db.sql, category);
    const headers = { "last-event-id": String(first!.globalPosition) };
    const url = await served();
    for (const path of [`/categories/${category}/messages`, "/messages"]) {
      expect(types(await take(follow(url + path, headers), 2))).toBe("bc");
    }
  });
});

/** Follows as an EventSource does that loses its connection after a few events, again and again. */
async function followWithBreaks(url: string, isDone: (seen: Event[]) => boolean): Promise<Event[]> {
  const seen: Event[] = [];
  while (!isDone(seen)) {
    const last = seen.at(-1);
    const headers: HeadersInit = last === undefined ? {} : { "last-event-id": last.id };
    const breakAt = seen.length + 1 + Math.floor(Math.random() * 40);
    for await (const event of follow(url, headers)) {
      seen.push(event);
      if (seen.length >= breakAt || isDone(seen)) break;
    }
  }
  return seen;
}

describe("a client that comes again and again misses nothing and sees nothing twice", () => {
  test("of a stream and of a category, while 4 writers write", async () => {
    const category = newCategory();
    const stream = `${category}-0`;
    const each = 150;
    const sql = db.connect({ max: 8 });
    const writers = [0, 1, 2, 3].map(async () => {
      for (let at = 0; at < each; at++) {
        await write(sql, at % 2 ? stream : `${category}-${crypto.randomUUID()}`, { type: "T" });
      }
    });
    const url = await served();
    const follow = (path: string, count: number) =>
      followWithBreaks(`${url}${path}?batchSize=7`, (seen) => seen.length >= count);
    const [ofStream, ofCategory, again] = await Promise.all([
      follow(`/streams/${stream}/messages`, 2 * each),
      follow(`/categories/${category}/messages`, 4 * each),
      follow(`/categories/${category}/messages`, 4 * each),
      ...writers,
    ]) as [Event[], Event[], Event[]];
    expect(ofStream.map(({ id }) => id)).toEqual(
      Array.from({ length: 2 * each }, (_, at) => `${at}`),
    );
    expect(ofStream.map(({ data }) => data.id))
      .toEqual((await readStream(db.sql, stream)).map(({ id }) => id));
    const all = (await readCategory(db.sql, category)).map(({ id }) => id);
    expect(ofCategory.map(({ data }) => data.id)).toEqual(all);
    expect(again.map(({ data }) => data.id)).toEqual(all);
  });

  test("of all, while transactions overlap, commit late and roll back", async () => {
    const [last] = await readAll(db.sql, { direction: "backward", batchSize: 1 });
    const position = (last?.globalPosition ?? 0) + 1;
    const sql = db.connect({ max: 12 });
    const committed: string[] = [];
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let at = 0; at < 40; at++) {
        const id = crypto.randomUUID();
        await sql.begin(async (sql: postgres.TransactionSql) => {
          await write(sql, `late${writer}-${at}`, { type: "T", id });
          // Commits out of order are what this is about.
          await sleep(Math.random() * 20);
          if (Math.random() < 0.2) throw new Error("rolled back");
          committed.push(id);
        }).catch((error) => expect(error.message).toBe("rolled back"));
      }
    });
    let isWriting = true;
    const done = Promise.all(writers).then(() => write(db.sql, newStream(), { type: "Last" }))
      .finally(() => isWriting = false);
    const url = `${await served()}/messages?position=${position}&batchSize=9`;
    const seen = await followWithBreaks(url, (seen) => seen.at(-1)?.data.type === "Last");
    await done;
    expect(isWriting).toBe(false);
    const ids = seen.map(({ data }) => data.id);
    expect(ids.slice(0, -1).sort()).toEqual([...committed].sort());
    const positions = seen.map(({ id }) => Number(id));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
  });
});

describe("a page is read", () => {
  test("when the client has taken the last one", async () => {
    const stream = newStream();
    await writeTypes(stream, "abcdefgh");
    const { sql, sent, underWay } = counting();
    const { body } = await api(sql).get(`/streams/${stream}/messages?batchSize=2`, live);
    const reader = body.getReader();
    // Time enough to read what should not be read.
    const meanwhile = async () => {
      for (let count = 0; count < 50; count++) await streamVersion(db.sql, stream);
    };
    await meanwhile();
    expect(sent()).toBe(0);
    await reader.read();
    for (let page = 1; page <= 3; page++) {
      await until(() => sent() === page && underWay() === 0);
      await meanwhile();
      expect(sent()).toBe(page);
      await reader.read();
    }
    await reader.cancel();
  });
});

type LiveRead = Parameters<typeof answerLive>[0];
type MoreOfLiveRead = Partial<Omit<LiveRead, "read">> & {
  readonly read?: (position: number) => Promise<readonly Message[]>;
};

const watchingNothing: Sql = () => Promise.reject(new Error("Cannot watch"));

/** A live read of no database, for what time does to it. */
function answering({ read = () => Promise.resolve([]), ...more }: MoreOfLiveRead = {}): Response {
  return answerLive({
    key: "",
    position: 0,
    read: async (position) => {
      const messages = await read(position);
      const next = (messages.at(-1)?.position ?? position - 1) + 1;
      return {
        length: messages.length,
        messages: () => messages,
        next,
        atEnd: messages.length === 0,
      };
    },
    place: ({ position }) => position,
    sql: watchingNothing,
    watched: ["stream", "a-1"],
    onError: () => {},
    signal: undefined,
    followers: { count: 0, reads: new Map() },
    maxFollowers: 1,
    ...more,
  });
}

const message = (position: number) => ({
  id: crypto.randomUUID(),
  streamName: "a-1",
  type: "T",
  position,
  globalPosition: position,
  data: null,
  metadata: null,
  time: new Date(0),
});

describe("a live read", () => {
  afterEach(() => void vi.useRealTimers());

  async function firstOf(response: Response): Promise<ReadableStreamDefaultReader<string>> {
    const reader = response.body!.pipeThrough(new TextDecoderStream() as never).getReader();
    expect(await reader.read()).toEqual({ done: false, value: "retry: 1000\n\n" });
    return reader as ReadableStreamDefaultReader<string>;
  }

  test.each([
    ["there is nothing", () => Promise.resolve([])],
    ["a read takes long", () => new Promise<never>(() => {})],
  ])("shows a sign of life every 5 seconds while %s", async (_, read) => {
    vi.useFakeTimers();
    const reader = await firstOf(answering({ read }));
    for (let count = 0; count < 3; count++) {
      const next = reader.read();
      await vi.advanceTimersByTimeAsync(5000);
      expect(await next).toEqual({ done: false, value: ":\n\n" });
    }
    await reader.cancel();
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("reads after a pause that grows from 100 ms to a second, and anew when something came", async () => {
    vi.useFakeTimers({ now: 0 });
    const times: number[] = [];
    const reader = await firstOf(answering({
      read: () => Promise.resolve(times.push(Date.now()) === 8 ? [message(0)] : []),
    }));
    const drained = (async () => {
      while (!(await reader.read()).done);
    })();
    await vi.advanceTimersByTimeAsync(8000);
    const pauses = times.slice(1).map((time, at) => time - times[at]!);
    expect(pauses.slice(0, 11)).toEqual([100, 200, 400, 800, 1000, 1000, 1000, 0, 100, 200, 400]);
    await reader.cancel();
    await drained;
  });

  test("is one read for all who are at the same place, and goes on while one of them is there", async () => {
    vi.useFakeTimers();
    const followers = { count: 0, reads: new Map() };
    const read = vi.fn(() => Promise.resolve<readonly Message[]>([]));
    const live = { read, followers, maxFollowers: 20 };
    const readers = await Promise.all(
      Array.from({ length: 20 }, () => firstOf(answering(live))),
    );
    const over = readers.map((reader) => reader.read());
    await vi.advanceTimersByTimeAsync(100 + 200 + 400 + 800 + 1);
    expect(read).toHaveBeenCalledTimes(5);
    await Promise.all(readers.slice(1).map((reader) => reader.cancel()));
    await vi.advanceTimersByTimeAsync(1000);
    expect(read).toHaveBeenCalledTimes(6);
    await readers[0]!.cancel();
    await Promise.all(over);
    await vi.advanceTimersByTimeAsync(0);
    expect([vi.getTimerCount(), followers.count, followers.reads.size]).toEqual([0, 0, 0]);
  });

  test("is not shared by who reads something else", async () => {
    vi.useFakeTimers();
    const followers = { count: 0, reads: new Map() };
    const read = vi.fn(() => Promise.resolve<readonly Message[]>([]));
    const live = { read, followers, maxFollowers: 3 };
    for (const other of [{}, { key: "other" }, { position: 1 }]) {
      const reader = await firstOf(answering({ ...live, ...other }));
      onTestFinished(() => reader.cancel());
    }
    await vi.advanceTimersByTimeAsync(1);
    expect(read).toHaveBeenCalledTimes(3);
  });

  test("does not heap up signs of life before a client that takes nothing", async () => {
    vi.useFakeTimers();
    const { body } = answering();
    await vi.advanceTimersByTimeAsync(60_000);
    const reader = body!.getReader();
    await reader.read();
    const next = reader.read();
    await vi.advanceTimersByTimeAsync(4999);
    const state = await Promise.race([next.then(() => "came"), Promise.resolve("nothing")]);
    expect(state).toBe("nothing");
    await reader.cancel();
  });

  test.each([
    ["nothing comes", () => Promise.resolve([])],
    ["a read takes long", () => new Promise<never>(() => {})],
    ["much comes", (position: number) => Promise.resolve([message(position)])],
  ])("ends after five minutes, for authorize to be asked again, while %s", async (_, read) => {
    vi.useFakeTimers();
    const reader = await firstOf(answering({ read }));
    let ended = false;
    const drained = (async () => {
      while (!(await reader.read()).done) await vi.advanceTimersByTimeAsync(10);
      ended = true;
    })();
    await vi.advanceTimersByTimeAsync(100_000);
    expect(ended).toBe(false);
    while (!ended) await vi.advanceTimersByTimeAsync(1000);
    await drained;
    expect(Date.now()).toBeGreaterThanOrEqual(300_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("ends after five minutes though the client takes nothing", async () => {
    vi.useFakeTimers();
    const { body } = answering();
    await vi.advanceTimersByTimeAsync(299_000);
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    await vi.advanceTimersByTimeAsync(6000);
    expect(vi.getTimerCount()).toBe(0);
    const reader = body!.getReader();
    await reader.read();
    expect(await reader.read()).toEqual({ done: true, value: undefined });
  });

  test.each([
    ["between two reads", () => Promise.resolve([])],
    ["while it reads", () => new Promise<never>(() => {})],
  ])("ends when the gateway's signal is aborted %s, and leaves no timer", async (_, reading) => {
    vi.useFakeTimers();
    const read = vi.fn(reading);
    const controller = new AbortController();
    const errors: unknown[] = [];
    const onError = (error: unknown) => errors.push(error);
    const reader = await firstOf(answering({ read, onError, signal: controller.signal }));
    const next = reader.read();
    await vi.advanceTimersByTimeAsync(50);
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    controller.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    await vi.advanceTimersByTimeAsync(60_000);
    expect([vi.getTimerCount(), errors, read.mock.calls.length]).toEqual([0, [], 1]);
  });

  test("that has ended leaves nothing at the gateway's signal", async () => {
    vi.useFakeTimers();
    const { signal } = new AbortController();
    const { body } = answering({ signal });
    await answering({ signal }).body!.cancel();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await body!.cancel();
  });

  test("of a gateway that has stopped reads nothing", async () => {
    vi.useFakeTimers();
    const read = vi.fn(() => Promise.resolve([]));
    const { body } = answering({ read, signal: AbortSignal.abort() });
    const reader = body!.getReader();
    await reader.read();
    expect((await reader.read()).done).toBe(true);
    expect(read).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each<[string, () => readonly Message[]]>([
    ["answers nothing", () => []],
    ["answers a message", () => [message(0)]],
    ["fails", () => {
      throw new Error("Broken");
    }],
  ])("that is cancelled while it reads, which then %s, is over", async (_, settle) => {
    vi.useFakeTimers();
    let finish = () => {};
    const read = vi.fn(() => new Promise<void>((resolve) => finish = resolve).then(settle));
    const onError = vi.fn();
    const reader = await firstOf(answering({ read, onError }));
    const next = reader.read();
    await vi.advanceTimersByTimeAsync(0);
    expect(read).toHaveBeenCalledTimes(1);
    await reader.cancel();
    finish();
    expect((await next).done).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
    expect(read).toHaveBeenCalledTimes(1);
    expect(onError).not.toHaveBeenCalled();
  });

  test("tells of trouble once, and ends a second later", async () => {
    vi.useFakeTimers();
    const errors: unknown[] = [];
    const error = new Error("Broken");
    const reader = await firstOf(
      answering({ read: () => Promise.reject(error), onError: (it) => errors.push(it) }),
    );
    let ended = false;
    const next = reader.read().then(({ done }) => ended = done);
    await vi.advanceTimersByTimeAsync(999);
    expect([ended, errors]).toEqual([false, [error]]);
    await vi.advanceTimersByTimeAsync(1);
    await next;
    expect([ended, errors, vi.getTimerCount()]).toEqual([true, [error], 0]);
  });
});

describe("a database that goes away", () => {
  test("ends the stream, and the client that comes again goes on where it was", async () => {
    const stream = newStream();
    await writeTypes(stream, "ab");
    const errors: unknown[] = [];
    const first = db.connect({ max: 1 });
    let sql = first;
    const url = await serve((request) =>
      gateway(sql, { authorize: everyone, onError: (error) => errors.push(error) })(request)
    );
    const path = `${url}/streams/${stream}/messages`;
    const seen: Event[] = [];
    for await (const event of follow(path)) {
      seen.push(event);
      if (seen.length === 2) await first.end();
    }
    expect(errors).toHaveLength(1);
    await write(db.sql, stream, { type: "c" });
    for await (const _ of follow(path, { "last-event-id": "1" })) expect.fail("There is none");
    expect(errors).toHaveLength(2);
    sql = db.connect({ max: 1 });
    seen.push(...await take(follow(path, { "last-event-id": "1" }), 1));
    expect(types(seen)).toBe("abc");
  });
});

test("where nothing matches, reads go on behind what they have looked at", async () => {
  const category = newCategory();
  for (let id = 0; id < 20; id++) await write(db.sql, `${category}-${id}`, { type: "T" });
  const [last] = await readCategory(db.sql, category, { direction: "backward", batchSize: 1 });
  const positions: (string | null | undefined)[] = [];
  const sql: Sql = (strings, ...parameters) => {
    positions.push(parameters.find((it) => it !== null && /^\d+$/.test(it)));
    return db.sql(strings, ...parameters);
  };
  const url = await served(sql);
  const events = follow(`${url}/categories/${category}/messages?correlation=none&batchSize=7`);
  const next = events.next();
  await until(() => positions.length >= 3);
  expect(positions[0]).toBe("0");
  expect(positions.slice(1)).toEqual(
    positions.slice(1).map(() => String(last!.globalPosition + 1)),
  );
  const metadata = { correlationStreamName: "none-1" };
  await write(db.sql, `${category}-1`, { type: "Matching", metadata });
  expect((await next).value.data.type).toBe("Matching");
  await events.return(undefined);
});

test("messages that are too large for one answer come in smaller pages", async () => {
  const category = newCategory();
  const stream = `${category}-1`;
  const data = "x".repeat(1000);
  await writeBatch(db.sql, stream, Array.from({ length: 10 }, () => ({ type: "T", data })));
  const url = await serve(gateway(db.sql, { authorize: everyone, maxAnswerBytes: 3000 }));
  for (const path of [`streams/${stream}`, `categories/${category}`]) {
    const events = await take(follow(`${url}/${path}/messages`), 10);
    expect(events.map((event) => event.data.data)).toEqual(Array(10).fill(data));
  }
});

test("no more than maxFollowers follow at a time", async () => {
  const server = api(db.sql, { maxFollowers: 2 });
  const followed = [await server.get("/messages", live), await server.get("/messages", live)];
  const { status, body, headers } = await server.get("/messages", live);
  expect([status, headers.get("retry-after")]).toEqual([503, "10"]);
  expect(body).toMatchObject({ code: "TOO_MANY_FOLLOWERS", maxFollowers: 2 });
  expect((await server.get("/messages")).status).toBe(200);
  await followed[0]!.body.cancel();
  const another = await server.get("/messages", live);
  expect(another.status).toBe(200);
  await Promise.all([followed[1]!.body.cancel(), another.body.cancel()]);
});

test("a client that goes away stops the reading, and leaves no connection busy", async () => {
  const stream = newStream();
  await write(db.sql, stream, { type: "T" });
  const left = counting(db.connect({ max: 5, connection: { application_name: "live-left" } }));
  const url = await served(left.sql);
  const gone = new AbortController();
  const clients = Array.from(
    { length: 5 },
    () => follow(`${url}/streams/${stream}/messages`, {}, gone),
  );
  await Promise.all(clients.map((events) => events.next()));
  const waiting = clients.map((events) => events.next().catch(() => {}));
  const read = left.sent();
  await until(() => left.sent() >= read + 10);

  gone.abort();
  await Promise.all(waiting);

  // As long as another client takes for five reads, longer than the longest pause.
  const other = counting();
  const clock = follow(`${await served(other.sql)}/streams/${stream}/messages`);
  await clock.next();
  const next = clock.next();
  await until(() => other.sent() >= 4 && left.underWay() === 0);
  const sent = left.sent();
  await until(() => other.sent() >= 9);
  await write(db.sql, stream, { type: "T" });
  await next;
  await clock.return(undefined);
  expect(left.sent()).toBe(sent);
  const busy = await db.sql`
    select from pg_stat_activity where application_name = 'live-left' and state <> 'idle'`;
  expect(busy).toHaveLength(0);
});

test("a gateway that is told to stop ends what is followed, and nothing else", async () => {
  const stream = newStream();
  await write(db.sql, stream, { type: "T" });
  const stopping = new AbortController();
  const handle = gateway(db.sql, { authorize: everyone, signal: stopping.signal });
  const url = `${await serve(handle)}/streams/${stream}/messages`;
  const events = follow(url);
  await events.next();
  const next = events.next();
  stopping.abort();
  expect(await next).toEqual({ done: true, value: undefined });
  expect((await fetch(url)).status).toBe(200);
  // A server that waits for its connections to end would wait for who comes back over one.
  const { headers } = await handle(new Request(url, { headers: live }));
  expect(headers.get("connection")).toBe("close");
});
