import { abortable, backoff, sleep } from "../lib/wait.ts";
import { isDatabaseUnavailable } from "./_driver_error.ts";

/** Milliseconds. */
const FIRST_RECONNECT_DELAY = 100;
const LONGEST_RECONNECT_DELAY = 5000;

/** How to go on where the database cannot be reached. */
export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of each error after which it is tried again. */
  readonly onRetry?: ((error: unknown) => void) | undefined;
  /** How often to try at most. */
  readonly attempts?: number | undefined;
}

/** Does what can be done again until the database is there for it. Rejects when the signal aborts. */
export async function retryWhileUnavailable<T>(
  work: () => Promise<T>,
  retrying: RetryOptions,
): Promise<T> {
  const { signal, onRetry, attempts = Infinity } = retrying;
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    try {
      return await abortable(work(), signal);
    } catch (error) {
      if (signal?.aborted || attempt >= attempts || !isTemporarilyUnavailable(error)) throw error;
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

/**
 * Whether the connection was lost and may come back: not when the caller has ended the handle, nor when
 * there is no such database (any more), or no such right.
 */
export function isTemporarilyUnavailable(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return isDatabaseUnavailable(error) &&
    !/^(CONNECTION_(ENDED|DESTROYED)$|28|3D)/.test(String(code));
}
