import type { Opened, Pulse } from "../../_api.ts";
import { ANSWER_WITHIN, asFailure, call, type CallFailure } from "./call.ts";
import { type Shared, shared } from "./store.ts";
import { every } from "./ticker.ts";

/** The head of the store, and how fast it moves. */
export interface Heartbeat {
  readonly pulse: Pulse | undefined;
  /** Messages a second, over the last ten seconds; undefined before there are two pulses. */
  readonly rate: number | undefined;
  readonly failure: CallFailure | undefined;
}

const WINDOW = 10_000;
const seen: Pulse[] = [];

export const heartbeat: Shared<Heartbeat> = shared<Heartbeat>({
  pulse: undefined,
  rate: undefined,
  failure: undefined,
});

/** What the studio is; undefined before it has answered. */
export const opened: Shared<Opened | CallFailure | undefined> = shared<
  Opened | CallFailure | undefined
>(
  undefined,
);

export async function openStudio(): Promise<void> {
  opened.set(undefined);
  try {
    opened.set(await call("open", {}));
  } catch (error) {
    opened.set(asFailure(error));
  }
}

export function followPulse(): void {
  void beat();
  every(1000, beat);
}

/** How many positions were given since, in the partitions that answered both times. */
function movedSince(before: Pulse, now: Pulse): number {
  const moved = now.heads.reduce<number>((sum, head, at) => {
    const known = before.heads[at];
    return head === null || known == null ? sum : sum + head - known;
  }, 0);
  return Math.max(0, moved);
}

async function beat(): Promise<void> {
  try {
    const pulse = await call("pulse", {}, { within: ANSWER_WITHIN });
    seen.push(pulse);
    const now = Date.parse(pulse.serverTime);
    while (seen.length > 2 && now - Date.parse(seen[1]!.serverTime) >= WINDOW) seen.shift();
    const first = seen[0]!;
    const seconds = (now - Date.parse(first.serverTime)) / 1000;
    const rate = seconds <= 0 ? heartbeat.get().rate : movedSince(first, pulse) / seconds;
    heartbeat.set({ pulse, rate, failure: undefined });
  } catch (error) {
    heartbeat.set({ ...heartbeat.get(), failure: asFailure(error) });
  }
}
