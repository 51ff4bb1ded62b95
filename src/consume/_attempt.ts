import { invalid } from "../lib/invalid.ts";
import { follow } from "../messages/follow.ts";
import type { Message, Sql } from "../types.ts";
import { type CheckedConsumer, VERDICTS } from "./_checked_consumer.ts";
import { workUntilDone } from "./_interruption.ts";
import { isRecordFailure } from "./_kept_position.ts";
import type { Task } from "./_task.ts";
import type { HandlerContext, Verdict } from "./consumer.ts";

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
 * Calls the handler. If the database fails, and not the handler, the handler is called again in the same
 * attempt.
 *
 * @param attemptNumber Which attempt this is, from 1.
 * @returns A verdict if the handler failed or answered one; "ended" if the consumer stops before.
 */
export async function attempt(
  task: Task,
  attemptNumber: number,
): Promise<Verdict | "handled" | "ended"> {
  const { run: { consumer, kept, givingUp }, placed: { message }, handler } = task;
  const contextOf = (sql: Sql) => contextFor(message, sql, givingUp, attemptNumber);
  try {
    const isHandled = await workUntilDone(task, async (sql) => {
      const { begun } = task;
      task.begun = undefined;
      task.isCalled = true;
      if (begun === undefined) task.calledAt = performance.now();
      let answer;
      try {
        const handle = consumer.begin ? sql : consumer.handlerSql;
        answer = await (begun ? begun.answer : handler(message, contextOf(handle)));
        // Other answers, rows for example, say nothing.
        if (typeof answer === "string") checkVerdict(answer, "the handler's answer");
      } catch (error) {
        task.failure = { cause: error };
        throw error;
      }
      if (typeof answer === "string") throw new AnsweredVerdict(answer);
      task.isDone = true;
    });
    return isHandled ? "handled" : "ended";
  } catch (error) {
    if (error instanceof AnsweredVerdict) {
      return limitRetries(consumer, error.verdict, attemptNumber);
    }
    // COMMIT may refuse the handler's work (a deferred constraint), or the connection is lost each time that
    // the handler has it (idle_in_transaction_session_timeout): then the handler has failed.
    if (task.isCalled && !isRecordFailure(kept, error)) task.failure ??= { cause: error };
    if (task.failure === undefined) throw error;
    return await verdictOf(consumer, error, message, contextOf(consumer.handlerSql));
  }
}

export function contextFor(
  message: Message,
  sql: Sql,
  signal: AbortSignal,
  attempt: number,
): HandlerContext {
  return { sql, signal, attempt, follow: (next, options) => follow(message, next, options) };
}

function checkVerdict(answer: unknown, what: string): asserts answer is Verdict {
  if ((VERDICTS as readonly unknown[]).includes(answer)) return;
  throw invalid(what, answer, '"retry", "skip", "park" or "stop"');
}

/** What the consumer's policy makes of an error. */
async function verdictOf(
  consumer: CheckedConsumer,
  error: unknown,
  message: Message,
  context: HandlerContext,
): Promise<Verdict> {
  const { onError } = consumer;
  if (typeof onError === "string") return onError;
  if (typeof onError === "object") return limitRetries(consumer, "retry", context.attempt);
  const verdict = await onError(error, message, context);
  checkVerdict(verdict, "onError's answer");
  return verdict;
}

/** Limits retries to the policy's number, also if the handler answers "retry". */
function limitRetries({ onError }: CheckedConsumer, verdict: Verdict, attempt: number): Verdict {
  if (verdict !== "retry" || typeof onError !== "object" || attempt <= onError.retry) {
    return verdict;
  }
  return onError.then ?? "stop";
}
