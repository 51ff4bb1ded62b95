import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import { wholeNumber } from "../terminal/arguments.ts";
import { confirm, type ConfirmOptions } from "../terminal/confirm.ts";
import { badUse } from "../terminal/exit_code.ts";
import { type Measured, measureWays } from "../terminal/measure.ts";
import type { Output } from "../terminal/output.ts";
import { askStore, type Context, firstAnswer, withOutput } from "../terminal/run.ts";
import { openOneDatabase, placesIn } from "../terminal/store.ts";
import { barText, countText, spanText } from "../terminal/text.ts";
import { type BenchName, type BenchSetting, type BenchWay, makeWays } from "./bench_ways.ts";

interface BenchCommandOptions extends ConfirmOptions {
  readonly seconds: number;
  readonly writers: number;
}

/** What was measured of each way. */
type Results = Readonly<Record<BenchName, Measured>>;

interface BenchRow extends BenchWay, Measured {
  /** How many times as much as its base; undefined if it has none. */
  readonly ratio: number | undefined;
}

export function defineBench(program: Command): void {
  program.command("bench")
    .description("Measure writes, batches and reads at a server, and say what holds writes back")
    .option("--seconds <seconds>", "how long each of nine ways is measured", positiveNumber, 3)
    .option("--writers <count>", "how many write at once", wholeNumber(2), 16)
    .option("--yes", "do not ask: the messages stay in the store")
    .action(withOutput(async (context, options: BenchCommandOptions) => {
      if (placesIn(context.options)[0] !== undefined) {
        throw badUse(
          "The bench writes to categories of its own, which no partition may have all of: " +
            "give the --url of one database to try things with",
        );
      }
      const one = await openOneDatabase(context.options, { max: 1 });
      const many = await openOneDatabase(context.options, { max: options.writers });
      try {
        await firstAnswer(askStore(one), context);
        await measureAt({ one: one.sql, many: many.sql }, context, options);
      } finally {
        await Promise.all([one.end(), many.end()]);
      }
    }));
}

async function measureAt(
  handles: Pick<BenchSetting, "one" | "many">,
  context: Context,
  options: BenchCommandOptions,
): Promise<void> {
  const { output, signal, address, options: { schema = "message_store" } } = context;
  const { seconds, writers, yes } = options;
  const category = `messagedbBench${crypto.randomUUID().slice(0, 8)}`;
  const what = `The bench takes ${spanText(seconds * 9 * 1250)}, and writes to categories whose ` +
    `names begin with "${category}", at ${address}. These messages stay in the store, and ` +
    "readers of $all get them.";
  if (!yes && !process.stdin.isTTY) {
    throw badUse(`${what} Give --yes, or the --url of a database to try things with`);
  }
  await confirm(`${what} Go on?`, options, context);
  try {
    const ways = await makeWays({ ...handles, writers, category });
    const measured = await measureWays(ways, {
      milliseconds: seconds * 1000,
      signal,
      onTurn: (way, done) => output.progress(`${Math.round(done * 100)} %: ${ways[way]!.title}`),
    });
    await printReport(output, ways, measured, { seconds, writers, address, category });
  } finally {
    output.note(
      "To delete the messages of the bench, as their owner: delete from " +
        `${schema}.messages where ${schema}.category(stream_name) like '${category}%'`,
    );
  }
}

function positiveNumber(value: string): number {
  const number = Number(value);
  if (!/^\d+(\.\d+)?$/.test(value) || number <= 0) {
    throw new InvalidArgumentError("Give a number above 0.");
  }
  return number;
}

async function printReport(
  output: Output,
  ways: readonly BenchWay[],
  measured: readonly Measured[],
  { address, category, seconds, writers }:
    & Pick<BenchCommandOptions, "seconds" | "writers">
    & { readonly address: string; readonly category: string },
): Promise<void> {
  const results = Object.fromEntries(ways.map(({ name }, at) => [name, measured[at]])) as Results;
  const rows = ways.map((way, at): BenchRow => {
    const { perSecond } = measured[at]!;
    const ratio = way.base && Number((perSecond / results[way.base].perSecond).toFixed(2));
    return { ...way, ...measured[at]!, ratio };
  });
  const findings = [alone(results), together(results, writers), cpuOf(rows)].filter(Boolean);
  if (output.isJson) {
    const shown = rows.map(({ call: _, title: __, ...row }) => row);
    return await output.json({ address, category, seconds, writers, ways: shown, findings });
  }
  await printRows(output, rows);
  await output.print();
  for (const finding of findings) await output.print(finding);
}

async function printRows(output: Output, rows: readonly BenchRow[]): Promise<void> {
  // A page of 1,000 messages would leave no bar to a single write.
  const mostOf = ({ atOnce, messages }: BenchRow) =>
    Math.max(
      ...rows.filter((it) => it.atOnce === atOnce && it.messages > 1 === messages > 1)
        .map(({ perSecond }) => perSecond),
    );
  const titles = new Map(rows.map(({ name, title }) => [name, title]));
  await output.table<BenchRow>([
    { title: "", of: ({ title }) => title },
    { title: "at once", of: ({ atOnce }) => countText(atOnce), isNumber: true },
    { title: "a second", of: (row) => countText(Math.round(row.perSecond)), isNumber: true },
    { title: "p50", of: ({ p50 }) => millisecondsText(p50), isNumber: true },
    { title: "p99", of: ({ p99 }) => millisecondsText(p99), isNumber: true },
    { title: "", of: (row) => output.colors.cyan(barText(row.perSecond, mostOf(row), 16)) },
    {
      title: "beside",
      of: ({ ratio, base }) => base ? `${ratioText(ratio!)} × ${titles.get(base)}` : "",
    },
  ], rows);
}

/** What one write waits for. */
function alone({ roundTrip, commit, write }: Results): string {
  // On a busy machine a bare commit can take longer than a write.
  const sent = Math.min(roundTrip.p50, write.p50);
  const committed = Math.max(sent, Math.min(commit.p50, write.p50));
  const parts = [
    {
      milliseconds: sent,
      what: "the round trip",
      cure: "bring the program nearer to the server, or send batches",
    },
    {
      milliseconds: committed - sent,
      what: "the commit to disk",
      cure: "let writes share a commit, with groupCommit or writeBatch",
    },
    {
      milliseconds: write.p50 - committed,
      what: "the work of Message DB and of this program",
      cure: "let writes share a statement, with groupCommit or writeBatch",
    },
  ];
  const [most] = parts.toSorted((a, b) => b.milliseconds - a.milliseconds);
  const [first, second, third] = parts.map(({ milliseconds, what }) =>
    `${what} ${millisecondsText(milliseconds)}`
  );
  return `A write alone takes ${millisecondsText(write.p50)}: ${first}, ${second}, and ${third}. ` +
    `Most of it is ${most!.what}. For more writes, ${most!.cure}.`;
}

/** What many writers wait for. */
function together(results: Results, writers: number): string {
  const { write, writesToOneCategory, writesToCategories, groupedWrites } = results;
  const times = ({ perSecond }: Measured) => ratioText(perSecond / write.perSecond);
  const isLocked = writesToCategories.perSecond > 1.3 * writesToOneCategory.perSecond;
  return `To one category, ${writers} writers write ${times(writesToOneCategory)} times as much ` +
    `as one writer; with groupCommit, ${times(groupedWrites)} times; and to a category each, ` +
    `${times(writesToCategories)} times. ` +
    (isLocked
      ? "The lock of the category holds them back: it lets one commit at a time."
      : "The lock of the category is not what holds them back.");
}

/** Which ways wait for this program. */
function cpuOf(rows: readonly BenchRow[]): string | undefined {
  const busy = rows.filter(({ cpu }) => cpu > 0.85).map(({ title }) => title);
  if (busy.length === 0) return undefined;
  return `The CPU of this program holds these back, so the server could do more: ${
    busy.join(", ")
  }.`;
}

function millisecondsText(milliseconds: number): string {
  return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
}

function ratioText(ratio: number): string {
  return ratio.toFixed(ratio < 10 ? 2 : 0);
}
