import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { Result, WayResult } from "../bench/_measure.ts";
import { targets } from "../bench/_targets.ts";
import { warmUp } from "../bench/_warm_up.ts";
import type { Peer } from "../bench/_workloads.ts";
import { pathOf } from "./_path_of.ts";
import { useDatabase } from "./database.ts";

const db = useDatabase();
/** For the bench that fills a store of its own. */
const empty = useDatabase();

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
    /^(readCategory\(\)|subscribe\(\)|drain\(\)|the same).* +(1000|100) +[\d.,]+ +[\d.]+ \(.*\)$/gm,
  );
  expect(taken).toHaveLength(18);
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

test("bench:studio says what each view costs the database", async () => {
  const output = await runBenchOn(
    empty.url,
    "studio",
    ...["--messages", "2000", "--rounds", "1"],
  );
  expect(output).toMatch(/^the overview +7( +\d\S*){2} to \d\S*$/m);
  expect(output.match(/^.* +\d+( +\d\S*){2} to \d\S*$/gm)).toHaveLength(11);
});

test("bench:otel compares handles that are traced with one that is not", async () => {
  const output = await runBench("otel", "--rounds", "1", "--duration", "1");
  expect(output.match(/^(write|readStream).* \d+ +\d\.\d{3} \([^()]+\)$/gm)).toHaveLength(6);
});

test("bench:partitions compares handles with a store direct, and counts of partitions", async () => {
  const output = await runBench("partitions", "--rounds", "1", "--duration", "1", "--count", "64");
  const row = String.raw`^(write|groupCommit|read\w+ of 10) +[\d.,]+( +\d+\.\d{3} \([^()]+\))`;
  const rows = (ratios: number) => output.match(new RegExp(`${row}{${ratios}}$`, "gm"));
  expect(rows(2)).toHaveLength(4);
  expect(rows(3)).toHaveLength(2);
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

/** How many calls it takes until a way is warm whose call takes so many milliseconds. */
function callsUntilWarm(patience: number, latencyOf: (call: number) => number): number {
  const isWarm = warmUp(patience, 0);
  let now = 0;
  for (let calls = 1;; calls++) {
    const latency = latencyOf(calls);
    now += latency;
    if (isWarm(latency, now)) return calls;
  }
}

test.each([
  ["whose median stands still from the first is warm after four thousand calls", () => 1, 4000],
  ["that stands still later is warm later", (call: number) => Math.max(1, 2 - call / 5000), 9000],
  [
    "that becomes faster and faster is warm after 12,000 calls",
    (call: number) => 2 ** (-call / 3e4),
    12_000,
  ],
  ["of slow calls is warm when the time is over", (call: number) => 200 - call, 101],
  ["of slow calls that stand still is warm after eight seconds", () => 100, 80],
])("bench: a way %s", (_, latencyOf, calls) => {
  expect(callsUntilWarm(15_000, latencyOf)).toBe(calls);
});

test("bench: a call that is slow once does not warm a way up longer", () => {
  expect(callsUntilWarm(15_000, (call) => call % 100 ? 1 : 50)).toBe(4000);
});

test("bench: a target is a ratio within the rounds, and the rows in which a peer is ahead are named", () => {
  const read = (name: string, label: string, ...ways: WayResult[]): Result => {
    return { name, label, section: "Streams read", delayed: false, ways };
  };
  const found = targets([
    // The medians are the same; in each round but one the peer is slower.
    read(
      "stream reads 10",
      "of 10",
      wayResult("readStream()", "@messagedb/client", [100, 200, 300]),
      wayResult("postgres.js", "postgres.js", [50, 400, 200]),
      wayResult("pg", "pg", [10, 10, null]),
    ),
    read(
      "stream reads 100",
      "of 100",
      wayResult("readStream()", "@messagedb/client", [100, 100, 100]),
      wayResult("iterateStream()", "iterate", [90, 90, 90]),
      wayResult("pg", "pg", [101, 101, 99]),
    ),
    read(
      "not in any target",
      "of 1,000",
      wayResult("iterateStream()", "iterate", [100, 100, 100]),
      wayResult("readStream()", "@messagedb/client", [50, 50, 50]),
      wayResult("Emmett", "Emmett", [60, 60, 60]),
      wayResult("psql, COPY", "psql", [900, 900, 900]),
    ),
  ]);
  expect(found).toEqual([
    {
      target: "readStream(), Streams read, of 10: at least 1.1 times the best peer",
      result: "1.5, 0.5-2 of postgres.js",
      reached: true,
    },
    {
      target: "readStream(), Streams read, of 100: at least 1.1 times the best peer",
      result: "0.99, 0.99-1.01 of pg",
      reached: false,
    },
    {
      target: "readStream(), Streams read, of 100: no peer is ahead",
      result: "0.99, 0.99-1.01 of pg",
      reached: false,
    },
    { target: "no row in which a peer is ahead", result: "1 of 3 rows", reached: false },
  ]);
});

/** A way that was measured at these rates, and compared with a way of 100. */
function wayResult(title: string, peer: Peer, rates: readonly (number | null)[]): WayResult {
  const measured = rates.filter((rate) => rate !== null);
  const spread = { median: measured[Math.floor(measured.length / 2)]! / 100, low: 0, high: 0 };
  return {
    title,
    peer,
    rates,
    rounds: measured.length,
    messages: 1,
    ratio: spread,
    rate: spread,
    latency: { p50: 1, p99: 1 },
    cpu: null,
    memory: null,
  };
}

function runBench(name: string, ...args: string[]): Promise<string> {
  return runBenchOn(db.url, name, ...args);
}

async function runBenchOn(url: string, name: string, ...args: string[]): Promise<string> {
  const command = [`bench/${name}.ts`, ...args];
  const { stdout } = await promisify(execFile)(pathOf("node_modules/.bin/tsx"), command, {
    cwd: pathOf("."),
    env: { ...process.env, DATABASE_URL: url },
  });
  return stdout;
}
