import { describe, test } from "vitest";

/** Registers tests that cannot run here, and prints why: a report does not say. */
export function describeSkipped(title: string, reason: string): void {
  console.log(`Skipped: ${title}: ${reason}`);
  describe(title, () => {
    test.skip(reason);
  });
}
