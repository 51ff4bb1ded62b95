/** How many statements the pages may send at once after a while without any. */
const BURST = 5;
/** How far one first look after another may go into what later looks have. */
const MOST_OWED = 30;
/** How many answers are kept. */
const MOST_KEPT = 200;
/** A look that takes 100 ms is kept for 2 seconds at least, so that it takes a 20th of the time; but not for ever. */
const SHARE = 20;
const LONGEST_GOOD = 30_000;
/** How long a failure is the answer for all, in milliseconds. */
const FAILURE_GOOD = 1000;

/** A look at the store that pages have together. */
export interface SharedLook<Answer> {
  /** What tells the look from others. */
  readonly key: string;
  /** How long its answer is good, in milliseconds. */
  readonly goodFor: number;
  /** How many statements it is. */
  readonly statements: number;
  readonly ask: () => Promise<Answer>;
}

/** Looks once for all who want to see the same. */
export type ShareLook = <Answer>(look: SharedLook<Answer>) => Promise<Answer>;

interface KeptAnswer {
  pending: Promise<unknown> | undefined;
  answer: { readonly value: unknown } | undefined;
  failure: { readonly error: unknown; readonly at: number } | undefined;
  /** By `performance.now()`. */
  readAt: number;
  goodFor: number;
}

/**
 * Makes a function that looks once for all who want to see the same, and sends no more than a statement a second.
 *
 * A first look is never put off. A later one is, when others have used up what there is: then the answer is the last
 * one. So the cost of open pages does not grow with their number, or with the number of things that each shows.
 */
export function shareReads(): ShareLook {
  const kept = new Map<string, KeptAnswer>();
  let left = BURST;
  let countedAt = performance.now();
  const statementsLeft = (now: number): number => {
    left = Math.min(BURST, left + (now - countedAt) / 1000);
    countedAt = now;
    return left;
  };
  return async <Answer>({ key, goodFor, statements, ask }: SharedLook<Answer>): Promise<Answer> => {
    const now = performance.now();
    const known: KeptAnswer = kept.get(key) ?? {
      pending: undefined,
      answer: undefined,
      failure: undefined,
      readAt: 0,
      goodFor: 0,
    };
    // The last ones asked for come last.
    kept.delete(key);
    kept.set(key, known);
    if (known.pending) return await known.pending as Answer;
    // A store that is down is not asked by each page.
    if (known.failure && now - known.failure.at < FAILURE_GOOD) throw known.failure.error;
    const isGood = known.answer && now - known.readAt < Math.max(goodFor, known.goodFor);
    const mayAsk = statementsLeft(now) >= Math.min(statements, BURST);
    if (known.answer && (isGood || !mayAsk)) return known.answer.value as Answer;
    left = Math.max(left - statements, -MOST_OWED);
    known.pending = ask().then((value) => {
      known.answer = { value };
      known.readAt = performance.now();
      known.goodFor = Math.min((known.readAt - now) * SHARE, LONGEST_GOOD);
      return value;
    }).catch((error) => {
      known.failure = { error, at: performance.now() };
      throw error;
    }).finally(() => known.pending = undefined);
    for (const [oldest, it] of kept) {
      if (kept.size <= MOST_KEPT) break;
      if (!it.pending) kept.delete(oldest);
    }
    return await known.pending as Answer;
  };
}
