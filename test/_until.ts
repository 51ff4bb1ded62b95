import { vi } from "vitest";

/** Milliseconds. Far more than anything takes on a busy machine: it only ends what would never end. */
export const PATIENCE = 300_000;

const endless = { timeout: PATIENCE, interval: 5 };

/** Milliseconds: the longest time between two looks. */
const LONGEST_PAUSE = 50;

/** Resolves when it is so. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  await vi.waitUntil(lessAndLess(isSo), endless);
}

/** Resolves when what it asserts holds; rejects with what did not hold to the end. */
export async function eventually(
  assertion: () => void | Promise<void>,
): Promise<void> {
  await vi.waitFor(lessAndLess(assertion), endless);
}

/** Looks again after a tenth of the time that has gone by: a long wait takes no time from what it waits for. */
function lessAndLess<T>(look: () => T | Promise<T>): () => Promise<T> {
  const start = performance.now();
  let next = start;
  let last: Promise<T>;
  return async () => {
    if (performance.now() >= next) {
      last = (async () => await look())();
      await last.catch(() => {});
      const now = performance.now();
      next = now + Math.min(LONGEST_PAUSE, (now - start) / 10);
    }
    return await last;
  };
}
