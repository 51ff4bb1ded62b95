import type { Message } from "./types.ts";

/** What consumers and aggregates write for themselves, and would have those of all streams write more. */
export function isBookkeeping({ streamName, type }: Message): boolean {
  return /^(Recorded|Sized|Waiting|Parked)$/.test(type) &&
    /^[^-]*[:+](position|group|parked|aggregate)-/.test(streamName);
}
