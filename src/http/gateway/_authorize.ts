import type { GatewayCall } from "./call.ts";
import type { Gateway } from "./_gateway.ts";
import type { ErrorListener } from "./_error_listener.ts";
import { Refusal } from "./_problem.ts";

/** Refuses a request unless all of its calls together are small enough and each of them is allowed. */
export async function checkAllowed(
  request: Request,
  { authorize, allowConditions, maxBatchSize, onError }: Gateway,
  calls: readonly GatewayCall[],
): Promise<void> {
  // No rule has been asked whether this is allowed.
  if (calls.length === 0) throw new Refusal(422, "Cannot do this: it names no stream");
  checkMessageCount(messageCountOf(calls), maxBatchSize);
  for (const call of calls) {
    if (call.condition !== undefined && !allowConditions) {
      throw new Refusal(403, "Cannot read with a condition: this gateway does not allow any");
    }
    const allowed = await askRule({ authorize, onError }, request, call);
    if (allowed !== true) throw new Refusal(403, `Cannot ${phraseOf(call)}: it is not allowed`);
  }
}

/** A rule for calls, and who is told if it throws. */
export interface Rule<Call, Answer> {
  readonly authorize: (request: Request, call: Call) => Answer | PromiseLike<Answer>;
  readonly onError: ErrorListener;
}

/** Asks a rule; undefined if it throws. */
export async function askRule<Call, Answer>(
  { authorize, onError }: Rule<Call, Answer>,
  request: Request,
  call: Call,
): Promise<Answer | undefined> {
  try {
    return await authorize(request, call);
  } catch (error) {
    // Most often a token that cannot be read: a reason to refuse, but not for a status of 500.
    onError(error, request);
    return undefined;
  }
}

/** Refuses more messages than a call may have, so that no work is done for each of them. */
export function checkMessageCount(count: number, maxBatchSize: number): void {
  if (count <= maxBatchSize) return;
  throw new Refusal(
    422,
    `Cannot do this with ${count} messages: a call may have ${maxBatchSize} at most`,
    { maxBatchSize },
  );
}

/** All calls of a read share one page. Each call counts, though it may write nothing. */
function messageCountOf(calls: readonly GatewayCall[]): number {
  let count = 0;
  let longestPage = 0;
  for (const { batchSize = 0, ids, messages } of calls) {
    count += Math.max(1, (ids ?? messages ?? []).length);
    longestPage = Math.max(longestPage, batchSize);
  }
  return Math.max(count, longestPage);
}

/** `write to stream "account-1"`, `call categories` */
function phraseOf({ operation, writes, streamName, category, aggregate }: GatewayCall): string {
  const verb = writes ? "write to" : "read";
  if (streamName !== undefined) return `${verb} stream ${JSON.stringify(streamName)}`;
  if (aggregate !== undefined) return `${verb} aggregate ${JSON.stringify(aggregate)}`;
  return category === undefined
    ? `call ${operation}`
    : `${verb} category ${JSON.stringify(category)}`;
}
