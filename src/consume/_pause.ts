import { backoff, sleep } from "../lib/wait.ts";

/** Milliseconds. */
const FIRST_PAUSE_BEFORE = 4;
const LONGEST_PAUSE_BEFORE = 1000;

/** Waits before something is done again that others have undone: longer and longer. */
export function pauseBefore(attempt: number, signal?: AbortSignal): Promise<void> {
  return sleep(backoff(attempt, FIRST_PAUSE_BEFORE, LONGEST_PAUSE_BEFORE), signal);
}
