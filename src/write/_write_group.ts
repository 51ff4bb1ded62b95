import { DuplicateMessageError, WrongExpectedVersionError } from "../errors.ts";
import { isStatementRefused } from "../handle/_driver_error.ts";
import type { GroupObserver } from "../handle/_observe.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { Sql } from "../types.ts";
import { type EachWrite, writeEach, type WriteOutcome } from "./_write_each.ts";
import { writeEachNew } from "./_write_each_new.ts";
import { writeNew } from "./_write_new.ts";
import { writeOnce } from "./_write_once.ts";
import {
  addTo,
  categoryOf,
  type Lanes,
  putBack,
  type QueuedWrite,
  takeBatch,
  type WriteQueue,
} from "./_write_queue.ts";

/** Writes that share statements and commits. */
export interface WriteGroup extends WriteQueue {
  readonly sql: Sql;
  readonly observer: GroupObserver | undefined;
  /** How many more statements may be under way. */
  slots: number;
  /** Whether a microtask is due that sends batches. */
  isDue: boolean;
}

/** Queues a write, to be sent with others. Resolves to the position of the message. */
export async function submit(group: WriteGroup, write: EachWrite): Promise<number> {
  const outcome = await new Promise<WriteOutcome>((resolve, reject) => {
    addTo(group.lanes, { resolve, reject, ...write });
    scheduleSending(group);
  });
  if (typeof outcome === "number") return safeInteger(outcome);
  if (outcome === "duplicate") throw new DuplicateMessageError(write.id);
  const actualVersion = safeInteger(outcome[0]);
  throw new WrongExpectedVersionError(
    write.streamName,
    Number(write.expectedVersion),
    actualVersion,
  );
}

/** Sends in a microtask, so that all writes that the running code makes go together. */
function scheduleSending(group: WriteGroup): void {
  if (group.isDue) return;
  group.isDue = true;
  queueMicrotask(() => {
    group.isDue = false;
    while (group.slots > 0) {
      const batch = takeBatch(group);
      if (batch.length === 0) return;
      void commit(group, batch);
    }
  });
}

/** Sends a batch. After that, the next statement of each of its categories can be sent. */
async function commit(group: WriteGroup, batch: readonly QueuedWrite[]): Promise<void> {
  const leftOut: Lanes = new Map();
  group.slots--;
  try {
    await sendBatch(group, batch, leftOut);
    putBack(group, leftOut);
  } catch (error) {
    for (const { reject } of batch) reject(error);
  }
  for (const write of batch) group.underWay.delete(categoryOf(write));
  group.slots++;
  scheduleSending(group);
}

/**
 * Sends a batch in one statement, and tells each write its outcome.
 *
 * If the statement is refused, each half of the batch is sent in a statement of its own, and so on.
 * So in the end, only the write that the database refuses rejects. What comes down to one category is left out,
 * and sent alone in its turn: such a statement waits for its lock, and the other categories must not wait with it.
 *
 * @param leftOut Gets the writes that were left out, because another writer has locked their
 * category or may have, and the later writes of these categories.
 * @throws An error that says nothing about a single write: a lost connection, for example.
 */
async function sendBatch(
  group: WriteGroup,
  batch: readonly QueuedWrite[],
  leftOut: Lanes,
): Promise<void> {
  const [first] = batch;
  if (first === undefined) return;
  const { sql, observer } = group;
  const carry = <Answer>(send: () => Promise<Answer>): Promise<Answer> =>
    observer ? observer.carry(batch, send) : send();
  try {
    if (batch.length === 1) return first.resolve(await carry(() => writeAlone(sql, first)));
    const isNew = batch.every((it) => !it.mayBeKnown && it.expectedVersion === null);
    const outcomes = await carry(() => (isNew ? writeEachNew : writeEach)(sql, batch));
    batch.forEach((write, at) => {
      const outcome = outcomes[at]!;
      if (outcome === "busy") addTo(leftOut, write);
      else write.resolve(outcome);
    });
  } catch (error) {
    if (!isStatementRefused(error)) throw error;
    if (batch.length > 1) await sendHalves(group, batch, leftOut);
    else first.reject(error);
  }
}

function writeAlone(sql: Sql, write: EachWrite): Promise<number> {
  const writeOne = write.mayBeKnown ? writeOnce : writeNew;
  return writeOne(sql, write.streamName, write, write.expectedVersion);
}

async function sendHalves(
  group: WriteGroup,
  batch: readonly QueuedWrite[],
  leftOut: Lanes,
): Promise<void> {
  const isAlone = isOfOneCategory(batch);
  const send = async (part: readonly QueuedWrite[]) => {
    if (isAlone || !isOfOneCategory(part)) await sendBatch(group, part, leftOut);
    else for (const write of part) addTo(leftOut, write);
  };
  const half = batch.length >> 1;
  await send(batch.slice(0, half));
  const rest: QueuedWrite[] = [];
  for (const write of batch.slice(half)) {
    // A write must not overtake an earlier write of its stream that the first half has left out.
    if (leftOut.has(categoryOf(write))) addTo(leftOut, write);
    else rest.push(write);
  }
  await send(rest);
}

function isOfOneCategory(batch: readonly QueuedWrite[]): boolean {
  return new Set(batch.map(categoryOf)).size === 1;
}
