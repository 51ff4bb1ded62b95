import process from "node:process";

/** Something to measure. */
export interface MeasuredWay {
  /** How many calls are under way at any time. */
  readonly atOnce: number;
  /** How many messages a call writes or reads. */
  readonly messages: number;
  /** Makes a call, for one of those that are under way: a number from 0. */
  readonly call: (worker: number) => Promise<unknown>;
}

/** What was measured of a way. */
export interface Measured {
  /** Messages a second; for a way without messages, calls a second. */
  readonly perSecond: number;
  /** The time that half of the calls took at most, in milliseconds. */
  readonly p50: number;
  /** The time that 99 of 100 calls took at most, in milliseconds. */
  readonly p99: number;
  /** How long this program's CPU was busy, as a share of the time: 1 is one core. */
  readonly cpu: number;
}

interface Taken {
  latencies: number[];
  milliseconds: number;
  busy: number;
}

/** How long each way is measured. */
interface MeasureOptions {
  readonly milliseconds: number;
  readonly signal: AbortSignal;
  /** Is told before each turn which way has it, and which share of all turns is done. */
  readonly onTurn: (way: number, done: number) => void;
}

const ROUNDS = 4;

/** Measures ways in turns, so that whatever else the machine does meets all of them. A first round warms up. */
export async function measureWays(
  ways: readonly MeasuredWay[],
  { milliseconds, signal, onTurn }: MeasureOptions,
): Promise<Measured[]> {
  const all = ways.map((): Taken => ({ latencies: [], milliseconds: 0, busy: 0 }));
  for (let round = 0; round <= ROUNDS; round++) {
    for (let turn = 0; turn < ways.length; turn++) {
      const at = (turn + round) % ways.length;
      onTurn(at, (round * ways.length + turn) / ((ROUNDS + 1) * ways.length));
      const taken = await measureFor(ways[at]!, milliseconds / ROUNDS, signal);
      if (round === 0) continue;
      const sum = all[at]!;
      sum.latencies = sum.latencies.concat(taken.latencies);
      sum.milliseconds += taken.milliseconds;
      sum.busy += taken.busy;
    }
  }
  return all.map((taken, at) => summarize(taken, ways[at]!));
}

async function measureFor(
  { atOnce, call }: MeasuredWay,
  milliseconds: number,
  signal: AbortSignal,
): Promise<Taken> {
  const latencies: number[] = [];
  const before = process.cpuUsage();
  const start = performance.now();
  const work = async (worker: number): Promise<void> => {
    do {
      signal.throwIfAborted();
      const began = performance.now();
      await call(worker);
      latencies.push(performance.now() - began);
    } while (performance.now() - start < milliseconds);
  };
  await Promise.all(Array.from({ length: atOnce }, (_, worker) => work(worker)));
  const { user, system } = process.cpuUsage(before);
  return { latencies, milliseconds: performance.now() - start, busy: (user + system) / 1000 };
}

function summarize(
  { latencies, milliseconds, busy }: Taken,
  { messages }: MeasuredWay,
): Measured {
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number): number => round(sorted[Math.ceil(share * sorted.length) - 1]!, 3);
  return {
    perSecond: round(sorted.length * messages / milliseconds * 1000, 1),
    p50: at(0.5),
    p99: at(0.99),
    cpu: round(busy / milliseconds, 2),
  };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
