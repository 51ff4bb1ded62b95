import { invalid } from "../lib/invalid.ts";
import { checkFunction, checkMilliseconds } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import type { ListeningSql } from "./_bell.ts";
import type { FollowOptions } from "./follow_options.ts";

/** Checked options, with their defaults. */
export interface CheckedFollowing {
  readonly pollInterval: number;
  readonly answerTimeout: number;
  readonly onRetry: ((error: unknown) => void) | undefined;
  /** The handle, if `notify` is set. */
  readonly listener: ListeningSql | undefined;
}

export function checkFollowing(
  sql: Sql & Partial<ListeningSql>,
  { pollInterval = 1000, answerTimeout = 30_000, notify, onRetry }: Pick<
    FollowOptions,
    "pollInterval" | "answerTimeout" | "notify" | "onRetry"
  >,
): CheckedFollowing {
  // A timer does not wait at all for a longer time.
  checkMilliseconds("pollInterval", pollInterval, 1);
  checkMilliseconds("answerTimeout", answerTimeout, 1);
  if (onRetry !== undefined) checkFunction("onRetry", onRetry);
  if (notify && typeof sql.listen !== "function") {
    const rule = "left out for this handle, which has no listen(), as postgres.js has";
    throw invalid("notify", notify, rule);
  }
  const listener = notify ? sql as Sql & ListeningSql : undefined;
  return { pollInterval, answerTimeout, onRetry, listener };
}
