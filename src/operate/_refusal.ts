const refusals = new WeakSet<Error>();

/**
 * Marks an error that refuses what was asked for, in words that may be shown to whoever asked: they name what was asked
 * for, and nothing of the server.
 */
export function asRefusal<Refused extends Error>(error: Refused): Refused {
  refusals.add(error);
  return error;
}

/** Whether an error was marked so. */
export function isRefusal(error: unknown): error is Error {
  return refusals.has(error as Error);
}
