import { number, type Spread, table } from "./_compare.ts";
import type { Result, WayResult } from "./_measure.ts";
import { type Peer, SECTIONS } from "./_workloads.ts";

/** What is asked of this client, and what came of it. */
export interface Target {
  readonly target: string;
  readonly result: string;
  readonly reached: boolean;
}

/** All that came of a run. */
export interface Report {
  readonly date: string;
  readonly machine: string;
  readonly notes: readonly string[];
  readonly rounds: number;
  readonly duration: number;
  readonly messages: number;
  readonly targets: readonly Target[];
  readonly results: readonly Result[];
}

/** A table for each section and route. */
export function tables(results: readonly Result[]): string {
  const blocks: string[] = [];
  for (const section of SECTIONS) {
    for (const delayed of [false, true]) {
      const all = results.filter((it) => it.section === section && it.delayed === delayed);
      if (all.length) blocks.push(`${section}${delayed ? ", 1 ms away" : ""}\n\n${tableOf(all)}`);
    }
  }
  return blocks.join("\n\n");
}

function tableOf(results: readonly Result[]): string {
  const head = ["", "", "ratio", "messages/s", "p50, ms", "p99, ms", "CPU, ms/1,000", "peak, MB"];
  const rows = results.flatMap(({ label, ways }) =>
    ways.map((way, at) => [
      way.title,
      label,
      at === 0 ? "1" : spread(way.ratio),
      number(way.rate.median),
      number(way.latency.p50),
      number(way.latency.p99),
      way.cpu === null ? "" : number(way.cpu),
      way.memory === null ? "" : number(way.memory / 1e6),
    ])
  );
  return table([head, ...rows]);
}

function spread({ median, low, high }: Spread): string {
  return `${number(median)} (${number(low)}-${number(high)})`;
}

/** An address of its own, because npm shows the page without the repository. */
const CHART =
  "https://raw.githubusercontent.com/messagedb-client/messagedb-client/main/bench/results.svg";

/** The part of docs/benchmarks.md that is made of a run. */
export function markdown({ date, machine, rounds, targets, results }: Report): string {
  const near = results.filter(({ delayed }) => !delayed);
  const far = results.filter(({ delayed }) => delayed);
  return `<!-- deno-fmt-ignore-start -->

![Ratios of messages a second, by client and workload](${CHART})

On ${date}, ${rounds} rounds: ${machine}.

${markdownTable(near)}

<details><summary>The same, with each round trip a millisecond longer</summary>

${markdownTable(far)}

</details>

What it is to be, and is:

${targets.map((it) => `- ${lineOf(it)}`).join("\n")}

<!-- deno-fmt-ignore-end -->
`;
}

/** A line a workload, a column a client. */
function markdownTable(results: readonly Result[]): string {
  const peers = columns(results);
  const head = ["", "1 is", ...peers.map((peer) => NAMES[peer])];
  const rows: string[][] = [];
  for (const section of SECTIONS) {
    const all = results.filter((it) => it.section === section);
    if (all.length) rows.push([`**${section}**`, "", ...peers.map(() => "")]);
    for (const { label, ways } of all) {
      const base = ways[0]!;
      const cells = peers.map((peer) => {
        const way = ways.find((way) => way.peer === peer);
        return way ? number(way.ratio.median) : "";
      });
      rows.push([label, `${base.title}, ${number(base.rate.median)}/s`, ...cells]);
    }
  }
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, at) => at < 2 ? "---" : "--:")), ...rows.map(line)]
    .join("\n");
}

const NAMES: Readonly<Record<Peer, string>> = {
  "@messagedb/client": "@messagedb/client",
  groupCommit: "its `groupCommit`",
  importMessages: "its `importMessages`",
  iterate: "its `iterate…`",
  "postgres.js": "postgres.js",
  pg: "pg",
  Emmett: "Emmett",
  "message-db-py": "message-db-py",
  pgbench: "pgbench",
  psql: "psql",
};

function columns(results: readonly Result[]): Peer[] {
  const found = new Set(results.flatMap(({ ways }) => ways.map(({ peer }) => peer)));
  return (Object.keys(NAMES) as Peer[])
    .filter((peer) => found.has(peer) && peer !== "pgbench" && peer !== "psql");
}

/** What was promised, as far as it was measured. */
export function targets(results: readonly Result[]): Target[] {
  const found: Target[] = [];
  const near = (name: string) => results.find((it) => it.name === name && !it.delayed);
  const compare = (
    name: string,
    one: string,
    other: string,
    text: string,
    ratio: (one: WayResult, other: WayResult) => number,
    reaches: (ratio: number) => boolean,
  ): void => {
    const ways = near(name)?.ways ?? [];
    const [a, b] = [one, other].map((title) => ways.find((way) => way.title === title));
    if (!a || !b) return;
    const result = ratio(a, b);
    found.push({ target: text, result: number(result), reached: reaches(result) });
  };
  const rate = (a: WayResult, b: WayResult) => a.ratio.median / b.ratio.median;
  const atLeast = (least: number) => (ratio: number) => ratio >= least;

  compare(
    "write 64",
    "groupCommit()",
    "pgbench",
    "groupCommit() at 64 in flight: 8 times pgbench's writes a second",
    rate,
    atLeast(8),
  );
  compare(
    "write 64",
    "groupCommit()",
    "pgbench",
    "groupCommit() at 64 in flight: its p99 at most pgbench's median",
    (a, b) => a.latency.p99 / b.latency.p50,
    (ratio) => ratio <= 1,
  );
  compare(
    "write 1",
    "groupCommit()",
    "postgres.js",
    "groupCommit() at 1 in flight: 0.85 of postgres.js calling write_message",
    rate,
    atLeast(0.85),
  );
  compare(
    "batch 1000",
    "writeBatch()",
    "message-db-py",
    "writeBatch() of 1,000: 10 times message-db-py",
    rate,
    atLeast(10),
  );
  compare(
    "batch 1000",
    "writeBatch()",
    "Emmett",
    "writeBatch() of 1,000: 1.3 times Emmett",
    rate,
    atLeast(1.3),
  );
  const batches = [100, 1000, 10_000].flatMap((size) =>
    near(`batch ${size}`)?.ways.find(({ title }) => title === "writeBatch()")?.rate.median ?? []
  );
  if (batches.length === 3) {
    const flatness = Math.max(...batches) / Math.min(...batches);
    found.push({
      target: "writeBatch(): the same cost a message from 100 to 10,000, within 1.5",
      result: number(flatness),
      reached: flatness <= 1.5,
    });
  }
  compare(
    "category reads 1000",
    "readCategory()",
    "psql, COPY",
    "readCategory() of 1,000 a page: 0.75 of COPY's messages a second",
    rate,
    atLeast(0.75),
  );
  for (const name of ["category reads 100", "category reads 1000", "category reads 10000"]) {
    const { label, ways } = near(name) ?? { label: "", ways: [] };
    const own = ways.find(({ title }) => title === "readCategory()");
    const best = ways.filter(({ peer }) => ["postgres.js", "pg", "message-db-py"].includes(peer))
      .reduce<WayResult | undefined>(
        (best, way) => best && rate(best, way) >= 1 ? best : way,
        undefined,
      );
    if (!own || !best) continue;
    const ratio = rate(own, best);
    found.push({
      target: `readCategory(), ${label}: ahead of every peer`,
      result: `${number(ratio)} of ${best.title}`,
      reached: ratio > 1,
    });
  }
  return found;
}

export function targetLines(found: readonly Target[]): string {
  return found.map(lineOf).join("\n");
}

function lineOf({ target, result, reached }: Target): string {
  return `${reached ? "Reached" : "Fell short"}: ${target} (${result})`;
}
