import { vi } from "vitest";

/** Milliseconds. Far more than anything takes on a busy machine: it only ends what would never end. */
export const PATIENCE = 300_000;

const endless = { timeout: PATIENCE, interval: 5 };

/** Resolves when it is so. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  await vi.waitUntil(isSo, endless);
}

/** Resolves when what it asserts holds; rejects with what did not hold to the end. */
export async function eventually(
  assertion: () => void | Promise<void>,
): Promise<void> {
  await vi.waitFor(assertion, endless);
}
