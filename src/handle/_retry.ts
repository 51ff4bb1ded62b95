import { abortable, backoff, sleep } from "../lib/wait.ts";
import { isDatabaseUnavailable } from "./_driver_error.ts";

/** The delay before the first retry, in milliseconds. */
const FIRST_RECONNECT_DELAY = 100;
/** The longest delay before a retry, in milliseconds. */
const LONGEST_RECONNECT_DELAY = 5000;

/** How to retry while the database is unavailable. */
export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with each error that a retry follows. */
  readonly onRetry?: ((error: unknown) => void) | undefined;
  /** How many times to try at most; no limit by default. */
  readonly tries?: number | undefined;
}

/**
 * Retries work until the database is available. Rejects when the signal aborts.
 *
 * @param work What may be done more than once.
 */
export async function retryWhileUnavailable<T>(
  work: () => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { signal, onRetry, tries = Infinity } = options;
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    try {
      return await abortable(work(), signal);
    } catch (error) {
      if (signal?.aborted || attempt >= tries || !isTemporarilyUnavailable(error)) throw error;
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
 * Whether the error says that the database is unavailable and may come back.
 *
 * It does not come back if the caller has ended the handle (CONNECTION_ENDED, CONNECTION_DESTROYED), if the
 * login is refused (28), or if the database does not exist, or exists no more (3D).
 */
export function isTemporarilyUnavailable(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return isDatabaseUnavailable(error) &&
    !/^(CONNECTION_(ENDED|DESTROYED)$|28|3D)/.test(String(code));
}
