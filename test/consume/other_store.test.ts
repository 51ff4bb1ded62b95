import assert from "node:assert/strict";
import type postgres from "postgres";
import { describe, test } from "vitest";
import {
  aggregate,
  type Consumer,
  drain,
  type Handler,
  type Message,
  readAggregate,
  readCategory,
  readLastMessage,
  readStream,
  replayParked,
  type Sql,
  StoreWentBackError,
  type TransactionalConsumer,
  waitFor,
  write,
} from "../../mod.ts";
import { PATIENCE, until } from "../_until.ts";
import { gate, start, stored } from "./_consuming.ts";
import {
  effectsIn,
  insert,
  LAST_MESSAGES,
  lastPosition,
  primary,
  replicate,
  routed,
  standby,
  writeMany,
} from "./_two_servers.ts";

const common = { category: "account", consumerId: "effects", transactional: true } as const;
const handle: Handler<postgres.TransactionSql> = (message, { sql }) => insert([message], sql);

test.each<[string, TransactionalConsumer<postgres.Sql>]>([
  ["a page", { ...common, handlePage: (messages, { sql }) => insert(messages, sql) }],
  ["messages together", { ...common, handle }],
  ["each message alone", { ...common, handle, commitInterval: 0 }],
])("a transactional consumer of %s commits nothing of lost messages", async (_, consumer) => {
  let lost: string[] = [];
  let fresh: string[] = [];
  const told: unknown[] = [];
  const { sql, failOver } = routed(async (statement) => {
    if (statement !== "begin" || lost.length === 0 || fresh.length > 0) return;
    // The position stream is at the same version there.
    await replicate(lost);
    failOver();
    fresh = await writeMany(standby.sql, "account-1", 60);
  });
  const kept = await writeMany(primary.sql, "account-1", 3);
  const running = start(sql, { ...consumer, onRetry: (error) => told.push(error) });
  await waitFor(primary.sql, consumer, await lastPosition(primary), { timeout: PATIENCE });
  lost = await writeMany(primary.sql, "account-1", 40);
  await until(() => fresh.length > 0);
  await waitFor(standby.sql, consumer, await lastPosition(standby), { timeout: PATIENCE });
  await running.stop();
  assert.deepEqual(await effectsIn(primary), kept);
  assert.deepEqual(await effectsIn(standby), fresh);
  assert.ok(told.every((error) => error instanceof StoreWentBackError));
  assert.equal(told.length, 1);
});

test("a transactional consumer goes on after a server that has everything took over", async () => {
  let isOver = false;
  let written: string[] = [];
  const told: unknown[] = [];
  const { sql, failOver } = routed(async (statement) => {
    if (statement !== "begin" || written.length === 0 || isOver) return;
    await replicate();
    failOver();
    isOver = true;
  });
  const running = start(sql, { ...common, handle, onRetry: (error) => told.push(error) });
  await write(primary.sql, "account-1", { type: "First" });
  await until(async () => (await effectsIn(primary)).length === 1);
  written = await writeMany(primary.sql, "account-1", 40);
  await until(() => isOver);
  await waitFor(standby.sql, common, await lastPosition(standby), { timeout: PATIENCE });
  await running.stop();
  assert.deepEqual(await effectsIn(standby), written);
  assert.deepEqual(told, []);
});

test("a consumer records no position of lost messages", async () => {
  let lost: string[] = [];
  const handled: string[] = [];
  const told: unknown[] = [];
  const { sql, failOver } = routed();
  const consumer: Consumer = {
    category: "account",
    consumerId: "letters",
    positionUpdateInterval: 1,
    handle: async ({ id }) => {
      handled.push(id);
      if (lost[0] !== id) return;
      await replicate(lost);
      failOver();
    },
  };
  await writeMany(primary.sql, "account-1", 3);
  const running = start(sql, { ...consumer, onRetry: (error) => told.push(error) });
  await until(() => handled.length === 3);
  lost = await writeMany(primary.sql, "account-1", 20);
  await until(() => told.length > 0);
  await running.stop();
  const end = await lastPosition(standby);
  for (const position of await stored(standby.sql, "account:position-letters")) {
    assert.ok(position <= end);
  }
  const fresh = await writeMany(standby.sql, "account-1", 60);
  await drain(standby.sql, consumer);
  assert.deepEqual(handled.filter((id) => fresh.includes(id)), fresh);
});

test("replayParked() commits nothing of lost messages, and says that they are lost", async () => {
  let isOver = false;
  const ids = await writeMany(primary.sql, "account-1", 3);
  const failing = { ...common, onError: "park" } as const;
  await drain(primary.sql, { ...failing, handle: () => Promise.reject(new Error("Refused")) });
  const parked = await readStream(primary.sql, "account:parked-effects");
  const { sql, failOver } = routed(async (statement) => {
    if (statement !== "begin" || isOver) return;
    isOver = true;
    await replicate([...ids, ...parked.map(({ id }) => id)]);
    failOver();
  });
  await assert.rejects(replayParked(sql, { ...common, handle }), { code: "STORE_WENT_BACK" });
  assert.deepEqual([await effectsIn(primary), await effectsIn(standby)], [[], []]);
  assert.deepEqual(await replayParked(standby.sql, { ...common, handle }), {
    replayed: 0,
    parked: 0,
    busy: false,
  });
});

test("replayParked() out of turn notes nothing of a parked message that is lost", async () => {
  const plain = { category: "account", consumerId: "letters" } as const;
  const park = (sql: Sql) => drain(sql, { ...plain, handle: () => "park" });
  const ids = await writeMany(primary.sql, "account-1", 3);
  await park(primary.sql);
  const parked = await readStream(primary.sql, "account:parked-letters");
  const { sql, failOver } = routed();
  const replayed = replayParked(sql, {
    ...plain,
    handle: async () => {
      await replicate([...ids, ...parked.map(({ id }) => id)]);
      await standby.sql`delete from message_store.messages where stream_name ~ 'position'`;
      failOver();
    },
  }, { ids: [ids[2]!] });
  await assert.rejects(replayed, { code: "STORE_WENT_BACK" });
  await writeMany(standby.sql, "account-2", 3);
  await park(standby.sql);
  const again = await replayParked(standby.sql, { ...plain, handle: () => {} });
  assert.equal(again.replayed, 3);
});

test("drain() from the end finds the end of the server that takes over", async () => {
  await writeMany(primary.sql, "account-1", 60);
  let isOver = false;
  const { sql, failOver } = routed(async (statement) => {
    if (isOver || !statement.includes("write_message(")) return;
    isOver = true;
    await writeMany(standby.sql, "account-2", 10);
    failOver();
    throw Object.assign(new Error("write CONNECTION_CLOSED"), { code: "CONNECTION_CLOSED" });
  });
  const handled: string[] = [];
  const consumer: Consumer = {
    category: "account",
    consumerId: "letters",
    startAt: "end",
    handle: ({ id }) => void handled.push(id),
  };
  await drain(sql, consumer);
  const fresh = await writeMany(standby.sql, "account-2", 30);
  await drain(sql, consumer);
  assert.deepEqual(handled, fresh);
});

test("aggregate() refers to no lost message", async () => {
  let lost: string[] = [];
  let fresh: string[] = [];
  const { sql, failOver } = routed(async (statement) => {
    if (!statement.includes("insert into") || lost.length === 0 || fresh.length > 0) return;
    await replicate(lost);
    failOver();
    fresh = await writeMany(standby.sql, "account-2", 60);
  });
  const kept = await writeMany(primary.sql, "account-1", 3);
  const ending = new AbortController();
  const running = aggregate(sql, {
    name: "ledger",
    from: ["account"],
    partition: () => 0,
    pollInterval: 20,
  }, { signal: ending.signal });
  const references = async ({ sql }: { readonly sql: Sql }) =>
    (await readAggregate(sql, "ledger")).map(({ id }) => id);
  await until(async () => (await references(primary)).length === kept.length);
  lost = await writeMany(primary.sql, "account-1", 40);
  await until(async () => (await readCategory(standby.sql, "ledger")).length >= 63);
  ending.abort();
  await running;
  assert.deepEqual(await references(standby), [...kept, ...fresh]);
  const referred = (await readCategory(standby.sql, "ledger")).map(({ metadata }) => metadata!);
  assert.deepEqual(
    referred.map((it) => it.causationMessageStreamName),
    [...kept.map(() => "account-1"), ...fresh.map(() => "account-2")],
  );
});

test("aggregate() from the end passes nothing by, before whichever statement another server takes over", async () => {
  const ledger = { name: "ledger", from: ["account"], partition: () => 0, startAt: "end" } as const;
  for (let before = 1;; before++) {
    for (const { sql } of [primary, standby]) {
      await sql`truncate message_store.messages restart identity`;
    }
    await writeMany(primary.sql, "account-1", 20);
    await replicate();
    await writeMany(primary.sql, "account-1", 40);
    let statements = 0;
    const { sql, failOver } = routed(async () => {
      if (++statements !== before) return;
      await writeMany(standby.sql, "account-2", 10);
      failOver();
    });
    await aggregate(sql, ledger, { once: true });
    if (statements < before) return;
    const later = await writeMany(standby.sql, "account-3", 10);
    await aggregate(standby.sql, ledger, { once: true });
    const referred = (await readAggregate(standby.sql, "ledger")).map(({ id }) => id);
    assert.deepEqual(later.filter((id) => !referred.includes(id)), [], `before ${before}`);
  }
});

test("a consumer that comes back passes nothing by where another process wrote the lost version", async () => {
  const consumer = { ...common, leaseDuration: 400 };
  const coming = gate();
  const looking = gate();
  const working = gate();
  let isAway = false;
  const { sql, failOver } = routed(async (statement) => {
    if (isAway) await coming.opened;
    // It reads the next page before it looks at the position streams.
    if (isAway && statement.includes(LAST_MESSAGES)) await looking.opened;
  });
  const told: unknown[] = [];
  const returning = start(sql, { ...consumer, handle, onRetry: (error) => told.push(error) });
  const [a] = await writeMany(primary.sql, "account-1", 1);
  await until(async () => (await effectsIn(primary)).length === 1);
  const [b] = await writeMany(primary.sql, "account-1", 1);
  await until(async () => (await effectsIn(primary)).length === 2);
  isAway = true;
  // The server that takes over lacks the last record, and what was committed with it.
  const last = await readLastMessage(primary.sql, "account:position-effects");
  await replicate([last!.id]);
  await standby.sql`insert into effects (id) values (${a!})`;
  failOver();
  let isWorking = false;
  const waiting: Handler<postgres.TransactionSql> = async (message, { sql }) => {
    isWorking = true;
    await working.opened;
    await insert([message], sql);
  };
  const second = start(standby.sql, { ...consumer, handle: waiting });
  await until(() => isWorking);
  const [c] = await writeMany(standby.sql, "account-1", 1);
  coming.open();
  await until(async () => told.length > 0 || (await effectsIn(standby)).includes(c!));
  looking.open();
  working.open();
  await until(async () => (await effectsIn(standby)).includes(c!));
  await Promise.all([returning.stop(), second.stop()]);
  assert.deepEqual(await effectsIn(standby), [a, b, c]);
  assert.ok(told[0] instanceof StoreWentBackError);
});

describe("a failover while a consumer starts, before whichever statement", () => {
  const letters = { category: "account", consumerId: "letters" } as const;
  const starts = ["from the end", "from a time", "from what is recorded", "as another group"];
  const ways: [string, Pick<Consumer, "exclusive"> | undefined][] = [
    ["consume()", {}],
    ["consume() by any process", { exclusive: false }],
    ["drain()", undefined],
  ];
  const cases = ways.flatMap(([way, options]) =>
    starts
      .filter((from) => from !== "as another group" || options?.exclusive !== false)
      .map((from) => [`${way} ${from}`, from, options] as const)
  );

  test.each(cases)("%s passes nothing by", async (_, from, options) => {
    const isRecorded = from !== "from the end" && from !== "from a time";
    for (let before = 1; before <= 14; before++) {
      for (const { sql } of [primary, standby]) {
        await sql`truncate message_store.messages restart identity`;
      }
      const record = async () => {
        if (isRecorded) await drain(primary.sql, { ...letters, handle: () => {} });
      };
      const kept = await writeMany(primary.sql, "account-1", 20);
      await record();
      await replicate();
      await writeMany(primary.sql, "account-1", 20);
      const [row] = await primary.sql`select clock_timestamp() as now`;
      await writeMany(primary.sql, "account-1", 20);
      await record();
      const handled: string[] = [];
      const consumer: Consumer = {
        ...letters,
        pollInterval: 5,
        positionUpdateInterval: 1,
        exclusive: options?.exclusive,
        startAt: from === "from the end" ? "end" : from === "from a time" ? row!.now : undefined,
        consumerGroup: from === "as another group" ? { size: 1 } : undefined,
        handle: ({ id }) => void handled.push(id),
      };
      let fresh: string[] = [];
      let statements = 0;
      const { sql, failOver } = routed(async () => {
        if (++statements !== before) return;
        fresh = await writeMany(standby.sql, "account-2", 10);
        failOver();
      });
      let later: string[] = [];
      let wentBack = false;
      const refused = (error: unknown) => {
        if (isRecorded || !(error instanceof StoreWentBackError)) throw error;
        wentBack = true;
      };
      if (options) {
        const running = start(sql, consumer);
        let isOver = false;
        running.done.catch(() => {}).finally(() => isOver = true);
        // A start that moves is found once it is recorded.
        const isFound = async () =>
          isRecorded || (await stored(standby.sql, "account:position-letters")).length > 0;
        await until(async () => isOver || statements > before + 8 && await isFound());
        later = await writeMany(standby.sql, "account-3", 10);
        const last = await lastPosition(standby);
        const caughtUp = waitFor(standby.sql, consumer, last, { timeout: PATIENCE });
        await Promise.race([caughtUp, running.done]).catch(refused);
        caughtUp.catch(() => {});
        await running.stop().catch(refused);
      } else {
        await drain(sql, consumer).catch(refused);
        if (statements < before) break;
        later = await writeMany(standby.sql, "account-3", 10);
        if (!wentBack) await drain(sql, consumer);
      }
      if (wentBack) continue;
      const wanted = from === "from the end" ? later : [...fresh, ...later];
      const missing = wanted.filter((id) => !handled.includes(id));
      assert.deepEqual(missing, [], `${missing.length} passed by, before statement ${before}`);
      assert.ok(!handled.some((id) => kept.includes(id)));
    }
  });
});

describe("a store that gets another name, and has everything", () => {
  const write3 = () => writeMany(primary.sql, "account-1", 3);
  const rename = () => primary.sql`vacuum full message_store.messages`;

  test.each([
    ["account", false],
    ["account", true],
    ["$all", false],
  ])(
    "is gone on with by a consumer of %s from a replica, transactional: %s",
    async (category, transactional) => {
      const written = await write3();
      const handled: string[] = [];
      const consumer = {
        category,
        consumerId: "letters",
        readFrom: standby.connect({ max: 2 }),
        positionUpdateInterval: 1,
        commitInterval: transactional ? 0 : undefined,
        transactional,
        handle: async ({ id }: Message) => {
          handled.push(id);
          if (id === written[1] && handled.length === 2) await rename();
        },
      };
      await replicate();
      let statements = 0;
      const { sql } = routed(() => statements++);
      const running = start(sql, consumer as Consumer<typeof sql>);
      await waitFor(primary.sql, consumer, await lastPosition(primary), { timeout: PATIENCE });
      await rename();
      await running.stop();
      // A transaction is done again in the renamed store.
      assert.deepEqual([...new Set(handled)], written);
      assert.ok(statements < 200, `${statements} statements`);
    },
  );

  test("is the same store, whatever a handler sets in its transaction", async () => {
    const written = await write3();
    const setting: Handler<postgres.TransactionSql> = async (message, { sql }) => {
      await sql`set local extra_float_digits = 0`;
      await insert([message], sql);
    };
    const running = start(primary.sql, { ...common, handle: setting });
    await waitFor(primary.sql, common, await lastPosition(primary), { timeout: PATIENCE });
    await running.stop();
    assert.deepEqual(await effectsIn(primary), written);
  });
});
