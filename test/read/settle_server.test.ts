import assert from "node:assert/strict";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, test, vi } from "vitest";
import {
  append,
  consume,
  drain,
  fromQuery,
  type Message,
  readAll,
  readLastMessage,
  readMatching,
  settle,
  type Sql,
  streamVersion,
  subscribe,
  waitFor,
  write,
} from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { readScannedPage } from "../../src/read/_read_settled_page.ts";
import { recordSettled } from "../../src/subscribe/_record_settled.ts";
import { connectTo } from "./_connect.ts";
import { until } from "../_until.ts";
import { type Pair, startPair, startSubscriber } from "../_pair.ts";

let pair: Pair;
let onPrimary: postgres.Sql;
let onStandby: postgres.Sql;
let onSubscriber: postgres.Sql;

beforeAll(async () => {
  pair = await startPair();
  ({ onPrimary, onStandby } = pair);
  await onPrimary`
    create function public.delay() returns trigger language plpgsql as $$
    begin
      if random() < 0.5 then perform pg_sleep(random() * 0.02); end if;
      return new;
    end $$`;
  await onPrimary`
    create trigger delay before insert on message_store.messages
    for each row when (new.type = 'Written') execute function public.delay()`;
  onSubscriber = await startSubscriber(pair, "copy");
});
afterAll(async () => {
  await onSubscriber`drop subscription copy`;
  await onSubscriber.end();
  await pair.stop();
});

/** Runs `settle` until it is ended. */
function settling(sql: Sql): { end(): Promise<void> } {
  const ending = new AbortController();
  const running = settle(sql, { signal: ending.signal, interval: 20 });
  running.catch(() => {});
  const end = async () => {
    ending.abort();
    await running;
  };
  return { end };
}

/** The last record; undefined if it is not true here. */
async function recordOn(sql: Sql): Promise<Message<{ position: number }> | undefined> {
  const last = await readLastMessage<{ position: number }>(sql, "$all:settled-all");
  return last && last.data.position < last.globalPosition ? last : undefined;
}

/** Resolves when a position is recorded as settled. */
async function untilRecorded(sql: Sql, position: number): Promise<void> {
  await until(async () =>
    (await recordOn(sql) ?? { data: { position: 0 } }).data.position >= position
  );
}

/** Writes in 16 connections, commits late and in any order, and rolls back: half of it by plain INSERTs. */
async function writeInDisorder(sql: postgres.Sql, each: number): Promise<Set<string>> {
  const committed = new Set<string>();
  const failure = new Error("rolled back");
  await Promise.all(Array.from({ length: 16 }, async (_, writer) => {
    for (let count = 0; count < each; count++) {
      const id = crypto.randomUUID();
      const streamName = `disorder${writer}-1`;
      try {
        await sql.begin(async (sql) => {
          if (writer % 2 === 0) await write(sql, streamName, { id, type: "Written" });
          else {
            await sql`
              insert into message_store.messages (id, stream_name, position, type)
              values (${id}, ${`${streamName}${id}`}, 0, 'Written')`;
          }
          if (Math.random() < 0.5) await sql`select pg_sleep(random() * 0.03)`;
          if (Math.random() < 0.2) throw failure;
        });
        committed.add(id);
      } catch (error) {
        assert.equal(error, failure);
      }
    }
  }));
  return committed;
}

/** Takes the messages of a run of writers from a subscription, until the last one comes. */
async function takeAll(
  messages: AsyncIterable<Message>,
  isLast: (message: Message) => boolean,
): Promise<{ ids: string[]; isOrdered: boolean }> {
  const ids: string[] = [];
  let last = 0;
  let isOrdered = true;
  for await (const message of messages) {
    isOrdered &&= message.globalPosition > last;
    last = message.globalPosition;
    if (message.type === "Written") ids.push(message.id);
    if (isLast(message)) break;
  }
  return { ids, isOrdered };
}

test("while 16 writers commit late and roll back, a standby and a subscriber give each message once and in order", async () => {
  const writers = connectTo(pair.primary.url, 16);
  const settlers = [connectTo(pair.primary.url, 1), connectTo(pair.primary.url, 1)];
  const followers = [
    connectTo(pair.standby.url, 2),
    connectTo(urlOfSubscriber(), 2),
  ];
  const first = settling(settlers[0]!);
  let second = settling(settlers[1]!);
  const start = (await append(onPrimary, "begin-1", { type: "Begun" })).globalPosition;
  await until(async () => (await readLastMessage(onSubscriber, "begin-1")) !== undefined);
  await until(async () => (await readAll(onSubscriber).catch(() => [])).length > 0);
  await until(async () => (await readAll(onStandby).catch(() => [])).length > 0);
  const isLast = ({ type }: Message) => type === "Ended";
  const following = followers.map((sql) =>
    takeAll(subscribe(sql, "$all", { startAt: start, batchSize: 50 }), isLast)
  );
  const half = await writeInDisorder(writers, 15);
  // One is killed, and started again.
  await settlers[1]!.end({ timeout: 0 });
  await second.end().catch(() => {});
  settlers[1] = connectTo(pair.primary.url, 1);
  second = settling(settlers[1]);
  const rest = await writeInDisorder(writers, 15);
  await append(onPrimary, "begin-1", { type: "Ended" });
  const written = [...half, ...rest].sort();
  for (const { ids, isOrdered } of await Promise.all(following)) {
    assert.deepEqual([...ids].sort(), written);
    assert.ok(isOrdered);
  }
  await Promise.all([first.end(), second.end()]);
  await Promise.all([writers, ...settlers, ...followers].map((sql) => sql.end()));
});

test("without a record that is true here, a read of all streams says to run settle", async () => {
  const name = "$all:settled-all";
  const [kept] = await onPrimary`
    select max(position)::int as position from message_store.messages where stream_name = ${name}`;
  // Its position is that of another store.
  await write(onPrimary, name, { type: "Settled", data: { position: 1_000_000 } });
  const isThere = async () =>
    (await readLastMessage(onSubscriber, name))?.position! > kept!.position;
  await until(isThere);
  await until(async () => (await readLastMessage(onStandby, name))?.position! > kept!.position);
  for (const sql of [onStandby, onSubscriber]) {
    await assert.rejects(readAll(sql), {
      name: "ReplicaReadError",
      message: /run settle\(primary\)/,
    });
    const told: unknown[] = [];
    const handled: string[] = [];
    const consumer = { category: "$all", consumerId: crypto.randomUUID() };
    const ending = new AbortController();
    const consuming = consume(onPrimary, {
      ...consumer,
      readFrom: sql,
      pollInterval: 25,
      handle: ({ streamName }) => void handled.push(streamName),
      onRetry: (error) => void told.push((error as { code?: unknown }).code),
    }, { signal: ending.signal });
    const { globalPosition } = await append(onPrimary, "unsettled-1", { type: "Unsettled" });
    await Promise.race([waitFor(onPrimary, consumer, globalPosition), consuming]);
    ending.abort();
    await consuming;
    assert.equal(handled.at(-1), "unsettled-1");
    assert.deepEqual(new Set(told), new Set(["REPLICA_READ"]));
  }
  await assert.rejects(settle(onStandby), { name: "ReplicaReadError", reason: "standby" });
  await assert.rejects(settle(onSubscriber), { name: "ReplicaReadError", reason: "subscriber" });
});

test("a replica whose messages wait for a record longer than settle() would take says so", async () => {
  const running = settling(onPrimary);
  const { globalPosition } = await append(onPrimary, "known-1", { type: "Known" });
  const follow = { position: globalPosition };
  await untilRecorded(onStandby, globalPosition);
  await running.end();
  // The first message behind the record is none of an application.
  await write(onPrimary, "known:position-late", { type: "Recorded", data: { position: 1 } });
  const late = await append(onPrimary, "known-1", { type: "Late" });
  await until(async () =>
    (await readLastMessage(onStandby, "known-1"))?.globalPosition === late.globalPosition
  );
  const ends = (await readAll(onStandby, follow)).map(({ type }) => type);
  assert.ok(!ends.includes("Late"));
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, "now");
  try {
    clock.mockImplementation(() => now() + 20_000);
    await readMatching(onStandby, "unknown-%");
    clock.mockImplementation(() => now() + 30_000);
    await assert.rejects(readAll(onStandby, follow), /nothing was recorded as settled/);
    const small = { ...follow, position: globalPosition + 1, batchSize: 1 };
    await assert.rejects(readAll(onStandby, small), /nothing was recorded as settled/);
  } finally {
    vi.restoreAllMocks();
  }
  const again = settling(onPrimary);
  await until(async () => (await readAll(onStandby, follow)).some(({ type }) => type === "Late"));
  await again.end();
});

test("settle() records nothing for messages that this library writes for itself", async () => {
  let sent = 0;
  const counting = fromQuery((text, parameters) => {
    sent++;
    return onPrimary.unsafe(text, parameters);
  });
  const ending = new AbortController();
  const running = settle(counting, { signal: ending.signal, interval: 0, pollInterval: 25 });
  const { globalPosition } = await append(onPrimary, "known-1", { type: "Known" });
  await untilRecorded(onPrimary, globalPosition);
  const before = await recordOn(onPrimary);
  await write(onPrimary, "known:position-quiet", { type: "Recorded", data: { position: 1 } });
  const begun = sent;
  await until(() => sent > begun + 4);
  assert.deepEqual(await recordOn(onPrimary), before);
  ending.abort();
  await running;
});

test("nothing is recorded in a store that is not the one that was read", async () => {
  const { store, settled, version } = await recordSettled(onPrimary, null);
  const record = { position: settled + 1, version };
  assert.equal(await streamVersion(onPrimary, "$all:settled-all"), version);
  await recordSettled(onPrimary, { ...record, store: "of another run" });
  assert.equal(await streamVersion(onPrimary, "$all:settled-all"), version);
  const { recorded } = await recordSettled(onPrimary, { ...record, store });
  assert.equal(recorded, version + 1);
  // Another process has recorded since.
  await recordSettled(onPrimary, { ...record, store });
  assert.equal(await streamVersion(onPrimary, "$all:settled-all"), version + 1);
});

test("settle() repeats its record where messages of applications wait behind a page of this library's", async () => {
  const running = settling(onPrimary);
  const { globalPosition } = await append(onPrimary, "held-1", { type: "Held" });
  await untilRecorded(onPrimary, globalPosition);
  const blocker = connectTo(pair.primary.url, 1);
  const held = await blocker.reserve();
  await held`begin`;
  await write(held, "held:open-1", { type: "Open" });
  await onPrimary`
    insert into message_store.messages (stream_name, position, type, data)
    select 'held:position-own', number, 'Recorded', '{"position": 1}'
    from generate_series(0, 999) as number`;
  await append(onPrimary, "held-1", { type: "Waiting" });
  const now = performance.now.bind(performance);
  let ahead = 0;
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + ahead);
  try {
    for (let times = 0; times < 2; times++) {
      const before = await recordOn(onPrimary);
      ahead += 10_000;
      await until(async () => (await recordOn(onPrimary))!.position > before!.position);
    }
  } finally {
    clock.mockRestore();
    await held`rollback`;
    held.release();
    await blocker.end();
    await running.end();
  }
});

test("a standby takes a message that was deleted for no other store, whichever standby knew it", async () => {
  const running = settling(onPrimary);
  const gone = await append(onPrimary, "gone-1", { type: "Gone" });
  const [row] = await onPrimary<{ id: string }[]>`
    delete from message_store.messages where global_position = ${gone.globalPosition} returning id`;
  const { globalPosition } = await append(onPrimary, "gone-1", { type: "Next" });
  await until(async () =>
    (await readAll(onStandby, { position: globalPosition })).some(({ type }) => type === "Next")
  );
  const mark = { position: gone.globalPosition, id: row!.id, store: "of another standby" };
  const wanted = { position: globalPosition, batchSize: 1, pattern: null, mark };
  const { standing } = await readScannedPage(onStandby, wanted, { settled: 0, mark: null });
  assert.equal(standing, "erased");
  await running.end();
});

test("settle() refuses pauses after which replicas would see a standstill", async () => {
  for (const option of ["interval", "pollInterval"]) {
    await assert.rejects(settle(onPrimary, { [option]: 10_001 }), {
      name: "RangeError",
      message: `Cannot use 10001 as "${option}": it must be at most 10000, ` +
        "so that replicas see no standstill",
    });
  }
});

describe.each(["standby", "subscriber"] as const)("a consumer that reads from a %s", (which) => {
  test.each(["$all", "paged"])(
    "handles each message of %s once, with its position on the primary",
    async (category) => {
      const replica = which === "standby" ? onStandby : onSubscriber;
      const running = settling(onPrimary);
      const before = await append(onPrimary, "paged-1", { type: "Paged" });
      await until(async () =>
        (await readLastMessage(replica, "paged-1"))?.globalPosition === before.globalPosition
      );
      let pages = 0;
      const reading = fromQuery((text, parameters) => {
        pages++;
        return replica.unsafe(text, parameters);
      });
      const handled: number[] = [];
      const ending = new AbortController();
      const consumer = { category, consumerId: `${which}Reader` };
      const consuming = consume(onPrimary, {
        ...consumer,
        startAt: before.globalPosition,
        readFrom: reading,
        transactional: true,
        pollInterval: 50,
        handle: async ({ globalPosition, type }, { sql }) => {
          if (type !== "Paged") return;
          await sql`select 1`;
          handled.push(globalPosition);
        },
      }, { signal: ending.signal });
      const written = [before.globalPosition];
      for (let count = 0; count < 20; count++) {
        written.push(
          (await append(onPrimary, `paged-${count % 3}`, { type: "Paged" })).globalPosition,
        );
      }
      const last = await append(onPrimary, "paged-1", { type: "Paged" });
      written.push(last.globalPosition);
      await Promise.race([waitFor(onPrimary, consumer, last.globalPosition), consuming]);
      ending.abort();
      await consuming;
      assert.deepEqual(handled, written);
      assert.ok(pages > 0);
      await running.end();
    },
  );
});

test.each(["$all", "from"])(
  "a consumer of %s reads its pages from a standby alone",
  async (category) => {
    const running = settling(onPrimary);
    const pages = { primary: 0, standby: 0 };
    const counting = (sql: postgres.Sql, name: keyof typeof pages) =>
      fromQuery((text, parameters) => {
        if (parameters.includes("77")) pages[name]++;
        return sql.unsafe(text, parameters);
      });
    const { globalPosition: startAt } = await append(onPrimary, "from-1", { type: "From" });
    const ending = new AbortController();
    const consumer = { category, consumerId: `alone-${category}` };
    const handled: number[] = [];
    const consuming = consume(counting(onPrimary, "primary"), {
      ...consumer,
      startAt,
      readFrom: counting(onStandby, "standby"),
      batchSize: 77,
      pollInterval: 25,
      handle: ({ globalPosition, type }) => {
        if (type === "From") handled.push(globalPosition);
      },
    }, { signal: ending.signal });
    const { globalPosition: last } = await append(onPrimary, "from-1", { type: "From" });
    await Promise.race([waitFor(onPrimary, consumer, last), consuming]);
    assert.deepEqual(handled, [startAt, last]);
    assert.ok(pages.standby > 0);
    assert.equal(pages.primary, 0);
    ending.abort();
    await consuming;
    await running.end();
  },
);

test("a consumer whose replica has another history reads from the primary", async () => {
  await onPrimary`create database other`;
  const url = new URL(pair.primary.url);
  url.pathname = "/other";
  const other = connectTo(url.href, 2);
  await install(other);
  const { globalPosition } = await append(onPrimary, "told-1", { type: "Told" });
  // As after a failover: the old history goes on where the new one has other messages.
  await other`select setval('message_store.messages_global_position_seq', ${globalPosition - 1})`;
  for (let count = 0; count < 5; count++) await write(other, "told-1", { type: "Lost" });
  await append(onPrimary, "told-1", { type: "Told" });
  const handled: string[] = [];
  const told = {
    category: "told",
    consumerId: "it",
    readFrom: other,
    handle: ({ type }: Message) => void handled.push(type),
  };
  const { caughtUp } = await drain(onPrimary, told);
  assert.deepEqual(handled, ["Told", "Told"]);
  assert.ok(caughtUp);
  await other.end();
});

function urlOfSubscriber(): string {
  const url = new URL(pair.primary.url);
  url.pathname = "/copy";
  return url.href;
}
