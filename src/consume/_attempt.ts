import { invalid } from "../lib/invalid.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import type { Cursor } from "./_cursor.ts";
import type { Shutdown } from "../lib/shutdown.ts";
import { park } from "./_park.ts";
import { readLastMessages } from "./_stored_positions.ts";
import { isLostConnection, retryWhileLost } from "../handle/_retry.ts";
import { backoff, sleep } from "../lib/wait.ts";
import { type CheckedConsumer, VERDICTS } from "./_checked_consumer.ts";
import type { Handler, HandlerContext, Verdict } from "./consumer.ts";
import { HandlerFailedError } from "../errors.ts";
import { follow } from "../messages/follow.ts";
import type { Message, Sql } from "../types.ts";

/** How often what only a database can be the reason of is taken for ours, while ours is well. */
const MOST_EXCUSES = 5;

/** Milliseconds. */
const FIRST_ATTEMPT_DELAY = 100;
const LONGEST_ATTEMPT_DELAY = 30_000;

/** A message at its place in what is consumed. */
export interface Placed {
  readonly message: Message;
  readonly place: number;
  /** The id of the parked message that refers to it, where it is handled again because of that. */
  readonly parkedAs?: string;
}

/** What has become of a message. */
export type HandledOutcome = "handled" | "skipped" | "parked" | "ended";

/** What the handler has answered, which takes its work back where that is a transaction. */
class Answered extends Error {
  readonly verdict: Verdict;
  constructor(verdict: Verdict) {
    super(verdict);
    this.verdict = verdict;
  }
}

/**
 * Handles a message, as often as its policy wants, until it is handled, passed over or put aside, or
 * the consumer has ended before that.
 *
 * @returns No promise where the handler is done at once: a promise a message is most of what it costs.
 */
export function handleMessage(
  consumer: CheckedConsumer,
  cursor: Cursor,
  placed: Placed,
  ending: Shutdown,
): HandledOutcome | Promise<HandledOutcome> {
  const { message, place } = placed;
  const handler = consumer.handlerOf(message);
  // Another process may have been ahead, as was learnt after the page had been read.
  if (handler === undefined || cursor.position >= place) return "skipped";
  if (consumer.begin) return handleUntilDone(consumer, cursor, placed, ending, handler);
  let answer: ReturnType<Handler>;
  try {
    answer = handler(message, contextFor(message, consumer.sql, ending.givingUp, 1));
    if (answer === undefined) return "handled";
  } catch (error) {
    // Its rejection is handled there.
    answer = Promise.reject(error);
  }
  return handleUntilDone(consumer, cursor, placed, ending, handler, { answer });
}

function contextFor(
  message: Message,
  sql: Sql,
  signal: AbortSignal,
  attempt: number,
): HandlerContext {
  return { sql, signal, attempt, follow: (next) => follow(message, next) };
}

async function handleUntilDone(
  consumer: CheckedConsumer,
  cursor: Cursor,
  { message, place, parkedAs }: Placed,
  { stopping, givingUp }: Shutdown,
  handler: Handler,
  begun?: { readonly answer: ReturnType<Handler> },
): Promise<HandledOutcome> {
  let outcome: HandledOutcome = "handled";
  /** Learns what other processes have done; not where the consumer ends meanwhile. */
  const reload = async (): Promise<boolean> => {
    try {
      await retryWhileLost(() => cursor.reload(), { ...consumer, signal: stopping });
      return true;
    } catch (error) {
      if (stopping.aborted) return false;
      throw error;
    }
  };
  /** What is to be done instead of handling it again, once that is decided. */
  let conclusion: ((sql: Sql) => Promise<void>) | undefined;
  for (let attempt = 1, delays = 1;;) {
    // It has been done: by another process, or by us where the answer was lost.
    if (cursor.position >= place) return outcome;
    const contextOf = (sql: Sql) => contextFor(message, sql, givingUp, attempt);
    let failure: { readonly error: unknown } | undefined;
    let isHandled = false;
    const work = conclusion ?? (async (sql) => {
      let verdict: Verdict | undefined;
      try {
        const { answer } = begun ?? { answer: handler(message, contextOf(sql)) };
        begun = undefined;
        const answered = await answer;
        // What it answers besides, rows for example, says nothing.
        if (typeof answered === "string") verdict = checkVerdict(answered, "the handler's answer");
      } catch (error) {
        failure = { error };
        throw error;
      }
      if (verdict !== undefined) throw new Answered(verdict);
      isHandled = true;
    });
    let verdict: Verdict;
    try {
      await (consumer.begin ? cursor.storeWith(place, consumer.begin, work) : work(consumer.sql));
      return outcome;
    } catch (error) {
      if (givingUp.aborted) return "ended";
      if (error instanceof Answered) {
        verdict = limitRetries(consumer, error.verdict, attempt);
      } else if (await isNotTheHandlers(consumer, cursor, error, failure, delays)) {
        if (!cursor.isConflict(error)) consumer.onRetry?.(error);
        await sleep(backoff(delays++, FIRST_ATTEMPT_DELAY, LONGEST_ATTEMPT_DELAY), stopping);
        if (stopping.aborted || !await reload()) return "ended";
        continue;
      } else {
        // What the commit refuses, the handler has done.
        if (isHandled && !cursor.isOwn(error)) failure = { error };
        if (failure === undefined) throw error;
        verdict = await policyVerdict(consumer, error, message, contextOf(consumer.sql));
      }
    }
    if (verdict === "stop") {
      // What it failed of may be that another process has done it, as a unique key tells.
      if (consumer.begin) await reload();
      if (cursor.position >= place) return outcome;
      const options = failure && { cause: failure.error };
      throw new HandlerFailedError(consumer.consumerId, message, attempt, options);
    }
    if (verdict === "retry") {
      const { delay = FIRST_ATTEMPT_DELAY } = typeof consumer.onError === "object"
        ? consumer.onError
        : {};
      await sleep(backoff(attempt++, delay, LONGEST_ATTEMPT_DELAY), stopping);
      if (stopping.aborted) return "ended";
    } else {
      outcome = verdict === "park" ? "parked" : "skipped";
      const parked = { failure, attempts: attempt, place, parkedAs };
      conclusion = async (sql) => {
        if (outcome === "parked") await park(sql, consumer, message, parked);
      };
    }
  }
}

/** The verdict that a function has answered. */
function checkVerdict(answer: unknown, what: string): Verdict {
  if ((VERDICTS as readonly unknown[]).includes(answer)) return answer as Verdict;
  throw invalid(what, answer, '"retry", "skip", "park" or "stop"');
}

async function policyVerdict(
  consumer: CheckedConsumer,
  error: unknown,
  message: Message,
  context: HandlerContext,
): Promise<Verdict> {
  const { onError } = consumer;
  if (typeof onError === "function") {
    return checkVerdict(await onError(error, message, context), "onError's answer");
  }
  if (typeof onError === "string") return onError;
  return limitRetries(consumer, "retry", context.attempt);
}

/** To try again is bound by the policy's number, where it has one, whoever wants it. */
function limitRetries({ onError }: CheckedConsumer, verdict: Verdict, attempt: number): Verdict {
  if (verdict !== "retry" || typeof onError !== "object" || attempt <= onError.retry) {
    return verdict;
  }
  return onError.then ?? "stop";
}

/**
 * Whether it is the database that failed, rather than the handler with this message: then it is
 * handled again, and that is no attempt.
 */
async function isNotTheHandlers(
  { sql, begin }: CheckedConsumer,
  cursor: Cursor,
  error: unknown,
  failure: { readonly error: unknown } | undefined,
  excuses: number,
): Promise<boolean> {
  if (cursor.isConflict(error)) return true;
  const state = sqlStateOf(error);
  // A transaction that lost a deadlock or a race is there to be run again.
  if (begin && state?.startsWith("40")) return true;
  // The consumers of a category store their positions one after another.
  if (cursor.isOwn(error) && /^(55P03|57014)$/.test(String(state))) return true;
  if (!isLostConnection(error)) return false;
  if (failure === undefined) return true;
  // Of these a database alone can be the reason, which may be well again, or another one; the rest,
  // all of a handler's services have in common.
  const { code } = error as { code?: unknown };
  const isOfDatabase = /^(08|57P)|^53300$/.test(String(state)) ||
    /^(CONNECTION_|ERR_POSTGRES_)/.test(String(code));
  if (isOfDatabase && excuses <= MOST_EXCUSES) return true;
  try {
    await readLastMessages(sql, [cursor.streamName]);
    return false;
  } catch (error) {
    return isLostConnection(error);
  }
}
