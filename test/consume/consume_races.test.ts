import { consume, iterateStream, type Message, writeBatch } from "@messagedb/client";
import { expect, test } from "vitest";
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

test("two processes of a transactional consumer handle each message once, whoever is ahead", async () => {
  await db.sql`create table entry (id bigint generated always as identity, position bigint)`;
  const messages = Array.from({ length: 300 }, () => ({ type: "Deposited" }));
  await writeBatch(db.sql, "transfer-1", messages);
  const end = new AbortController();

  await Promise.all([1, 2].map((process) =>
    consume(db.connect({ max: 2, fetch_types: false }), {
      category: "transfer",
      consumerId: "entries",
      transactional: true,
      pollInterval: 10,
      handle: async ({ position }: Message, { sql }) => {
        await sql`insert into entry (position) values (${position})`;
        // Now one is ahead, now the other.
        const isSlow = position % 20 < 10 === (process === 1);
        if (isSlow) await new Promise((resolve) => setTimeout(resolve, 20));
        if (position === 299) end.abort();
      },
    }, { signal: end.signal })
  ));

  const entries = await db.sql<{ position: number }[]>`select position::int from entry order by id`;
  expect(entries.map(({ position }) => position)).toEqual(messages.map((_, at) => at));
  const stored = await storedPositions("transfer:position-entries");
  expect(stored).toEqual([...stored].sort((a, b) => a - b));
});

test("two processes of a transactional consumer go on where one fails of what the other has done", async () => {
  await db.sql`create table unique_entry (position bigint primary key)`;
  const messages = Array.from({ length: 100 }, () => ({ type: "Deposited" }));
  await writeBatch(db.sql, "payment-1", messages);
  const end = new AbortController();

  await Promise.all([1, 2].map(() =>
    consume(db.connect({ max: 2, fetch_types: false }), {
      category: "payment",
      consumerId: "entries",
      transactional: true,
      pollInterval: 10,
      handle: async ({ position }: Message, { sql }) => {
        await sql`insert into unique_entry values (${position})`;
        if (position === 99) setTimeout(() => end.abort(), 100);
      },
    }, { signal: end.signal })
  ));

  const [row] = await db.sql`select count(*)::int as count from unique_entry`;
  expect(row!["count"]).toBe(100);
});

async function storedPositions(streamName: string): Promise<number[]> {
  const positions: number[] = [];
  for await (const { data } of iterateStream<{ position: number }>(db.sql, streamName)) {
    positions.push(data.position);
  }
  return positions;
}
