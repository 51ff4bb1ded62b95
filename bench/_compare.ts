import { performance } from "node:perf_hooks";

/** The same work, done in ways that are compared. */
export interface Task {
  readonly title: string;
  /** How many calls are under way at any time. */
  readonly concurrency: number;
  /** One call by each way. The first way is what the others are compared with. */
  readonly ways: readonly ((worker: number) => Promise<unknown>)[];
}

/** How much is measured. */
export interface Extent {
  /** How often each way is measured. */
  readonly rounds: number;
  /** Milliseconds that a measurement of the first way is to take, about. */
  readonly duration: number;
  /** Calls in one measurement, at most. */
  readonly count: number;
}

/** What the rounds came to, the middle half of them. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface Comparison {
  readonly task: Task;
  /** Calls in one measurement. */
  readonly count: number;
  /** Calls a second, by each way. */
  readonly rates: readonly Spread[];
  /** How fast each way was, as a share of the first way's rate in the same round. */
  readonly ratios: readonly Spread[];
}

/**
 * Measures each way in turn, in every round, so that whatever else the machine does meets all of them.
 *
 * The ways take turns in being first.
 */
export async function compare(task: Task, extent: Extent): Promise<Comparison> {
  const { concurrency, ways } = task;
  const rate = await measure(
    ways[0]!,
    Math.min(extent.count, 20 * concurrency),
    concurrency,
  );
  const wanted = Math.round(rate * extent.duration / 1000);
  const count = Math.min(Math.max(wanted, concurrency), extent.count);

  const rounds: number[][] = [];
  for (let round = 0; round < extent.rounds; round++) {
    const rates: number[] = [];
    for (let turn = 0; turn < ways.length; turn++) {
      const at = (turn + round) % ways.length;
      rates[at] = await measure(ways[at]!, count, concurrency);
    }
    rounds.push(rates);
  }
  return {
    task,
    count,
    rates: ways.map((_, at) => spreadOf(rounds.map((rates) => rates[at]!))),
    ratios: ways.map((_, at) => spreadOf(rounds.map((rates) => rates[at]! / rates[0]!))),
  };
}

/**
 * Does all of it for a while, unmeasured: what runs first is twice as slow, until it is compiled.
 */
export async function warmUp(tasks: readonly Task[], extent: Extent): Promise<void> {
  for (const { ways, concurrency } of tasks) {
    for (const way of ways) {
      const end = performance.now() + 5 * extent.duration;
      for (let calls = 0; calls < extent.count && performance.now() < end; calls += concurrency) {
        await measure(way, concurrency, concurrency);
      }
    }
  }
}

/** Calls a second. */
async function measure(
  way: Task["ways"][0],
  count: number,
  concurrency: number,
): Promise<number> {
  let begun = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async (_, worker) => {
      while (begun < count) {
        begun++;
        await way(worker);
      }
    }),
  );
  return count / (performance.now() - start) * 1000;
}

/** The median, and the quartiles around it: of three values, all. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const last = sorted.length - 1;
  return {
    median: sorted[Math.round(last / 2)]!,
    low: sorted[Math.floor(last / 4)]!,
    high: sorted[Math.ceil(last * 3 / 4)]!,
  };
}

/** Lines of text in which the columns stand under each other, all but the first to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  const pad = (cell: string, at: number) =>
    at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!);
  return rows.map((row) => row.map(pad).join("   ").trimEnd()).join("\n");
}

/** Three digits, as far as there are that many to be told. */
export function number(value: number): string {
  return value.toLocaleString("en", {
    maximumSignificantDigits: value < 1000 ? 3 : 4,
  });
}
