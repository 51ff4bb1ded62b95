import { useEffect, useRef, useState } from "preact/hooks";
import type { ConsumerArguments } from "../../_api.ts";
import type { CallAnswer } from "./call.ts";
import { type Called, useCall } from "./use_call.ts";

export type ConsumerRow = CallAnswer<"consumers">["consumers"][number];

/** How far behind consumers were, by what tells their positions apart: since the page is open. */
export interface LagHistory {
  readonly times: readonly number[];
  readonly values: ReadonlyMap<string, readonly number[]>;
}

const INTERVAL = 5000;
const MOST_POINTS = 720;
/** Of all consumers together: of 100,000 consumers, each has a short history. */
const MOST_VALUES = 1_000_000;
/** It outlives the views: one looks at one consumer, and at the list again. */
const history = { times: [] as number[], values: new Map<string, number[]>() };

export function useConsumers(): Called<CallAnswer<"consumers">> & { readonly lags: LagHistory } {
  const called = useCall("consumers", {}, INTERVAL);
  const { answer } = called;
  const [lags, setLags] = useState<LagHistory>(history);
  const noted = useRef<unknown>(undefined);
  useEffect(() => {
    if (answer === undefined || noted.current === answer) return;
    noted.current = answer;
    note(answer);
    setLags({ times: [...history.times], values: new Map(history.values) });
  }, [answer]);
  return { ...called, lags };
}

function note({ consumers, at }: CallAnswer<"consumers">): void {
  const time = Date.parse(at) / 1000;
  if (time === history.times.at(-1)) return;
  history.times.push(time);
  const length = history.times.length;
  for (const consumer of consumers) {
    const { behind } = consumer;
    const key = keyOfConsumer(consumer);
    const values = history.values.get(key) ?? [];
    while (values.length < length - 1) values.push(values.at(-1) ?? behind);
    history.values.set(key, [...values, behind]);
  }
  const most = Math.min(MOST_POINTS, Math.max(12, Math.floor(MOST_VALUES / consumers.length)));
  if (length <= most) return;
  history.times.splice(0, length - most);
  for (const [key, values] of history.values) history.values.set(key, values.slice(-most));
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
    Number(b.parked > 0) - Number(a.parked > 0) ||
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

export function behindCount({ behind, isBehindMore }: ConsumerRow): string {
  return `${behind.toLocaleString("en")}${isBehindMore ? "+" : ""}`;
}

export function parkedText({ parked, isParkedMore }: ConsumerRow): string {
  return `${parked.toLocaleString("en")}${isParkedMore ? "+" : ""}`;
}
