import { HandlerFailedError } from "../errors.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { backoff, sleep } from "../lib/wait.ts";
import { attempt, contextFor } from "./_attempt.ts";
import { FIRST_DELAY, LONGEST_DELAY, reload, workUntilDone } from "./_interruption.ts";
import { describe, park, withoutRefused } from "./_park.ts";
import type { Placed, Run, Task } from "./_task.ts";

/**
 * The outcome of a message; "ended" if the consumer has stopped before there was another outcome.
 */
export type HandledOutcome = "handled" | "skipped" | "parked" | "ended";

/**
 * Handles a message: tries as often as the policy allows, until the message is handled, skipped or
 * parked, or the consumer stops.
 *
 * @returns No promise if the handler returns nothing, because a promise costs more than all other work
 * for a message.
 */
export function handleMessage(
  run: Run,
  placed: Placed,
): HandledOutcome | Promise<HandledOutcome> {
  const { consumer, kept, givingUp } = run;
  const { message, place } = placed;
  const handler = consumer.handlerOf(message);
  // The position can be ahead: another process has handled the message since the page was read.
  if (handler === undefined || kept.position >= place) return "skipped";
  let begun: Task["begun"];
  if (!consumer.begin) {
    try {
      const answer = handler(message, contextFor(message, consumer.handlerSql, givingUp, 1));
      if (answer === undefined) return "handled";
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
    interruptions: 0,
    losses: 0,
    conflicts: 0,
  });
}

async function handleUntilDone(task: Task): Promise<HandledOutcome> {
  const { consumer: { onError }, stopping } = task.run;
  for (let attemptNumber = 1;; attemptNumber++) {
    const outcome = await attempt(task, attemptNumber);
    switch (outcome) {
      case "handled":
      case "ended":
        return outcome;
      case "park":
        return await parkMessage(task, attemptNumber);
      case "skip":
        return await workUntilDone(task, async () => {}) ? "skipped" : "ended";
      case "stop":
        return await stopBefore(task, attemptNumber);
      case "retry": {
        const { delay = FIRST_DELAY } = typeof onError === "object" ? onError : {};
        await sleep(backoff(attemptNumber, delay, LONGEST_DELAY), stopping);
        if (stopping.aborted) return "ended";
      }
    }
  }
}

async function parkMessage(task: Task, attempts: number): Promise<HandledOutcome> {
  const { run: { consumer }, placed, failure } = task;
  let error = describe(failure);
  for (let refusals = 1;; refusals++) {
    try {
      const isParked = await workUntilDone(task, (sql) => {
        return park(withTimeLimit(sql, consumer.answerTimeout), consumer, placed, attempts, error);
      });
      return isParked ? "parked" : "ended";
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
