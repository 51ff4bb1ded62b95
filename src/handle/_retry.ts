import { abortable, backoff, sleep } from "../lib/wait.ts";
import { isUnavailable } from "./_driver_error.ts";

/** Milliseconds. */
const FIRST_RECONNECT_DELAY = 100;
const LONGEST_RECONNECT_DELAY = 5000;

/** How to go on where the database cannot be reached. */
export interface Retrying {
  readonly signal?: AbortSignal | undefined;
  /** Told of each error after which it is tried again. */
  readonly onRetry?: ((error: unknown) => void) | undefined;
  /** How often to try at most. */
  readonly attempts?: number | undefined;
}

/** Does what can be done again until the database is there for it. Rejects when the signal aborts. */
export async function retryWhileLost<T>(work: () => Promise<T>, retrying: Retrying): Promise<T> {
  const { signal, onRetry, attempts = Infinity } = retrying;
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    try {
      return await abortable(work(), signal);
    } catch (error) {
      if (signal?.aborted || attempt >= attempts || !isLostConnection(error)) throw error;
      onRetry?.(error);
      await sleep(backoff(attempt, FIRST_RECONNECT_DELAY, LONGEST_RECONNECT_DELAY), signal);
    }
  }
}

/** As `retryWhileLost`, but an abort is no error: resolves to undefined when the signal aborts. */
export async function retryUntilAborted<T>(
  work: () => Promise<T>,
  retrying: Retrying & { readonly signal: AbortSignal },
): Promise<T | undefined> {
  try {
    return await retryWhileLost(work, retrying);
  } catch (error) {
    if (!retrying.signal.aborted) throw error;
    return undefined;
  }
}

/**
 * Whether the connection was lost and may come back: not when the caller has ended the handle, nor when
 * there is no such database (any more), or no such right.
 */
export function isLostConnection(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return isUnavailable(error) && !/^(CONNECTION_(ENDED|DESTROYED)$|28|3D)/.test(String(code));
}
