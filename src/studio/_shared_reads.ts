import { Refusal } from "../http/gateway/_problem.ts";
import { sleep } from "../lib/wait.ts";

/** How many statements the pages may send at once after a while without any. */
const BURST = 5;
/** How many statements first looks may borrow from later looks. */
const MOST_OWED = 2;
/** How many first looks there may be at once after a while without any, and how many a second go on. */
const FIRST_LOOKS = 30;
const FIRST_LOOKS_A_SECOND = 0.5;
/** How many first looks wait, at most. */
const MOST_WAITING = 5;
/** How many answers are kept. */
const MOST_KEPT = 200;
/** A look that took 100 ms is repeated after 2 s at the earliest, so that looks take a 20th of the time. */
const REST_FACTOR = 20;
/** How long the answer of a look is good at most, in milliseconds. */
const LONGEST_GOOD = 30_000;
/** How long a failure is the answer for all, in milliseconds. */
const FAILURE_GOOD = 1000;
/** How long what a page has looked at again is the answer for others, in milliseconds. */
const AGAIN_GOOD = 1000;
/** How many repeated statements of single pages there may be a second. The rest of one a second is for what all share. */
const AGAIN_A_SECOND = 0.5;
/**
 * A page that has not asked for this long, in milliseconds, has left the queue: a page asks for one of its things a
 * second.
 */
const LONGEST_TURN = 20_000;

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

/** What it costs that a page asks again by itself. */
export interface AskedAgain {
  /** How many statements it is at most. */
  readonly statements: number;
  /** Whether others may come first. If not, they come later. */
  readonly isPutOff: boolean;
}

/** A look at what pages show already. */
export interface AgainLook<Answer> extends AskedAgain {
  /** What tells what they show from others. */
  readonly what: string;
  /** What they know of the store: the answer is no older than that. */
  readonly known: string;
  readonly ask: () => Promise<Answer>;
}

/**
 * Looks at something again, once for all who show the same and know the same.
 *
 * @returns Undefined if others come first: it is to be asked for again in a moment.
 */
export type LookAgain = <Answer>(look: AgainLook<Answer>) => Promise<Answer> | undefined;

/** What the pages of a studio have together. */
export interface SharedReads extends SharedLooks {
  readonly again: LookAgain;
}

interface SharedLooks {
  readonly share: ShareLook;
  /** Says that something has been changed: what was looked at before is no answer for who asks from now on. */
  readonly outdate: () => void;
}

interface KeptAnswer {
  pending: Promise<unknown> | undefined;
  answer: { readonly value: unknown } | undefined;
  failure: { readonly error: unknown; readonly at: number } | undefined;
  /** By `performance.now()`. */
  readAt: number;
  goodFor: number;
}

/**
 * Makes functions that look once for all who want to see the same, and send no more than a statement a second together.
 *
 * A later look is put off when others have used up what there is: then the answer is the last one. So the cost of open
 * pages does not grow with their number, or with the number of things that each shows. A first look is not put off until
 * there were many of them: then each waits for its turn, so that later looks have half of the statements.
 */
export function shareReads(): SharedReads {
  const statementsLeft = budgetOf(BURST, 1);
  return { ...sharing(statementsLeft), again: lookingAgain(statementsLeft) };
}

function sharing(statementsLeft: Budget): SharedLooks {
  const kept = new Map<string, KeptAnswer>();
  const firstLooksLeft = budgetOf(FIRST_LOOKS, FIRST_LOOKS_A_SECOND);
  const queue = makeQueue();
  const share = async <Answer>(
    { key, goodFor, statements, ask }: SharedLook<Answer>,
  ): Promise<Answer> => {
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
    if (known.answer && isGood) return known.answer.value as Answer;
    // Something is left for each that has waited longer.
    const wanted = Math.min(statements + queue.before(key), BURST);
    if (known.answer && statementsLeft.now() < wanted) {
      queue.wait(key);
      return known.answer.value as Answer;
    }
    queue.leave(key);
    statementsLeft.take(statements, -MOST_OWED);
    if (!known.answer) firstLooksLeft.take(1, -MOST_WAITING);
    const wait = known.answer ? 0 : Math.max(0, -firstLooksLeft.now()) / FIRST_LOOKS_A_SECOND;
    known.pending = lookAfter(wait, known, ask).finally(() => known.pending = undefined);
    for (const [oldest, it] of kept) {
      if (kept.size <= MOST_KEPT) break;
      if (!it.pending) kept.delete(oldest);
    }
    return await known.pending as Answer;
  };
  const outdate = () => {
    // What is looked at now is for those who wait for it already.
    for (const [key, it] of kept) kept.set(key, { ...it, pending: undefined, readAt: -Infinity });
  };
  return { share, outdate };
}

function lookingAgain(statementsLeft: Budget): LookAgain {
  const looksLeft = budgetOf(BURST, AGAIN_A_SECOND);
  const kept = new Map<string, { readonly answer: Promise<unknown>; readonly at: number }>();
  const queue = makeQueue();
  return <Answer>({ what, known, statements, isPutOff, ask }: AgainLook<Answer>) => {
    const at = performance.now();
    for (const [oldest, it] of kept) if (at - it.at > AGAIN_GOOD) kept.delete(oldest);
    const key = `${known} ${what}`;
    const found = kept.get(key);
    if (found) return found.answer as Promise<Answer>;
    if (isPutOff && looksLeft.now() < queue.before(what) + 1) {
      queue.wait(what);
      return undefined;
    }
    queue.leave(what);
    statementsLeft.take(statements);
    looksLeft.take(statements);
    const answer = ask();
    kept.set(key, { answer, at });
    return answer;
  };
}

/** Who was put off: whoever has waited longest is first. */
interface Queue {
  /** How many come before it. */
  before(what: string): number;
  wait(what: string): void;
  leave(what: string): void;
}

function makeQueue(): Queue {
  /** When each has asked last, in the order in which they were put off. */
  const waiting = new Map<string, number>();
  const leave = (what: string) => void waiting.delete(what);
  return {
    before: (what) => {
      const longAgo = performance.now() - LONGEST_TURN;
      for (const [it, askedAt] of waiting) if (askedAt < longAgo) leave(it);
      return waiting.has(what) ? [...waiting.keys()].indexOf(what) : waiting.size;
    },
    wait: (what) => {
      if (waiting.has(what) || waiting.size < MOST_KEPT) waiting.set(what, performance.now());
    },
    leave,
  };
}

/** So much of something, which grows with time. */
interface Budget {
  now(): number;
  /** @param least What is left then at least. */
  take(count: number, least?: number): void;
}

function budgetOf(most: number, aSecond: number): Budget {
  let left = most;
  let countedAt = performance.now();
  const now = (): number => {
    const at = performance.now();
    left = Math.min(most, left + (at - countedAt) / 1000 * aSecond);
    countedAt = at;
    return left;
  };
  return { now, take: (count, least = -Infinity) => left = Math.max(now() - count, least) };
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
    known.goodFor = Math.min((known.readAt - began) * REST_FACTOR, LONGEST_GOOD);
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
