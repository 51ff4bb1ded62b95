import {
  consume,
  drain,
  type HandlerContext,
  iterateStream,
  type Message,
  type Sql,
  writeBatch,
} from "@messagedb/client";
import type postgres from "postgres";
import { expect, test } from "vitest";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

test("a handler whose transaction is lost writes nothing into the next one on its connection", async () => {
  await db.sql`create table effect (position bigint, attempt int)`;
  await writeBatch(db.sql, "account-1", [{ type: "Deposited" }, { type: "Deposited" }]);
  // Both attempts are on it, one after the other.
  const sql = db.connect({ max: 1, fetch_types: false });
  const end = new AbortController();
  let begin = () => {};
  const begun = new Promise<void>((resolve) => begin = resolve);
  let tell: (outcome: unknown) => void = () => {};
  const late = new Promise<unknown>((resolve) => tell = resolve);
  let attempts = 0;

  await consume(sql, {
    category: "account",
    consumerId: "effects",
    transactional: true,
    handle: async ({ position }: Message, { sql }) => {
      const attempt = ++attempts;
      const insert = async () => await sql`insert into effect values (${position}, ${attempt})`;
      if (attempt === 1) {
        const [backend] = await sql`select pg_backend_pid() as pid`;
        await db.sql`select pg_terminate_backend(${backend!["pid"]}::int)`;
        await begun;
        await insert().then(() => tell("written"), tell);
      } else if (attempt === 2) {
        begin();
        expect(await late).toHaveProperty("message", expect.stringMatching(/has ended/));
      }
      await insert();
      if (position === 1) end.abort();
    },
  }, { signal: end.signal });

  const effects = await db.sql`select position::int, attempt from effect order by 1, 2`;
  expect([...effects]).toEqual([{ position: 0, attempt: 2 }, { position: 1, attempt: 3 }]);
});

const COMMIT_INTERVALS = [["a message a transaction", 0], ["a page a transaction", 100]] as const;

test.each(COMMIT_INTERVALS)(
  "two processes of a transactional consumer handle each message once, whoever is ahead: %s",
  async (_how, commitInterval) => {
    const category = `transfer${commitInterval}`;
    await db.sql`
      create table if not exists entry (
        id bigint generated always as identity, category text, position bigint
      )`;
    const messages = Array.from({ length: 300 }, () => ({ type: "Deposited" }));
    await writeBatch(db.sql, `${category}-1`, messages);
    const end = new AbortController();
    const entries = () =>
      db.sql<{ position: number }[]>`
        select position::int from entry where category = ${category} order by id`;

    const running = [1, 2].map((process) =>
      consume(db.connect({ max: 2, fetch_types: false }), {
        category,
        consumerId: "entries",
        exclusive: false,
        transactional: true,
        commitInterval,
        pollInterval: 10,
        handle: async ({ position }: Message, { sql }) => {
          await sql`insert into entry (category, position) values (${category}, ${position})`;
          // Now one is ahead, now the other.
          const isSlow = position % 20 < 10 === (process === 1);
          if (isSlow) await new Promise((resolve) => setTimeout(resolve, 20));
        },
      }, { signal: end.signal })
    );
    await Promise.race([until(async () => (await entries()).length >= 300), ...running]);
    end.abort();
    await Promise.all(running);

    expect((await entries()).map(({ position }) => position)).toEqual(messages.map((_, at) => at));
    const stored = await storedPositions(`${category}:position-entries`);
    expect(stored).toEqual([...new Set(stored)].sort((a, b) => a - b));
  },
);

test.each(COMMIT_INTERVALS)(
  "two processes of a transactional consumer go on where one fails of what the other has done: %s",
  async (_how, commitInterval) => {
    const category = `payment${commitInterval}`;
    await db.sql`
      create table if not exists unique_entry (category text, position bigint,
        primary key (category, position))`;
    const messages = Array.from({ length: 100 }, () => ({ type: "Deposited" }));
    await writeBatch(db.sql, `${category}-1`, messages);
    const end = new AbortController();
    const count = async () => {
      const [row] = await db.sql`
        select count(*)::int as count from unique_entry where category = ${category}`;
      return row!["count"];
    };

    const running = [1, 2].map(() =>
      consume(db.connect({ max: 2, fetch_types: false }), {
        category,
        consumerId: "entries",
        exclusive: false,
        transactional: true,
        commitInterval,
        pollInterval: 10,
        handle: async ({ position }: Message, { sql }) => {
          await sql`insert into unique_entry values (${category}, ${position})`;
        },
      }, { signal: end.signal })
    );
    await Promise.race([until(async () => await count() === 100), ...running]);
    // The one that comes second may be at the last message still.
    await new Promise((resolve) => setTimeout(resolve, 100));
    end.abort();
    await Promise.all(running);
    expect(await count()).toBe(100);
  },
);

test.each(COMMIT_INTERVALS)(
  "a process that sees in the midst of a transaction that another has done its work takes the work back: %s",
  async (_how, commitInterval) => {
    const category = `seen${commitInterval}`;
    await db.sql`create table if not exists seen_entry (category text, position bigint)`;
    await writeBatch(db.sql, `${category}-1`, Array.from({ length: 3 }, () => ({ type: "Asked" })));
    const end = new AbortController();
    let looks = 0;
    const slow = db.connect({
      max: 3,
      fetch_types: false,
      debug: (_, query) => void (query.includes("clock_timestamp") && looks++),
    });
    let reach = () => {};
    const reached = new Promise<void>((resolve) => reach = resolve);
    let goOn = () => {};
    const mayGoOn = new Promise<void>((resolve) => goOn = resolve);
    const common = {
      category,
      consumerId: "entries",
      exclusive: false,
      transactional: true,
      commitInterval,
      pollInterval: 10,
    } as const;
    const insert = async ({ position }: Message, sql: Sql) => {
      await sql`insert into seen_entry values (${category}, ${String(position)}::text::bigint)`;
    };
    const running = consume(slow, {
      ...common,
      handle: async (message: Message, { sql }: HandlerContext) => {
        await insert(message, sql);
        reach();
        await mayGoOn;
      },
    }, { signal: end.signal });
    await Promise.race([reached, running]);
    const { position } = await drain(db.sql, {
      ...common,
      handle: (message: Message, { sql }: HandlerContext) => insert(message, sql),
    });
    // By then, it has seen what the other has stored.
    const before = looks;
    await until(() => looks >= before + 3);
    goOn();
    await writeBatch(db.sql, `${category}-1`, [{ type: "Asked" }]);
    const entries = () =>
      db.sql<{ position: number }[]>`
        select position::int from seen_entry where category = ${category} order by position`;
    await Promise.race([until(async () => (await entries()).at(-1)?.position === 3), running]);
    end.abort();
    await running;
    expect((await entries()).map(({ position }) => position)).toEqual([0, 1, 2, 3]);
    const stored = await storedPositions(`${category}:position-entries`);
    expect(stored).toContain(position);
    expect(stored).toEqual([...new Set(stored)].sort((a, b) => a - b));
  },
);

async function storedPositions(streamName: string): Promise<number[]> {
  const positions: number[] = [];
  for await (const { data } of iterateStream<{ position: number }>(db.sql, streamName)) {
    positions.push(data.position);
  }
  return positions;
}

test("a look at the position that is slower than the next record is no store that went back", async () => {
  const category = "slow";
  await db.sql`create table slow_entry (position bigint)`;
  await writeBatch(db.sql, `${category}-1`, Array(300).fill({ type: "Deposited" }));
  const end = new AbortController();
  const troubles: unknown[] = [];
  const running = [1, 2].map((process) =>
    consume(slowLooks(db.connect({ max: 4, fetch_types: false })), {
      category,
      consumerId: "entries",
      exclusive: false,
      transactional: true,
      commitInterval: 0,
      pollInterval: 10,
      onRetry: (error) => troubles.push(error),
      handle: async ({ position }: Message, { sql }) => {
        await sql`insert into slow_entry values (${position})`;
        // Now one is ahead, now the other.
        const isSlow = position % 20 < 10 === (process === 1);
        await new Promise((resolve) => setTimeout(resolve, isSlow ? 60 : 10));
      },
    }, { signal: end.signal })
  );
  const count = async () => (await db.sql`select from slow_entry`).length;
  await Promise.race([until(async () => await count() === 300), ...running]);
  end.abort();
  await Promise.all(running);
  expect([await count(), troubles]).toEqual([300, []]);
});

/** A handle over which the last messages of position streams arrive late. */
function slowLooks(sql: postgres.Sql): postgres.Sql {
  const slow = async (strings: TemplateStringsArray, ...parameters: (string | null)[]) => {
    const rows = await sql(strings, ...parameters);
    const isLook = strings.join("").includes("cross join lateral");
    if (isLook) await new Promise((resolve) => setTimeout(resolve, 30));
    return rows;
  };
  return Object.assign(slow, { begin: sql.begin.bind(sql) }) as unknown as postgres.Sql;
}
