import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "vitest";
import { aggregate, consume, drain, readStream, subscribe, write } from "../../mod.ts";
import { type TcpProxy, useProxy } from "../_proxy.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

interface Follower {
  readonly category: string;
  readonly sql: ReturnType<typeof db.connect>;
  readonly proxy: TcpProxy;
  readonly seen: Set<unknown>;
  readonly signal: AbortSignal;
  readonly options: {
    readonly answerTimeout: number;
    readonly pollInterval: number;
    readonly onRetry: (error: unknown) => void;
  };
}

const consumer = (more: object) => ({ category, sql, seen, signal, options }: Follower) =>
  consume(sql, {
    category,
    consumerId: "it",
    positionUpdateInterval: 1,
    handle: ({ data }) => void seen.add(data),
    ...options,
    ...more,
  }, { signal });

const followers: Record<string, (follower: Follower) => Promise<unknown>> = {
  "subscribe()": async ({ category, sql, seen, signal, options }) => {
    for await (const { data } of subscribe(sql, category, { ...options, signal })) seen.add(data);
  },
  "consume()": consumer({}),
  "a transactional consumer": consumer({ transactional: true }),
  "a member of a group": consumer({ consumerGroup: { size: 1 }, leaseDuration: 300 }),
  "aggregate()": ({ category, sql, seen, signal, options }) =>
    aggregate(sql, {
      name: `${category}A`,
      from: [category],
      partition: ({ data }) => {
        seen.add(data);
        return 0;
      },
      ...options,
    }, { signal }),
};

async function follow(start: (follower: Follower) => Promise<unknown>) {
  const proxy = await useProxy(db.url);
  const port = Number(new URL(proxy.url).port);
  // The server ends the transactions that nobody ends: they hold locks.
  const connection = { idle_in_transaction_session_timeout: 1000 };
  const sql = db.connect({ port, max: 5, fetch_types: false, connection });
  const category = `silent${randomUUID().slice(0, 8)}`;
  const ending = new AbortController();
  const codes: unknown[] = [];
  const onRetry = (error: unknown) => void codes.push((error as { code?: unknown }).code);
  const options = { answerTimeout: 500, pollInterval: 20, onRetry };
  const seen = new Set<unknown>();
  await write(db.sql, `${category}-1`, { type: "Counted", data: 1 });
  const [first] = await readStream(db.sql, `${category}-1`);
  const position = first!.globalPosition;
  const running = start({ category, sql, proxy, seen, options, signal: ending.signal });
  const stop = () => {
    ending.abort();
    return running;
  };
  return { proxy, sql, category, position, seen, codes, running, stop };
}

test.each(Object.entries(followers))(
  "%s goes on over another connection if one goes silent",
  async (_name, start) => {
    const { proxy, category, seen, codes, running, stop } = await follow(start);
    await Promise.race([until(() => seen.has(1)), running]);
    for (const link of proxy.links) link.stall();
    await write(db.sql, `${category}-1`, { type: "Counted", data: 2 });
    // A connection that was being opened may bring the message before the silent ones are noticed.
    const isNoticed = () => codes.includes("ANSWER_TIMEOUT");
    await Promise.race([until(() => seen.has(2) && isNoticed()), running]);
    await stop();
    assert.ok(isNoticed(), String(codes));
  },
);

test.each([
  ["its claim", "Recorded"],
  ["begin", "begin"],
  ["the record of its position", '"position":'],
  ["commit", "commit"],
])(
  "a transactional consumer goes on if its connection goes silent at %s, and each effect is there once",
  async (_what, statement) => {
    await db.sql`create table if not exists silent_effects (category text, data int)`;
    const { proxy, category, position, seen, running, stop } = await follow(
      ({ category, sql, seen, signal, options }) =>
        consume(sql, {
          category,
          consumerId: "it",
          transactional: true,
          handle: async ({ data }, { sql }) => {
            await sql`insert into silent_effects values (${category}, ${data as number})`;
            if (data === 3) seen.add(data);
          },
          ...options,
        }, { signal }),
    );
    const text = statement.endsWith(":") ? statement + position : statement;
    await proxy.next("request", (link) => link.stall(), text);
    for (const data of [2, 3]) await write(db.sql, `${category}-1`, { type: "Counted", data });
    await Promise.race([until(() => seen.has(3)), running]);
    await stop();
    const effects = await db.sql`
      select data from silent_effects where category = ${category} order by data`;
    assert.deepEqual(effects.map(({ data }) => data), [1, 2, 3]);
  },
);

test("a position that was stored, and not answered, is no conflict with another process", async () => {
  const { proxy, category, seen, codes, running, stop } = await follow(
    consumer({ consumerGroup: { size: 1 }, leaseDuration: 60_000, positionUpdateInterval: 1 }),
  );
  await Promise.race([until(() => seen.has(1)), running]);
  let request = false;
  const stored = proxy.next("request", () => request = true, '"position":');
  void stored;
  await write(db.sql, `${category}-1`, { type: "Counted", data: 2 });
  await Promise.race([until(() => seen.has(2) && codes.length > 0 && request), running]);
  await write(db.sql, `${category}-1`, { type: "Counted", data: 3 });
  await Promise.race([until(() => seen.has(3)), running]);
  await stop();
  const last = (await readStream(db.sql, `${category}:position-it+0+1`)).at(-1)!;
  assert.deepEqual(last.metadata, null);
});

test("drain() ends with a sentence that says why, after five tries", async () => {
  const proxy = await useProxy(db.url);
  const sql = db.connect({ port: Number(new URL(proxy.url).port), max: 1, fetch_types: false });
  const category = `silent${randomUUID().slice(0, 8)}`;
  for (const data of [1, 2, 3]) await write(db.sql, `${category}-1`, { type: "Counted", data });
  // The limit is not about how long it takes to connect.
  await sql`select 1`;
  let retries = 0;
  const draining = drain(sql, {
    category,
    consumerId: "it",
    batchSize: 1,
    positionUpdateInterval: 1,
    answerTimeout: 150,
    leaseDuration: 3000,
    shutdownTimeout: 0,
    onRetry: () => void retries++,
    handle: () => proxy.links.forEach((link) => link.stall()),
  });
  await assert.rejects(draining, {
    code: "ANSWER_TIMEOUT",
    message:
      /^Cannot tell what the database did: no answer came within \d+ ms, as "answerTimeout" says/,
  });
  assert.ok(retries >= 4);
  // A renewal of the claim that is under way at the end is nobody's business any more.
  const before = retries;
  await sql.end({ timeout: 0 });
  await proxy.close();
  assert.equal(retries, before);
});
