import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import type postgres from "postgres";
import { describe, onTestFinished, test } from "vitest";
import {
  drain,
  type HandlerContext,
  HandlerFailedError,
  type Message,
  NotInstalledError,
  readStream,
  replayParked,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { startProxy, stored, writeCounted } from "./_consuming.ts";
import { parked, rewind } from "../../src/operate/mod.ts";
import { useDatabase } from "../database.ts";
import { until } from "../_until.ts";

const db = useDatabase();

/** A consumer that parks everything, and has. */
async function parking(category: string, count: number) {
  await writeCounted(db.sql, category, count, { streams: 2 });
  const consumer = { category, consumerId: "it", handle: () => "park" as const };
  await drain(db.sql, consumer);
  return consumer;
}

describe("replayParked()", () => {
  // The first of the file: the message has the first global position, and the first place.
  test("keeps what is parked again, however often", async () => {
    const consumer = await parking("first", 1);
    const [message] = await readStream(db.sql, "first-0");
    assert.equal(message!.globalPosition, 1);
    for (let again = 1; again < 4; again++) {
      assert.deepEqual(await replayParked(db.sql, consumer, { limit: 1 }), {
        replayed: 1,
        parked: 1,
        busy: false,
      });
      assert.equal(await streamVersion(db.sql, "first:parked-it"), again);
    }
    const seen: unknown[] = [];
    const handle = ({ id }: Message) => void seen.push(id);
    assert.deepEqual(await replayParked(db.sql, { ...consumer, handle }), {
      replayed: 1,
      parked: 0,
      busy: false,
    });
    assert.deepEqual(seen, [message!.id]);
  });

  test("handles the messages themselves, in the order in which they were parked, once", async () => {
    const consumer = await parking("order", 5);
    const seen: Message[] = [];
    const handle = (message: Message, { attempt }: HandlerContext) => {
      assert.equal(attempt, 1);
      seen.push(message);
    };
    const replay = () => replayParked(db.sql, { ...consumer, handle });
    assert.deepEqual(await replay(), { replayed: 5, parked: 0, busy: false });
    assert.deepEqual(seen.map(({ data }) => data), [0, 1, 2, 3, 4]);
    assert.deepEqual(seen[0], (await readStream(db.sql, "order-0"))[0]);
    assert.deepEqual(await replay(), { replayed: 0, parked: 0, busy: false });
    assert.deepEqual(await stored(db.sql, "order:position-it+parked"), [0, 1, 2, 3, 4, 5, 5]);
    assert.equal((await stored(db.sql, "order:position-it")).length, 2);
  });

  test("follows the policy, and starts again with the message that it stopped on", async () => {
    const consumer = await parking("policy", 4);
    const attempts: unknown[] = [];
    const handle = ({ data }: Message, { attempt }: HandlerContext) => {
      attempts.push([data, attempt]);
      if (data === 1) throw new Error("one");
    };
    await assert.rejects(replayParked(db.sql, { ...consumer, handle }), HandlerFailedError);
    const onError = { retry: 1, delay: 1, then: "park" } as const;
    const rest = await replayParked(db.sql, { ...consumer, handle, onError });
    assert.deepEqual(rest, { replayed: 3, parked: 1, busy: false });
    assert.deepEqual(attempts, [[0, 1], [1, 1], [1, 1], [1, 2], [2, 1], [3, 1]]);
    assert.equal(await streamVersion(db.sql, "policy:parked-it"), 4);
    const skip = await replayParked(db.sql, { ...consumer, handle, onError: "skip" });
    assert.deepEqual(skip, { replayed: 1, parked: 0, busy: false });
  });

  test("ends at its limit, and when the signal aborts", async () => {
    const consumer = await parking("ends", 6);
    const seen: unknown[] = [];
    const ending = new AbortController();
    const handle = ({ data }: Message) => {
      seen.push(data);
      if (data === 3) ending.abort();
    };
    const replaying = { ...consumer, handle };
    assert.deepEqual(await replayParked(db.sql, replaying, { limit: 2 }), {
      replayed: 2,
      parked: 0,
      busy: false,
    });
    assert.deepEqual(await replayParked(db.sql, replaying, { signal: ending.signal }), {
      replayed: 2,
      parked: 0,
      busy: false,
    });
    assert.deepEqual(await replayParked(db.sql, replaying), {
      replayed: 2,
      parked: 0,
      busy: false,
    });
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5]);
  });

  test("handles each once where it runs twice at the same time, transactional", async () => {
    const { category, consumerId } = await parking("twice", 40);
    await db.sql`create table replayed (number int)`;
    const handle = async (
      { data }: Message,
      { sql }: HandlerContext<postgres.TransactionSql>,
    ) => {
      await sql`insert into replayed values (${data as number})`;
    };
    const consumer = { category, consumerId, transactional: true, handle } as const;
    const replayed = await Promise.all(
      [db.connect(), db.connect()].map((sql) => replayParked(sql, consumer)),
    );
    assert.equal(replayed[0]!.replayed + replayed[1]!.replayed, 40);
    const rows = await db.sql`select number from replayed order by number`;
    assert.deepEqual(rows.map(({ number }) => number), Array.from({ length: 40 }, (_, at) => at));
    const positions = await stored(db.sql, "twice:position-it+parked");
    assert.deepEqual(positions, [...Array.from({ length: 41 }, (_, at) => at), 40]);
  });

  test("passes over a message that was deleted, and one of a type without a handler", async () => {
    const { category, consumerId } = await parking("deleted", 3);
    await db.sql`delete from message_store.messages where stream_name = 'deleted-1'`;
    const seen: unknown[] = [];
    const handle = ({ data }: Message) => void seen.push(data);
    assert.deepEqual(await replayParked(db.sql, { category, consumerId, handle }), {
      replayed: 3,
      parked: 0,
      busy: false,
    });
    assert.deepEqual(seen, [0, 2]);
    await write(db.sql, "others-0", { type: "toString" });
    const others = await parking("others", 2);
    const consumer = { category: others.category, consumerId, handlers: { Other: handle } };
    assert.deepEqual(await replayParked(db.sql, consumer), { replayed: 3, parked: 0, busy: false });
    assert.equal(seen.length, 2);
  });

  test("takes a message again that was parked, replayed, and parked again after the position was set back", async () => {
    const { category, consumerId } = await parking("again", 2);
    const seen: unknown[] = [];
    const consumer = { category, consumerId, handle: ({ data }: Message) => void seen.push(data) };
    assert.equal((await replayParked(db.sql, consumer)).replayed, 2);
    for (let times = 0; times < 2; times++) {
      await rewind(db.sql, consumer, "beginning");
      await drain(db.sql, { category, consumerId, handle: () => "park" });
      assert.equal((await replayParked(db.sql, consumer)).replayed, 2);
    }
    assert.deepEqual(seen, [0, 1, 0, 1, 0, 1]);
  });

  test("takes those that are wanted, out of turn, once each, and leaves the others parked", async () => {
    const { category, consumerId } = await parking("chosen", 6);
    await db.sql`create table chosen (number int)`;
    const consumer = {
      category,
      consumerId,
      transactional: true,
      handle: async (
        { data }: Message,
        { sql }: HandlerContext<postgres.TransactionSql>,
      ) => {
        await sql`insert into chosen values (${data as number})`;
      },
    } as const;
    const replayed = async (options: object) =>
      (await replayParked(db.sql, consumer, options)).replayed;
    const numbers = async () =>
      (await db.sql`select number from chosen order by number`).map(({ number }) => number);
    const open = await parked(db.sql, consumer);
    const ids = open.map(({ message }) => message.id);
    assert.equal(await replayed({ ids: [ids[4], ids[2]] }), 2);
    assert.equal(await replayed({ ids: [ids[4], ids[2]] }), 0);
    assert.deepEqual(await numbers(), [2, 4]);
    assert.equal(await replayed({ types: ["Nothing"] }), 0);
    assert.equal(await replayed({ until: new Date(0) }), 0);
    assert.equal((await parked(db.sql, consumer)).length, 4);
    assert.equal(await replayed({ until: new Date(Date.now() + 60_000), limit: 2 }), 2);
    assert.deepEqual(await numbers(), [0, 1, 2, 4]);
    assert.equal(await replayed({}), 2);
    assert.deepEqual(await numbers(), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(await parked(db.sql, consumer), []);
    assert.equal(await replayed({}), 0);
  });

  test("goes on with its claim where the answer to that was lost", async () => {
    const { category, consumerId } = await parking("unanswered", 2);
    const proxy = await startProxy(db.url);
    onTestFinished(proxy.close);
    const sql = db.connect({ port: Number(new URL(proxy.url).port), max: 1, fetch_types: false });
    proxy.loseAnswerTo("recorded");
    const replayed = await replayParked(sql, { category, consumerId, handle: () => {} });
    assert.deepEqual([replayed, proxy.lost], [{ replayed: 2, parked: 0, busy: false }, 1]);
  });

  test("handles a message out of turn once while its claim is renewed, transactional", async () => {
    const { category, consumerId } = await parking("slow", 2);
    await db.sql`create table slow (number int)`;
    const [, last] = await parked(db.sql, { category, consumerId });
    const ending = new AbortController();
    let calls = 0;
    const consumer = {
      category,
      consumerId,
      leaseDuration: 300,
      transactional: true,
      handle: async (
        { data }: Message,
        { sql }: HandlerContext<postgres.TransactionSql>,
      ) => {
        // Without an end, the work would be done again for ever.
        if (++calls === 5) ending.abort();
        await sql`insert into slow values (${data as number})`;
        const version = () => streamVersion(db.sql, "slow:position-it+parked");
        const begunAt = await version();
        await until(async () => await version() > begunAt);
      },
    } as const;
    const options = { ids: [last!.message.id], signal: ending.signal };
    assert.deepEqual(await replayParked(db.sql, consumer, options), {
      replayed: 1,
      parked: 0,
      busy: false,
    });
    assert.deepEqual([...await db.sql`select number from slow`], [{ number: 1 }]);
    assert.deepEqual(new Set(await stored(db.sql, "slow:position-it+parked")), new Set([0]));
  });

  test("out of turn leaves the position where another process has moved it meanwhile", async () => {
    const { category, consumerId } = await parking("moved", 4);
    await db.sql`create table moved (number int)`;
    const open = await parked(db.sql, { category, consumerId });
    const other = db.connect({ max: 2 });
    const handle = async (
      { data }: Message,
      { sql }: HandlerContext<postgres.TransactionSql>,
    ) => {
      await sql`insert into moved values (${data as number})`;
    };
    const consumer = { category, consumerId, exclusive: false, transactional: true } as const;
    let calls = 0;
    const moving: typeof handle = async (message, context) => {
      await handle(message, context);
      if (++calls > 1) return;
      await replayParked(other, { ...consumer, handle }, { limit: 2 });
    };
    const last = await replayParked(db.sql, { ...consumer, handle: moving }, {
      ids: [open[3]!.message.id],
    });
    assert.deepEqual(last, { replayed: 1, parked: 0, busy: false });
    const rest = await replayParked(db.sql, { ...consumer, handle });
    assert.deepEqual(rest, { replayed: 1, parked: 0, busy: false });
    const rows = await db.sql`select number from moved order by number`;
    assert.deepEqual(rows.map(({ number }) => number), [0, 1, 2, 3]);
    const positions = await stored(db.sql, "moved:position-it+parked");
    assert.deepEqual(positions, positions.toSorted((one, two) => one - two));
  });

  test("handles a message out of turn once where another process takes over and handles it first, transactional", async () => {
    const { category, consumerId } = await parking("taken", 2);
    await db.sql`create table taken (number int)`;
    const [, last] = await parked(db.sql, { category, consumerId });
    const handle = async (
      { data }: Message,
      { sql }: HandlerContext<postgres.TransactionSql>,
    ) => {
      await sql`insert into taken values (${data as number})`;
    };
    const consumer = { category, consumerId, leaseDuration: 100, transactional: true } as const;
    const options = { ids: [last!.message.id] };
    let calls = 0;
    const handleLate: typeof handle = async (message, context) => {
      await handle(message, context);
      if (++calls > 1) return;
      const takeOver = () => replayParked(db.sql, { ...consumer, handle }, options);
      await until(async () => (await takeOver()).replayed === 1);
    };
    // The transaction has the only connection, so that the claim cannot be renewed.
    const slow = db.connect({ max: 1 });
    const late = await replayParked(slow, { ...consumer, handle: handleLate }, options);
    assert.equal(late.replayed, 0);
    assert.deepEqual([...await db.sql`select number from taken`], [{ number: 1 }]);
  });

  test("takes a message that was replayed out of turn and is parked again, however many were parked since", async () => {
    const { category, consumerId } = await parking("far", 2);
    const names = { category, consumerId };
    const open = await parked(db.sql, names);
    const [first, second] = open.map(({ message }) => message.id);
    const [entry] = await readStream(db.sql, "far:parked-it");
    await writeBatch(
      db.sql,
      "far:parked-it",
      Array.from({ length: 1000 }, () => ({ type: "Parked", data: entry!.data })),
    );
    const seen: unknown[] = [];
    const consumer = { ...names, handle: ({ id }: Message) => void seen.push(id) };
    const ids = [second!];
    assert.equal((await replayParked(db.sql, consumer, { ids })).replayed, 1);
    await rewind(db.sql, consumer, "beginning");
    await drain(db.sql, { ...names, handle: () => "park" });
    assert.equal((await replayParked(db.sql, consumer, { ids })).replayed, 1);
    assert.deepEqual(seen, [second, second]);
    await rewind(db.sql, consumer, "beginning");
    await drain(db.sql, { ...names, handle: ({ id }) => id === first ? "park" : undefined });
    assert.equal(await streamVersion(db.sql, "far:parked-it"), 1004);
  });

  test("passes over what an application has in the stream of parked messages", async () => {
    const { category, consumerId } = await parking("foreign", 2);
    const [first] = await parked(db.sql, { category, consumerId });
    await writeBatch(db.sql, "foreign:parked-it", [
      { type: "Parked" },
      { type: "Parked", data: { message: "none" } },
      { type: "Noted" },
      { type: "Noted", data: { position: 1 } },
      { type: "Replayed", data: { position: 1, by: "an application" } },
    ]);
    assert.equal((await parked(db.sql, { category, consumerId })).length, 2);
    const seen: unknown[] = [];
    const consumer = { category, consumerId, handle: ({ data }: Message) => void seen.push(data) };
    const replayed = async (options: object) =>
      (await replayParked(db.sql, consumer, options)).replayed;
    assert.equal(await replayed({ ids: [first!.message.id] }), 1);
    assert.equal(await replayed({}), 1);
    assert.deepEqual(seen, [0, 1]);
    assert.equal(await replayed({}), 0);
    assert.equal((await stored(db.sql, "foreign:position-it+parked")).at(-1), 7);
  });

  test("leaves no listener on the signal where it cannot begin", async () => {
    const { signal } = new AbortController();
    const sql = db.connect({ database: "postgres", max: 1 });
    const consumer = { category: "nowhere", consumerId: "it", handle: () => {} };
    await assert.rejects(replayParked(sql, consumer, { signal }), NotInstalledError);
    assert.deepEqual(getEventListeners(signal, "abort"), []);
  });
});
