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
  return isPromise(value) ? value.then(next) : next(value);
}

/** Does work at once if it can be. What the work throws, or its promise rejects with, goes to `recover`. */
export function recovering<T>(
  work: () => T | Promise<T>,
  recover: (error: unknown) => T | Promise<T>,
): T | Promise<T> {
  try {
    const done = work();
    return isPromise(done) ? done.then((value) => value, recover) : done;
  } catch (error) {
    return recover(error);
  }
}
