import assert from "node:assert/strict";
import {
  activity,
  consumers,
  type ConsumerStatus,
  findMessages,
  messageTypes,
  parked,
  type ParkedMessage,
  prune,
  rewind,
  storeStatus,
  streams,
  type StreamsPage,
  type Trace,
  trace,
  verify,
} from "@messagedb/client/operate";
import { install } from "@messagedb/client/install";
import { afterAll, beforeAll, onTestFinished, test } from "vitest";
import { readStream, type Sql } from "../../mod.ts";
import { type Explainer, explainer } from "../../bench/_plans.ts";
import { fillStore } from "../../bench/_store.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
const single = useDatabase();
const few = useDatabase();
const size = { messages: 100_000, streams: 10_000 };
let plans: Explainer;

beforeAll(async () => {
  await fillStore(db.sql, size);
  // Consumers that are at the beginning, at the end, and in groups, of the largest category and of all messages.
  await db.sql`
    insert into message_store.messages (stream_name, position, type, data)
    select name || number || suffix, 0, 'Recorded', jsonb_build_object('position', number % 5 * 25000)
    from
      unnest(array['account:position-', '$all:position-', 'ledger:position-']) as name,
      unnest(array['', '+0+2', '+1+2']) as suffix,
      generate_series(1, 10) as number`;
  await db.sql`
    insert into message_store.messages (stream_name, position, type)
    select 'meter-' || number % 20, number / 20, 'Read'
    from generate_series(0, 39999) as number`;
  await db.sql`
    insert into message_store.messages (stream_name, position, type)
    select 'rare-1', number, 'Rare'
    from generate_series(0, 49) as number`;
  await install(db.sql, { nameIndex: true });
  await db.sql.unsafe("analyze message_store.messages");
  plans = await explainer(db.url);
});
afterAll(() => plans.sql.end());

async function checkPlan(): Promise<void> {
  for (const options of [{}, { category: "account" }, { upTo: 900 }]) {
    const { seqScans, sorts, indexes, answer } = await plans.explain((sql) =>
      consumers(sql, options)
    );
    assert.deepEqual(seqScans, []);
    // What is sorted is the positions, and not the messages.
    assert.deepEqual(sorts.filter((rows) => rows > 5000), []);
    // A position looks at 1,000 messages at most, and one of all messages at 5,000.
    const positions = answer as ConsumerStatus[];
    const most = positions.length * 1100 + 40 * 5000;
    for (const [name, rows] of indexes) assert(rows <= most, `${name}: ${rows}`);
  }
  const { seqScans, sorts, indexes, buffers } = await plans.explain(storeStatus);
  assert.deepEqual(seqScans, []);
  // What is sorted is the part that is read.
  assert.deepEqual(sorts.filter((rows) => rows > 40_000), []);
  for (const [name, rows] of indexes) assert(rows <= 20_000, `${name}: ${rows}`);
  // 2,000 pages are the part. The rest is of counting the messages of small categories, once.
  assert(buffers <= 5000, `${buffers}`);
}

/** Of a category with many streams, and of one with many messages in few streams. */
async function checkPlanOfStreams(): Promise<void> {
  for (const category of ["account", "meter"]) {
    for (const [sort, most] of [["last", 10_001], ["name", 202], ["count", 3001]] as const) {
      const page = await plans.explain((sql) => streams(sql, category, { sort }));
      assert.notEqual((page.answer as StreamsPage).streams.length, 0);
      assert.deepEqual(page.seqScans, []);
      assert.deepEqual(page.sorts.filter((rows) => rows > most), []);
      for (const [name, rows] of page.indexes) assert(rows <= most, `${sort} ${name}: ${rows}`);
    }
  }
}

/** A page without a filter, and each look for a time, reads a few entries of an index. */
async function checkPlanOfSearches(): Promise<void> {
  const middle = new Date();
  for (const source of ["$all", "account", "account-1", "rare", "none", "none-1"]) {
    for (const direction of ["forward", "backward"] as const) {
      for (const options of [{}, { since: new Date(0), until: middle, startAt: middle }]) {
        const { seqScans, sorts, indexes } = await plans.explain((sql) =>
          findMessages(sql, source, { ...options, direction })
        );
        assert.deepEqual(seqScans, []);
        assert.deepEqual(sorts.filter((rows) => rows > 101), []);
        for (const [name, rows] of indexes) assert(rows <= 300, `${source} ${name}: ${rows}`);
      }
    }
  }
  for (const category of [undefined, "account", "rare", "none"]) {
    const { seqScans, sorts, indexes } = await plans.explain((sql) =>
      messageTypes(sql, { category, scanLimit: 100 })
    );
    assert.deepEqual(seqScans, []);
    assert.deepEqual(sorts.filter((rows) => rows > 100), []);
    for (const [name, rows] of indexes) assert(rows <= 100, `${category} ${name}: ${rows}`);
  }
  const { seqScans, indexes } = await plans.explain((sql) =>
    activity(sql, { since: new Date(0), buckets: 60 })
  );
  assert.deepEqual(seqScans, []);
  for (const [name, rows] of indexes) assert(rows <= 61 * 30, `${name}: ${rows}`);
}

test.each(["force_custom_plan", "force_generic_plan"] as const)(
  "findMessages(), messageTypes() and activity() read no more than a page, by %s",
  async (mode) => {
    await plans.planBy(mode);
    await checkPlanOfSearches();
  },
);

test.each(["force_custom_plan", "force_generic_plan"] as const)(
  "consumers(), storeStatus() and streams() read no more than they count, by %s",
  async (mode) => {
    await plans.planBy(mode);
    await checkPlan();
    await checkPlanOfStreams();
  },
);

test("what is about a rare category looks at no others, where nearly all messages are of one", async () => {
  await single.sql`
    insert into message_store.messages (stream_name, position, type, data)
    select 'account-' || number % 5000, number, 'Deposited', to_jsonb(repeat(md5(number::text), 20))
    from generate_series(1, 100000) as number`;
  await single.sql.unsafe("analyze message_store.messages");
  await single.sql`
    insert into message_store.messages (stream_name, position, type)
    select 'rare-1', number, 'Rare' from generate_series(0, 49) as number`;
  await single.sql`
    insert into message_store.messages (stream_name, position, type, data)
    select 'account:position-it', number, 'Recorded', jsonb_build_object('position', number)
    from generate_series(0, 49) as number`;
  const plans = await explainer(single.url);
  onTestFinished(() => plans.sql.end());
  for (const mode of ["force_custom_plan", "force_generic_plan"] as const) {
    await plans.planBy(mode);
    for (const category of ["rare", "none"]) {
      for (const direction of ["forward", "backward"] as const) {
        const { buffers } = await plans.explain((sql) =>
          findMessages(sql, category, { direction })
        );
        assert(buffers <= 50, `${mode} ${category}: ${buffers}`);
      }
      const { buffers } = await plans.explain((sql) => messageTypes(sql, { category }));
      assert(buffers <= 50, `${mode} ${category}: ${buffers}`);
    }
    const { buffers } = await plans.explain((sql) => prune(sql, { dryRun: true }));
    assert(buffers <= 500, `${mode} prune: ${buffers}`);
    const verified = await plans.explain((sql) => verify(sql, { category: "rare" }).next());
    assert(verified.buffers <= 500, `${mode} verify: ${verified.buffers}`);
  }
});

test("what is about a rare category looks at no others, where there are few streams", async () => {
  await few.sql.unsafe("alter table message_store.messages set (autovacuum_enabled = off)");
  const fill = (from: number, to: number) =>
    few.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select
        case when random() < 0.5 then 'account-' else 'order-' end || number % 10, number, 'Deposited',
        to_jsonb(repeat(md5(number::text), 20))
      from generate_series(${from}::int, ${to}::int) as number`;
  const consumer = { category: "rare", consumerId: "it" };
  await fill(1, 200);
  await few.sql.unsafe("vacuum analyze message_store.messages");
  await few.sql`
    insert into message_store.messages (stream_name, position, type, data)
    values
      ('rare-1', 0, 'Rare', null),
      ('rare:position-it', 0, 'Recorded', '{"position": 1}')`;
  await fill(201, 60_000);
  const plans = await explainer(few.url);
  onTestFinished(() => plans.sql.end());
  for (const statistics of ["of the first messages", "of all messages"]) {
    for (const mode of ["force_custom_plan", "force_generic_plan"] as const) {
      await plans.planBy(mode);
      for (
        const [name, operation] of Object.entries<(sql: Sql) => Promise<unknown>>({
          consumers: (sql) => consumers(sql, { category: "rare" }),
          "streams by count": (sql) => streams(sql, "rare", { sort: "count" }),
          "streams by last": (sql) => streams(sql, "rare"),
          rewind: (sql) => rewind(sql, consumer, "beginning"),
        })
      ) {
        const { buffers, mostRows } = await plans.explain(operation);
        assert(buffers <= 500, `${statistics} ${mode} ${name}: ${buffers}`);
        assert(mostRows <= 1000, `${statistics} ${mode} ${name}: ${mostRows}`);
      }
      const { mostRows } = await plans.explain((sql) => streams(sql, "account"));
      assert(mostRows <= 10_001, `${statistics} ${mode}: ${mostRows}`);
    }
    await few.sql.unsafe("vacuum analyze message_store.messages");
  }
});

test("nothing reads more of a store that was never analyzed", async () => {
  await plans.planBy("force_custom_plan");
  await plans.sql`
    delete from pg_catalog.pg_statistic
    where starelid in (
      'message_store.messages'::regclass, 'message_store.messages_category'::regclass
    )`;
  await checkPlan();
  await checkPlanOfSearches();
});

test.each(["force_custom_plan", "force_generic_plan"] as const)(
  "parked() reads nothing of what was replayed in its turn, by %s",
  async (mode) => {
    const consumer = { category: mode, consumerId: "it" };
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      select
        ${`${mode}:parked-it`}, number, 'Parked',
        '{"message":{"globalPosition":1},"error":null,"attempts":1}'
      from generate_series(0, 20199) as number`;
    await db.sql`
      insert into message_store.messages (stream_name, position, type, data)
      values (${`${mode}:position-it+parked`}, 0, 'Recorded', '{"position":20000}')`;
    await plans.planBy(mode);
    const { seqScans, sorts, indexes, answer } = await plans.explain((sql) =>
      parked(sql, consumer, { batchSize: 100 })
    );
    assert.deepEqual(
      (answer as readonly ParkedMessage[]).map(({ position }) => position),
      Array.from({ length: 100 }, (_, at) => 20_000 + at),
    );
    assert.deepEqual(seqScans, []);
    assert.deepEqual(sorts.filter((rows) => rows > 200), []);
    for (const [name, rows] of indexes) assert(rows <= 202, `${name}: ${rows}`);
  },
);

test.each(["force_custom_plan", "force_generic_plan"] as const)(
  "trace() looks at each message of a page once, however long a chain is in it, by %s",
  async (mode) => {
    const chain = `chain-${mode}`;
    await db.sql`
      insert into message_store.messages (stream_name, position, type, metadata)
      select ${chain}, number, 'Chained', jsonb_build_object(
        'causationMessageStreamName', ${chain}::text, 'causationMessagePosition', number - 1
      )
      from generate_series(0, 2999) as number`;
    await plans.planBy(mode);
    const { seqScans, mostRows, answer } = await plans.explain(async (sql) => {
      const [first] = await readStream(sql, chain, { batchSize: 1 });
      return await trace(sql, { id: first!.id }, { limit: 5000 });
    });
    assert.equal((answer as Trace).messages.length, 3000);
    assert.deepEqual(seqScans, []);
    assert(mostRows <= 10_001, `${mostRows}`);
  },
);
