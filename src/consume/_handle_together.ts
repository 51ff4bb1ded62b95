import { StoreWentBackError } from "../errors.ts";
import { isPassing } from "../handle/_retry.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { abortable } from "../lib/wait.ts";
import type { Message, Sql } from "../types.ts";
import { AnsweredVerdict, checkDone, UnusableAnswerError } from "./_answer.ts";
import { contextFor } from "./_attempt.ts";
import { callHandler } from "./_call_handler.ts";
import { ClaimLostError } from "./_claim.ts";
import { handleMessage } from "./_handle_message.ts";
import type { PageRun } from "./_handle_page.ts";
import { reload } from "./_interruption.ts";
import { isStoreDue, passTo } from "./_kept_position.ts";
import { lockCategories } from "./_lock_categories.ts";
import { storeWith } from "./_store_position.ts";
import type { Begun, Placed } from "./_task.ts";
import type { ConsumerEventBody } from "./consumer_event.ts";

/**
 * Handles the messages of a page together: in one transaction, by one call of a handler of pages, or both.
 *
 * If that fails, fewer messages are taken, until the one that fails is alone. That one is handled as every
 * message of a consumer without transactions is, so the policy is for it and for no other.
 *
 * @returns How many messages were handled, skipped or parked.
 */
export async function handleTogether(run: PageRun, placed: readonly Placed[]): Promise<number> {
  const progress = { at: 0 };
  const working = handleFrom(run, placed, progress);
  working.catch(() => {});
  await abortable(working, run.givingUp).catch((error) => {
    if (!run.givingUp.aborted) throw error;
  });
  return progress.at;
}

async function handleFrom(
  run: PageRun,
  placed: readonly Placed[],
  progress: { at: number },
): Promise<void> {
  const { consumer, kept, stopping, givingUp, moved, store, stop, deadline } = run;
  const isAlone = run.isAlone || !consumer.pageHandler && consumer.commitInterval === 0;
  let size = isAlone ? 1 : placed.length;
  /** The message that fails is before this one; 0 if none is known to fail. */
  let suspects = 0;
  const contested = new Set<string>();
  while (progress.at < placed.length) {
    const { at } = progress;
    // Another process has handled the message, or this one has and the answer to COMMIT was lost.
    if (placed[at]!.place <= kept.position) {
      progress.at++;
      continue;
    }
    if (isStoreDue(kept)) await store();
    if (Date.now() >= deadline) stop();
    if (stopping.aborted) return;
    const chunk = placed.slice(at, at + size);
    const { done, failure } = chunk.length === 1 ? ALONE : await tryTogether(run, chunk, contested);
    if (failure === undefined) {
      if (done === 0) return;
      progress.at += done;
    } else if (failure.at === 0) {
      const outcome = await handleMessage(run, chunk[0]!, failure.begun, contested);
      if (outcome === "ended" || givingUp.aborted || moved.aborted) return;
      passTo(kept, chunk[0]!.place);
      progress.at++;
    } else {
      // Those before the message that failed come first, and then it is the first. If the message is not
      // known, it is looked for in the first half.
      suspects = at + (failure.at === undefined ? chunk.length : failure.at + 1);
      size = failure.at ?? Math.ceil(chunk.length / 2);
      continue;
    }
    if (progress.at < suspects) size = Math.ceil((suspects - progress.at) / 2);
    else if (!isAlone) size = placed.length;
  }
  run.isAlone = false;
}

/** What became of messages that were to be handled together. */
interface Together {
  /** How many of them are handled, from the first on; 0 with no failure if the consumer stops. */
  readonly done: number;
  readonly failure?: {
    /** Which message failed, if that is known. */
    readonly at: number | undefined;
    /** What its handler has answered, unless it is still to be called. */
    readonly begun: Begun | undefined;
  };
}

const ALONE: Together = { done: 0, failure: { at: 0, begun: undefined } };

/** How far a try has come. */
interface Try {
  done: number;
  /** The message whose handler is called. */
  at: number | undefined;
  readonly events: ConsumerEventBody[];
}

async function tryTogether(
  run: PageRun,
  chunk: readonly Placed[],
  contested: ReadonlySet<string>,
): Promise<Together> {
  const { consumer: { begin, handlerSql, pageHandler, answerTimeout }, kept, moved, report } = run;
  const trying: Try = { done: 0, at: undefined, events: [] };
  const handle = pageHandler ? callOnce : callEach;
  const work = async (sql: Sql): Promise<number> => {
    if (begin) await lockCategories(withTimeLimit(sql, answerTimeout), contested);
    await handle(run, sql, chunk, trying);
    return chunk[trying.done - 1]!.place;
  };
  try {
    if (begin) await storeWith(kept, begin, work);
    else {
      const place = await work(handlerSql);
      if (moved.aborted) return { done: 0 };
      passTo(kept, place);
    }
  } catch (error) {
    return await failureOf(run, trying, error);
  }
  if (report) { for (const event of trying.events) report(event); }
  return { done: trying.done };
}

/** Calls the handler of pages. */
async function callOnce(
  run: PageRun,
  sql: Sql,
  chunk: readonly Placed[],
  trying: Try,
): Promise<void> {
  const { consumer: { pageHandler, decode }, givingUp, report } = run;
  const messages: Message[] = [];
  for (const [at, { message }] of chunk.entries()) {
    trying.at = at;
    const parsed = decode ? await decode(message) : message;
    if (parsed) messages.push(parsed);
  }
  trying.at = undefined;
  const calledAt = performance.now();
  if (messages.length > 0) {
    const context = { sql, signal: givingUp, attempt: 1 };
    const answer = await callHandler(
      run,
      chunk,
      { messages, attempt: 1 },
      () => pageHandler!(messages, context),
    );
    checkDone(answer);
  }
  trying.done = chunk.length;
  if (report) {
    const duration = performance.now() - calledAt;
    trying.events.push({ type: "handled", messages, attempt: 1, duration });
  }
}

/** Calls the handlers of the messages, one after another, until the transaction has lasted long enough. */
async function callEach(
  run: PageRun,
  sql: Sql,
  chunk: readonly Placed[],
  trying: Try,
): Promise<void> {
  const { consumer, kept, givingUp, stopping, deadline, report } = run;
  const end = performance.now() + consumer.commitInterval;
  for (const [at, placed] of chunk.entries()) {
    const { message, place } = placed;
    const handler = consumer.handlerOf(message);
    if (handler !== undefined && place > kept.position) {
      trying.at = at;
      const calledAt = performance.now();
      const context = contextFor(message, sql, givingUp, 1);
      const first = { messages: [message], attempt: 1 };
      const answer = await callHandler(run, [placed], first, () => handler(message, context));
      checkDone(answer, message.type);
      trying.at = undefined;
      const now = performance.now();
      if (report) {
        trying.events.push({
          type: "handled",
          messages: [message],
          attempt: 1,
          duration: now - calledAt,
        });
      }
      trying.done = at + 1;
      if (now >= end || stopping.aborted || Date.now() >= deadline) return;
    }
    trying.done = at + 1;
  }
}

async function failureOf(run: PageRun, { at }: Try, error: unknown): Promise<Together> {
  const { consumer, givingUp, moved } = run;
  if (givingUp.aborted || moved.aborted) return { done: 0 };
  const ends = [ClaimLostError, StoreWentBackError, UnusableAnswerError];
  if (ends.some((it) => error instanceof it)) throw error;
  if (at === undefined && isPassing(error)) consumer.onRetry?.(error);
  // The transaction may have committed, and the answer was lost.
  const isStopping = consumer.begin && await reload(run) === undefined;
  if (isStopping || moved.aborted) return { done: 0 };
  const answer = error instanceof AnsweredVerdict ? error.verdict : Promise.reject(error);
  if (answer instanceof Promise) answer.catch(() => {});
  return { done: 0, failure: { at, begun: { answer } } };
}
