import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import pg from "pg";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, test } from "vitest";
import {
  aggregate,
  append,
  consume,
  type Consumer,
  drain,
  readStream,
  type Sql,
  streamVersion,
  subscribe,
  waitFor,
  write,
  WrongExpectedVersionError,
} from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
// Not the handle of the consumers, whose transactions may have all its connections.
let raising: postgres.Sql;
let pool: pg.Pool;
beforeAll(() => {
  raising = db.connect({ max: 5 });
  pool = new pg.Pool({ connectionString: db.url, max: 5 });
});
afterAll(() => pool.end());

/** A row of the table in docs/reference/retries.md. */
interface Row {
  readonly codes: readonly string[];
  readonly own: string;
  readonly inHandler: string;
  readonly inTransaction: string;
}

const page = new URL("../../docs/reference/retries.md", import.meta.url);
const rows: Row[] = readFileSync(page, "utf8")
  .split("## The table")[1]!.split("\n## ")[0]!.split("\n")
  .filter((line) => line.startsWith("|")).slice(2)
  .map((line) => {
    const [, , codes, own, inHandler, inTransaction] = line.split("|").map((it) => it.trim());
    return {
      codes: [...codes!.matchAll(/`(\w+)`/g)].map(([, code]) => code!),
      own: own!,
      inHandler: inHandler!,
      inTransaction: inTransaction!,
    };
  });

const isState = (code: string) => /^(?=.*\d)[0-9A-Z]{2,5}$/.test(code) && code !== "EPIPE";
const stateOf = (code: string) => code.padEnd(5, "0");

/** Makes the database raise the error, or makes the error that a driver would. */
type Fail = (code: string) => PromiseLike<never>;

/** The words that make trouble of a state that has other meanings. */
const wordsOf = (code: string) =>
  code === "55000" ? 'database "store_2" is not currently accepting connections' : "on purpose";

const raise = (code: string) =>
  `do $$ begin raise exception using errcode = '${stateOf(code)}', message = '${
    wordsOf(code)
  }'; end $$`;

const failures: Record<string, Fail> = {
  "postgres.js": async (code) => {
    if (isState(code) && code !== "XX000") await raising.unsafe(raise(code));
    throw Object.assign(new Error("(EDBHANDLEREXITED) DbHandler exited"), { code });
  },
  pg: async (code) => {
    if (isState(code) && code !== "XX000") await pool.query(raise(code));
    throw Object.assign(new Error("Control plane request failed"), { code });
  },
  Bun: (code) => {
    const server = { code: "ERR_POSTGRES_SERVER_ERROR", errno: stateOf(code) };
    const fields = isState(code) ? server : { code };
    return Promise.reject(Object.assign(new Error(wordsOf(code)), fields));
  },
};

let names = 0;
const newCategory = () => `retried${++names}`;

/** A handle whose next statements fail while `left` is more than 0. */
function failing(fail: Fail, code: string) {
  const state = { left: 0 };
  const send: Sql = (strings, ...parameters) =>
    state.left-- > 0 ? fail(code) : (db.sql as Sql)(strings, ...parameters);
  const begin = (work: (sql: postgres.TransactionSql) => Promise<void>) =>
    state.left-- > 0 ? fail(code) : db.sql.begin(work);
  return { state, sql: Object.assign(send, { begin }) };
}

type Follow = (
  sql: ReturnType<typeof failing>["sql"],
  category: string,
  seen: (data: unknown) => void,
  onRetry: (error: unknown) => void,
  signal: AbortSignal,
) => Promise<unknown>;

const consumer = (options: object): Follow => (sql, category, seen, onRetry, signal) =>
  consume(
    sql,
    {
      category,
      consumerId: "it",
      pollInterval: 20,
      handle: ({ data }: { data: unknown }) => seen(data),
      onRetry,
      ...options,
    } as Consumer<typeof sql>,
    { signal },
  );

const followers: Record<string, Follow> = {
  "subscribe()": async (sql, category, seen, onRetry, signal) => {
    const options = { pollInterval: 20, onRetry, signal };
    for await (const { data } of subscribe(sql, category, options)) seen(data);
  },
  "consume()": consumer({ positionUpdateInterval: 1 }),
  "a member of a group": consumer({ consumerGroup: { size: 1 } }),
  "a transactional consumer": consumer({ transactional: true }),
  "aggregate()": (sql, category, seen, onRetry, signal) =>
    aggregate(sql, {
      name: `${category}A`,
      from: [category],
      pollInterval: 20,
      onRetry,
      partition: ({ data }) => {
        seen(data);
        return 0;
      },
    }, { signal }),
};

/** What becomes of a follower whose statements fail so many times in a row, after it has worked. */
async function outcomeOf(follow: Follow, fail: Fail, code: string, times: number): Promise<string> {
  const category = newCategory();
  const { state, sql } = failing(fail, code);
  const seen = new Set<unknown>();
  const ending = new AbortController();
  let retries = 0;
  let outcome: string | undefined;
  await write(db.sql, `${category}-1`, { type: "Counted", data: 1 });
  const running = follow(
    sql,
    category,
    (data) => seen.add(data),
    () => void retries++,
    ending.signal,
  );
  running.catch(() => outcome = "thrown");
  await until(() => seen.has(1));
  // All statements fail until then: a look for news that is refused is followed by a read, which says so.
  state.left = Infinity;
  await until(() => retries >= times || outcome !== undefined);
  state.left = 0;
  await write(db.sql, `${category}-1`, { type: "Counted", data: 2 });
  await until(() => seen.has(2) || outcome !== undefined);
  ending.abort();
  await running.catch(() => {});
  return outcome ?? "without end";
}

describe.each(Object.entries(failures))(
  "what the page says is retried, over %s",
  (driver, fail) => {
    for (const [name, follow] of Object.entries(followers)) {
      test(`${name} meets in its own statements`, async () => {
        const wanted = rows.filter(({ own }) => own !== "–");
        const outcomes = await Promise.all(wanted.map(async ({ codes }) => {
          const found = await Promise.all(codes.map((code, at) =>
            // Six times would be more than a bounded number of retries.
            outcomeOf(follow, fail, code, driver === "Bun" && at === 0 ? 6 : 1)
          ));
          return Object.fromEntries(codes.map((code, at) => [code, found[at]]));
        }));
        const expected = wanted.map(({ codes, own }) =>
          Object.fromEntries(codes.map((code) => [code, own]))
        );
        assert.deepEqual(outcomes, expected);
      });
    }

    test("drain() tries five times in all", async () => {
      for (const { codes: [code], own } of rows.filter(({ own }) => own !== "–")) {
        const category = newCategory();
        for (let data = 0; data < 3; data++) {
          await write(db.sql, `${category}-1`, { type: "Counted", data });
        }
        const { state, sql } = failing(fail, code!);
        let retries = 0;
        await assert.rejects(drain(sql, {
          category,
          consumerId: "it",
          positionUpdateInterval: 1,
          batchSize: 1,
          onRetry: () => void retries++,
          handle: () => void (state.left = Infinity),
        }));
        // The read or the store that ends it, and the last store.
        assert.equal(retries, own === "thrown" ? 0 : 8, code);
      }
    });

    test("in a first statement is thrown, unless it is a conflict", async () => {
      for (const { codes, own } of rows) {
        for (const code of own === "–" ? [] : codes) {
          const { state, sql } = failing(fail, code);
          state.left = 1;
          const { value } = await drain(sql, {
            category: newCategory(),
            consumerId: "it",
            handle() {},
          }).then((value) => ({ value }), () => ({ value: undefined }));
          assert.equal(value !== undefined, code === "40", code);
        }
      }
    });

    test("in a handler goes to the policy after so many calls", async () => {
      const called: Record<string, unknown> = {};
      const expected: Record<string, unknown> = {};
      const numberIn = (cell: string) => Number(/(\d+) times/.exec(cell)?.[1] ?? 0) + 1;
      await Promise.all(
        rows.flatMap(({ codes, inHandler, inTransaction }) =>
          codes.map(async (code) => {
            const calls = await Promise.all([false, true].map(async (transactional) => {
              const category = newCategory();
              await write(db.sql, `${category}-1`, { type: "Counted" });
              let count = 0;
              await drain(db.sql, {
                category,
                consumerId: "it",
                transactional,
                onError: "skip",
                handle: async () => {
                  count++;
                  if (code !== "WRONG_EXPECTED_VERSION") await fail(code);
                  throw new WrongExpectedVersionError("other-1", count, count + 1);
                },
              } as Consumer<postgres.Sql>);
              return count;
            }));
            called[code] = calls;
            expected[code] = [numberIn(inHandler), numberIn(inTransaction)];
          })
        ),
      );
      assert.deepEqual(called, expected);
    });
  },
);

test.each([
  ["takes no connections", "CheckMyDatabase", "без слов", "without end"],
  ["is asked for what its state does not allow", "lo_manage", "not in the state", "thrown"],
])("55000 of a database that %s (%s)", async (_, routine, words, outcome) => {
  const fail: Fail = () =>
    Promise.reject(Object.assign(new Error(words), { code: "55000", severity: "FATAL", routine }));
  assert.equal(await outcomeOf(followers["consume()"]!, fail, "", 1), outcome);
});

describe("a standby that ends a session for its replay", () => {
  const conflict: Fail = () =>
    Promise.reject(Object.assign(
      new Error("terminating connection due to conflict with recovery"),
      { name: "PostgresError", code: "40001", severity: "FATAL", routine: "ProcessInterrupts" },
    ));

  test.each(Object.entries(followers))("does not end %s", async (_, follow) => {
    assert.equal(await outcomeOf(follow, conflict, "", 1), "without end");
  });

  test("is thrown by a first statement, as any lost connection is", async () => {
    const { state, sql } = failing(conflict, "");
    state.left = 1;
    const consumer = { category: newCategory(), consumerId: "it", handle() {} };
    await assert.rejects(drain(sql, consumer), { code: "40001" });
  });

  test("makes a client of a gateway send the statement again", async () => {
    const { state, sql } = failing(conflict, "");
    state.left = 1;
    const handle = gateway(sql, { authorize: () => true });
    const client = fetchSql("http://gateway/sql", {
      fetch: (url, init) => handle(new Request(url, init)),
    });
    assert.equal(await streamVersion(client, `${newCategory()}-1`), -1);
  });
});

test("waitFor() goes on after a lost connection, until its time is over", async () => {
  const category = newCategory();
  const { globalPosition } = await append(db.sql, `${category}-1`, { type: "Counted" });
  const { state, sql } = failing(failures["postgres.js"]!, "57P01");
  const consumer = { category, consumerId: "it" };
  let looks = 0;
  const looking: Sql = (strings, ...parameters) => {
    // A look is two statements.
    if (++looks === 3) state.left = 2;
    return sql(strings, ...parameters);
  };
  const waiting = waitFor(looking, consumer, globalPosition, { timeout: 600_000 });
  await Promise.race([until(() => looks > 6), waiting]);
  const recorded = { type: "Recorded", data: { position: globalPosition } };
  await write(db.sql, `${category}:position-it`, recorded);
  await waiting;
  state.left = 1;
  await assert.rejects(waitFor(sql, consumer, globalPosition), { code: "57P01" });
});

/** Writes as somebody else would, unless the category is locked. Answers whether it has written. */
async function writeOther(streamName: string): Promise<boolean> {
  const writing = db.sql.begin(async (sql) => {
    await sql`set local lock_timeout = '100ms'`;
    await write(sql, streamName, { type: "Other" });
  });
  return await writing.then(() => true, (error) => {
    assert.equal(error.code, "55P03");
    return false;
  });
}

test("conflicts of a handler's own writes are run again where a page is one transaction", async () => {
  const category = newCategory();
  const done = `${category}Done-1`;
  for (let at = 0; at < 20; at++) await write(db.sql, `${category}-${at}`, { type: "Asked" });
  const attempts = new Set<number>();
  let conflicts = 0;
  const { handled } = await drain(db.sql, {
    category,
    consumerId: "it",
    transactional: true,
    commitInterval: 5,
    handle: async (_message, { sql, attempt }) => {
      attempts.add(attempt);
      const version = await streamVersion(sql, done);
      // Somebody else comes between, unless the transaction has the lock.
      if (conflicts < 30 && Math.random() < 0.7 && await writeOther(done)) conflicts++;
      await write(sql, done, { type: "Mine" }, { expectedVersion: version });
    },
  });
  assert.deepEqual([handled, [...attempts]], [20, [1]]);
  const types = (await readStream(db.sql, done)).map(({ type }) => type);
  assert.equal(types.filter((type) => type === "Mine").length, 20);
  assert.equal(types.filter((type) => type === "Other").length, conflicts);
  assert.ok(conflicts > 0);
});

test("a conflict of a handler's own write is run again where a message is one transaction", async () => {
  const category = newCategory();
  for (let at = 0; at < 20; at++) await write(db.sql, `${category}-${at}`, { type: "Asked" });
  const done = `${category}Done-1`;
  let version = -1;
  let attempts = 0;
  const { handled } = await drain(db.sql, {
    category,
    consumerId: "it",
    transactional: true,
    commitInterval: 0,
    handle: async (_message, { sql, attempt }) => {
      attempts = Math.max(attempts, attempt);
      const expectedVersion = version;
      // Somebody else comes between, before every second try.
      if (Math.random() < 0.5 && await writeOther(done)) version++;
      await write(sql, done, { type: "Mine" }, { expectedVersion });
      version++;
    },
  });
  assert.deepEqual([handled, attempts], [20, 1]);
  const mine = await db.sql`
    select from message_store.messages where stream_name = ${done} and type = 'Mine'`;
  assert.equal(mine.length, 20);
});

test("a handler that waits for a write that its own lock keeps out is called again", async () => {
  const category = newCategory();
  const done = `${category}Done-1`;
  await write(db.sql, `${category}-1`, { type: "Asked" });
  let calls = 0;
  const { handled } = await drain(db.sql, {
    category,
    consumerId: "it",
    transactional: true,
    handle: async (_message, { sql }) => {
      const expectedVersion = await streamVersion(sql, done);
      // The fifth call has the lock, after more conflicts than the consumer takes without it.
      if (++calls < 6) await write(db.sql, done, { type: "Other" });
      await write(sql, done, { type: "Mine" }, { expectedVersion });
    },
  });
  assert.equal(handled, 1);
  const types = (await readStream(db.sql, done)).map(({ type }) => type);
  assert.deepEqual(types, [...Array(5).fill("Other"), "Mine"]);
});

test("the same conflict twice goes to the policy", async () => {
  const category = newCategory();
  await write(db.sql, `${category}-1`, { type: "Asked" });
  await write(db.sql, `${category}Done-1`, { type: "Done" });
  let calls = 0;
  await drain(db.sql, {
    category,
    consumerId: "it",
    transactional: true,
    onError: "skip",
    handle: async (_message, { sql }) => {
      calls++;
      await write(sql, `${category}Done-1`, { type: "Done" }, { expectedVersion: -1 });
    },
  });
  assert.equal(calls, 2);
});

test("a handler that outlasts idle_in_transaction_session_timeout comes before the policy", async () => {
  const category = newCategory();
  const sql = db.connect({ connection: { idle_in_transaction_session_timeout: 50 }, max: 2 });
  await write(db.sql, `${category}-1`, { type: "Slow" });
  await write(db.sql, `${category}-1`, { type: "Fast" });
  const types: string[] = [];
  const { handled } = await drain(sql, {
    category,
    consumerId: "it",
    transactional: true,
    onError: "park",
    handle: async ({ type }) => {
      types.push(type);
      if (type === "Slow") await new Promise((resolve) => setTimeout(resolve, 200));
    },
  });
  assert.deepEqual([handled, types], [2, [...Array(6).fill("Slow"), "Fast"]]);
  const parked = await db.sql`
    select data from message_store.messages where stream_name = ${`${category}:parked-it`}`;
  assert.equal(parked.length, 1);
});

test("the members of a group go on where sessions are serializable", async () => {
  const category = newCategory();
  const ending = new AbortController();
  const connection = { default_transaction_isolation: "serializable" } as const;
  const seen = new Set<unknown>();
  const running = [1, 2, 3, 4].map(() =>
    consume(db.connect({ connection, max: 4 }), {
      category,
      consumerId: "it",
      consumerGroup: { size: 4 },
      leaseDuration: 300,
      pollInterval: 20,
      handle: ({ data }) => void seen.add(data),
    }, { signal: ending.signal })
  );
  for (let at = 0; at < 100; at++) {
    await write(db.sql, `${category}-${at % 8}`, { type: "Counted", data: at });
  }
  const ended = Promise.all(running);
  await Promise.race([until(() => seen.size === 100), ended]);
  ending.abort();
  await ended;
  assert.equal(seen.size, 100);
});
