import { HandlerFailedError } from "../errors.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { backoff, sleep } from "../lib/wait.ts";
import type { Message } from "../types.ts";
import { attempt, contextFor } from "./_attempt.ts";
import { callHandler } from "./_call_handler.ts";
import { FIRST_DELAY, LONGEST_DELAY, reload, workUntilDone } from "./_interruption.ts";
import { describe, withoutRefused, writeParked } from "./_park.ts";
import type { Begun, Placed, Run, Task } from "./_task.ts";
import type { ConsumerEventBody } from "./consumer_event.ts";

/**
 * The outcome of a message; "ended" if the consumer has stopped before there was another outcome.
 */
export type HandledOutcome = "handled" | "skipped" | "parked" | "ended";

/**
 * Handles a message: tries as often as the policy allows, until the message is handled, skipped or
 * parked, or the consumer stops.
 *
 * @param begun What the handler has answered already, in its first attempt.
 * @param contested The streams whose categories a transaction is to lock first. Conflicts add to them.
 * @returns No promise if the handler returns nothing, because a promise costs more than all other work
 * for a message.
 */
export function handleMessage(
  run: Run,
  placed: Placed,
  begun?: Begun,
  contested: Set<string> = new Set(),
): HandledOutcome | Promise<HandledOutcome> {
  const { consumer, kept, givingUp, report } = run;
  const { message, place } = placed;
  const handler = consumer.handlerOf(message);
  // The position can be ahead: another process has handled the message since the page was read.
  if (handler === undefined || kept.position >= place) return "skipped";
  const calledAt = report && performance.now();
  if (!consumer.begin && begun === undefined) {
    try {
      const context = contextFor(message, consumer.handlerSql, givingUp, 1);
      const answer = consumer.observer === undefined
        ? handler(message, context)
        : callHandler(run, [placed], { messages: [message], attempt: 1 }, () =>
          handler(message, context));
      if (answer === undefined) {
        report?.(handledEvent(message, 1, calledAt!));
        return "handled";
      }
      begun = { answer };
    } catch (error) {
      begun = { answer: Promise.reject(error) };
    }
  }
  return handleUntilDone({
    run,
    placed,
    handler,
    begun,
    ...(calledAt !== undefined && { calledAt }),
    interruptions: 0,
    losses: 0,
    conflicts: 0,
    contested,
  });
}

function handledEvent(message: Message, attempt: number, calledAt: number): ConsumerEventBody {
  const duration = performance.now() - calledAt;
  return { type: "handled", messages: [message], attempt, duration };
}

async function handleUntilDone(task: Task): Promise<HandledOutcome> {
  const { run: { consumer: { onError, observer }, stopping, report }, placed: { message } } = task;
  for (let attemptNumber = 1;; attemptNumber++) {
    const outcome = await attempt(task, attemptNumber);
    const error = task.failure?.cause;
    switch (outcome) {
      case "handled":
        if (task.isDone && report) report(handledEvent(message, attemptNumber, task.calledAt!));
        return "handled";
      case "ended":
        return "ended";
      case "park":
        if (!await parkMessage(task, attemptNumber)) return "ended";
        report?.({ type: "parked", message, attempts: attemptNumber, error });
        return "parked";
      case "skip":
        if (!await workUntilDone(task, async () => {})) return "ended";
        report?.({ type: "skipped", message, attempts: attemptNumber, error });
        return "skipped";
      case "stop":
        return await stopBefore(task, attemptNumber);
      case "retry": {
        const { delay: first = FIRST_DELAY } = typeof onError === "object" ? onError : {};
        const delay = backoff(attemptNumber, first, LONGEST_DELAY);
        report?.({ type: "retried", message, attempt: attemptNumber, error, delay });
        observer?.retry();
        await sleep(delay, stopping);
        if (stopping.aborted) return "ended";
      }
    }
  }
}

/** Whether the message is parked; false if the consumer stops before. */
async function parkMessage(task: Task, attempts: number): Promise<boolean> {
  const { run: { consumer }, placed, failure } = task;
  let error = describe(failure);
  for (let refusals = 1;; refusals++) {
    try {
      return await workUntilDone(task, (sql) => {
        const limited = withTimeLimit(sql, consumer.answerTimeout);
        return writeParked(limited, consumer, placed, attempts, error);
      });
    } catch (refusal) {
      error = withoutRefused(error, refusal, refusals);
    }
  }
}

/** Throws, so that the consumer stops before the message, unless another process has handled it. */
async function stopBefore(
  { run, placed: { message, place }, failure }: Task,
  attempts: number,
): Promise<HandledOutcome> {
  const { consumer: { begin, consumerId }, kept } = run;
  // It may have failed because another process already did this: a unique key violation says so.
  if (begin) await reload(run);
  if (kept.position >= place) return "handled";
  throw new HandlerFailedError(consumerId, message, attempts, failure);
}
