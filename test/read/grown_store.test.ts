/**
 * A store that has grown since the statements were planned. A driver keeps its statements, and PostgreSQL their plans,
 * until it has new statistics.
 */
import {
  drain,
  readAll,
  readCategory,
  readMatching,
  readMessage,
  readMessages,
  readStream,
  type Sql,
  subscribe,
  write,
} from "@messagedb/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Explainer, explainer } from "../../bench/_plans.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
/** Pages of 8 kB, of the 4,000 that the messages take. */
const FEW = 500;
const ids = Array.from({ length: 10 }, () => crypto.randomUUID());
const page = { batchSize: 10 };

const OPERATIONS: Record<string, (sql: Sql) => Promise<unknown>> = {
  readAll: (sql) => readAll(sql, page),
  "readAll from a position": (sql) => readAll(sql, { ...page, position: 100 }),
  "readAll backward": (sql) => readAll(sql, { ...page, direction: "backward" }),
  readMatching: (sql) => readMatching(sql, "account-%", page),
  readCategory: (sql) => readCategory(sql, "account", page),
  readStream: (sql) => readStream(sql, "account-1", page),
  readMessage: (sql) => readMessage(sql, ids[0]!),
  readMessages: (sql) => readMessages(sql, ids),
  write: (sql) => write(sql, "account-1", { type: "Any", id: crypto.randomUUID() }),
  "subscribe to $all": (sql) => subscribe(sql, "$all", page).next(),
  drain: (sql) => {
    const consumer = { category: "$all", consumerId: "it", batchSize: 10, handle: () => {} };
    return drain(sql, consumer, { limit: 1 });
  },
};

let plans: Explainer;

/** In an order of its own, as where deleted messages have left room for others. */
async function fill(from: number, to: number): Promise<void> {
  await db.sql`
    insert into message_store.messages (global_position, stream_name, position, type, data)
    select
      number, 'account-' || number % 50, number, 'Any',
      jsonb_build_object('text', repeat(md5(number::text), 30))
    from generate_series(${from}::int, ${to}::int) as number
    order by md5(number::text)`;
  await db.sql`select setval('message_store.messages_global_position_seq', ${to}::int)`;
}

beforeAll(async () => {
  await db.sql.unsafe("alter table message_store.messages set (autovacuum_enabled = off)");
  await fill(1, 200);
  for (const id of ids) await write(db.sql, "other-1", { type: "Any", id });
  await db.sql.unsafe("vacuum analyze message_store.messages");
  plans = await explainer(db.url);
  await plans.planBy("force_generic_plan");
  for (const operation of Object.values(OPERATIONS)) await plans.explain(operation);
  await fill(1001, 30_000);
});
afterAll(() => plans.sql.end());

test.each(Object.entries(OPERATIONS))(
  "%s looks at little, planned while the store was small",
  async (_, operation) => {
    const { buffers, seqScans } = await plans.explain(operation);
    expect(seqScans).toEqual([]);
    expect(buffers).toBeLessThan(FEW);
  },
);
