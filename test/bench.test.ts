import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { pathOf } from "./_blocks.ts";
import { useDatabase } from "./database.ts";

const db = useDatabase();

test("bench:gateway compares each operation, by ones and by sixteens", async () => {
  const output = await runBench("gateway", "--rounds", "2", "--count", "2", "--duration", "1");
  const rows = output.match(/^(write|read).* +(1|16) +[\d.,]+ +[\d.,]+ +\d+\.\d\d \(.*\)$/gm);
  expect(rows).toHaveLength(10);
});

test("bench:consumers compares how fast messages are taken, and says what it costs to wait", async () => {
  const short = [
    "--messages",
    "200",
    "--idle",
    "0.1",
    "--wakes",
    "1",
    "--writes",
    "16",
    "--lease",
    "500",
  ];
  const output = await runBench("consumers", "--rounds", "1", ...short);
  const taken = output.match(
    /^(readCategory|subscribe|drain)\(\).* +(1000|100) +[\d.,]+ +[\d.]+ \(.*\)$/gm,
  );
  expect(taken).toHaveLength(14);
  expect(output.match(/^(ended|killed)( +[\d.]+){3}$/gm)).toHaveLength(2);
  expect(output.match(/^(subscribe|consume)\(\).* +[\d.,]+ +[\d.,]+$/gm)).toHaveLength(3);
  expect(output.match(/^(polled|notified)( +-?[\d.,]+){3}$/gm)).toHaveLength(2);
  expect(output.match(/^write.* +(1|16) +[\d.,]+ +[\d.,]+ +[\d.]+ \(.*\)$/gm)).toHaveLength(3);
});

test("bench:entities compares a long entity with a short one, and folding with reading", async () => {
  const output = await runBench(
    "entities",
    ...["--rounds", "1", "--duration", "1", "--messages", "300"],
  );
  expect(output.match(/^(10|300) messages.* \d+\.\d\d ms/gm)).toHaveLength(3);
  expect(output.match(/^(readStream|project).*( +\d+\.\d\d){3}$/gm)).toHaveLength(3);
});

test("bench compares this client with its peers, near and a millisecond away", async () => {
  const only = ["write 8 many", "group reads"].flatMap((name) => ["--only", name]);
  const output = await runBench("run", "--quick", "--rounds", "2", ...only);
  const blocks = output.split(/^(?=Single writes|A group)/m).slice(1);
  expect(blocks.map((block) => block.slice(0, block.indexOf("\n")))).toEqual([
    "Single writes, a category each",
    "Single writes, a category each, 1 ms away",
    "A group, and all under writes",
    "A group, and all under writes, 1 ms away",
  ]);
  for (const block of blocks) {
    // The ratio to the first, messages a second, p50, p99, CPU and memory.
    const rows = block.matchAll(
      /^(\S+) .*?(8 in flight|group of 4) +(1|[\d.,]+ \(.+\))( +[\d.,]+){5}$/gm,
    );
    const ways = [...rows].map(([, way]) => way);
    expect(ways).toEqual(expect.arrayContaining(
      block.startsWith("Single writes")
        ? ["write()", "postgres.js", "pg", "Emmett"]
        : ["readCategory()", "iterateCategory()", "postgres.js", "pg"],
    ));
  }
});

async function runBench(name: string, ...args: string[]): Promise<string> {
  const command = [`bench/${name}.ts`, ...args];
  const { stdout } = await promisify(execFile)(pathOf("node_modules/.bin/tsx"), command, {
    cwd: pathOf("."),
    env: { ...process.env, DATABASE_URL: db.url },
  });
  return stdout;
}
