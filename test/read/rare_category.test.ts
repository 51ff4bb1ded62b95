/**
 * A category of which a large store has little, beside two that have nearly all. PostgreSQL knows how many categories
 * there are, and not which one is asked for. It may then take the index of the global positions, and look at all
 * messages for the few.
 */
import {
  drain,
  entityIds,
  iterateCategory,
  projectCategory,
  readCategory,
  type Sql,
  streamNames,
  subscribe,
} from "@messagedb/client";
import {
  consumers,
  exportMessages,
  findMessages,
  messageTypes,
  streams,
  verify,
} from "@messagedb/client/operate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Explainer, explainer, type PlanMode } from "../../bench/_plans.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();
/** Pages of 8 kB, of the 14,000 that the messages take. */
const FEW = 1500;

let plans: Explainer;

beforeAll(async () => {
  await db.sql`
    insert into message_store.messages (stream_name, position, type, data)
    select
      case
        when number in (100, 200, 300) then 'rare-1'
        else case when random() < 0.5 then 'account-' else 'order-' end || number % 500
      end,
      number, 'Any', jsonb_build_object('text', repeat(md5(number::text), 30))
    from generate_series(1, 100000) as number`;
  for (const category of ["rare", "none"]) {
    await drain(db.sql, { category, consumerId: "old", handle: () => {} });
  }
  await db.sql`
    insert into message_store.messages (stream_name, position, type, data)
    values ('none:position-old', 0, 'Recorded', '{"position": 1}')`;
  await db.sql`vacuum analyze message_store.messages`;
  plans = await explainer(db.url);
});
afterAll(() => plans.sql.end());

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const OPERATIONS: Record<string, (sql: Sql, category: string) => Promise<unknown>> = {
  readCategory,
  "readCategory backward": (sql, category) =>
    readCategory(sql, category, { direction: "backward" }),
  "readCategory backward from a position": (sql, category) =>
    readCategory(sql, category, { direction: "backward", position: 10_000 }),
  "readCategory from a position": (sql, category) => readCategory(sql, category, { position: 150 }),
  "readCategory of a member": (sql, category) =>
    readCategory(sql, category, { consumerGroup: { member: 0, size: 2 } }),
  "readCategory of a correlation": (sql, category) =>
    readCategory(sql, category, { correlation: "saga", direction: "backward" }),
  iterateCategory: (sql, category) => listOf(iterateCategory(sql, category)),
  projectCategory: (sql, category) =>
    projectCategory(sql, category, { init: () => 0, evolve: (count: number) => count + 1 }),
  entityIds,
  streamNames,
  subscribe: async (sql, category) => {
    const ending = new AbortController();
    const onCaughtUp = () => ending.abort();
    await listOf(subscribe(sql, category, { signal: ending.signal, onCaughtUp }));
  },
  "subscribe of types": async (sql, category) => {
    const ending = new AbortController();
    const onCaughtUp = () => ending.abort();
    await listOf(subscribe(sql, category, { signal: ending.signal, types: ["None"], onCaughtUp }));
  },
  "subscribe since a time": async (sql, category) => {
    const ending = new AbortController();
    const onCaughtUp = () => ending.abort();
    const startAt = new Date(Date.now() - 86_400_000);
    await listOf(subscribe(sql, category, { signal: ending.signal, startAt, onCaughtUp }));
  },
  "subscribe to an aggregate since a time": async (sql, category) => {
    const ending = new AbortController();
    const onCaughtUp = () => ending.abort();
    const startAt = new Date(Date.now() - 86_400_000);
    const source = { aggregate: category };
    await listOf(subscribe(sql, source, { signal: ending.signal, startAt, onCaughtUp }));
  },
  drain: (sql, category) => drain(sql, { category, consumerId: "new", handle: () => {} }),
  "drain of a member": (sql, category) =>
    drain(sql, {
      category,
      consumerId: "grouped",
      consumerGroup: { size: 2, member: 1 },
      handle: () => {},
    }),
  consumers: (sql, category) => consumers(sql, { category }),
  findMessages,
  "findMessages backward": (sql, category) =>
    findMessages(sql, category, { direction: "backward", types: ["None"] }),
  messageTypes: (sql, category) => messageTypes(sql, { category }),
  streams,
  "streams by the last message": (sql, category) => streams(sql, category, { sort: "last" }),
  "streams by their number of messages": (sql, category) =>
    streams(sql, category, { sort: "count" }),
  verify: (sql, category) => listOf(verify(sql, { category })),
  exportMessages: (sql, category) => listOf(exportMessages(sql, category)),
};

describe.each<[string, PlanMode]>([
  ["planned for its parameters", "force_custom_plan"],
  ["planned for any parameters", "force_generic_plan"],
])("%s", (_, mode) => {
  beforeAll(() => plans.planBy(mode));

  test.each(
    Object.keys(OPERATIONS).flatMap((name) => ["rare", "none"].map((it) => [name, it] as const)),
  )("%s looks at little for the category %s", async (name, category) => {
    const { buffers } = await plans.explain((sql) => OPERATIONS[name]!(sql, category));
    expect(buffers).toBeLessThan(FEW);
  });
});
