import { invalid } from "../lib/invalid.ts";
import { checkInteger, checkName, checkObject } from "../names/_check.ts";

/** Checks by what streams are sorted, and after which of them to go on. */
export function checkAfter(sort: unknown, after: unknown): void {
  if (sort !== "last" && sort !== "count" && sort !== "name") {
    throw invalid("sort", sort, '"last", "count" or "name"');
  }
  if (after === undefined) return;
  checkObject("after", after, "the next of the page before");
  const { streamName, count, lastGlobalPosition } = after as Readonly<Record<string, unknown>>;
  if (sort === "last") return checkInteger("after.lastGlobalPosition", lastGlobalPosition, 0);
  if (sort === "count") checkInteger("after.count", count, 0);
  checkName("after.streamName", streamName);
}
