import { categories } from "@messagedb/client";
import { expect, test } from "vitest";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);

const NAMES = [
  "roundTrip",
  "commit",
  "write",
  "commits",
  "writesToOneCategory",
  "writesToCategories",
  "groupedWrites",
  "writeBatch",
  "readCategory",
];

interface Way {
  readonly name: string;
  readonly atOnce: number;
  readonly messages: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu: number;
  readonly base?: string;
  readonly ratio?: number;
}

test("writes nothing without --yes", async () => {
  const run = await messagedb.run(["bench"]);
  expect(run).toMatchObject({ stdout: "", exitCode: 2 });
  expect(run.stderr).toMatch(
    /^error: The bench takes 34 s, and writes to .+ These messages stay in the store.+ Give --yes/,
  );
  expect(await categories(db.sql)).toEqual([]);
});

test("measures each way, and leaves messages in categories of its own", async () => {
  const args = ["bench", "--yes", "--seconds", "0.05", "--writers", "3"];
  const { stdout, stderr } = await messagedb.run([...args, "--json"]);
  const { category, writers, ways, findings } = JSON.parse(stdout);
  expect(writers).toBe(3);
  expect(ways.map(({ name }: Way) => name)).toEqual(NAMES);
  for (const way of ways as Way[]) {
    expect(way.perSecond).toBeGreaterThan(0);
    expect(way.p50).toBeGreaterThan(0);
    expect(way.p99).toBeGreaterThanOrEqual(way.p50);
    const base = ways.find(({ name }: Way) => name === way.base);
    if (base === undefined) expect(way.ratio).toBeUndefined();
    else expect(way.ratio).toBeCloseTo(way.perSecond / base.perSecond, 1);
  }
  expect(findings[0]).toMatch(
    /^A write alone takes .+\. Most of it is .+\. For more writes, .+\.$/,
  );
  expect(findings[1]).toMatch(
    /^To one category, 3 writers write [\d.]+ times as much as one writer/,
  );
  expect(category).toMatch(/^messagedbBench[0-9a-f]{8}$/);
  expect(await categories(db.sql)).toEqual(
    ["", "Batch", "Of0", "Of1", "Of2", "Read"].map((end) => `${category}${end}`),
  );
  expect(stderr).toMatch(/^To delete the messages of the bench, as their owner: delete from .+\n$/);
  await db.sql.unsafe(stderr.slice(stderr.indexOf("delete from")));
  expect(await categories(db.sql)).toEqual([]);
});

test("prints a table with bars, and sentences", async () => {
  const args = ["bench", "--yes", "--seconds", "0.01", "--writers", "2"];
  const lines = (await messagedb.print(...args)).split("\n");
  expect(lines[0]).toMatch(/^ +at once +a second +p50 +p99 +beside$/);
  expect(lines[1]).toMatch(/^select 1 +1 +[\d,]+ +[\d.]+ ms +[\d.]+ ms +█/);
  expect(lines[3]).toMatch(/^write +1 .+ [\d.]+ × bare commit$/);
  expect(lines.slice(10)).toEqual(
    ["", expect.stringMatching(/^A write/), expect.stringMatching(/^To one/), ...lines.slice(13)],
  );
});

async function countOfReads(): Promise<number> {
  return (await categories(db.sql)).filter((name) => name.endsWith("Read")).length;
}

test("ends at Ctrl-C, and says what stays", async () => {
  const before = await countOfReads();
  const child = messagedb.start(["bench", "--yes", "--seconds", "1000"]);
  let stderr = "";
  child.stderr!.on("data", (text) => stderr += text);
  const closed = new Promise((resolve) => child.on("close", resolve));
  await until(async () => await countOfReads() > before);
  child.kill("SIGINT");
  expect(await closed).toBe(130);
  expect(stderr).toMatch(/^To delete the messages/);
});

test.each([
  [["--seconds", "0"], /Give a number above 0/],
  [["--writers", "1"], /from 2 up/],
  [["--yes", "--url", "http://127.0.0.1:1"], /^error: Cannot do this over the gateway/],
])("refuses %j with exit code 2", async (args, sentence) => {
  const run = await messagedb.run(["bench", ...args]);
  expect(run).toMatchObject({ stdout: "", exitCode: 2 });
  expect(run.stderr).toMatch(sentence);
});
