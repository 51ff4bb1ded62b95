import type { Message } from "../types.ts";

/** What consumers, aggregates and entities write for themselves: of use to nobody else. */
export function isBookkeeping({ streamName, type }: Message): boolean {
  return /^(Recorded(:.*)?|Sized|Waiting|Parked)$/s.test(type) &&
    /^[^-]*[:+](position|group|parked|aggregate|snapshot)-/.test(streamName);
}
