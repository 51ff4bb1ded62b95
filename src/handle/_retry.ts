import { abortable, backoff, sleep } from "../lib/wait.ts";
import { troubleOf } from "./_driver_error.ts";

/** The delay before the first retry, in milliseconds. */
const FIRST_RECONNECT_DELAY = 100;
/** The longest delay before a retry, in milliseconds. */
const LONGEST_RECONNECT_DELAY = 5000;

/** How to retry what fails by trouble that passes. */
export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with each error that a retry follows. */
  readonly onRetry?: ((error: unknown) => void) | undefined;
  /** How many times to try at most; no limit by default. */
  readonly tries?: number | undefined;
  /**
   * Whether the database may never have worked. Then only a conflict is retried: any other trouble may be
   * there for good.
   */
  readonly isFirst?: boolean | (() => boolean) | undefined;
}

/**
 * Does work, and does it again after trouble that passes. Rejects when the signal aborts.
 *
 * @param work What may be done more than once.
 */
export async function retryWhileUnavailable<T>(
  work: () => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { signal, onRetry, tries = Infinity, isFirst = false } = options;
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    try {
      return await abortable(work(), signal);
    } catch (error) {
      const isNew = typeof isFirst === "function" ? isFirst() : isFirst;
      const mayRetry = isNew ? troubleOf(error) === "conflict" : isPassing(error);
      if (signal?.aborted || attempt >= tries || !mayRetry) throw error;
      onRetry?.(error);
      await sleep(backoff(attempt, FIRST_RECONNECT_DELAY, LONGEST_RECONNECT_DELAY), signal);
    }
  }
}

/** As `retryWhileUnavailable`, but an abort is no error: resolves to undefined when the signal aborts. */
export async function retryUntilAborted<T>(
  work: () => Promise<T>,
  retrying: RetryOptions & { readonly signal: AbortSignal },
): Promise<T | undefined> {
  try {
    return await retryWhileUnavailable(work, retrying);
  } catch (error) {
    if (!retrying.signal.aborted) throw error;
    return undefined;
  }
}

/** Whether the error tells of trouble that passes by itself. */
export function isPassing(error: unknown): boolean {
  const trouble = troubleOf(error);
  return trouble !== undefined && trouble !== "closed";
}
