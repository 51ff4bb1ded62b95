import { useEffect, useRef, useState } from "preact/hooks";
import type { ConsumerArguments } from "../../_api.ts";
import type { CallAnswer } from "./call.ts";
import { numberText } from "./format.ts";
import { type Called, useCall } from "./use_call.ts";

export type ConsumerRow = CallAnswer<"consumers">["consumers"][number];

/** How far behind consumers were, by what tells their positions apart: since the page is open. */
export interface LagHistory {
  readonly times: readonly number[];
  /** In messages; NaN where more wait than were counted. */
  readonly counts: ReadonlyMap<string, readonly number[]>;
  /** In global positions up to the last message, those of other messages among them. */
  readonly distances: ReadonlyMap<string, readonly number[]>;
}

const INTERVAL = 5000;
const MOST_POINTS = 720;
/** Of all consumers together: of 100,000 consumers, each has a short history. */
const MOST_VALUES = 1_000_000;
/** It outlives the views: one looks at one consumer, and at the list again. */
const history = {
  times: [] as number[],
  counts: new Map<string, number[]>(),
  distances: new Map<string, number[]>(),
};

export function useConsumers(): Called<CallAnswer<"consumers">> & { readonly lags: LagHistory } {
  const called = useCall("consumers", {}, INTERVAL);
  const { answer } = called;
  const [lags, setLags] = useState<LagHistory>(history);
  const noted = useRef<unknown>(undefined);
  useEffect(() => {
    if (answer === undefined || noted.current === answer) return;
    noted.current = answer;
    note(answer);
    const { times, counts, distances } = history;
    setLags({ times: [...times], counts: new Map(counts), distances: new Map(distances) });
  }, [answer]);
  return { ...called, lags };
}

function note({ consumers, at }: CallAnswer<"consumers">): void {
  const time = Date.parse(at) / 1000;
  if (time === history.times.at(-1)) return;
  history.times.push(time);
  for (const consumer of consumers) {
    const { behind, isBehindMore, position, head } = consumer;
    const key = keyOfConsumer(consumer);
    addLast(history.counts, key, isBehindMore ? NaN : behind);
    // A member that has nothing to do is not behind: the last message is another member's.
    addLast(history.distances, key, mayWait(consumer) ? Math.max(head - position, 0) : 0);
  }
  const most = Math.min(MOST_POINTS, Math.max(12, Math.floor(MOST_VALUES / consumers.length)));
  if (history.times.length <= most) return;
  history.times = history.times.slice(-most);
  for (const lines of [history.counts, history.distances]) {
    for (const [key, values] of lines) lines.set(key, values.slice(-most));
  }
}

function addLast(lines: Map<string, number[]>, key: string, value: number): void {
  const values = lines.get(key) ?? [];
  const before = values.at(-1) ?? value;
  const missed = Array<number>(history.times.length - 1 - values.length).fill(before);
  lines.set(key, [...values, ...missed, value]);
}

/** How far behind consumers were together, in messages or, if those were too many to be counted, in positions. */
export interface LagLine {
  readonly values: readonly number[];
  readonly isOfPositions: boolean;
}

export function lagOf(
  { times, counts, distances }: LagHistory,
  rows: readonly ConsumerRow[],
): LagLine {
  const linesOf = (lines: LagHistory["counts"]) =>
    rows.map((row) => lines.get(keyOfConsumer(row)) ?? []);
  const together = (lines: readonly (readonly number[])[], join: (...all: number[]) => number) =>
    times.map((_, at) => join(...lines.map((line) => line[at] ?? 0)));
  const counted = linesOf(counts);
  const isOfPositions = counted.some((line) => line.some(Number.isNaN));
  // The members of a group have the positions before them in common, and each has messages of its own.
  const values = isOfPositions
    ? together(linesOf(distances), Math.max)
    : together(counted, (...all) => all.reduce((sum, it) => sum + it, 0));
  return { values, isOfPositions };
}

/** What tells a position from all others: of `"$all"`, each partition has a stream of the same name. */
export function keyOfConsumer({ partition, streamName }: ConsumerRow): string {
  return `${streamName} ${partition ?? ""}`;
}

/** How a consumer is; `"not held"` is `"busy"` without a process that holds the position. */
export type ShownHealth = ConsumerRow["health"] | "not held";

/** The states of consumers, trouble first. */
export const SHOWN_HEALTHS: readonly ShownHealth[] = [
  "stuck",
  "stopped",
  "not held",
  "busy",
  "idle",
  "replaced",
];

/** A process that has just ended is not waited for: its consumer is not "busy" till the minute is over. */
export function healthOf({ health, owner, consumerId }: ConsumerRow): ShownHealth {
  return health === "busy" && owner === null && consumerId !== null ? "not held" : health;
}

/** Trouble first. */
export function byHealth(a: ConsumerRow, b: ConsumerRow): number {
  return SHOWN_HEALTHS.indexOf(healthOf(a)) - SHOWN_HEALTHS.indexOf(healthOf(b)) ||
    Number(mayHaveParked(b)) - Number(mayHaveParked(a)) ||
    (keyOfConsumer(a) < keyOfConsumer(b) ? -1 : 1);
}

export function sourceOf({ category, aggregate }: ConsumerRow): string {
  return category ?? aggregate ?? "";
}

/** Whether both are positions of one consumer: members of its group, or sizes that it had. */
export function isSameConsumer(a: ConsumerRow, b: ConsumerRow): boolean {
  return a.consumerId === b.consumerId && sourceOf(a) === sourceOf(b) &&
    a.partition === b.partition &&
    (a.aggregate === undefined) === (b.aggregate === undefined);
}

/** The consumer's names and its partition, as the operations take them. */
export function identityOf(
  { category, aggregate, consumerId, partition }: ConsumerRow,
): ConsumerArguments {
  return {
    consumer: {
      ...(category === undefined ? {} : { category }),
      ...(aggregate === undefined ? {} : { aggregate }),
      consumerId: consumerId ?? "",
    },
    ...(partition === undefined ? {} : { partition }),
  };
}

/** With the member of its group. */
export function memberIdentity(row: ConsumerRow): ConsumerArguments {
  const { consumerGroup } = row;
  const { consumer, ...place } = identityOf(row);
  return { consumer: { ...consumer, ...(consumerGroup && { consumerGroup }) }, ...place };
}

export function mayWait({ behind, isBehindMore }: ConsumerRow): boolean {
  return behind > 0 || isBehindMore;
}

export function mayHaveParked({ parked, isParkedMore }: ConsumerRow): boolean {
  return parked > 0 || isParkedMore;
}

export function behindCount({ behind, isBehindMore }: ConsumerRow): string {
  return leastText(behind, isBehindMore);
}

export function parkedText({ parked, isParkedMore }: ConsumerRow): string {
  return leastText(parked, isParkedMore);
}

/** "1,000", and "1,000+" for that or more. */
export function leastText(count: number, isMore: boolean): string {
  return `${numberText(count)}${isMore ? "+" : ""}`;
}

/** "1 message behind", "1,000+ messages behind" */
export function behindQuantity(count: number, isMore: boolean): string {
  return `${leastText(count, isMore)} ${count === 1 && !isMore ? "message" : "messages"} behind`;
}
