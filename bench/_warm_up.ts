import { performance } from "node:perf_hooks";

/** V8 has compiled by then what it will. */
const CALLS = 12_000;
/** A slice is over after so many calls, or milliseconds. */
const SLICE = { calls: 1000, milliseconds: 2000 };
/** The median call stands still when those of so many slices in a row are so near to each other. */
const STILL = { slices: 4, spread: 1.03 };

/**
 * Says after each call whether a way is warm: after 12,000 calls, or when its median call stands still, or
 * when the time is over.
 *
 * @param milliseconds How long it may take.
 * @returns Takes how long a call has taken, and when it ended, as `performance.now()` tells.
 */
export function warmUp(
  milliseconds: number,
  start = performance.now(),
): (latency: number, now: number) => boolean {
  const medians: number[] = [];
  let calls = 0;
  let slice: number[] = [];
  let begun = start;
  return (latency, now) => {
    calls++;
    slice.push(latency);
    if (calls >= CALLS || now - start >= milliseconds) return true;
    if (slice.length < SLICE.calls && now - begun < SLICE.milliseconds) return false;
    medians.push(slice.sort((a, b) => a - b)[slice.length >> 1]!);
    slice = [];
    begun = now;
    const last = medians.slice(-STILL.slices);
    return last.length === STILL.slices && Math.max(...last) <= STILL.spread * Math.min(...last);
  };
}
