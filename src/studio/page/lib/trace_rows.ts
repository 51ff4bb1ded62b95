import type { CallAnswer } from "./call.ts";

export type TracedOne = CallAnswer<"trace">["messages"][number];

/** A message of a trace, in its place of the tree. */
export interface TraceRow {
  readonly message: TracedOne;
  /** How many causes it has in the trace. */
  readonly depth: number;
  /** Whether the message is the last effect of its cause. */
  readonly isLast: boolean;
  /** The row of its cause; -1 for none. */
  readonly cause: number;
  /** The row of its first effect; -1 for none. */
  readonly effect: number;
}

/** The messages in the order of the tree: each is followed by its effects, and theirs. */
export function traceRows(messages: readonly TracedOne[]): TraceRow[] {
  const effects = new Map<number | null, TracedOne[]>();
  for (const message of messages) {
    const siblings = effects.get(message.cause);
    if (siblings === undefined) effects.set(message.cause, [message]);
    else siblings.push(message);
  }
  const rows: TraceRow[] = [];
  const roots = effects.get(null) ?? [];
  const waiting = roots.toReversed().map((message) => ({
    message,
    depth: 0,
    cause: -1,
    isLast: message === roots.at(-1),
  }));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const row = rows.length;
    const own = effects.get(next.message.globalPosition) ?? [];
    rows.push({ ...next, effect: own.length > 0 ? row + 1 : -1 });
    for (const message of own.toReversed()) {
      const isLast = message === own.at(-1);
      waiting.push({ message, depth: next.depth + 1, cause: row, isLast });
    }
  }
  return rows;
}

/** The times of messages in milliseconds; of one whose time no Date can be, the least of the others. */
export function timesOf(messages: readonly { readonly time: string | null }[]): number[] {
  const times = messages.map(({ time }) => time === null ? NaN : Date.parse(time));
  const least = Math.min(...times.filter((time) => !isNaN(time)));
  return times.map((time) => isNaN(time) ? isFinite(least) ? least : 0 : time);
}

/** Where the messages are in time, from 0 to 1; by their order where all have one time. */
export function placesInTime(rows: readonly TraceRow[]): number[] {
  const times = timesOf(rows.map(({ message }) => message));
  const first = times.reduce((least, time) => Math.min(least, time), Infinity);
  const span = times.reduce((most, time) => Math.max(most, time), -Infinity) - first;
  return times.map((time) => span > 0 ? (time - first) / span : 0);
}
