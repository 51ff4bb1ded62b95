import { describe } from "vitest";
import { chromium } from "./_browser.ts";
import { describeSkipped } from "./_describe_skipped.ts";

/** Registers tests that need a browser. */
export function describeInBrowser(title: string, tests: () => void): void {
  if (chromium === undefined) describeSkipped(title, "Chromium is not installed");
  else describe(title, tests);
}
