import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type postgres from "postgres";
import { beforeAll, describe, onTestFinished, test } from "vitest";
import {
  type Aggregate,
  aggregate,
  type AggregatedMessage,
  consume,
  drain,
  type Message,
  readAggregate,
  type ReadAggregateOptions,
  readAll,
  readCategory,
  readLastMessage,
  type Sql,
  streamVersion,
  subscribe,
  waitFor,
  write,
  writeBatch,
  writeStreams,
} from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { serve } from "../_serve.ts";
import { PATIENCE, until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
let writers: postgres.Sql;
beforeAll(() => {
  writers = db.connect({ max: 8 });
});
let names = 0;
/** A category that no other test has. */
const newCategory = () => `name${names++}`;

describe("aggregate()", () => {
  test("refers to each message once, where its metadata says, in gapless partitions", async () => {
    const [name, account, transfer] = [newCategory(), newCategory(), newCategory()];
    await write(db.sql, `${account}-1`, { type: "Opened", data: { owner: "Ada" } });
    await write(db.sql, `${transfer}-1`, { type: "Sent", data: { amount: 5 } });
    await write(db.sql, `${newCategory()}-1`, { type: "Elsewhere" });
    await write(db.sql, `${account}-2`, { type: "Opened" });
    await write(db.sql, `${account}-1`, { type: "Closed" });
    const keep = () =>
      aggregate(
        db.sql,
        { name, from: [account, transfer], partition: ({ streamName }) => streamName.at(-1)! },
        { once: true },
      );
    await keep();
    await keep();
    const [opened, sent, other, closed] = [
      ...await readCategory(db.sql, account),
      ...await readCategory(db.sql, transfer),
    ].sort((a, b) => a.globalPosition - b.globalPosition);
    const seen = await readCategory(db.sql, name);
    const expected = [["1", 0, opened], ["1", 1, sent], ["2", 0, other], ["1", 2, closed]] as const;
    assert.deepEqual(
      seen.map(({ streamName, position, type, data, metadata }) => ({
        streamName,
        position,
        type,
        data,
        stream: metadata?.causationMessageStreamName,
        place: metadata?.causationMessagePosition,
        globalPosition: metadata?.causationMessageGlobalPosition,
      })),
      expected.map(([partition, position, message]) => ({
        streamName: `${name}-${partition}`,
        position,
        type: message!.type,
        data: null,
        stream: message!.streamName,
        place: message!.position,
        globalPosition: message!.globalPosition,
      })),
    );
    assert.deepEqual(
      (await readAggregate(db.sql, name)).map(({ reference: _, ...message }) => message),
      [opened, sent, other, closed],
    );
  });

  test("writes references and its position in one statement", async () => {
    const [name, account] = [newCategory(), newCategory()];
    await writeBatch(db.sql, `${account}-1`, messages(10));
    const { sql, sent } = counting(db.sql);
    await aggregate(sql, { name, from: [account], partition: () => 0 }, { once: true });
    assert.equal(sent.filter((text) => text.includes("insert into")).length, 1);
    await checkPartitions(db.sql, name, [account], () => "0");
  });

  test("in four places at once, whose connections are terminated, loses and doubles nothing", async () => {
    const name = newCategory();
    const categories = Array.from({ length: 8 }, newCategory);
    const partition = ({ streamName }: Message) => Number(streamName.split("-")[1]) % 3;
    const end = new AbortController();
    let lost = 0;
    const fleet = Promise.all(Array.from({ length: 4 }, (_, at) =>
      aggregate(
        db.connect({ max: 2, fetch_types: false, connection: { application_name: "projector" } }),
        {
          name,
          from: categories.map((it, at) => at % 2 ? it : `${it}-%`),
          partition,
          batchSize: [3, 10, 50, 1000][at],
          pollInterval: 20,
          onRetry: () => lost++,
        },
        { signal: end.signal },
      )));
    await until(async () => (await streamVersion(db.sql, positionStream(name))) >= 0);

    const wreck = async (commits: number) => {
      if (commits % 25) return;
      await db.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'projector' and datname = current_database()`;
    };
    let written = await writeAbout(categories, { count: 60, onCommit: wreck });
    // Idle connections are lost without a word.
    while (lost === 0) written += await writeAbout(categories, { count: 10, onCommit: wreck });
    await Promise.race([fleet, until(async () => (await countOf(db.sql, name)) >= written)]);
    end.abort();
    await fleet;
    assert.equal(await countOf(db.sql, name), written);
    await checkPartitions(db.sql, name, categories, (it) => String(partition(it)));
    const last = await lastPosition(db.sql);
    await aggregate(db.sql, { name, from: categories, partition }, { once: true });
    assert.equal(await lastPosition(db.sql), last);
  });

  test("loses and doubles nothing in processes that are killed and started again", async () => {
    const name = newCategory();
    const categories = Array.from({ length: 4 }, newCategory);
    const children: ChildProcess[] = [];
    let isOver = false;
    let kills = 0;
    onTestFinished(() => children.forEach((child) => child.kill("SIGKILL")));
    const roll = random(7);
    const keepRunning = async () => {
      for (let isLast = false; !isLast;) {
        isLast = isOver;
        const child = spawn(
          process.execPath,
          ["--import", "tsx", program, db.url, name, JSON.stringify(categories)],
          { stdio: ["ignore", "pipe", "inherit"] },
        );
        children.push(child);
        if (isLast) return;
        const ended = once(child, "close");
        const work = once(child.stdout!, "data");
        await Promise.race([work, ended]);
        assert.equal(child.exitCode, null);
        await sleep(roll() * 60);
        child.kill("SIGKILL");
        await ended;
        kills++;
      }
    };
    const running = Promise.all([keepRunning(), keepRunning(), keepRunning()]);
    let written = 0;
    while (kills < 9) written += await writeAbout(categories, { count: 5 });
    isOver = true;
    written += await writeAbout(categories, { count: 5 });
    // Who waits for something to refer to would wait for ever.
    while (await Promise.race([running.then(() => false), sleep(50, true)])) {
      written += await writeAbout(categories, { count: 1 });
    }
    await until(async () => (await countOf(db.sql, name)) >= written);
    assert.equal(await countOf(db.sql, name), written);
    await checkPartitions(
      db.sql,
      name,
      categories,
      ({ streamName }) => String(fnv(streamName) % 4),
    );
  });

  test("waits for a writer that has not committed, and then refers to all in order", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const keep = () =>
      aggregate(db.sql, { name, from: [account], partition: () => 0 }, { once: true });
    const open = await db.connect({ max: 1, fetch_types: true }).reserve();
    await open`begin`;
    await write(open, `${account}-late`, { type: "Late" });
    await write(db.sql, `${newCategory()}-1`, { type: "Elsewhere" });
    // Another category, whose lock is free.
    await db.sql`
      insert into message_store.messages (stream_name, position, type)
      values (${`${account}-early`}, 0, 'Early')`;
    await keep();
    assert.equal(await countOf(db.sql, name), 0);
    await open`commit`;
    open.release();
    await keep();
    assert.deepEqual((await readAggregate(db.sql, name)).map(({ type }) => type), [
      "Late",
      "Early",
    ]);
  });

  test("goes on with other patterns where it was", async () => {
    const [name, account, order] = [newCategory(), newCategory(), newCategory()];
    const of = (...from: string[]) =>
      aggregate(db.sql, { name, from, partition: () => "all" }, { once: true });
    await write(db.sql, `${account}-1`, { type: "First" });
    await write(db.sql, `${order}-1`, { type: "Passed" });
    await of(account);
    await write(db.sql, `${order}-1`, { type: "Second" });
    await write(db.sql, `${account}-1`, { type: "Third" });
    await of(account, `${order}%`);
    await write(db.sql, `${account}-1`, { type: "Left out" });
    await write(db.sql, `${order}-1`, { type: "Fourth" });
    await of(order);
    assert.deepEqual(
      (await readAggregate(db.sql, name)).map(({ type, reference }) => [type, reference.position]),
      [["First", 0], ["Second", 1], ["Third", 2], ["Fourth", 3]],
    );
  });

  test("goes on where the connection is lost just when another was faster", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const options = { name, from: [account], partition: () => 0 };
    const end = new AbortController();
    const lost = Object.assign(new Error("Connection reset"), { code: "ECONNRESET" });
    const retried: unknown[] = [];
    let isFirst = true;
    let loses = false;
    const sql: Sql = async (strings, ...parameters) => {
      const text = strings.join("?");
      if (isFirst && text.includes("insert into")) {
        isFirst = false;
        await aggregate(db.sql, options, { once: true });
        loses = true;
      } else if (loses && text.includes('"gap"')) {
        loses = false;
        throw lost;
      }
      return await db.sql(strings, ...parameters);
    };
    await writeBatch(db.sql, `${account}-1`, messages(3));
    const kept = aggregate(sql, { ...options, onRetry: (it) => retried.push(it) }, end);
    await Promise.race([kept, until(() => Promise.resolve(retried.length > 0))]);
    await writeBatch(db.sql, `${account}-1`, messages(3));
    await Promise.race([kept, until(async () => (await countOf(db.sql, name)) >= 6)]);
    end.abort();
    await kept;
    assert.deepEqual(retried, [lost]);
    await checkPartitions(db.sql, name, [account], () => 0);
  });

  test("fails where it cannot find out how far it has come", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const lost = Object.assign(new Error("Connection reset"), { code: "ECONNRESET" });
    const sql: Sql = (strings, ...parameters) =>
      strings.join("?").includes("as asked")
        ? Promise.reject(lost)
        : db.sql(strings, ...parameters);
    await assert.rejects(aggregate(sql, { name, from: [account], partition: () => 0 }), lost);
  });

  test("refers to what matches several patterns once", async () => {
    const [name, account] = [newCategory(), newCategory()];
    await writeBatch(db.sql, `${account}-1`, messages(3));
    const from = [account, `${account}-%`, `${account}-1`, "name%"];
    await aggregate(db.sql, { name, from, partition: () => 0 }, { once: true });
    await checkPartitions(db.sql, name, [account], () => "0", { others: true });
    assert.deepEqual(
      (await readAggregate(db.sql, name, { batchSize: 10_000 }))
        .filter(({ streamName }) => streamName === `${account}-1`).map(({ position }) => position),
      [0, 1, 2],
    );
  });

  test("ends without an error when the signal aborts, before, while it reads and while it waits", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const of = (signal: AbortSignal, partition: Aggregate["partition"] = () => 0) =>
      aggregate(db.sql, { name, from: [account], partition }, { signal });
    const { sql, sent } = counting(db.sql);
    const signal = AbortSignal.abort();
    await aggregate(sql, { name, from: [account], partition: () => 0 }, { signal });
    assert.deepEqual(sent, []);

    await write(db.sql, `${account}-1`, { type: "Written" });
    const work = new AbortController();
    await of(work.signal, () => {
      work.abort();
      return 0;
    });

    const wait = new AbortController();
    const waiting = of(wait.signal);
    await until(async () => (await countOf(db.sql, name)) === 1);
    wait.abort();
    await waiting;
    assert.equal(await countOf(db.sql, name), 1);
  });

  test("is woken by a notification where that is installed", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const end = new AbortController();
    const sql = db.connect();
    const kept = aggregate(
      sql,
      { name, from: [account], partition: () => 0, notify: true, pollInterval: 1e9 },
      { signal: end.signal },
    );
    await until(async () => (await streamVersion(db.sql, positionStream(name))) >= 0);
    await until(async () =>
      (await db.sql`
        select from pg_stat_activity
        where query = 'listen "message_store"' and datname = current_database()`).length === 1
    );
    for (let at = 0; at < 5; at++) {
      await write(db.sql, `${account}-1`, { type: "Written" });
      await until(async () => {
        await db.sql.notify("message_store", account);
        return (await countOf(db.sql, name)) === at + 1;
      });
    }
    end.abort();
    await kept;
  });

  test("takes 20,000 messages at once, each in a partition of its own, as those of one", async () => {
    const [name, account] = [newCategory(), newCategory()];
    await insertMany(account, 20_000);
    const partition = ({ streamName }: Message) => streamName.split("-")[1]!;
    const from = [account];
    await aggregate(db.sql, { name, from, partition, batchSize: 20_000 }, { once: true });
    await checkPartitions(db.sql, name, [account], partition);
    const all = await readAggregate(db.sql, name, { batchSize: 20_000 });
    assert.equal(all.length, 20_000);
    assert.equal(await streamVersion(db.sql, positionStream(name)) < 2, true);
  });
});

describe("aggregate() from every stream", () => {
  const own = useDatabase();
  const from = ["%"];

  test("refers to no reference, nothing that it or a consumer writes for itself, and comes to rest", async () => {
    const sql = own.sql;
    const end = new AbortController();
    const handle = () => {};
    await writeBatch(sql, "account-1", messages(5));
    const running = [
      ...["one", "two"].map((name) =>
        aggregate(
          own.connect(),
          { name, from, partition: () => 0, batchSize: 3, pollInterval: 10 },
          { signal: end.signal },
        )
      ),
      consume(sql, { category: "account", consumerId: "plain", handle }, end),
      consume(
        sql,
        { aggregate: "one", consumerId: "grouped", handle, consumerGroup: { member: 0, size: 1 } },
        end,
      ),
    ];
    await Promise.race([
      Promise.all(running),
      until(async () => (await readAggregate(sql, "two")).length >= 5),
      until(async () => (await lastMessage(sql, "one:position-grouped+0+1")) !== null),
    ]);
    await writeBatch(sql, "account-1", messages(5));
    await write(sql, "order:command-1", { type: "Place" });
    // What the library refuses to write.
    const odd = ["", "-", "-1", ":", ":x-1", "order", "order-"];
    await sql`
      insert into message_store.messages ${
      sql(odd.map((name) => ({ stream_name: name, position: 0, type: "Odd" })))
    }`;
    for (const name of ["one", "two"]) {
      await until(async () => (await readAggregate(sql, name)).length >= 11 + odd.length);
    }
    end.abort();
    await Promise.all(running);
    for (const name of ["one", "two"]) {
      const expected = (await readAll(sql)).filter(({ streamName }) =>
        !/^(one|two)-|:(aggregate|position|group)-/.test(streamName) && !streamName.startsWith(name)
      );
      assert.deepEqual(
        (await readAggregate(sql, name)).map(({ reference: _, ...message }) => message),
        expected,
      );
    }
    // At rest: nobody has anything more to write.
    for (let round = 0; round < 3; round++) {
      const before = await lastPosition(sql);
      for (const name of ["one", "two"]) {
        await aggregate(sql, { name, from, partition: () => 0 }, { once: true });
      }
      assert.equal(await lastPosition(sql), before);
    }
  });

  test("stores how far it has come after many messages without a reference, and then rests", async () => {
    const sql = own.sql;
    await sql`
      insert into message_store.messages (stream_name, position, type, data)
      select 'passed:position-1', number, 'Recorded', '{"position": 1}'
      from generate_series(0, 2999) as number`;
    const keep = () => aggregate(sql, { name: "one", from, partition: () => 0 }, { once: true });
    const version = await streamVersion(sql, positionStream("one"));
    const last = await lastPosition(sql);
    await keep();
    assert.equal(await streamVersion(sql, positionStream("one")), version + 3);
    const recorded = await readLastMessage<{ position: number }>(sql, positionStream("one"));
    assert.ok(recorded!.data.position >= last - 1000);
    await keep();
    await keep();
    assert.equal(await streamVersion(sql, positionStream("one")), version + 3);
  });
});

describe("aggregate() from", () => {
  test("a category has what the category has, whatever characters are in its name", async () => {
    const base = newCategory();
    const categories = [
      "order_item",
      "order\\item",
      "order.item",
      "order+item",
      "order:item",
      "a\\",
    ]
      .map((it) => base + it);
    const others = ["orderxitem", "order", "orderxxitem", "order\\xitem", "order_item:command", "A"]
      .map((it) => base + it);
    for (const it of [...categories, ...others]) {
      await write(db.sql, `${it}-1`, { type: "Written" });
      await write(db.sql, `${it}-a_b%c\\d`, { type: "Written" });
      await db.sql`
        insert into message_store.messages (stream_name, position, type) values (${it}, 0, 'Bare')`;
    }
    for (const it of categories) {
      const name = newCategory();
      await aggregate(db.sql, { name, from: [it], partition: () => 0 }, { once: true });
      const expected = await readCategory(db.sql, it);
      assert.equal(expected.length, 3);
      assert.deepEqual(
        (await readAggregate(db.sql, name)).map(({ reference: _, ...message }) => message),
        expected,
      );
    }
  });

  test("a pattern has what LIKE has: _ is any character, % any text, and a backslash escapes", async () => {
    const base = newCategory();
    const streams = ["a_b-1", "axb-1", "a%b-1", "a\\b-1", "ab-1", "a_b-12"].map((it) => base + it);
    for (const it of streams) await write(db.sql, it, { type: "Written" });
    for (
      const pattern of ["a_b-_", "a\\_b-1", "a\\%b-%", "a\\\\b-%", "a%", "a_b-1%", "%-1", "\\a_b-1"]
        .map((it) => it.startsWith("%") ? `${base}${it}` : base + it)
    ) {
      const name = newCategory();
      await aggregate(db.sql, { name, from: [pattern], partition: () => 0 }, { once: true });
      const expected = await db.sql<{ name: string }[]>`
        select stream_name as name from message_store.messages
        where stream_name like ${pattern} order by global_position`;
      assert.ok(expected.length > 0);
      assert.deepEqual(
        (await readAggregate(db.sql, name)).map(({ streamName }) => streamName),
        expected.map(({ name }) => name),
      );
    }
  });
});

describe("a partition", () => {
  async function partitionsOf(
    streams: readonly string[],
    options: Pick<Aggregate, "partition" | "partitions">,
  ): Promise<Record<string, string>> {
    const [name, base] = [newCategory(), newCategory()];
    for (const it of streams) await write(db.sql, `${base}-${it}`, { type: it });
    await aggregate(db.sql, { name, from: [base], ...options }, { once: true });
    const all = await readAggregate(db.sql, name);
    assert.equal(all.length, streams.length);
    return Object.fromEntries(
      all.map(({ type, reference }) => [type, reference.streamName.slice(name.length + 1)]),
    );
  }

  test("is the number or the text that the function answers", async () => {
    assert.deepEqual(
      await partitionsOf(["0", "7", "1e3", String(Number.MAX_SAFE_INTEGER)], {
        partition: ({ type }) => Number(type),
      }),
      { 0: "0", 7: "7", "1e3": "1000", "9007199254740991": "9007199254740991" },
    );
    const texts = ["eu", "a-b", "a+b", "+", "-", " ", "é", "%", "_", "\\", '"', "01"];
    assert.deepEqual(
      await partitionsOf(texts, { partition: ({ type }) => type }),
      Object.fromEntries(texts.map((it) => [it, it])),
    );
  });

  test("of so many is what is left of a number, and the text's hash, which never changes", async () => {
    assert.deepEqual(
      await partitionsOf(["0", "3", "4", "11"], {
        partition: ({ type }) => Number(type),
        partitions: 4,
      }),
      { 0: "0", 3: "3", 4: "0", 11: "3" },
    );
    const hashes = { "account-1": 484, "account-2": 32336, é: 17500, "💶": 23257, a: 28999 };
    assert.deepEqual(
      await partitionsOf(Object.keys(hashes), { partition: ({ type }) => type, partitions: 32767 }),
      Object.fromEntries(Object.entries(hashes).map(([it, at]) => [it, String(at)])),
    );
    assert.deepEqual(
      await partitionsOf(["x"], { partition: () => "", partitions: 32767 }),
      { x: String(0x811c9dc5 % 32767) },
    );
  });

  const nonsense: [unknown, RegExp, (number | undefined)?][] = [
    [NaN, /NaN as "partition"/],
    [-1, /-1 as "partition"/],
    [1.5, /1.5 as "partition"/],
    [Infinity, /Infinity as "partition"/],
    ["", /"" as "(id|partition)"/],
    ["a\0b", /"streamName"|"partition"/],
    ["\ud800", /"streamName"|"partition"/],
    [undefined, /undefined as "partition"/],
    [null, /null as "partition"/],
    [{}, /an object of Object as "partition"/],
    [1n, /1n as "partition"/],
    [NaN, /NaN as "partition"/, 4],
    [-1, /-1 as "partition"/, 4],
    [undefined, /undefined as "partition"/, 4],
    [null, /null as "partition"/, 4],
    [{}, /an object of Object as "partition"/, 4],
    [Promise.resolve(1), /an object of Promise as "partition"/, 4],
  ];
  test.each(nonsense)(
    "that is none ends the aggregate: %s",
    async (answer, message, partitions) => {
      const [name, account] = [newCategory(), newCategory()];
      const startAt = await lastPosition(db.sql) + 1;
      await writeBatch(db.sql, `${account}-1`, messages(3));
      const partition = ({ position }: Message) => position === 2 ? answer as string : "fine";
      await assert.rejects(
        aggregate(db.sql, { name, from: [account], partition, partitions, startAt }, {
          once: true,
        }),
        (error) => {
          assert.ok(error instanceof TypeError || error instanceof RangeError);
          assert.match(error.message, message);
          return true;
        },
      );
      assert.equal(await countOf(db.sql, name), 0);
      await aggregate(db.sql, { name, from: [account], partition: () => 0, startAt }, {
        once: true,
      });
      assert.equal(await countOf(db.sql, name), 3);
    },
  );

  test("whose function throws ends the aggregate, at once, with what it threw", async () => {
    const [name, account] = [newCategory(), newCategory()];
    await write(db.sql, `${account}-1`, { type: "Written" });
    const error = Object.assign(new Error("No partition"), { code: "ECONNRESET" });
    let calls = 0;
    const partition = () => {
      calls++;
      throw error;
    };
    await assert.rejects(
      aggregate(db.sql, { name, from: [account], partition }, { once: true }),
      error,
    );
    assert.equal(calls, 1);
    assert.equal(await countOf(db.sql, name), 0);
  });
});

describe("aggregate() starts", () => {
  async function typesFrom(startAt: Aggregate["startAt"], account: string): Promise<string[]> {
    const name = newCategory();
    const keep = () =>
      aggregate(db.sql, { name, from: [account], partition: () => 0, startAt }, { once: true });
    await keep();
    await write(db.sql, `${account}-1`, { type: "Next" });
    // With a position that is stored, it has started.
    await keep();
    return (await readAggregate(db.sql, name)).map(({ type }) => type);
  }

  test("at the beginning, where it is not told", async () => {
    const account = newCategory();
    await write(db.sql, `${account}-1`, { type: "First" });
    assert.deepEqual(await typesFrom(undefined, account), ["First", "Next"]);
    assert.deepEqual(await typesFrom("beginning", account), ["First", "Next", "Next"]);
  });

  test("at the end, with the next message", async () => {
    const account = newCategory();
    await write(db.sql, `${account}-1`, { type: "First" });
    assert.deepEqual(await typesFrom("end", account), ["Next"]);
  });

  test("at a position, which is included", async () => {
    const account = newCategory();
    await write(db.sql, `${account}-1`, { type: "First" });
    await write(db.sql, `${account}-1`, { type: "Second" });
    const position = await lastPosition(db.sql);
    assert.deepEqual(await typesFrom(position, account), ["Second", "Next"]);
    assert.deepEqual(await typesFrom(position + 1, account), ["Next", "Next"]);
    assert.equal((await typesFrom(0, account)).length, 5);
  });

  test("at a time, with the first message that was written then or later", async () => {
    const account = newCategory();
    // Later than what the other tests have written.
    await insertAt(`${account}-1`, "9001-02-03T04:05:06.006Z", "9001-02-03T04:05:06.007Z");
    const at = (time: string) => typesFrom(new Date(time), account);
    assert.deepEqual(await at("9001-02-03T04:05:06.007Z"), ["1", "Next"]);
    assert.deepEqual(await at("9001-02-03T04:05:06.006Z"), ["0", "1", "Next", "Next"]);
    assert.deepEqual(await at("9999-02-03T04:05:06Z"), ["Next"]);
  });
});

describe("readAggregate()", () => {
  /** An aggregate with so many messages in each partition, of which every third is `Closed`. */
  async function filled(
    partitions: readonly (number | string)[],
    count: number,
  ): Promise<{ name: string; account: string }> {
    const [name, account] = [newCategory(), newCategory()];
    await writeStreams(
      db.sql,
      partitions.map((it) => ({
        streamName: `${account}-${it}`,
        messages: messages(count).map((message, at) => ({
          ...message,
          type: at % 3 ? "Counted" : "Closed",
        })),
      })),
    );
    const partition = ({ streamName }: Message) => streamName.slice(account.length + 1);
    await aggregate(db.sql, { name, from: [account], partition }, { once: true });
    return { name, account };
  }
  const places = (messages: readonly AggregatedMessage[]) =>
    messages.map(({ reference }) => reference.position);

  test("answers nothing where there is none", async () => {
    assert.deepEqual(await readAggregate(db.sql, newCategory()), []);
    assert.deepEqual(await readAggregate(db.sql, newCategory(), { partition: 0 }), []);
    const { name } = await filled([0], 3);
    assert.deepEqual(await readAggregate(db.sql, name, { partition: 1 }), []);
    assert.deepEqual(await readAggregate(db.sql, name, { partition: 0, position: 3 }), []);
  });

  test("reads a partition from a position on, page by page, as the messages are", async () => {
    const { name, account } = await filled([0, "eu-1", "a+b"], 7);
    for (const partition of [0, "0", "eu-1", "a+b"]) {
      const own = (await readCategory(db.sql, account))
        .filter(({ streamName }) => streamName === `${account}-${partition}`);
      const seen: AggregatedMessage[] = [];
      for (let size = 3; size === 3;) {
        const options = { partition, position: seen.length, batchSize: 3 };
        const page = await readAggregate(db.sql, name, options);
        seen.push(...page);
        size = page.length;
      }
      assert.deepEqual(places(seen), [0, 1, 2, 3, 4, 5, 6]);
      assert.deepEqual(seen.map(({ reference: _, ...message }) => message), own);
      for (const { reference } of seen) assert.equal(reference.streamName, `${name}-${partition}`);
    }
  });

  test("reads all partitions by the references' global positions, page by page", async () => {
    const { name } = await filled([0, 1, 2], 5);
    const references = await readCategory(db.sql, name);
    const seen: AggregatedMessage[] = [];
    for (let size = 4, position = 0; size === 4;) {
      const page = await readAggregate(db.sql, name, { position, batchSize: 4 });
      seen.push(...page);
      size = page.length;
      position = (page.at(-1)?.reference.globalPosition ?? 0) + 1;
    }
    assert.deepEqual(
      seen.map(({ reference }) => reference),
      references.map(({ streamName, position, globalPosition }) => ({
        streamName,
        position,
        globalPosition,
      })),
    );
    assert.equal(seen.length, 15);
  });

  test("gives each partition to one member of a group, with all its messages, and all to somebody", async () => {
    const partitions = [0, 1, 2, 3, 10, 11, "007", 999999999999999, Number.MAX_SAFE_INTEGER]
      .concat(
        [
          "123456789012345678901234567890",
          "eu",
          "us",
          "a-b",
          "a+b",
          "a+c",
          "é",
          "1x",
          "-1",
          " 1",
          "1.5",
        ] as never[],
      );
    const { name } = await filled(partitions, 2);
    for (let size = 1; size <= 5; size++) {
      const owners = new Map<string, number>();
      for (let member = 0; member < size; member++) {
        const read = await readAggregate(db.sql, name, { consumerGroup: { member, size } });
        const own = new Set(read.map(({ reference }) => reference.streamName));
        assert.equal(read.length, own.size * 2);
        for (const it of own) {
          assert.equal(owners.has(it), false);
          owners.set(it, member);
        }
      }
      assert.equal(owners.size, partitions.length);
      for (const it of partitions) {
        const isNumber = /^\d{1,15}$/.test(String(it));
        const [row] = await db.sql`
          select mod(abs(message_store.hash_64(${String(it)})), ${size})::int as member`;
        assert.equal(owners.get(`${name}-${it}`), isNumber ? Number(it) % size : row!.member);
      }
      assert.equal(new Set(owners.values()).size, size);
    }
  });

  test("passes over a message that was deleted by hand, however many there are", async () => {
    const { name, account } = await filled([0, 1], 10);
    await db.sql`
      delete from message_store.messages
      where stream_name = ${`${account}-0`} and position between 2 and 7`;
    const read = (options: ReadAggregateOptions) => readAggregate(db.sql, name, options);
    assert.deepEqual(places(await read({ partition: 0, batchSize: 3 })), [0, 1, 8]);
    assert.deepEqual(places(await read({ partition: 0, position: 3, batchSize: 2 })), [8, 9]);
    assert.equal((await read({ batchSize: 14 })).length, 14);
    const first = await read({ batchSize: 3 });
    assert.deepEqual(places(first), [0, 1, 8]);
    assert.equal((await read({ position: first[2]!.reference.globalPosition + 1 })).length, 11);

    const subscription = subscribe(db.sql, { aggregate: name }, { batchSize: 2 });
    const seen: AggregatedMessage[] = [];
    for await (const message of subscription) if (seen.push(message) === 14) break;
    assert.deepEqual(places(seen), [0, 1, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("is one statement", async () => {
    const { name } = await filled([0, 1], 3);
    const { sql, sent } = counting(db.sql);
    const options: ReadAggregateOptions[] = [{}, { partition: 0 }, {
      consumerGroup: { member: 0, size: 2 },
    }];
    for (const it of options) {
      const before = sent.length;
      assert.ok((await readAggregate(sql, name, it)).length > 0);
      assert.equal(sent.length, before + 1);
    }
  });
});

describe("over a gateway", () => {
  test("an aggregate is kept, with more messages than a call may write, read and followed", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const sql = fetchSql(`${await serve(gateway(db.sql, { authorize: () => true }))}/sql`);
    await insertMany(account, 1500);
    const partition = ({ globalPosition }: Message) => globalPosition % 3;
    await aggregate(sql, { name, from: [account], partition }, { once: true });
    await checkPartitions(db.sql, name, [account], partition);
    for (
      const options of [{}, { partition: 0, position: 3 }, {
        consumerGroup: { member: 1, size: 2 },
        position: 9,
      }]
    ) {
      const read = await readAggregate(sql, name, options);
      assert.ok(read.length > 400);
      assert.deepEqual(read, await readAggregate(db.sql, name, options));
    }
    const seen: AggregatedMessage[] = [];
    for await (const message of subscribe(sql, { aggregate: name }, { startAt: new Date(0) })) {
      if (seen.push(message) === 1500) break;
    }
    assert.deepEqual(seen, await readAggregate(db.sql, name, { batchSize: 1500 }));
  });
});

describe("subscribe() to an aggregate", () => {
  test("has what is there, then what comes, each with its reference", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const end = new AbortController();
    const options = { name, from: [account], partition: () => "p" };
    await writeBatch(db.sql, `${account}-1`, messages(3));
    const kept = aggregate(db.connect(), options, end);
    const seen: AggregatedMessage[] = [];
    let caughtUp = 0;
    for await (
      const message of subscribe(db.sql, { aggregate: name }, {
        batchSize: 2,
        pollInterval: 20,
        onCaughtUp: () => caughtUp++,
      })
    ) {
      seen.push(message);
      if (seen.length === 3) await writeBatch(db.sql, `${account}-1`, messages(4));
      if (seen.length === 7) break;
    }
    end.abort();
    await kept;
    assert.deepEqual(seen, await readAggregate(db.sql, name));
    assert.deepEqual(seen.map(({ position }) => position), [0, 1, 2, 3, 4, 5, 6]);
    assert.ok(caughtUp >= 1);
  });

  test("has those of some types, and of a member's partitions", async () => {
    const [name, account] = [newCategory(), newCategory()];
    for (let at = 0; at < 30; at++) {
      await write(db.sql, `${account}-${at}`, { type: at % 5 ? "Other" : "Wanted" });
    }
    const partition = ({ streamName }: Message) => Number(streamName.split("-")[1]);
    await aggregate(db.sql, { name, from: [account], partition }, { once: true });
    const seen: number[] = [];
    for await (
      const { reference } of subscribe(db.sql, { aggregate: name }, {
        types: ["Wanted"],
        consumerGroup: { member: 1, size: 3 },
        batchSize: 2,
      })
    ) if (seen.push(Number(reference.streamName.slice(name.length + 1))) === 2) break;
    assert.deepEqual(seen, [10, 25]);
  });

  test("starts at the end, at a reference, or at the time of a message, not of its reference", async () => {
    const [name, account] = [newCategory(), newCategory()];
    const options = { name, from: [account], partition: () => 0 };
    await insertAt(`${account}-1`, "2001-01-01T00:00:00Z", "2002-01-01T00:00:00Z");
    await aggregate(db.sql, options, { once: true });
    const first = async (startAt: Aggregate["startAt"]) => {
      for await (const { type } of subscribe(db.sql, { aggregate: name }, { startAt })) return type;
    };
    assert.equal(await first(new Date("2000-01-01T00:00:00Z")), "0");
    assert.equal(await first(new Date("2001-01-01T00:00:00Z")), "0");
    assert.equal(await first(new Date("2001-01-01T00:00:00.001Z")), "1");
    const [, second] = await readAggregate(db.sql, name);
    assert.equal(await first(second!.reference.globalPosition), "1");
    for (const startAt of ["end", new Date("2003-01-01T00:00:00Z")] as const) {
      const next = first(startAt);
      // Whatever comes while it looks for its start is behind the end, or it is the next.
      const write = async () => {
        await insertAt(`${account}-${crypto.randomUUID()}`, "2002-06-01T00:00:00Z");
        await aggregate(db.sql, options, { once: true });
      };
      let type: string | undefined;
      void next.then((it) => type = it);
      await until(async () => {
        await write();
        return type !== undefined;
      });
      assert.equal(type, "0");
    }
  });
});

describe("consume() of an aggregate", () => {
  /** Messages of eight streams in six partitions, four of them by number. */
  async function prepare(): Promise<
    { name: string; keep: () => Promise<void>; add: (count: number) => Promise<void> }
  > {
    const [name, account] = [newCategory(), newCategory()];
    const keys = ["0", "1", "2", "3", "eu", "us"];
    const keep = () =>
      aggregate(
        db.sql,
        { name, from: [account], partition: ({ position }) => keys[position % 6]! },
        { once: true },
      );
    const add = async (count: number) => {
      for (let at = 0; at < 8; at++) await writeBatch(db.sql, `${account}-${at}`, messages(count));
      await keep();
    };
    await add(12);
    return { name, keep, add };
  }
  const placeOf = (message: Message) => (message as AggregatedMessage).reference;

  test("goes on where it was, by the references' positions", async () => {
    const { name, add } = await prepare();
    const seen: number[] = [];
    const consumer = {
      aggregate: name,
      consumerId: "reader",
      batchSize: 10,
      handle: (message: Message) => void seen.push(placeOf(message).globalPosition),
    };
    await drain(db.sql, consumer, { limit: 37 });
    assert.equal(seen.length, 37);
    await drain(db.sql, consumer);
    await add(2);
    await drain(db.sql, consumer);
    assert.deepEqual(
      seen,
      (await readAggregate(db.sql, name)).map(({ reference }) => reference.globalPosition),
    );
    const stored = await readLastMessage<{ position: number }>(db.sql, `${name}:position-reader`);
    assert.ok(stored!.data.position >= seen.at(-1)!);
  });

  test("handles a partition's messages in order, those of several side by side", async () => {
    const { name } = await prepare();
    const end = new AbortController();
    const seen = new Map<string, number[]>();
    let total = 0;
    let atOnce = 0;
    let most = 0;
    await consume(db.sql, {
      aggregate: name,
      consumerId: "concurrent",
      concurrency: 4,
      handle: async (message) => {
        most = Math.max(most, ++atOnce);
        const { streamName, position } = placeOf(message);
        await sleep(position % 3);
        seen.set(streamName, [...seen.get(streamName) ?? [], position]);
        atOnce--;
        if (++total === 96) end.abort();
      },
    }, end);
    assert.equal(most, 4);
    assert.equal(seen.size, 6);
    for (const places of seen.values()) {
      assert.deepEqual(places, Array.from({ length: 16 }, (_, at) => at));
    }
  });

  test("shares the partitions among the members of a group", async () => {
    const { name, add } = await prepare();
    const end = new AbortController();
    const seen: Record<string, number[]>[] = [{}, {}, {}];
    let total = 0;
    const members = seen.map((own, member) =>
      consume(db.connect(), {
        aggregate: name,
        consumerId: "group",
        consumerGroup: { member, size: 3 },
        pollInterval: 20,
        batchSize: 5,
        handle: (message) => {
          const { streamName, position } = placeOf(message);
          (own[streamName] ??= []).push(position);
          total++;
        },
      }, end)
    );
    await until(() => Promise.resolve(total >= 96));
    await add(6);
    await Promise.race([Promise.all(members), until(() => Promise.resolve(total >= 144))]);
    end.abort();
    await Promise.all(members);
    assert.equal(total, 144);
    assert.deepEqual(
      seen.flatMap((own) => Object.keys(own)).sort(),
      ["0", "1", "2", "3", "eu", "us"].map((it) => `${name}-${it}`),
    );
    for (const places of seen.flatMap((own) => Object.values(own))) {
      assert.deepEqual(places, Array.from({ length: 24 }, (_, at) => at));
    }
    assert.deepEqual(Object.keys(seen[1]!).filter((it) => /\d$/.test(it)), [`${name}-1`]);
  });

  test("shares them among processes that take free members, too", async () => {
    const { name } = await prepare();
    const end = new AbortController();
    const seen: string[] = [];
    const processes = Array.from({ length: 2 }, () =>
      consume(db.connect(), {
        aggregate: name,
        consumerId: "free",
        consumerGroup: { size: 4 },
        leaseDuration: 300,
        handle: (message) => void seen.push(message.id),
      }, end));
    await Promise.race([
      Promise.all(processes),
      until(() => Promise.resolve(new Set(seen).size >= 96)),
    ]);
    end.abort();
    await Promise.all(processes);
    assert.deepEqual(
      [...new Set(seen)].sort(),
      (await readAggregate(db.sql, name)).map(({ id }) => id).sort(),
    );
  });

  test("is exactly once where it is transactional", async () => {
    const { name } = await prepare();
    await db.sql`create table if not exists handled (id uuid)`;
    const end = new AbortController();
    let failures = 3;
    const consumer = (sql: postgres.Sql) =>
      consume(sql, {
        aggregate: name,
        consumerId: "transactional",
        transactional: true,
        onError: { retry: 5, delay: 1 },
        handle: async ({ id }, { sql }) => {
          await sql`insert into handled values (${id})`;
          if (id.endsWith("7") && failures-- > 0) throw new Error("Again");
        },
      }, end);
    const running = [consumer(db.connect()), consumer(db.connect())];
    const count = async () =>
      (await db.sql<{ count: number }[]>`select count(*)::int as count from handled`)[0]!.count;
    await Promise.race([Promise.all(running), until(async () => await count() >= 96)]);
    end.abort();
    await Promise.all(running);
    assert.equal(await count(), 96);
    assert.deepEqual(
      (await db.sql<{ id: string }[]>`select id from handled`).map(({ id }) => id).sort(),
      (await readAggregate(db.sql, name)).map(({ id }) => id).sort(),
    );
  });

  test("is beside one of a category of the same consumer's name", async () => {
    const { name } = await prepare();
    const counts = { aggregate: 0, category: 0 };
    const category = (await readAggregate(db.sql, name, { batchSize: 1 }))[0]!.streamName.split(
      "-",
    )[0]!;
    await Promise.all([
      drain(db.sql, { aggregate: name, consumerId: "x", handle: () => void counts.aggregate++ }),
      drain(db.sql, { category, consumerId: "x", handle: () => void counts.category++ }),
    ]);
    assert.deepEqual(counts, { aggregate: 96, category: 96 });
  });

  test("waitFor() waits for a message, by its own global position", async () => {
    const { name, keep } = await prepare();
    const first = (await readAggregate(db.sql, name))[0]!.streamName;
    const end = new AbortController();
    const seen = new Set<number>();
    const consumer = { aggregate: name, consumerId: "waited", consumerGroup: { size: 2 } };
    const members = [0, 1].map((member) =>
      consume(db.connect(), {
        ...consumer,
        consumerGroup: { member, size: 2 },
        pollInterval: 20,
        handle: ({ globalPosition }) => void seen.add(globalPosition),
      }, end)
    );
    for (let at = 0; at < 6; at++) {
      await write(db.sql, first, { type: "Waited" });
      const { globalPosition } = (await readLastMessage(db.sql, first))!;
      const waiting = waitFor(db.sql, consumer, globalPosition, { timeout: PATIENCE });
      await keep();
      await waiting;
      assert.ok(seen.has(globalPosition));
    }
    end.abort();
    await Promise.all(members);
  });
});

const program = fileURLToPath(new URL("_aggregate_program.ts", import.meta.url));

function positionStream(name: string): string {
  return `${name}:aggregate-${name}`;
}

function messages(count: number): { type: string; data: number }[] {
  return Array.from({ length: count }, (_, data) => ({ type: "Counted", data }));
}

/** A message each in so many streams. */
async function insertMany(category: string, count: number): Promise<void> {
  await db.sql`
    insert into message_store.messages (stream_name, position, type)
    select ${category} || '-' || number, 0, 'Written' from generate_series(1, ${count}::int) as number`;
}

/** A message at each of these times, of the types "0", "1", … */
async function insertAt(streamName: string, ...times: string[]): Promise<void> {
  for (const [at, time] of times.entries()) {
    await db.sql`
      insert into message_store.messages (stream_name, position, type, time)
      values (${streamName}, ${at}, ${String(at)}, ${time}::text::timestamptz at time zone 'utc')`;
  }
}

/** A handle that keeps the statements that are sent by it. */
function counting(sql: postgres.Sql): { sql: Sql; sent: string[] } {
  const sent: string[] = [];
  return {
    sent,
    sql: (strings, ...parameters) => {
      sent.push(strings.join("?"));
      return sql(strings, ...parameters);
    },
  };
}

async function lastMessage(sql: Sql, streamName: string): Promise<Message | null> {
  return await readLastMessage(sql, streamName);
}

async function lastPosition(sql: Sql): Promise<number> {
  const [last] = await readAll(sql, { direction: "backward", batchSize: 1 });
  return last?.globalPosition ?? 0;
}

/** How many references an aggregate has. */
async function countOf(sql: postgres.Sql, name: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from message_store.messages
    where message_store.category(stream_name) = ${name}`;
  return row!.count;
}

/** That the partitions of an aggregate are what they have to be, told by plain SQL. */
async function checkPartitions(
  sql: postgres.Sql,
  name: string,
  categories: readonly string[],
  partitionOf: (message: Message) => string | number,
  { others = false } = {},
): Promise<void> {
  const references = await sql<{ partition: string; position: number; origin: number }[]>`
    select
      stream_name as partition, position::int,
      (metadata->>'causationMessageGlobalPosition')::int as origin
    from message_store.messages
    where message_store.category(stream_name) = ${name}
    order by stream_name collate "C", position`;
  const actual = new Map<string, number[]>();
  for (const { partition, position, origin } of references) {
    const origins = actual.get(partition) ?? [];
    assert.equal(position, origins.length, `A gap in ${partition}`);
    origins.push(origin);
    actual.set(partition, origins);
  }
  if (others) return;
  const origins = await sql<{ streamName: string; globalPosition: number }[]>`
    select stream_name as "streamName", global_position::int as "globalPosition"
    from message_store.messages
    where message_store.category(stream_name) in ${sql(categories)}
    order by global_position`;
  const expected = new Map<string, number[]>();
  for (const origin of origins) {
    const partition = `${name}-${partitionOf(origin as Message)}`;
    const inPartition = expected.get(partition) ?? [];
    inPartition.push(origin.globalPosition);
    expected.set(partition, inPartition);
  }
  assert.deepEqual(
    new Map([...actual].sort()),
    new Map([...expected].sort()),
  );
}

/**
 * Eight writers write to the categories, and elsewhere, by the library and by hand, commit each late or
 * never.
 *
 * @returns How many messages they have written to the categories.
 */
async function writeAbout(
  categories: readonly string[],
  { count, onCommit }: { count: number; onCommit?: (commits: number) => Promise<void> },
): Promise<number> {
  const sql = writers;
  let written = 0;
  let commits = 0;
  await Promise.all(Array.from({ length: 8 }, async (_, writer) => {
    const roll = random(++seed);
    for (let at = 0; at < count; at++) {
      const stream = `${categories[Math.floor(roll() * categories.length)]}-${seed}${writer}${at}`;
      const size = 1 + Math.floor(roll() * 3);
      const rollsBack = roll() < 0.2;
      await sql.begin(async (sql) => {
        if (roll() < 0.3) await write(sql, `elsewhere${writer}-${at}`, { type: "Written" });
        if (at % 2) await writeBatch(sql, stream, messages(size));
        else {
          await sql`
            insert into message_store.messages (stream_name, position, type)
            select ${stream}, number - 1, 'Inserted'
            from generate_series(1, ${size}::int) as number`;
        }
        await sleep(roll() * 20);
        if (rollsBack) throw new Error("rolled back");
      }).then(async () => {
        written += size;
        await onCommit?.(++commits);
      }, (error) => assert.equal(error.message, "rolled back"));
    }
  }));
  return written;
}

let seed = 0;

/** Reproducible: a linear congruential generator. */
function random(seed: number): () => number {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

/** FNV-1a with 32 bits, in the words of its definition, for ASCII. */
function fnv(text: string): number {
  const bytes = new TextEncoder().encode(text);
  return Number(bytes.reduce(
    (hash, byte) => (hash ^ BigInt(byte)) * 0x01000193n % 2n ** 32n,
    0x811c9dc5n,
  ));
}
