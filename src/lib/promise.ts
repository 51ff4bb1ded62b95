/** Whether the value is a promise, of any realm or library. */
export function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

/**
 * Calls `next` at once if there is nothing to wait for: a promise for each message costs more than its data.
 */
export function whenReady<T, U>(
  value: T | Promise<T>,
  next: (value: T) => U | Promise<U>,
): U | Promise<U> {
  // Of a library's own promise, then() may answer nothing.
  return isPromise(value) ? Promise.resolve(value).then(next) : next(value);
}

/** Does work at once if it can be. What the work throws, or its promise rejects with, goes to `recover`. */
export function recovering<T>(
  work: () => T | Promise<T>,
  recover: (error: unknown) => T | Promise<T>,
): T | Promise<T> {
  try {
    const done = work();
    return isPromise(done) ? Promise.resolve(done).catch(recover) : done;
  } catch (error) {
    return recover(error);
  }
}
