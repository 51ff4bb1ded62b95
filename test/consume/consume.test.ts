import assert from "node:assert/strict";
import pg from "pg";
import postgres from "postgres";
import { beforeAll, describe, onTestFinished, test } from "vitest";
import {
  consume,
  drain,
  fromQuery,
  type HandlerContext,
  HandlerFailedError,
  type Message,
  readStream,
  type Sql,
  streamVersion,
  write,
  writeBatch,
} from "../../mod.ts";
import { gate, start, startProxy, stored, writeCounted } from "./_consuming.ts";
import { until } from "../_until.ts";
import { openHandle, useDatabase } from "../database.ts";

const db = useDatabase();

describe("the position of a consumer", () => {
  test("is stored in Eventide's stream, as Recorded, and it goes on behind it", async () => {
    const positions = await writeCounted(db.sql, "goes", 3);
    const seen: unknown[] = [];
    const consumer = {
      category: "goes",
      consumerId: "on",
      handle: (message: Message) => void seen.push(message.data),
    };
    const first = start(db.sql, consumer);
    await until(() => seen.length === 3);
    await first.stop();
    const [claimed, recorded, ...rest] = await readStream(db.sql, "goes:position-on");
    const { owner, ...claim } = claimed!.metadata!;
    assert.match(String(owner), /^[0-9a-f-]{36}$/);
    assert.deepEqual(
      [claimed!.type, claimed!.data, claim],
      ["Recorded", { position: 0 }, { leaseDuration: 30_000, answers: true }],
    );
    assert.deepEqual(
      [recorded!.type, recorded!.data, recorded!.metadata, rest],
      ["Recorded", { position: positions[2] }, null, []],
    );
    await writeCounted(db.sql, "goes", 2, { from: 3 });
    const second = start(db.sql, consumer);
    await until(() => seen.length === 5);
    await second.stop();
    assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  });

  test("is stored without a claim where the consumer is not exclusive", async () => {
    const positions = await writeCounted(db.sql, "shared", 3);
    const common = { category: "shared", exclusive: false, handle: () => {} };
    await drain(db.sql, { ...common, consumerId: "drained" });
    const running = start(db.sql, { ...common, consumerId: "consumed" });
    await until(async () => await streamVersion(db.sql, "shared:position-consumed") === 0);
    await running.stop();
    for (const consumerId of ["drained", "consumed"]) {
      const recorded = await readStream(db.sql, `shared:position-${consumerId}`);
      assert.deepEqual(
        recorded.map(({ data, metadata }) => [data, metadata]),
        [[{ position: positions[2] }, null]],
      );
    }
  });

  test("is not written by a drain that has nothing to handle", async () => {
    const consumer = { category: "nothing", consumerId: "it", handle: () => {} };
    const nothing = { handled: 0, position: 0, caughtUp: true, busy: false };
    assert.deepEqual(await drain(db.sql, consumer), nothing);
    assert.deepEqual(await stored(db.sql, "nothing:position-it"), []);
    const [position] = await writeCounted(db.sql, "nothing", 1);
    await drain(db.sql, consumer);
    const before = await readStream(db.sql, "nothing:position-it");
    const { owner, ...claim } = before[0]!.metadata!;
    assert.equal(typeof owner, "string");
    assert.deepEqual([claim, before[1]!.metadata], [{ leaseDuration: 30_000 }, null]);
    assert.deepEqual(await drain(db.sql, consumer), { ...nothing, position });
    assert.deepEqual(await readStream(db.sql, "nothing:position-it"), before);
  });

  test("of a category with a type is in its category, with the type position", async () => {
    const positions = await writeCounted(db.sql, "typed:command", 1);
    await drain(db.sql, { category: "typed:command", consumerId: "it", handle: () => {} });
    assert.deepEqual(await stored(db.sql, "typed:command+position-it"), [0, ...positions]);
  });

  test("is taken over from Ruby's, which have no metadata", async () => {
    const positions = await writeCounted(db.sql, "ruby", 5);
    for (const position of positions.slice(0, 3)) {
      await db.sql`
        select message_store.write_message(
          gen_random_uuid()::text, 'ruby:position-one', 'Recorded',
          ${JSON.stringify({ position })}::text::jsonb
        ) from set_config('search_path', 'message_store', true)`;
    }
    const seen: unknown[] = [];
    const handle = ({ data }: Message) => void seen.push(data);
    const drained = await drain(db.sql, { category: "ruby", consumerId: "one", handle });
    assert.deepEqual([seen, drained.position], [[3, 4], positions[4]]);
    assert.equal((await stored(db.sql, "ruby:position-one")).at(-1), positions[4]);
  });

  test("is stored where nothing was of its types, its correlation or its member's share", async () => {
    const positions = await writeCounted(db.sql, "others", 7);
    const last = positions.at(-1)!;
    const handle = () => assert.fail("nothing is to be handled");
    const common = { category: "others", consumerId: "of" };
    const consumers = {
      "others:position-types": { ...common, consumerId: "types", types: ["Nothing"], handle },
      "others:position-map": { ...common, consumerId: "map", handlers: { Nothing: handle } },
      "others:position-about": { ...common, consumerId: "about", correlation: "no", handle },
    };
    for (const [name, consumer] of Object.entries(consumers)) {
      const running = start(db.sql, consumer);
      await until(async () => await streamVersion(db.sql, name) === 1);
      assert.deepEqual(await stored(db.sql, name), [0, last], name);
      await running.stop();
      assert.deepEqual(await stored(db.sql, name), [0, last, last], name);
    }
    const counts = [];
    for (const member of [0, 1, 2]) {
      const consumerGroup = { member, size: 3 };
      const { handled } = await drain(db.sql, { ...common, consumerGroup, handle: () => {} });
      counts.push(handled);
      // A member that finds nothing to handle writes nothing.
      assert.deepEqual(
        await stored(db.sql, `others:position-of+${member}+3`),
        handled > 0 ? [0, last] : [],
      );
    }
    assert.deepEqual(counts.sort(), [0, 0, 7]);
  });

  test("is stored every so many messages", async () => {
    const positions = await writeCounted(db.sql, "every", 10);
    const end = gate();
    const running = start(db.sql, {
      category: "every",
      consumerId: "third",
      positionUpdateInterval: 3,
      handle: async ({ data }) => {
        if (data === 9) await end.opened;
      },
    });
    await until(async () => await streamVersion(db.sql, "every:position-third") === 3);
    assert.deepEqual(
      await stored(db.sql, "every:position-third"),
      [0, ...[2, 5, 8].map((at) => positions[at])],
    );
    end.open();
    await running.stop();
    assert.equal((await stored(db.sql, "every:position-third")).at(-1), positions[9]);
  });

  test("is stored when nothing comes for a while", async () => {
    const positions = await writeCounted(db.sql, "idle", 2);
    const running = start(db.sql, { category: "idle", consumerId: "one", handle: () => {} });
    await until(async () => await streamVersion(db.sql, "idle:position-one") === 1);
    assert.deepEqual(await stored(db.sql, "idle:position-one"), [0, positions[1]]);
    await running.stop();
    // The last one gives the claim back.
    assert.deepEqual(
      await stored(db.sql, "idle:position-one"),
      [0, positions[1], positions[1]],
    );
  });

  test.each<["end" | Date]>([["end"], [new Date(Date.now() + 1e9)]])(
    "is that of the first start at %s, where nothing was there, too",
    async (startAt) => {
      const category = `started${typeof startAt}`;
      const consumer = { category, consumerId: "once", startAt };
      await drain(db.sql, { ...consumer, handle: () => {} });
      await write(db.sql, `${category}-1`, { type: "First" });
      const failing = { ...consumer, handle: () => Promise.reject(new Error("not yet")) };
      await assert.rejects(drain(db.sql, failing), HandlerFailedError);
      assert.equal((await drain(db.sql, { ...consumer, handle: () => {} })).handled, 1);
    },
  );

  test("cannot be what is no position", async () => {
    await write(db.sql, "odd-1", { type: "Written" });
    await write(db.sql, "odd:position-one", { type: "Recorded", data: { position: 0 } });
    for (const data of [null, {}, { position: "5" }, { position: 1.5 }, [5]]) {
      await write(db.sql, "odd:position-one", { type: "Recorded", data });
      await assert.rejects(
        drain(db.sql, { category: "odd", consumerId: "one", handle: () => assert.fail() }),
        { name: "TypeError", message: /position stream "odd:position-one".*no position/ },
      );
    }
  });

  test("is not stored over and over by two consumers of $all that see each other's", async () => {
    const last = await write(db.sql, "chatter-1", { type: "Written" });
    assert.equal(last, 0);
    const counts = { a: 0, b: 0 };
    const sql = db.connect({
      debug: (_, query) => void (/isQuiet|txid_current_snapshot/.test(query) && reads++),
    });
    let reads = 0;
    const running = (["a", "b"] as const).map((consumerId) =>
      start(sql, {
        category: "$all",
        consumerId,
        handle: ({ streamName }) => void (streamName === "chatter-1" && counts[consumerId]++),
      })
    );
    const versions = () =>
      Promise.all(["a", "b"].map((it) => streamVersion(db.sql, `$all:position-${it}`)));
    // The claim, and the position behind the message.
    await until(async () => (await versions()).every((it) => it >= 1));
    const before = await versions();
    // Longer than a position that is worth it waits.
    const from = performance.now();
    await until(() => performance.now() - from > 2500 && reads > 10);
    assert.deepEqual(await versions(), before);
    await Promise.all(running.map(({ stop }) => stop()));
    assert.deepEqual(counts, { a: 1, b: 1 });
  });

  test("never goes back where three processes handle all messages, each all of them", async () => {
    const last = (await writeCounted(db.sql, "both", 300, { streams: 7 })).at(-1);
    const handled = [0, 1, 2].map((): unknown[] => []);
    const processes = handled.map((own) =>
      drain(db.connect(), {
        category: "both",
        consumerId: "run",
        exclusive: false,
        positionUpdateInterval: 5,
        batchSize: 20,
        handle: async ({ data }: Message) => {
          own.push(data);
          // Who starts later starts at the position of the one that is ahead.
          await until(() => handled.every(({ length }) => length > 0));
          // Now one is ahead, now another.
          for (let pause = Math.random() * 5; pause > 0; pause--) await new Promise(setImmediate);
        },
      })
    );
    for (const { position } of await Promise.all(processes)) assert.equal(position, last);
    for (const own of handled) assert.deepEqual(own, numbers(300));
    const positions = await stored(db.sql, "both:position-run");
    assert.equal(positions.at(-1), last);
    assert.deepEqual(positions, [...new Set(positions)].sort((a, b) => a - b));
  });
});

describe("handlers", () => {
  test("are found by the message's type, and by no name that objects inherit", async () => {
    const types = ["__proto__", "constructor", "toString", "Plain", "hasOwnProperty"];
    await writeBatch(db.sql, "names-1", types.map((type) => ({ type })));
    const seen: string[] = [];
    const handle = ({ type }: Message) => void seen.push(type);
    const consumer = { category: "names", consumerId: "some" };
    await drain(db.sql, { ...consumer, handlers: { Plain: handle, ["__proto__"]: handle } });
    assert.deepEqual(seen, ["__proto__", "Plain"]);
    const inherited = Object.assign(Object.create({ toString: handle }), { constructor: handle });
    await drain(db.sql, { category: "names", consumerId: "own", handlers: inherited });
    assert.deepEqual(seen, ["__proto__", "Plain", "constructor"]);
  });

  test("of a consumer of $all do not get what it has parked", async () => {
    const { position } = await drain(db.sql, { category: "$all", consumerId: "x", handle() {} });
    await write(db.sql, "poison-1", { type: "Written" });
    const seen: string[] = [];
    const all = ["parks", "parks2"].map((consumerId) => ({
      category: "$all",
      consumerId,
      startAt: position + 1,
      onError: "park",
      handle: ({ streamName }: Message) => {
        seen.push(streamName);
        throw new Error("poison");
      },
    } as const));
    for (let round = 0; round < 3; round++) {
      for (const consumer of all) await drain(db.sql, consumer);
    }
    assert.deepEqual(seen, ["poison-1", "poison-1"]);
  });
});

/** What handlers do in the database: a row for each message that they have handled. */
const effectsOf = async (category: string) =>
  (await db.sql`select number from effects where category = ${category} order by number`)
    .map(({ number }) => number);
const effect = (category: string) =>
async (
  { data }: Message,
  { sql }: HandlerContext<postgres.TransactionSql | postgres.Sql>,
): Promise<void> => {
  await sql`insert into effects (category, number) values (${category}, ${data as number})`;
};
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

beforeAll(async () => {
  await db.sql`create table effects (category text, number int)`;
});

/** Kills the session that runs it: in a statement without rows, which no driver gives to the next. */
async function kill(sql: postgres.Sql): Promise<void> {
  await sql`do $$ begin perform pg_terminate_backend(pg_backend_pid()); end $$`;
}

/** A handle of pg with transactions, one of whose statements finds its session killed. */
function killedAt(pool: pg.Pool, killAt: number, when: "before" | "after") {
  let count = 0;
  async function send(client: pg.PoolClient, text: string, parameters: unknown[] = []) {
    const isTheOne = count++ === killAt;
    const kill = () =>
      client.query("do $$ begin perform pg_terminate_backend(pg_backend_pid()); end $$");
    if (isTheOne && when === "before") await kill();
    const answer = await client.query(text, parameters);
    if (isTheOne) await kill();
    return answer;
  }
  async function withClient<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      const result = await work(client);
      client.release();
      return result;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
  const sql = fromQuery((text, parameters) => withClient((it) => send(it, text, parameters)));
  return Object.assign(sql, {
    begin: (work: (sql: Sql) => unknown) =>
      withClient(async (client) => {
        await send(client, "begin");
        await work(fromQuery((text, parameters) => send(client, text, parameters)));
        await send(client, "commit");
      }),
    count: () => count,
  });
}

/** A handle whose database can be taken away. */
function cuttable(sql: postgres.Sql): { sql: postgres.Sql; cut(isDown: boolean): void } {
  let isDown = false;
  const refuse = () => Promise.reject(Object.assign(new Error("down"), { code: "ECONNREFUSED" }));
  const cutting = (inner: postgres.Sql): postgres.Sql =>
    new Proxy(inner, {
      apply: (target, self, parameters) =>
        isDown ? refuse() : Reflect.apply(target, self, parameters),
      get: (target, name) => {
        if (name !== "begin") return Reflect.get(target, name);
        return (work: (sql: postgres.Sql) => Promise<void>) =>
          isDown
            ? refuse()
            : inner.begin((transaction) => work(cutting(transaction as unknown as postgres.Sql)));
      },
    });
  return { sql: cutting(sql), cut: (down) => isDown = down };
}

describe("transactional", () => {
  test("commits the handler's work and the position together, and neither if it throws", async () => {
    const positions = await writeCounted(db.sql, "together", 3);
    const consumer = {
      category: "together",
      consumerId: "work",
      transactional: true,
      handle: async (
        message: Message,
        context: HandlerContext<postgres.TransactionSql>,
      ) => {
        await effect("together")(message, context);
        if (message.data === 2) throw new Error("no");
      },
    } as const;
    await assert.rejects(drain(db.sql, consumer), HandlerFailedError);
    assert.deepEqual(await effectsOf("together"), [0, 1]);
    // The claim, the messages before the one that fails, and the end.
    const [, second] = positions;
    assert.deepEqual(await stored(db.sql, "together:position-work"), [0, second, second]);
    const alone = { ...consumer, consumerId: "alone", commitInterval: 0 };
    await db.sql`delete from effects where category = 'together'`;
    await assert.rejects(drain(db.sql, alone), HandlerFailedError);
    assert.deepEqual(await effectsOf("together"), [0, 1]);
    assert.deepEqual(
      await stored(db.sql, "together:position-alone"),
      [0, ...positions.slice(0, 2), second],
    );
  });

  test.each(
    [
      ["before", "together", 100],
      ["after", "together", 100],
      ["before", "alone", 0],
      ["after", "alone", 0],
    ] as const,
  )(
    "leaves each effect once, whichever statement's session is killed, %s it, messages %s",
    async (when, how, commitInterval) => {
      const pool = new pg.Pool({ connectionString: db.url, max: 2 });
      pool.on("error", () => {}).on("connect", (client) => client.on("error", () => {}));
      let statements = 1;
      for (let at = 0; at < statements; at++) {
        const category = `killed${when}${how}${at}`;
        await writeCounted(db.sql, category, 3);
        const killing = killedAt(pool, at, when);
        const attempts: number[] = [];
        const run = () =>
          drain(killing, {
            category,
            consumerId: "one",
            transactional: true,
            commitInterval,
            positionUpdateInterval: 1,
            handle: async ({ data }, { sql, attempt }) => {
              attempts.push(attempt);
              await sql`
                insert into effects (category, number)
                values (${category}, ${String(data)}::text::int)`;
            },
          });
        // What has never worked may never do: of the first statements, the error is thrown.
        const { position, ...ended } = await run().catch(run);
        assert.deepEqual([ended.caughtUp, ended.busy], [true, false], `statement ${at}`);
        assert.deepEqual(await effectsOf(category), [0, 1, 2], `statement ${at}`);
        const recorded = await readStream(db.sql, `${category}:position-one`);
        assert.deepEqual([recorded.at(-1)!.data, recorded.at(-1)!.metadata], [{ position }, null]);
        const positions = await stored(db.sql, `${category}:position-one`);
        assert.deepEqual(positions, positions.toSorted((a, b) => a - b), `statement ${at}`);
        assert.ok(attempts.every((attempt) => attempt === 1));
        if (at === 0) statements = killing.count();
      }
      assert.equal(statements, how === "together" ? 13 : 19);
      await pool.end();
    },
  );

  test("tries again where begin() fails, and that is no attempt", async () => {
    await writeCounted(db.sql, "begins", 2);
    let failures = 0;
    const errors: unknown[] = [];
    const codes = ["53300", "ECONNREFUSED", "CONNECTION_CLOSED", "57P03"];
    const sql = new Proxy(db.sql, {
      get: (target, name) => {
        const code = name === "begin" ? codes[failures] : undefined;
        if (code === undefined) return Reflect.get(target, name);
        return () => Promise.reject(Object.assign(new Error(), { code, at: failures++ }));
      },
    });
    // The library keeps the function that it finds.
    const begin = Object.assign((...it: Parameters<Sql>) => db.sql(...it), {
      begin: (work: (sql: postgres.TransactionSql) => Promise<void>) => sql.begin(work),
    });
    const attempts: number[] = [];
    await drain(begin as unknown as postgres.Sql, {
      category: "begins",
      consumerId: "late",
      transactional: true,
      onRetry: (error) => errors.push((error as { code: string }).code),
      handle: async (message, context) => {
        attempts.push(context.attempt);
        await effect("begins")(message, context);
      },
    });
    assert.deepEqual(errors, codes);
    assert.deepEqual(attempts, [1, 1]);
    assert.deepEqual(await effectsOf("begins"), [0, 1]);
  });

  test.each([
    [1, "of a page", 60_000],
    [2, "of a message", 0],
  ])(
    "leaves each effect once where %i answers to the commit %s are lost",
    async (...[count, , commitInterval]) => {
      const category = `lost${commitInterval}`;
      const positions = await writeCounted(db.sql, category, 5);
      const proxy = await startProxy(db.url);
      const sql = openHandle(proxy.url, { max: 2, prepare: false });
      try {
        const attempts: number[] = [];
        const { handled } = await drain(sql, {
          category,
          consumerId: "answer",
          transactional: true,
          commitInterval,
          handle: async (message, context) => {
            attempts.push(context.attempt);
            await effect(category)(message, context);
            if (message.data === 1 || message.data === 3) proxy.loseAnswerTo("commit");
          },
        });
        assert.equal(proxy.lost, count);
        assert.equal(handled, 5);
        assert.deepEqual(attempts, [1, 1, 1, 1, 1]);
        assert.deepEqual(await effectsOf(category), numbers(5));
        const last = positions.at(-1)!;
        assert.deepEqual(
          await stored(db.sql, `${category}:position-answer`),
          commitInterval === 0 ? [0, ...positions, last] : [0, last, last],
        );
      } finally {
        await sql.end({ timeout: 1 });
        await proxy.close();
      }
    },
  );

  test.each([0, 100])(
    "handles each message once where several processes run the same consumer, commits after %i ms",
    async (commitInterval) => {
      const category = `several${commitInterval}`;
      const last = (await writeCounted(db.sql, category, 100, { streams: 5 })).at(-1);
      const processes = [1, 2, 3].map(() =>
        drain(db.connect({ max: 2 }), {
          category,
          consumerId: "run",
          exclusive: false,
          transactional: true,
          commitInterval,
          batchSize: 30,
          handle: effect(category),
        })
      );
      const drained = await Promise.all(processes);
      assert.ok(drained.every(({ caughtUp, busy }) => caughtUp && !busy));
      assert.deepEqual(await effectsOf(category), numbers(100));
      const positions = await stored(db.sql, `${category}:position-run`);
      if (commitInterval === 0) assert.equal(positions.length, 100);
      assert.equal(positions.at(-1), last);
      assert.deepEqual(positions, [...new Set(positions)].sort((a, b) => a - b));
    },
  );

  test("leaves all messages to the process that has the consumer, if it is exclusive", async () => {
    await writeCounted(db.sql, "exclusive", 100, { streams: 5 });
    const processes = [1, 2, 3].map(() =>
      drain(db.connect({ max: 2 }), {
        category: "exclusive",
        consumerId: "run",
        transactional: true,
        handle: effect("exclusive"),
      })
    );
    const drained = await Promise.all(processes);
    // A process that begins after the others have ended finds nothing.
    for (const { handled, caughtUp, busy } of drained) {
      assert.ok(handled === 0 || handled === 100, String(handled));
      assert.equal(busy, !caughtUp);
    }
    assert.equal(drained.filter(({ handled }) => handled > 0).length, 1);
    assert.deepEqual(await effectsOf("exclusive"), numbers(100));
  });

  test("needs no more than one connection", async () => {
    await writeCounted(db.sql, "narrow", 50, { streams: 3 });
    const running = start(db.connect({ max: 1 }), {
      category: "narrow",
      consumerId: "one",
      transactional: true,
      batchSize: 10,
      positionUpdateInterval: 1,
      handle: effect("narrow"),
    });
    await until(async () => (await effectsOf("narrow")).length === 50);
    await running.stop();
    assert.deepEqual(await effectsOf("narrow"), numbers(50));
  });

  test("follows the policy where the commit fails, or a statement whose error was caught", async () => {
    await db.sql`
      create table unique_at_commit (number int unique deferrable initially deferred)`;
    await writeBatch(db.sql, "commit-1", [1, 1, 2].map((data) => ({ type: "Written", data })));
    const failures = {
      commit: async ({ data }: Message, { sql }: HandlerContext<postgres.TransactionSql>) => {
        await sql`insert into unique_at_commit values (${data as number})`;
      },
      caught: async ({ position }: Message, { sql }: HandlerContext<postgres.TransactionSql>) => {
        if (position === 1) await sql`select 1 / 0`.catch(() => {});
      },
    };
    for (const [consumerId, handle] of Object.entries(failures)) {
      const consumer = { category: "commit", consumerId, transactional: true, handle } as const;
      await assert.rejects(drain(db.sql, consumer), (error) => {
        assert.ok(error instanceof HandlerFailedError, String(error));
        assert.match((error.cause as { code: string }).code, /^(23505|22012)$/);
        return true;
      });
      const { handled } = await drain(db.sql, { ...consumer, onError: "park" });
      assert.equal(handled, 2);
      assert.equal(await streamVersion(db.sql, `commit:parked-${consumerId}`), 0);
    }
    assert.deepEqual((await db.sql`select * from unique_at_commit`).map((it) => it.number), [1, 2]);
  });

  test("does not blame the handler where the position cannot be stored", async () => {
    await writeCounted(db.sql, "held", 2);
    const other = db.connect({ max: 1 });
    const lock = gate();
    const blamed: unknown[] = [];
    const holding = other.begin(async (sql) => {
      await write(sql, "held:position-another", { type: "Recorded", data: { position: 0 } });
      await lock.opened;
    });
    await until(async () => {
      const [row] = await db.sql`
        select count(*)::int as count
        from pg_locks
        where locktype = 'advisory' and granted
          and database = (select oid from pg_database where datname = current_database())`;
      return row!["count"] > 0;
    });
    const sql = db.connect({ connection: { lock_timeout: 100 } });
    const drained = await drain(sql, {
      category: "held",
      consumerId: "one",
      transactional: true,
      handle: effect("held"),
      onRetry: lock.open,
      onError: (error) => {
        blamed.push(error);
        lock.open();
        return "skip";
      },
    });
    await holding;
    assert.deepEqual([drained.handled, blamed], [2, []]);
    assert.deepEqual(await effectsOf("held"), [0, 1]);
  });

  test("gives the handler the types that the handle has", async () => {
    await writeCounted(db.sql, "typed", 1);
    const seen: unknown[] = [];
    const pair = {
      to: 1043,
      from: [],
      serialize: (it: string) => `<${it}>`,
      parse: (it: string) => it,
    };
    const handle = postgres(db.url, { types: { pair } });
    onTestFinished(() => handle.end());
    await drain(handle, {
      category: "typed",
      consumerId: "one",
      transactional: true,
      handle: async (_, { sql }) => {
        const [row] = await sql`select ${sql.types.pair("1/2")}::text as pair`;
        seen.push(row!["pair"]);
      },
    });
    await handle.end();
    assert.deepEqual(seen, ["<1/2>"]);
  });

  test("takes the handler's work back where it answers skip or park", async () => {
    await writeCounted(db.sql, "back", 3);
    await drain(db.sql, {
      category: "back",
      consumerId: "one",
      transactional: true,
      handle: async (message, context) => {
        await effect("back")(message, context);
        return ([undefined, "skip", "park"] as const)[message.data as number];
      },
    });
    assert.deepEqual(await effectsOf("back"), [0]);
    assert.equal(await streamVersion(db.sql, "back:parked-one"), 0);
  });
});

describe("a message that is not handled", () => {
  const failing = (message: Message) => {
    if (message.data === 1) throw new Error("one is too much");
  };

  test("stops the consumer, which starts with it again", async () => {
    const positions = await writeCounted(db.sql, "stops", 3);
    const consumer = { category: "stops", consumerId: "here" };
    await assert.rejects(
      consume(db.sql, { ...consumer, handle: failing }),
      (error: HandlerFailedError) => {
        assert.equal(error.code, "HANDLER_FAILED");
        assert.equal(error.consumerId, "here");
        assert.equal(error.attempts, 1);
        assert.equal(error.failedMessage.globalPosition, positions[1]);
        assert.equal((error.cause as Error).message, "one is too much");
        return true;
      },
    );
    assert.deepEqual(await stored(db.sql, "stops:position-here"), [0, positions[0]]);
    const seen: unknown[] = [];
    await drain(db.sql, { ...consumer, handle: ({ data }) => void seen.push(data) });
    assert.deepEqual(seen, [1, 2]);
  });

  test.each(["stop", "skip", "park"] as const)("is tried so often, and then: %s", async (then) => {
    const category = `tried${then}`;
    const positions = await writeCounted(db.sql, category, 3);
    const attempts: unknown[] = [];
    const draining = drain(db.sql, {
      category,
      consumerId: "it",
      onError: { retry: 3, delay: 1, then },
      handle: (message, { attempt }) => {
        attempts.push([message.data, attempt]);
        failing(message);
      },
    });
    const tried = [[0, 1], [1, 1], [1, 2], [1, 3], [1, 4]];
    if (then === "stop") {
      await assert.rejects(draining, { name: "HandlerFailedError", attempts: 4 });
      assert.deepEqual(attempts, tried);
    } else {
      const last = positions[2];
      assert.deepEqual(await draining, { handled: 3, position: last, caughtUp: true, busy: false });
      assert.deepEqual(attempts, [...tried, [2, 1]]);
    }
    const parked = await streamVersion(db.sql, `${category}:parked-it`);
    assert.equal(parked, then === "park" ? 0 : -1);
  });

  test("is handled in the end where it fails less often", async () => {
    await writeCounted(db.sql, "better", 1);
    const attempts: number[] = [];
    await drain(db.sql, {
      category: "better",
      consumerId: "it",
      onError: { retry: 5, delay: 1 },
      handle: (_, { attempt }) => {
        attempts.push(attempt);
        if (attempt < 4) throw new Error("not yet");
      },
    });
    assert.deepEqual(attempts, [1, 2, 3, 4]);
  });

  test("is parked once, with the error and the attempts, however often it is parked", async () => {
    const positions = await writeCounted(db.sql, "parks", 2);
    const consumer = {
      category: "parks",
      consumerId: "it",
      handle: failing,
      onError: { retry: 1, delay: 1, then: "park" },
    } as const;
    await drain(db.sql, consumer);
    for (let again = 0; again < 2; again++) {
      await write(db.sql, "parks:position-it", { type: "Recorded", data: { position: 0 } });
      await drain(db.sql, consumer);
    }
    const [parked, ...others] = await readStream(db.sql, "parks:parked-it");
    const [, message] = await readStream(db.sql, "parks-0");
    assert.deepEqual(others, []);
    assert.equal(parked!.type, "Parked");
    assert.deepEqual(parked!.data, {
      message: {
        id: message!.id,
        type: "Counted",
        streamName: "parks-0",
        position: 1,
        globalPosition: positions[1],
      },
      error: { name: "Error", message: "one is too much" },
      attempts: 2,
    });
    assert.deepEqual(parked!.metadata, {
      causationMessageStreamName: "parks-0",
      causationMessagePosition: 1,
      causationMessageGlobalPosition: positions[1],
    });
    assert.match(parked!.id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab]/);
  });

  test("is parked whatever was thrown", async () => {
    const thrown = [
      undefined,
      null,
      "a\0b",
      "\ud800",
      5,
      Symbol("s"),
      { a: 1 },
      new Error("\0"),
      Object.create(null),
    ];
    await writeCounted(db.sql, "throws", thrown.length);
    for (const transactional of [false, true]) {
      const consumerId = `anything${transactional}`;
      await drain(db.sql, {
        category: "throws",
        consumerId,
        transactional,
        onError: "park",
        handle: ({ data }: Message) => Promise.reject(thrown[data as number]),
      } as never);
      const parked = await readStream<{ error: { message: string } | null }>(
        db.sql,
        `throws:parked-${consumerId}`,
      );
      assert.deepEqual(parked.map(({ data }) => data.error?.message), [
        "undefined",
        "null",
        "a\ufffdb",
        "\ufffd",
        "5",
        "Symbol(s)",
        "[object Object]",
        "\ufffd",
        "something that is no text",
      ]);
    }
  });

  test("becomes what its handler answers", async () => {
    await writeCounted(db.sql, "answers", 4);
    const seen: unknown[] = [];
    const answers = [undefined, "skip", "park", "stop"] as const;
    const consumer = {
      category: "answers",
      consumerId: "it",
      onError: { retry: 2, delay: 1, then: "skip" },
      handle: ({ data }: Message, { attempt }: HandlerContext) => {
        seen.push([data, attempt]);
        return attempt === 2 || data === 3 ? answers[data as number] : "retry";
      },
    } as const;
    await assert.rejects(drain(db.sql, consumer), {
      name: "HandlerFailedError",
      message: /it answered "stop"/,
      attempts: 1,
    });
    assert.deepEqual(seen, [[0, 1], [0, 2], [1, 1], [1, 2], [2, 1], [2, 2], [3, 1]]);
    const [parked, ...others] = await readStream<{ error: unknown }>(db.sql, "answers:parked-it");
    assert.deepEqual([parked!.data.error, others], [null, []]);
  });

  test("is tried no more often than the policy says where the handler answers retry", async () => {
    await writeCounted(db.sql, "endless", 1);
    let attempts = 0;
    await drain(db.sql, {
      category: "endless",
      consumerId: "it",
      onError: { retry: 2, delay: 1, then: "skip" },
      handle: () => {
        attempts++;
        return "retry";
      },
    });
    assert.equal(attempts, 3);
  });

  test("becomes what the function decides that the policy is", async () => {
    await writeCounted(db.sql, "decides", 2);
    const asked: unknown[] = [];
    await drain(db.sql, {
      category: "decides",
      consumerId: "it",
      handle: failing,
      onError: (error, { data }, { attempt, sql }) => {
        asked.push([(error as Error).message, data, attempt, sql === db.sql]);
        return attempt < 3 ? "retry" : "skip";
      },
    });
    assert.deepEqual(asked, [1, 2, 3].map((attempt) => ["one is too much", 1, attempt, true]));
  });

  test("stops the consumer where the policy's answer is none", async () => {
    await writeCounted(db.sql, "none", 1);
    await assert.rejects(
      drain(db.sql, {
        category: "none",
        consumerId: "it",
        onError: () => ["stop"] as never,
        handle: () => Promise.reject(new Error("no")),
      }),
      { name: "TypeError", message: /onError's answer/ },
    );
  });

  test("follows the policy where a service of the handler's own is down", async () => {
    const codes = ["ECONNREFUSED", "ETIMEDOUT", "ENOTFOUND", "28P01", "3D000", "53400"];
    await writeCounted(db.sql, "service", codes.length);
    for (const transactional of [false, true]) {
      const attempts: number[] = [];
      const { handled } = await drain(db.sql, {
        category: "service",
        consumerId: `of${transactional}`,
        transactional,
        onError: { retry: 1, delay: 1, then: "skip" },
        handle: ({ data }: Message, { attempt }: HandlerContext) => {
          attempts.push(attempt);
          throw Object.assign(new Error("down"), { code: codes[data as number] });
        },
      } as never);
      assert.equal(handled, codes.length);
      assert.deepEqual(attempts, codes.flatMap(() => [1, 2]));
    }
  });

  test("is tried again where the handler's connection is killed, and that is no attempt", async () => {
    await writeCounted(db.sql, "session", 2);
    const attempts: number[] = [];
    let kills = 3;
    await drain(db.connect({ max: 1 }), {
      category: "session",
      consumerId: "it",
      handle: async (message, context) => {
        attempts.push(context.attempt);
        if (message.data === 1 && kills-- > 0) {
          await kill(context.sql);
        }
        await effect("session")(message, context);
      },
    });
    assert.deepEqual(attempts, [1, 1, 1, 1, 1]);
    assert.deepEqual(await effectsOf("session"), [0, 1]);
  });
});

describe("concurrency", () => {
  test("handles streams side by side, and the messages of each in order", async () => {
    await writeCounted(db.sql, "side", 200, { streams: 4 });
    const seen = new Map<string, number[]>();
    let inHand = 0;
    let most = 0;
    const { handled } = await drain(db.sql, {
      category: "side",
      consumerId: "by",
      concurrency: 4,
      batchSize: 64,
      handle: async ({ streamName, data }) => {
        most = Math.max(most, ++inHand);
        seen.set(streamName, [...seen.get(streamName) ?? [], data as number]);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
        inHand--;
      },
    });
    assert.deepEqual([handled, most, seen.size], [200, 4, 4]);
    for (const data of seen.values()) {
      assert.deepEqual(data, data.toSorted((a, b) => a - b));
      assert.equal(data.length, 50);
    }
  });

  test("may be of any number", async () => {
    await writeCounted(db.sql, "any", 3, { streams: 3 });
    const { handled } = await drain(db.sql, {
      category: "any",
      consumerId: "one",
      concurrency: Number.MAX_SAFE_INTEGER,
      handle: () => {},
    });
    assert.equal(handled, 3);
  });

  test("stores no more than the longest prefix that is finished", async () => {
    const positions = await writeCounted(db.sql, "prefix", 12, { streams: 3 });
    const slow = gate();
    const seen: unknown[] = [];
    const running = start(db.sql, {
      category: "prefix",
      consumerId: "it",
      concurrency: 3,
      positionUpdateInterval: 1,
      handle: async ({ data }) => {
        if (data === 4) await slow.opened;
        seen.push(data);
      },
    });
    // Stream 1 has 1, 4, 7 and 10.
    await until(() => seen.length === 9);
    const before = await stored(db.sql, "prefix:position-it");
    assert.ok(Math.max(...before) <= positions[3]!, String(before));
    slow.open();
    await until(() => seen.length === 12);
    await running.stop();
    assert.equal((await stored(db.sql, "prefix:position-it")).at(-1), positions[11]);
  });

  test("lets the others finish what they have in hand when one fails", async () => {
    const positions = await writeCounted(db.sql, "halts", 9, { streams: 3 });
    const slow = gate();
    const seen: unknown[] = [];
    const draining = drain(db.sql, {
      category: "halts",
      consumerId: "it",
      concurrency: 3,
      handle: async ({ data }) => {
        if (data === 2) throw new Error("two");
        if (data === 1) await slow.opened;
        seen.push(data);
      },
    });
    draining.catch(() => {});
    await until(() => seen.includes(0));
    slow.open();
    await assert.rejects(draining, (error: HandlerFailedError) => error.failedMessage.data === 2);
    assert.ok(seen.includes(1));
    assert.equal((await stored(db.sql, "halts:position-it")).at(-1), positions[1]);
  });

  test("does not wait longer than shutdownTimeout for one when another fails", async () => {
    await writeCounted(db.sql, "stuck", 2, { streams: 2 });
    const draining = drain(db.sql, {
      category: "stuck",
      consumerId: "it",
      concurrency: 2,
      shutdownTimeout: 20,
      handle: ({ data }) => data === 0 ? new Promise(() => {}) : Promise.reject(new Error("one")),
    });
    await assert.rejects(draining, { name: "HandlerFailedError", message: /one/ });
  });
});

describe("the end", () => {
  test("finishes what is in hand, begins no more, and stores the position", async () => {
    const positions = await writeCounted(db.sql, "ends", 5);
    const slow = gate();
    const seen: unknown[] = [];
    const running = start(db.sql, {
      category: "ends",
      consumerId: "it",
      handle: async ({ data }, { signal }) => {
        seen.push(data);
        if (data === 1) await slow.opened;
        assert.equal(signal.aborted, false);
      },
    });
    await until(() => seen.length === 2);
    const stopped = running.stop();
    slow.open();
    await stopped;
    assert.deepEqual(seen, [0, 1]);
    assert.deepEqual(await stored(db.sql, "ends:position-it"), [0, positions[1]]);
  });

  test.each([1, 3])(
    "gives up a handler that never finishes, and stores what is, %i side by side",
    async (concurrency) => {
      const category = `never${concurrency}`;
      const positions = await writeCounted(db.sql, category, 6, { streams: 3 });
      const seen: unknown[] = [];
      let given: AbortSignal | undefined;
      const running = start(db.sql, {
        category,
        consumerId: "it",
        concurrency,
        shutdownTimeout: 10,
        handle: async ({ data }, { signal }) => {
          seen.push(data);
          if (data !== 2) return;
          given = signal;
          await new Promise(() => {});
        },
      });
      await until(() => seen.length === (concurrency === 1 ? 3 : 5));
      assert.equal(given!.aborted, false);
      await running.stop();
      assert.equal(given!.aborted, true);
      assert.deepEqual((await stored(db.sql, `${category}:position-it`)).at(-1), positions[1]);
    },
  );

  test("stores the position where there is no time to finish anything, too", async () => {
    const [, last] = await writeCounted(db.sql, "hasty", 2);
    for (let at = 0; at < 30; at++) {
      const ending = new AbortController();
      const consumer = {
        category: "hasty",
        consumerId: `number ${at}`,
        shutdownTimeout: 0,
        handle: ({ data }: Message) => {
          if (data === 1) ending.abort();
        },
      };
      await consume(db.sql, consumer, { signal: ending.signal });
      assert.deepEqual(await stored(db.sql, `hasty:position-number ${at}`), [0, last]);
      const recorded = await readStream(db.sql, `hasty:position-number ${at}`);
      assert.deepEqual(recorded[1]!.metadata, null);
    }
  });

  test("comes where a transaction never finishes and has the one connection", async () => {
    await writeCounted(db.sql, "holds", 1);
    const begun = gate();
    const running = start(db.connect({ max: 1 }), {
      category: "holds",
      consumerId: "it",
      transactional: true,
      shutdownTimeout: 10,
      handle: () => {
        begun.open();
        return new Promise(() => {});
      },
    });
    await begun.opened;
    await running.stop();
    // The claim stays, because there is no connection to give it back on.
    const [claim, ...others] = await readStream(db.sql, "holds:position-it");
    assert.deepEqual([claim!.data, claim!.metadata!["answers"]], [{ position: 0 }, true]);
    assert.deepEqual(others, []);
  });

  test("comes while a message waits to be tried again", async () => {
    await writeCounted(db.sql, "waits", 1);
    const failed = gate();
    const running = start(db.sql, {
      category: "waits",
      consumerId: "it",
      onError: { retry: 5, delay: 2 ** 31 - 1 },
      handle: () => {
        failed.open();
        throw new Error("later");
      },
    });
    await failed.opened;
    await running.stop();
    // The claim, and its end.
    assert.deepEqual(await stored(db.sql, "waits:position-it"), [0, 0]);
  });

  test.each([
    ["a read", { handle: () => {} }],
    ["the handler", {
      handle: (message: Message, context: HandlerContext<postgres.Sql>) =>
        effect("away")(message, context),
    }],
    ["the transaction", { transactional: true, handle: effect("away") }],
    ["the position", { positionUpdateInterval: 1, handle: () => {} }],
  ])("comes, without an error, while the database is away from %s", async (what, options) => {
    const category = `away${what.replaceAll(" ", "")}`;
    await writeCounted(db.sql, category, 2);
    const { sql, cut } = cuttable(db.sql);
    const retried = gate();
    let retries = 0;
    const running = start(sql, {
      category,
      consumerId: "it",
      shutdownTimeout: 10,
      leaseDuration: 2000,
      onRetry: () => void (++retries === 3 && retried.open()),
      ...options,
      handle: async (message: Message, context: never) => {
        if (message.data === 1 || what === "the position") cut(true);
        await (options.handle as (...it: unknown[]) => unknown)(message, context);
      },
    } as never);
    await retried.opened;
    await running.stop();
    cut(false);
    // The claim could not be given back. So the process counts as gone when it has not answered.
    const again = () => drain(sql, { category, consumerId: "it", handle: () => {} });
    const { handled, caughtUp, busy } = await again();
    assert.deepEqual([handled, caughtUp, busy], [0, false, true]);
    await until(async () => (await again()).caughtUp);
  });

  test("is at once where the signal has aborted", async () => {
    const sent = () => assert.fail("something was sent");
    await consume(sent, { category: "a", consumerId: "it", handle: () => {} }, {
      signal: AbortSignal.abort(),
    });
  });

  test("goes on where the database was away", async () => {
    await writeCounted(db.sql, "returns", 1);
    const { sql, cut } = cuttable(db.sql);
    const seen: unknown[] = [];
    let retries = 0;
    const running = start(sql, {
      category: "returns",
      consumerId: "it",
      onRetry: () => void retries++,
      handle: ({ data }) => void seen.push(data),
    });
    await until(() => seen.length === 1);
    cut(true);
    await until(() => retries >= 2);
    await writeCounted(db.sql, "returns", 1, { from: 1 });
    cut(false);
    await until(() => seen.length === 2);
    await running.stop();
    assert.deepEqual(seen, [0, 1]);
  });
});
