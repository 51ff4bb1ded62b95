import assert from "node:assert/strict";
import process from "node:process";
import fc from "fast-check";
import postgres from "postgres";
import { describe, test } from "vitest";
import * as z from "zod";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import {
  defineMessages,
  groupCommit,
  type MessageInput,
  NO_STREAM,
  readCategory,
  readStream,
  type Sql,
  STREAM_EXISTS,
  write,
  writeBatch,
  type WriteOptions,
} from "../../mod.ts";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const typesOf = async (streamName: string) =>
  (await readStream(db.sql, streamName)).map(({ type }) => type);

/** A handle that counts statements, and how many are under way. */
function counting(sql: Sql): { sql: Sql; statements: number; most: number } {
  let underWay = 0;
  const counted = {
    statements: 0,
    most: 0,
    sql: async (strings: TemplateStringsArray, ...parameters: (string | null)[]) => {
      counted.statements++;
      counted.most = Math.max(counted.most, ++underWay);
      try {
        return await sql(strings, ...parameters);
      } finally {
        underWay--;
      }
    },
  };
  return counted;
}

describe("groupCommit()", () => {
  test("answers each write its position, and streams are in the order of the calls", async () => {
    const write = groupCommit(db.sql);
    const positions = await Promise.all(
      numbers(300).map((at) => write(`order-${at % 3}`, { type: "Counted", data: at })),
    );
    assert.deepEqual(positions, numbers(300).map((at) => Math.floor(at / 3)));
    for (const stream of numbers(3)) {
      const messages = await readStream(db.sql, `order-${stream}`);
      assert.deepEqual(
        messages.map(({ data }) => data),
        numbers(100).map((at) => at * 3 + stream),
      );
    }
  });

  test("writes of one turn share a statement and a commit", async () => {
    const counted = counting(db.sql);
    const write = groupCommit(counted.sql);
    await Promise.all(numbers(100).map((at) => write(`shared${at % 5}-${at}`, { type: "Shared" })));
    const [row] = await db.sql`
      select count(distinct xmin::text)::int as commits
      from message_store.messages where type = 'Shared'`;
    assert.deepEqual([counted.statements, row!["commits"]], [1, 1]);
  });

  test("what is written while a statement is under way goes with the next one", async () => {
    const counted = counting(db.sql);
    const write = groupCommit(counted.sql);
    const first = write("next-1", { type: "First" });
    await Promise.resolve();
    await Promise.resolve();
    assert.equal(counted.statements, 1);
    await Promise.all([first, ...numbers(50).map(() => write("next-1", { type: "Later" }))]);
    assert.equal(counted.statements, 2);
  });

  test("a write alone is sent as write() sends it, before any timer", async () => {
    const texts: string[] = [];
    const watched = ((strings: TemplateStringsArray, ...parameters: string[]) => {
      texts.push(strings.join("$"));
      return db.sql(strings, ...parameters);
    }) as Sql;
    const one = groupCommit(watched)("alone-1", { type: "Alone" });
    await Promise.resolve();
    await Promise.resolve();
    assert.equal(texts.length, 1);
    await one;
    await write(watched, "alone-1", { type: "Alone" });
    assert.equal(texts[1], texts[0]);
  });

  test("a write that conflicts fails alone, with what its stream is at", async () => {
    const write = groupCommit(db.sql);
    await write("conflict-1", { type: "Before" });
    const outcomes = await Promise.allSettled([
      write("conflict-1", { type: "One" }, { expectedVersion: 0 }),
      write("conflict-2", { type: "Two" }, { expectedVersion: 7 }),
      write("conflict-1", { type: "Three" }, { expectedVersion: 0 }),
      write("conflict-1", { type: "Four" }),
      write("conflict-1", { type: "Five" }, { expectedVersion: 2 }),
      write("conflict-2", { type: "Six" }, { expectedVersion: NO_STREAM }),
    ]);
    assert.deepEqual(
      outcomes.map((it) =>
        it.status === "fulfilled" ? it.value : [it.reason.name, it.reason.actualVersion]
      ),
      [
        1,
        ["WrongExpectedVersionError", NO_STREAM],
        ["WrongExpectedVersionError", 1],
        2,
        3,
        0,
      ],
    );
    assert.deepEqual(await typesOf("conflict-1"), ["Before", "One", "Four", "Five"]);
    const [, two] = outcomes;
    assert.equal(
      (two as PromiseRejectedResult).reason.message,
      'Cannot write to stream "conflict-2" at expected version 7: the stream has no message',
    );
  });

  test("of 100 that expect one version, one writes", async () => {
    const write = groupCommit(db.sql);
    const outcomes = await Promise.allSettled(
      numbers(100).map(() => write("race-1", { type: "Won" }, { expectedVersion: NO_STREAM })),
    );
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    assert.deepEqual(await typesOf("race-1"), ["Won"]);
  });

  test("a message whose id is in the store is written once and answers its position", async () => {
    const write = groupCommit(db.sql);
    const known = { type: "Known", id: crypto.randomUUID() };
    const twice = { type: "Twice", id: crypto.randomUUID() };
    await writeBatch(db.sql, "known-1", [{ type: "Before" }, known]);
    const outcomes = await Promise.allSettled([
      write("known-1", { type: "New" }),
      write("known-1", known, { expectedVersion: 0 }),
      write("known-2", known),
      write("known-1", twice),
      write("known-1", { ...twice, id: twice.id.toUpperCase() }),
      write("known-3", twice),
      write("known-1", { type: "Newer" }, { expectedVersion: 3 }),
    ]);
    assert.deepEqual(
      outcomes.map((it) => it.status === "fulfilled" ? it.value : [it.reason.name, it.reason.id]),
      [
        2,
        1,
        ["DuplicateMessageError", known.id],
        3,
        3,
        ["DuplicateMessageError", twice.id],
        4,
      ],
    );
  });

  test("a message that was written while its batch waited for the lock is known", async () => {
    const known = { type: "Known", id: crypto.randomUUID() };
    const positions = await whileLocked(
      db,
      "late-1",
      1,
      (sql) => {
        const write = groupCommit(sql);
        return Promise.all([
          write("late-1", { type: "New" }),
          write("late-1", known, { expectedVersion: NO_STREAM }),
        ]);
      },
      (sql) => writeBatch(sql, "late-1", [{ type: "Before" }, known]),
    );
    assert.deepEqual(positions, [2, 1]);
  });

  const writeTwo = (sql: Sql, options?: WriteOptions) => {
    const write = groupCommit(sql);
    const types = ["One", "Two"];
    return Promise.all(types.map((type) => write("older-1", { type }, options)));
  };
  const older: Record<string, (sql: postgres.Sql, count: (sql: Sql) => Sql) => Promise<unknown>> = {
    "in a statement of their own": (sql, count) => writeTwo(count(sql)),
    "in a transaction that has written before": (sql, count) =>
      sql.begin(async (tx) => {
        await tx`select txid_current()`;
        return await writeTwo(count(tx));
      }),
    "with an expected version": (sql, count) =>
      writeTwo(count(sql), { expectedVersion: STREAM_EXISTS }),
  };
  for (const [how, send] of Object.entries(older)) {
    test(`new messages come after those that others wrote while they waited, ${how}`, async () => {
      const before = (await readStream(db.sql, "older-1")).length;
      let counted: ReturnType<typeof counting>;
      const positions = await whileLocked(
        db,
        "older-1",
        1,
        (sql) => send(sql, (it) => (counted = counting(it)).sql),
        (sql) => writeBatch(sql, "older-1", [{ type: "Before" }, { type: "Before" }]),
      );
      // A second statement would mean that the database had to refuse the first.
      assert.deepEqual([positions, counted!.statements], [[before + 2, before + 3], 1]);
    });
  }

  test("new messages are written alike whatever else the server does", async () => {
    const names = ["plain-1", "plain-2", "plain-1", "other-1", "plain-1", "other-1"];
    const writeAll = async (sql: Sql): Promise<number[]> => {
      const write = groupCommit(sql);
      return await Promise.all(names.map((name) => write(name, { type: "Plain" })));
    };
    assert.deepEqual(await writeAll(db.sql), [0, 0, 1, 0, 2, 1]);
    // A transaction that has an id, and has not ended.
    await db.sql.begin(async (sql) => {
      await sql`select txid_current()`;
      assert.deepEqual(await writeAll(db.sql), [3, 1, 4, 2, 5, 3]);
    });
    await db.sql.begin(async (sql) => {
      await sql`set transaction isolation level repeatable read`;
      assert.deepEqual(await writeAll(sql), [6, 2, 7, 4, 8, 5]);
      assert.deepEqual(await writeAll(sql), [9, 3, 10, 6, 11, 7]);
    });
  });

  test("what the database refuses fails alone, and the others are in order", async () => {
    await db.sql`
      alter table message_store.messages add constraint small check (type <> 'Refused')`;
    try {
      for (const size of [2, 3, 17, 64]) {
        const write = groupCommit(db.sql);
        const refused = new Set([0, size >> 1, size - 1]);
        const outcomes = await Promise.allSettled(
          numbers(size).map((at) =>
            write(`refused${size}-1`, { type: refused.has(at) ? "Refused" : `T${at}` })
          ),
        );
        assert.deepEqual(
          outcomes.map(({ status }) => status === "rejected"),
          numbers(size).map((at) => refused.has(at)),
        );
        const rejected = outcomes.filter((it) => it.status === "rejected");
        for (const { reason } of rejected) assert.equal(reason.code, "23514");
        assert.deepEqual(
          await typesOf(`refused${size}-1`),
          numbers(size).filter((at) => !refused.has(at)).map((at) => `T${at}`),
        );
      }
    } finally {
      await db.sql`alter table message_store.messages drop constraint small`;
    }
  });

  test("what a gateway does not allow fails alone, and it may take few messages at once", async () => {
    const handle = gateway(db.sql, {
      authorize: (_, { streamName }) => streamName !== "forbidden-1",
      maxBatchSize: 4,
    });
    const write = groupCommit(
      fetchSql("http://gateway/sql", { fetch: (url, init) => handle(new Request(url, init)) }),
    );
    const outcomes = await Promise.allSettled(
      numbers(20).map((at) => write(at === 7 ? "forbidden-1" : "allowed-1", { type: `T${at}` })),
    );
    assert.deepEqual(
      outcomes.map((it) => it.status === "fulfilled" ? it.value : it.reason.status),
      numbers(20).map((at) => at === 7 ? 403 : at < 7 ? at : at - 1),
    );
  });

  test("an internal error, which poolers make of a lost connection, says nothing of any", async () => {
    await db.sql.unsafe(`
      create function message_store.break() returns trigger language plpgsql as $$
        begin raise exception 'Connection closed' using errcode = 'XX000'; end
      $$;
      create trigger broken after insert on message_store.messages
        for each row when (new.type = 'Broken') execute function message_store.break();`);
    try {
      const write = groupCommit(db.sql);
      const outcomes = await Promise.allSettled(
        ["One", "Broken", "Two"].map((type) => write("internal-1", { type })),
      );
      const reasons = outcomes.map((it) => it.status === "rejected" && it.reason);
      assert.deepEqual([new Set(reasons).size, reasons[0].code], [1, "XX000"]);
    } finally {
      await db.sql`drop function message_store.break() cascade`;
    }
  });

  test("an id that another category has since the statement began fails alone", async () => {
    const stolen = { type: "Stolen", id: crypto.randomUUID() };
    const outcomes = await whileLocked(
      db,
      "victim-1",
      1,
      (sql) => {
        const write = groupCommit(sql);
        return Promise.allSettled([
          write("victim-1", { type: "One" }),
          write("victim-1", stolen),
          write("victim-1", { type: "Two" }),
        ]);
      },
      (sql) => write(sql, "thief-1", stolen),
    );
    assert.deepEqual(outcomes.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
    const [, { reason }] = outcomes as [unknown, PromiseRejectedResult, unknown];
    assert.deepEqual([reason.name, reason.id], ["DuplicateMessageError", stolen.id]);
    assert.deepEqual(await typesOf("victim-1"), ["One", "Two"]);
  });

  test("an id of another stream fails alone beside what the database refuses", async () => {
    const taken = { type: "Taken", id: crypto.randomUUID() };
    await write(db.sql, "taker-1", taken);
    await db.sql`
      alter table message_store.messages add constraint small check (type <> 'Refused')`;
    try {
      const write = groupCommit(db.sql);
      const outcomes = await Promise.allSettled([
        write("taken-1", taken),
        write("taken-1", { type: "Refused" }),
        write("taken-1", { type: "One" }),
      ]);
      assert.deepEqual(
        outcomes.map((it) => it.status === "fulfilled" ? it.value : it.reason.code),
        ["DUPLICATE_MESSAGE", "23514", 0],
      );
      assert.deepEqual(await typesOf("taken-1"), ["One"]);
    } finally {
      await db.sql`alter table message_store.messages drop constraint small`;
    }
  });

  test("where the connection breaks, all reject with one error, and ids make it safe to retry", async () => {
    const sql = db.connect({ max: 1, fetch_types: false });
    const messages = numbers(10).map((at) => ({ type: `T${at}`, id: crypto.randomUUID() }));
    const write = groupCommit(sql);
    let outcomes: Promise<PromiseSettledResult<number>[]>;
    await db.sql.begin(async (holder) => {
      await holder`
        select pg_advisory_xact_lock(message_store.hash_64('broken'))`;
      outcomes = Promise.allSettled(messages.map((message) => write("broken-1", message)));
      let ended = 0;
      while (ended === 0) {
        ({ count: ended } = await holder`
          select pg_terminate_backend(pid)
          from pg_locks
          where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())`);
      }
    });
    const reasons = (await outcomes!).map((it) => it.status === "rejected" && it.reason);
    assert.deepEqual(new Set(reasons).size, 1);
    assert(reasons[0] instanceof Error);
    const retry = groupCommit(db.sql);
    const again = await Promise.all(messages.map((message) => retry("broken-1", message)));
    assert.deepEqual(again, numbers(10));
    assert.deepEqual(await typesOf("broken-1"), messages.map(({ type }) => type));
  });

  test("where a pooler has lost the server, nothing is sent again", async () => {
    let statements = 0;
    // Supavisor says so where it has sent the statement on, and no answer came.
    const write = groupCommit(async (strings, ...parameters) => {
      await db.sql(strings, ...parameters);
      throw Object.assign(new Error(`DbHandler exited ${++statements}`), { code: "XX000" });
    });
    const outcomes = await Promise.allSettled(numbers(4).map(() => write("lost-1", { type: "A" })));
    assert.deepEqual(
      outcomes.map((it) => it.status === "rejected" && it.reason.message),
      numbers(4).map(() => "DbHandler exited 1"),
    );
  });

  test("a category that somebody else holds does not hold up the others", async () => {
    const sql = db.connect({ max: 4 });
    const write = groupCommit(sql);
    let held: Promise<number[]>;
    await db.sql.begin(async (holder) => {
      await holder`select pg_advisory_xact_lock(message_store.hash_64('held'))`;
      held = Promise.all(numbers(20).map((at) => write("held-1", { type: `T${at}` })));
      const free = numbers(20).map((at) => write(`free${at}-1`, { type: "Free" }));
      assert.deepEqual(await Promise.all(free), numbers(20).map(() => 0));
      const more = numbers(20).map((at) => write(`free${at}-1`, { type: "Free" }));
      assert.deepEqual(await Promise.all(more), numbers(20).map(() => 1));
    });
    assert.deepEqual(await held!, numbers(20));
    assert.deepEqual(await typesOf("held-1"), numbers(20).map((at) => `T${at}`));
  });

  test("a category that somebody else holds does not hold up the others where one write is refused", async () => {
    const write = groupCommit(db.connect({ max: 4 }));
    let held: Promise<number>;
    let refused: Promise<unknown>;
    await db.sql.begin(async (holder) => {
      await holder`select pg_advisory_xact_lock(message_store.hash_64('heldBeside'))`;
      held = write("heldBeside-1", { type: "Held" });
      // The index cannot take so long a name.
      refused = write(`refused-${numbers(300).map(() => crypto.randomUUID()).join("")}`, {
        type: "Refused",
      }).catch((error) => error);
      const free = numbers(6).map((at) => write(`freeBeside${at}-1`, { type: "Free" }));
      assert.deepEqual(await Promise.all(free), numbers(6).map(() => 0));
      const more = numbers(6).map((at) => write(`freeBeside${at}-1`, { type: "Free" }));
      assert.deepEqual(await Promise.all(more), numbers(6).map(() => 1));
      assert((await refused) instanceof Error);
    });
    assert.equal(await held!, 0);
  });

  test("sends no more at once than it is told", async () => {
    const counted = counting(db.connect({ max: 10 }));
    const write = groupCommit(counted.sql, { maxBatch: 10, maxInFlight: 3 });
    await Promise.all(numbers(1000).map((at) => write(`most${at % 50}-1`, { type: "Counted" })));
    assert.equal(counted.most, 3);
    assert(counted.statements >= 100);
    const large = counting(db.sql);
    const writeLarge = groupCommit(large.sql);
    const data = "x".repeat(90_000);
    await Promise.all(numbers(10).map(() => writeLarge("large-1", { type: "Large", data })));
    assert.equal(large.statements, 4);
  });

  test("a message is as it was when write was called", async () => {
    const write = groupCommit(db.sql);
    const message = { type: "Kept", data: { amount: 1 } };
    const writing = numbers(3).map((amount) => {
      message.data.amount = amount;
      return write("kept-1", message);
    });
    await Promise.all(writing);
    const messages = await readStream<{ amount: number }>(db.sql, "kept-1");
    assert.deepEqual(messages.map(({ data }) => data.amount), [0, 1, 2]);
  });

  test("a message of a catalogue is as it was when write was called, too", async () => {
    const messages = defineMessages({ Kept: z.object({ amount: z.number() }) });
    const message = { type: "Kept" as const, data: { amount: 1 }, metadata: { userId: 1 } };
    const options = { messages };
    const grouped = groupCommit(db.sql);
    const ways: ((name: string, it: typeof message) => Promise<number>)[] = [
      (name, it) => grouped(name, it, options),
      (name, it) => write(db.sql, name, it, options),
      (name, it) => writeBatch(db.sql, name, [it], options),
    ];
    for (const way of ways) {
      const name = `keptTyped-${crypto.randomUUID()}`;
      const asked = structuredClone(message);
      const writing = way(name, asked);
      Object.assign(asked, { type: "Changed", id: crypto.randomUUID(), metadata: { userId: 2 } });
      await writing;
      const [stored] = await readStream(db.sql, name);
      assert.equal(stored!.type, "Kept");
      assert.deepEqual(stored!.metadata, { userId: 1 });
      assert.notEqual(stored!.id, (asked as { id?: string }).id);
    }
  });

  test("messages that take longer to be parsed keep the order of the calls", async () => {
    const slow = z.number().refine(async (milliseconds) => {
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      return milliseconds !== 1;
    });
    const messages = defineMessages({ Slow: slow });
    const write = groupCommit(db.sql);
    const outcomes = await Promise.allSettled([
      write("parsed-1", { type: "Slow", data: 20 }, { messages }),
      write("parsed-1", { type: "Quick" }),
      write("parsed-1", messages.Slow(1)),
      write("parsed-1", messages.Slow(2)),
      write("parsed-1", { type: "Last" }),
      write("parsed-2", { type: "Quick" }),
    ]);
    assert.deepEqual(
      outcomes.map((it) => it.status === "fulfilled" ? it.value : it.reason.name),
      [0, 1, "InvalidMessageError", 2, 3, 0],
    );
    assert.deepEqual(await typesOf("parsed-1"), ["Slow", "Quick", "Slow", "Last"]);
  });

  test("what is no message of a catalogue is one rejection, not one that nobody hears of", async () => {
    const unheard: unknown[] = [];
    const hear = (error: unknown) => unheard.push(error);
    process.on("unhandledRejection", hear);
    try {
      const messages = defineMessages({ Known: z.number() });
      const write = groupCommit(db.sql);
      const outcomes = await Promise.allSettled([
        write("none-1", null as never, { messages }),
        write("none-1", { type: "Known", data: 1 }, { messages }),
      ]);
      assert.deepEqual(
        outcomes.map((it) => it.status === "fulfilled" ? it.value : it.reason.name),
        ["TypeError", 0],
      );
      // A rejection is told of when the turn that it came in ends.
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(unheard, []);
    } finally {
      process.off("unhandledRejection", hear);
    }
  });

  test("several groups that write to the same categories lose nothing and keep their order", async () => {
    const groups = numbers(4).map(() => groupCommit(db.connect({ max: 4 }), { maxBatch: 20 }));
    const positions = await Promise.all(
      groups.flatMap((write, group) =>
        numbers(500).map((at) => write(`busy${at % 3}-1`, { type: "Counted", data: { group, at } }))
      ),
    );
    assert.equal(positions.length, 2000);
    for (const at of numbers(3)) {
      const messages = await readCategory<{ group: number; at: number }>(db.sql, `busy${at}`);
      assert.deepEqual(messages.map(({ position }) => position), numbers(messages.length));
      for (const group of numbers(4)) {
        const own = messages.filter(({ data }) => data.group === group).map(({ data }) => data.at);
        assert.deepEqual(own, numbers(500).filter((it) => it % 3 === at));
      }
    }
  });

  test("works in sessions whose transactions are SERIALIZABLE", async () => {
    const connection = { default_transaction_isolation: "serializable" as const };
    const groups = numbers(3).map(() => groupCommit(db.connect({ max: 2, connection })));
    const outcomes = await Promise.allSettled(
      groups.flatMap((write) => numbers(20).map(() => write("serial-1", { type: "Counted" }))),
    );
    // What its snapshot does not show is a conflict, as it is for write().
    const written = outcomes.filter((it) => it.status === "fulfilled").map(({ value }) => value);
    assert.deepEqual(written.sort((a, b) => a - b), numbers(written.length));
    assert.equal((await readStream(db.sql, "serial-1")).length, written.length);
  });

  test("rejects what write() rejects, and the others are written", async () => {
    const write = groupCommit(db.sql);
    const outcomes = await Promise.allSettled([
      write("account", { type: "Opened" }),
      write("bad-1", { type: "" }),
      write("bad-1", null as unknown as MessageInput),
      write("bad-1", { type: "Opened", id: "1" }),
      write("bad-1", { type: "Opened", data: 1n }),
      write("bad-1", { type: "Opened" }, { expectedVersion: -2 }),
      write("bad-1", { type: "Opened" }),
    ]);
    assert.deepEqual(
      outcomes.map((it) => it.status === "fulfilled" ? it.value : it.reason.name),
      [..."TypeError ".repeat(5).trim().split(" "), "RangeError", 0],
    );
    assert.throws(() => groupCommit(db.sql, { maxBatch: 0 }), RangeError);
    assert.throws(() => groupCommit(db.sql, { maxInFlight: 1.5 }), RangeError);
    assert.throws(() => groupCommit(db.sql, [] as object), TypeError);
  });

  test("equals writes one after another where all messages are new", async () => {
    const streams = ["one-1", "one-2", "two-1"];
    const everyWrite = fc.array(fc.constantFrom(...streams), { minLength: 2, maxLength: 30 });
    const aMessage = fc.record({
      type: fc.string({ minLength: 1, unit: "grapheme" }).filter((it) => !it.includes("\0")),
      data: fc.jsonValue({ noUnicodeString: true }).filter((it) =>
        !/u0000/.test(JSON.stringify(it))
      ),
      metadata: fc.constantFrom(null, {}, { correlationStreamName: "transfer-7" }),
    });
    await fc.assert(
      fc.asyncProperty(everyWrite, aMessage, fc.nat(8), async (order, message, before) => {
        const grouped = `g${crypto.randomUUID().slice(0, 8)}`;
        const single = `s${crypto.randomUUID().slice(0, 8)}`;
        for (const name of numbers(before)) {
          await write(db.sql, `${grouped}one-${name % 2}`, message);
          await write(db.sql, `${single}one-${name % 2}`, message);
        }
        const writeGrouped = groupCommit(db.sql);
        const inOrder: number[] = [];
        for (const name of order) inOrder.push(await write(db.sql, single + name, message));
        const atOnce = order.map((name) => writeGrouped(grouped + name, message));
        assert.deepEqual(await Promise.all(atOnce), inOrder);
        for (const name of new Set(order)) {
          const [one, other] = await Promise.all(
            [grouped, single].map((category) => readStream(db.sql, category + name)),
          );
          const kept = (messages: typeof one) =>
            messages!.map(({ type, data, metadata, position }) => [type, data, metadata, position]);
          assert.deepEqual(kept(one), kept(other));
        }
      }),
      { numRuns: 50 },
    );
  });

  test("equals writes one after another", async () => {
    const streams = ["one-1", "one-2", "two-1"];
    const anId = fc.integer({ min: 0, max: 5 });
    const aWrite = fc.record({
      stream: fc.constantFrom(...streams),
      expectedVersion: fc.oneof(
        fc.constantFrom(undefined, STREAM_EXISTS),
        fc.integer({ min: -1, max: 6 }),
      ),
      id: fc.option(anId, { nil: undefined }),
    });
    const outcomeOf = (it: PromiseSettledResult<number>) =>
      it.status === "fulfilled" ? it.value : [it.reason.name, it.reason.actualVersion];
    await fc.assert(
      fc.asyncProperty(
        fc.array(aWrite, { maxLength: 5 }),
        fc.array(aWrite, { minLength: 2, maxLength: 40 }),
        async (before, writes) => {
          const run = async (
            name: string,
            inOrder: (calls: (() => Promise<number>)[], one: Sql) => Promise<unknown>,
            write: (
              stream: string,
              message: MessageInput,
              options: WriteOptions,
            ) => Promise<number>,
          ) => {
            // Of one stream each: between streams there is no order.
            const ids = new Map(
              streams.map((stream) => [stream, numbers(6).map(() => crypto.randomUUID())]),
            );
            const category = `${name}${crypto.randomUUID().slice(0, 8)}`;
            const calls = [...before, ...writes].map(({ stream, expectedVersion, id }) => () =>
              write(`${category}${stream}`, {
                type: "Written",
                ...(id === undefined ? {} : { id: ids.get(stream)![id]! }),
              }, { expectedVersion })
            );
            return await inOrder(calls, db.sql);
          };
          const oneByOne = async (calls: (() => Promise<number>)[]) => {
            const outcomes = [];
            for (const call of calls) outcomes.push(...await Promise.allSettled([call()]));
            return outcomes.map(outcomeOf);
          };
          const together = async (calls: (() => Promise<number>)[]) => [
            ...await oneByOne(calls.slice(0, before.length)),
            ...(await Promise.allSettled(calls.slice(before.length).map((call) => call()))).map(
              outcomeOf,
            ),
          ];
          const grouped = groupCommit(db.sql, { maxInFlight: 1 });
          const plain = (...args: [string, MessageInput, WriteOptions]) => write(db.sql, ...args);
          assert.deepEqual(
            await run("grouped", together, grouped),
            await run("single", oneByOne, plain),
          );
        },
      ),
      { numRuns: 100 },
    );
  });
});

test("a group of a handle that can not connect rejects all of its writes", async () => {
  const write = groupCommit(postgres("postgres://postgres@127.0.0.1:1/none", { max: 1 }));
  const outcomes = await Promise.allSettled(numbers(3).map(() => write("none-1", { type: "A" })));
  const reasons = outcomes.map((it) => it.status === "rejected" && it.reason);
  assert.equal(new Set(reasons).size, 1);
  assert.equal(reasons[0].code, "ECONNREFUSED");
});
