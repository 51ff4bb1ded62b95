import { Refusal } from "../http/gateway/_problem.ts";
import { sleep } from "../lib/wait.ts";

/** How many statements the pages may send at once after a while without any. */
const BURST = 5;
/** How far first looks may go into what later looks have. */
const MOST_OWED = 2;
/** How many first looks there may be at once after a while without any, and how many a second go on. */
const FIRST_LOOKS = 30;
const FIRST_LOOKS_A_SECOND = 0.5;
/** How many first looks wait, at most. */
const MOST_WAITING = 5;
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
 * A later look is put off when others have used up what there is: then the answer is the last one. So the cost of open
 * pages does not grow with their number, or with the number of things that each shows. A first look is not put off until
 * there were many of them: then each waits for its turn, so that later looks have half of the statements.
 */
export function shareReads(): ShareLook {
  const kept = new Map<string, KeptAnswer>();
  const statementsLeft = budgetOf(BURST, 1, -MOST_OWED);
  const firstLooksLeft = budgetOf(FIRST_LOOKS, FIRST_LOOKS_A_SECOND, -MOST_WAITING);
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
    if (
      known.pending || known.answer || known.failure || firstLooksLeft.now() >= 1 - MOST_WAITING
    ) {
      kept.set(key, known);
    } else throw TOO_MANY;
    if (known.pending) return await known.pending as Answer;
    // A store that is down is not asked by each page.
    if (known.failure && now - known.failure.at < FAILURE_GOOD) throw known.failure.error;
    const isGood = known.answer && now - known.readAt < Math.max(goodFor, known.goodFor);
    const mayAsk = statementsLeft.now() >= Math.min(statements, BURST);
    if (known.answer && (isGood || !mayAsk)) return known.answer.value as Answer;
    statementsLeft.take(statements);
    if (!known.answer) firstLooksLeft.take(1);
    const wait = known.answer ? 0 : Math.max(0, -firstLooksLeft.now()) / FIRST_LOOKS_A_SECOND;
    known.pending = lookAfter(wait, known, ask).finally(() => known.pending = undefined);
    for (const [oldest, it] of kept) {
      if (kept.size <= MOST_KEPT) break;
      if (!it.pending) kept.delete(oldest);
    }
    return await known.pending as Answer;
  };
}

/** So much of something, which grows with time. */
interface Budget {
  now(): number;
  take(count: number): void;
}

function budgetOf(most: number, aSecond: number, least: number): Budget {
  let left = most;
  let countedAt = performance.now();
  const now = (): number => {
    const at = performance.now();
    left = Math.min(most, left + (at - countedAt) / 1000 * aSecond);
    countedAt = at;
    return left;
  };
  return { now, take: (count) => left = Math.max(now() - count, least) };
}

/** Looks after so many seconds. */
async function lookAfter<Answer>(
  seconds: number,
  known: KeptAnswer,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  try {
    if (seconds > 0) await sleep(seconds * 1000);
    const began = performance.now();
    const value = await ask();
    known.answer = { value };
    known.readAt = performance.now();
    known.goodFor = Math.min((known.readAt - began) * SHARE, LONGEST_GOOD);
    return value;
  } catch (error) {
    known.failure = { error, at: performance.now() };
    throw error;
  }
}

const TOO_MANY = new Refusal(
  503,
  "The pages of the studio ask for too many different things at once: try again in some seconds",
  { code: "TOO_MANY_LOOKS" },
  { "retry-after": "5" },
);
