import { invalid } from "../lib/invalid.ts";
import type { Verdict } from "./consumer.ts";

/** "retry" comes first, so that `checkPolicy` can leave it out: the text "retry" is no policy. */
export const VERDICTS: readonly Verdict[] = ["retry", "skip", "park", "stop"];
const ONE_OF_THEM = '"retry", "skip", "park" or "stop"';
const NEARLY_VERDICT = /^\W*(retr(y|ied)|skip(ped)?|park(ed)?|stop(ped)?)\W*$/i;

/** Methods that somebody would have to call before anything is done, and what to do about them. */
const LAZY: readonly (readonly [method: string, rule: string])[] = [
  ["next", 'a generator or an iterator has not run: write "async" in place of "*"'],
  ["subscribe", "what has subscribe() has not run: answer the promise of its end"],
  ["pipe", "what has pipe() has not run: answer the promise of its end"],
  ["execute", "what has execute() has not run: call it"],
];

/**
 * The verdict that a handler has answered. It is thrown, so that the transaction is rolled back.
 */
export class AnsweredVerdict extends Error {
  declare readonly verdict: Verdict;
  constructor(verdict: Verdict) {
    super(verdict);
    this.verdict = verdict;
  }
}

/**
 * A handler has answered what cannot mean that it is done. The handler is wrong, whatever the message is: so the
 * consumer stops, and no policy is asked.
 */
export class UnusableAnswerError extends TypeError {}

/** @throws {AnsweredVerdict} If a handler has answered a verdict. Also as `verdictIn`. */
export function checkDone(answer: unknown, type?: string): void {
  const verdict = verdictIn(answer, type);
  if (verdict !== undefined) throw new AnsweredVerdict(verdict);
}

/**
 * The verdict that a handler has answered; undefined if the handler is done. A text that is no verdict means
 * done, too: Redis answers "OK". A text that is nearly a verdict is an error, because nobody knows what was meant.
 *
 * @param type The message's type; undefined for a page.
 * @throws {UnusableAnswerError} If the answer is nearly a verdict, is an error, or has not run.
 */
export function verdictIn(answer: unknown, type?: string): Verdict | undefined {
  if (answer === undefined || answer === null) return undefined;
  if (isVerdict(answer)) return answer;
  const rule = whyUnusable(answer);
  if (rule === undefined) return undefined;
  const name = type === undefined ? "the handler's answer" : `the handler's answer to ${type}`;
  throw new UnusableAnswerError(invalid(name, answer, rule).message);
}

/** Checks what a policy has answered. */
export function checkVerdict(answer: unknown, what: string): asserts answer is Verdict {
  if (!isVerdict(answer)) throw invalid(what, answer, ONE_OF_THEM);
}

function isVerdict(answer: unknown): answer is Verdict {
  return (VERDICTS as readonly unknown[]).includes(answer);
}

function whyUnusable(answer: unknown): string | undefined {
  if (typeof answer === "string") return NEARLY_VERDICT.test(answer) ? ONE_OF_THEM : undefined;
  if (typeof answer === "function") return "called: a function has not run";
  if (typeof answer !== "object") return undefined;
  if (answer instanceof Error) return "thrown: nobody looks at an error that is returned";
  for (const [method, rule] of LAZY) {
    if (typeof (answer as Record<string, unknown>)[method] !== "function") continue;
    return `nothing, a verdict or a promise, and ${rule}`;
  }
  return undefined;
}
