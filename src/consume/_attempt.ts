import { follow } from "../messages/follow.ts";
import type { Message, Sql } from "../types.ts";
import { AnsweredVerdict, checkDone, checkVerdict, UnusableAnswerError } from "./_answer.ts";
import { callHandler } from "./_call_handler.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import { workUntilDone } from "./_interruption.ts";
import { isRecordFailure } from "./_record_position.ts";
import type { Task } from "./_task.ts";
import type { HandlerContext, Verdict } from "./consumer.ts";

/**
 * Calls the handler. If the database fails, and not the handler, the handler is called again in the same
 * attempt.
 *
 * @param attemptNumber Which attempt this is, from 1.
 * @returns A verdict if the handler failed or answered one; "ended" if the consumer stops before.
 * @throws {UnusableAnswerError} If the handler answers what no policy can decide about.
 */
export async function attempt(
  task: Task,
  attemptNumber: number,
): Promise<Verdict | "handled" | "ended"> {
  const { run: { consumer, kept, givingUp }, placed, handler } = task;
  const { message } = placed;
  const call = (sql: Sql) => {
    const delivery = { messages: [message], attempt: attemptNumber };
    return callHandler(task.run, [placed], delivery, () => handler(message, contextOf(sql)));
  };
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
        answer = await (begun ? begun.answer : call(handle));
      } catch (error) {
        task.failure = { cause: error };
        throw error;
      }
      checkDone(answer, message.type);
      task.isDone = true;
    });
    return isHandled ? "handled" : "ended";
  } catch (error) {
    if (error instanceof AnsweredVerdict) {
      return limitRetries(consumer, error.verdict, attemptNumber);
    }
    if (error instanceof UnusableAnswerError) throw error;
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
