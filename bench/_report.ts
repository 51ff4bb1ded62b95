import { number, type Spread, table } from "./_compare.ts";
import type { Result } from "./_measure.ts";
import { lineOf, type Target } from "./_targets.ts";
import { type Peer, type Section, SECTIONS } from "./_workloads.ts";

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

${markdownTables(near)}

<details><summary>The same, with each round trip a millisecond longer</summary>

${markdownTables(far)}

</details>

What it is to be, and is:

${targets.map((it) => `- ${lineOf(it)}`).join("\n")}

<!-- deno-fmt-ignore-end -->
`;
}

/** A table a section. */
function markdownTables(results: readonly Result[]): string {
  return SECTIONS.flatMap((section) => {
    const its = results.filter((it) => it.section === section);
    return its.length ? markdownTable(section, its) : [];
  }).join("\n\n");
}

/** A line a workload, a column a client. */
function markdownTable(section: Section, results: readonly Result[]): string {
  const peers = columns(results);
  const rows = results.map(({ label, ways }) => {
    const base = ways[0]!;
    const cells = peers.map((peer) => {
      const way = ways.find((way) => way.peer === peer);
      return way ? number(way.ratio.median) : "";
    });
    return [label, `${base.title}, ${number(base.rate.median)}/s`, ...cells];
  });
  const head = [section, "1 is", ...peers.map((peer) => NAMES[peer])];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, at) => at < 2 ? "---" : "--:")), ...rows.map(line)]
    .join("\n");
}

const NAMES: Readonly<Record<Peer, string>> = {
  "@messagedb/client": "@messagedb/client",
  groupCommit: "its `groupCommit`",
  importMessages: "its `importMessages`",
  iterate: "its `iterate…`",
  subscribe: "its `subscribe`",
  drain: "its `drain`",
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
