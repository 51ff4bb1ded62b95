/** Work that is under way. */
export interface Underway<Result> {
  readonly result: Promise<Result>;
  /** When it began, by `performance.now()`. */
  readonly begunAt: number;
}

/**
 * Does work once for all who want the same at the same time: who comes while it is under way waits with the others.
 *
 * @param works The work that is under way, by what it does.
 * @param since By `performance.now()`: work that began before does not count.
 */
export function shareWork<Result>(
  works: Map<string, Underway<Result>>,
  key: string,
  since: number,
  work: () => Promise<Result>,
): Promise<Result> {
  const known = works.get(key);
  if (known !== undefined && known.begunAt >= since) return known.result;
  const begun = { begunAt: performance.now(), result: work() };
  works.set(key, begun);
  // Before anybody gets the result: who comes after that wants a newer one.
  const forget = () => {
    if (works.get(key) === begun) works.delete(key);
  };
  begun.result.then(forget, forget);
  return begun.result;
}
