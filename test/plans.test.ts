import * as client from "@messagedb/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { operationsOn } from "../bench/_operations.ts";
import { type Explainer, explainer, type PlanMode } from "../bench/_plans.ts";
import { fillStore } from "../bench/_store.ts";
import { ALL, readHeads } from "../src/subscribe/_heads.ts";
import { pure } from "./_operations.ts";
import { useDatabase } from "./database.ts";

const db = useDatabase();
const size = { messages: 100_000, streams: 10_000 };
const operations = operationsOn(size);
/** As many messages as a read answers unless it is told otherwise. */
const PAGE = 1000;

let plans: Explainer;

beforeAll(async () => {
  await fillStore(db.sql, size);
  plans = await explainer(db.url);
});
afterAll(() => plans.sql.end());

// Drivers prepare statements, and PostgreSQL plans what was executed five times without its parameters.
describe.each<[string, PlanMode]>([
  ["planned for its parameters", "force_custom_plan"],
  ["planned for any parameters", "force_generic_plan"],
])("on a large store, %s", (_, mode) => {
  beforeAll(() => plans.planBy(mode));

  test.each(Object.entries(operations))(
    "%s does not scan the table, and sorts no more than a page",
    async (_, operation) => {
      const { seqScans, sorts, answer } = await plans.explain(operation);
      // What answers names answers all of them, sorted.
      const most = Math.max(PAGE, Array.isArray(answer) ? answer.length : 0);
      expect({ seqScans, sorts: sorts.filter((rows) => rows > most) })
        .toEqual({ seqScans: [], sorts: [] });
    },
  );

  test("a look of who waits reads one entry of an index for each source", async () => {
    const names = [
      "account",
      "order",
      "account:command",
      "ledger",
      "account:position",
      "aaa",
      "none",
    ];
    const sources = [
      ALL,
      ...names.map((name) => ["category", name] as const),
      ...names.map((name) => ["stream", `${name}-0`] as const),
    ];
    const { seqScans, sorts, indexes, answer } = await plans.explain((sql) =>
      readHeads(sql, sources, null)
    );
    expect({ seqScans, sorts: sorts.filter((rows) => rows > sources.length) })
      .toEqual({ seqScans: [], sorts: [] });
    expect([...indexes.values()].filter((rows) => rows > sources.length)).toEqual([]);
    const { heads } = answer as Awaited<ReturnType<typeof readHeads>>;
    expect(heads!.slice(0, 8).map((it) => it !== null))
      .toEqual([true, true, true, true, true, true, false, false]);
  });
});

test.each([
  ["messages_stream", "readStream"],
  ["messages_category", "streamNames"],
  ["messages_id", "readMessage"],
])("without the index %s, %s is seen to scan the table", async (index, name) => {
  const { seqScans } = await plans.explain(async (sql) => {
    await sql.unsafe(`drop index message_store.${index}`);
    return await operations[name]!(sql);
  });
  expect(seqScans).not.toEqual([]);
});

test("every operation is among them", () => {
  const named = Object.keys(operations).map((name) => name.split(" ")[0]);
  const exported = Object.entries(client)
    .filter(([name, value]) => typeof value === "function" && /^[a-z]/.test(name))
    .map(([name]) => name);
  expect(exported.filter((name) => !pure.includes(name) && !named.includes(name))).toEqual([]);
});

// Last, since it takes the statistics away.
describe("on a large store that was never analyzed", () => {
  beforeAll(async () => {
    await plans.planBy("force_custom_plan");
    await plans.sql`
      delete from pg_catalog.pg_statistic
      where starelid in (
        'message_store.messages'::regclass, 'message_store.messages_category'::regclass
      )`;
  });

  test.each(Object.entries(operations))("%s does not scan the table", async (_, operation) => {
    expect((await plans.explain(operation)).seqScans).toEqual([]);
  });
});
