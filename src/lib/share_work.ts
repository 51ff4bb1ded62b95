/** Work that is under way. */
export interface Underway<Result> {
  readonly result: Promise<Result>;
  /** When it began: see `momentNow`. */
  readonly begunAt: number;
}

let moments = 0;

/**
 * Tells what comes after what: each moment is higher than all before. A clock may tell the same time twice, or stand
 * still.
 */
export function momentNow(): number {
  return ++moments;
}

/**
 * The work that somebody has begun since a moment, if it is still under way; undefined if there is none.
 *
 * @param works The work that is under way, by what it does.
 */
export function workSince<Result>(
  works: ReadonlyMap<string, Underway<Result>>,
  key: string,
  since: number,
): Promise<Result> | undefined {
  const known = works.get(key);
  return known && known.begunAt > since ? known.result : undefined;
}

/** Begins work that others may share until it ends. */
export function beginWork<Result>(
  works: Map<string, Underway<Result>>,
  key: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const begun = { begunAt: momentNow(), result: work() };
  works.set(key, begun);
  // Before anybody gets the result: who comes after that wants a newer one.
  const forget = () => {
    if (works.get(key) === begun) works.delete(key);
  };
  begun.result.then(forget, forget);
  return begun.result;
}
