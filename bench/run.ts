/**
 * `npm run bench`: this client against others, and against what does nothing else.
 *
 * It starts the embedded server, or takes the database of `DATABASE_URL`, as a superuser, and leaves some
 * million messages in it, in categories whose names begin with `bench`, and Emmett's tables. `MESSAGE_DB_PY`
 * is a folder with the source of message-db-py. `--only "write 64"` takes the workloads whose name holds
 * that, `--rounds` and `--duration` (ms) say how much is measured, `--messages` how many are read, `--quick`
 * measures next to nothing, and `--json` prints all there is. What was measured whole goes into docs/benchmarks.md
 * and its chart, with what the kilobytes of a bundle are for; `--chart` puts it there in any case.
 */
import { startEmbedded } from "@messagedb/client/embedded";
import { install } from "@messagedb/client/install";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { isInstalled } from "../test/_is_installed.ts";
import { type Bench, CONNECTIONS, measure, type Result } from "./_measure.ts";
import { findPeers } from "./_peers.ts";
import { end, startProgram } from "./_processes.ts";
import { markdown, type Report, tables } from "./_report.ts";
import { targetLines, targets } from "./_targets.ts";
import { OPERATIONS, type Workload, workloads } from "./_workloads.ts";
import { bundle, sizeMarkdown } from "./size.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [""] },
    rounds: { type: "string" },
    duration: { type: "string" },
    messages: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    chart: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const duration = Number(values.duration ?? (values.quick ? 10 : 200));
const messages = Number(values.messages ?? (values.quick ? 2000 : 100_000));
const warmUp = values.quick ? 100 : 15_000;
const isWhole = values.only.includes("") && !values.quick;

installPackages();

const given = process.env["DATABASE_URL"];
// With a folder of its own the embedded server waits for the disk at each commit, as yours does.
const dataDir = await mkdtemp(join(tmpdir(), "messagedb-bench-"));
const embedded = given ? undefined : await startEmbedded({ dataDir });
const url = given ?? embedded!.url;
const sql = postgres(url, { onnotice: () => {} });
const proxy = await startProxy();
const start = performance.now();
try {
  await install(sql);
  if (embedded) await shortenHandshakes();
  const peers = findPeers();
  const machine = await describeMachine();
  const added = await addedRoundTrip();
  const notes = [
    `Each round trip 1 ms longer, by a proxy: measured, ${added.toFixed(2)} ms.`,
    `A connection for each call in flight, ${CONNECTIONS} at most; beyond, clients queue, but for pgbench and ` +
    "message-db-py, of which a caller has a connection to itself: of these there are no more.",
    ...peers.missing.map((peer) => `Skipped: ${peer}`),
  ];
  const extent = isWhole ? ["It takes about half an hour on two cores."] : [];
  say([machine, ...notes, ...extent].join("\n"));

  const bench: Bench = { sql, peers, rounds, duration, warmUp };
  const near = { url, delayed: false };
  const far = { url: proxy.url, delayed: true };
  const all = workloads(messages);
  const isWanted = (name: string) => values.only.some((part) => name.includes(part));
  const routesOf = ({ name }: Workload) => [
    ...isWanted(name) ? [near] : [],
    ...isWanted(`${name}, 1 ms`) ? [far] : [],
  ];
  const results: Result[] = [];
  for (const operation of OPERATIONS) {
    const wanted = all.filter((it) => it.operation === operation && routesOf(it).length > 0);
    results.push(...await measure(bench, wanted, routesOf));
  }
  if (results.length === 0) {
    const names = all.map(({ name }) => `"${name}"`).join(", ");
    throw new Error(
      `No workload has a name with ${
        values.only.join(" or ")
      } in it: there are ${names}, and each ` +
        'with ", 1 ms" behind it',
    );
  }

  const minutes = (performance.now() - start) / 60_000;
  const found = targets(results);
  const date = new Date().toISOString().slice(0, 10);
  const report: Report = {
    date,
    machine,
    notes,
    rounds,
    duration,
    messages,
    targets: found,
    results,
  };
  if (values.json) console.log(JSON.stringify(report, null, 2));
  say(`
${tables(results)}

Medians of ${rounds} rounds, fewer for what takes long, in which the ways take turns. A ratio is the median of those
to the first way in the same round, and not one of medians; behind it is the middle half. CPU is the client's for
1,000 messages; memory the most that its process had in a round, which has done the rows before. It took ${
    minutes.toFixed(1)
  } min.

${targetLines(found)}`);
  if (isWhole || values.chart) await publish(report);
} finally {
  await end(proxy.child);
  await sql.end();
  await embedded?.stop();
  await rm(dataDir, { recursive: true });
}

function say(text: string): void {
  if (!values.json) console.log(text);
}

/** What only this needs is not with the packages of the repository. */
function installPackages(): void {
  if (isInstalled(pathOf("."))) return;
  const args = ["ci", "--prefix", pathOf("."), "--loglevel", "error", "--no-audit", "--no-fund"];
  const { status } = spawnSync("npm", args, { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new Error("The packages in bench/package.json could not be installed");
}

/** Connecting is not measured, and done often. */
async function shortenHandshakes(): Promise<void> {
  await sql.unsafe(`
    set scram_iterations = 1;
    alter role postgres password '${decodeURIComponent(new URL(url).password)}'`);
}

async function startProxy() {
  const { hostname, port } = new URL(url);
  const child = startProgram("_proxy.ts", hostname, port || "5432", "1");
  for await (const line of createInterface({ input: child.stdout! })) {
    const proxied = new URL(url);
    proxied.host = `127.0.0.1:${line}`;
    return { child, url: proxied.href };
  }
  throw new Error("The proxy ended before it listened");
}

/** How much longer a round trip is, in milliseconds. */
async function addedRoundTrip(): Promise<number> {
  const medians: number[] = [];
  for (const address of [url, proxy.url]) {
    const one = postgres(address, { max: 1 });
    const times: number[] = [];
    for (let at = 0; at < 300; at++) {
      const begun = performance.now();
      await one`select 1`;
      times.push(performance.now() - begun);
    }
    await one.end();
    medians.push(times.sort((a, b) => a - b)[150]!);
  }
  return medians[1]! - medians[0]!;
}

async function describeMachine(): Promise<string> {
  const [row] = await sql`
    select current_setting('server_version') as version, current_setting('fsync') as fsync`;
  const [cpu] = cpus();
  return `${cpu!.model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB, ` +
    `Node ${process.versions.node}, PostgreSQL ${row!["version"]} ` +
    `${embedded ? "(embedded) on the same machine" : "at DATABASE_URL"}, fsync ${row!["fsync"]}, ` +
    `load average ${loadavg()[0]!.toFixed(1)} before`;
}

async function publish(report: Report): Promise<void> {
  await writeFile(pathOf("results.json"), `${JSON.stringify(report, null, 2)}\n`);
  // Its package may only be installed by now.
  const { chart } = await import("./_chart.ts");
  await writeFile(pathOf("results.svg"), chart(report));
  const page = pathOf("../docs/benchmarks.md");
  const sizes = sizeMarkdown(await bundle("*"));
  const text = await readFile(page, "utf8");
  await writeFile(
    page,
    text.replace(partMadeBy("npm run bench"), () => markdown(report))
      .replace(partMadeBy("npm run size"), () => sizes),
  );
}

/** What is between two marks on a page. */
function partMadeBy(command: string): RegExp {
  return new RegExp(`(?<=<!-- ${command} -->\n)[^]*(?=<!-- /${command} -->)`);
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
