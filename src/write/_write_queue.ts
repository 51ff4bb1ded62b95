import { category } from "../names/stream_name.ts";
import { lengthOfWrite, MAX_BATCH_LENGTH } from "./_batch_length.ts";
import type { EachWrite, WriteOutcome } from "./_write_each.ts";

/** A write that waits for its turn or for its outcome. */
export interface QueuedWrite extends EachWrite {
  readonly resolve: (outcome: WriteOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** Writes by category, in order. */
export type Lanes = Map<string, QueuedWrite[]>;

/** The writes that wait to be sent. A category has at most one statement under way at a time. */
export interface WriteQueue {
  /** How many writes a batch has at most. */
  readonly maxBatch: number;
  /** The waiting writes. The categories are in the order in which they get their turns. */
  readonly lanes: Lanes;
  /** The categories that have a statement under way. */
  readonly underWay: Set<string>;
  /** The categories whose last batch left them out, because another transaction had locked them. */
  readonly busy: Set<string>;
}

export function addTo(lanes: Lanes, write: QueuedWrite): void {
  const name = categoryOf(write);
  const lane = lanes.get(name);
  if (lane) lane.push(write);
  else lanes.set(name, [write]);
}

/**
 * Takes the writes of the next statement from the queue: none if no category may be sent now.
 *
 * The writes of each category are taken in order, until the batch is full, or until a write has an
 * id that the batch has already. The second write of an id has to see the first, so it waits for a
 * later batch, and so do the writes of its category after it.
 */
export function takeBatch(queue: WriteQueue): QueuedWrite[] {
  const { maxBatch, lanes, underWay } = queue;
  const batch = new Map<string, QueuedWrite>();
  let length = 0;
  for (const name of nextCategories(queue)) {
    const lane = lanes.get(name)!;
    let count = 0;
    for (const write of lane) {
      length += lengthOfWrite(write);
      const isFull = batch.size === maxBatch || batch.size > 0 && length > MAX_BATCH_LENGTH;
      if (isFull || batch.has(write.id)) break;
      batch.set(write.id, write);
      count++;
    }
    if (count === 0) continue;
    underWay.add(name);
    lane.splice(0, count);
    // The rest gets its next turn after the other categories.
    lanes.delete(name);
    if (lane.length > 0) lanes.set(name, lane);
  }
  return [...batch.values()];
}

/**
 * The categories of the next batch: a busy category alone, or else all categories that have no
 * statement under way.
 *
 * A statement with several categories does not wait for their locks: it leaves a locked category
 * out. Only a statement with a single category waits for its lock (see `writeEach`). So a busy
 * category is sent alone: its turn comes, and the writes of other categories do not wait with it.
 */
function nextCategories({ lanes, underWay, busy }: WriteQueue): string[] {
  const free = [...lanes.keys()].filter((name) => !underWay.has(name));
  const firstBusy = free.find((name) => busy.has(name));
  if (firstBusy === undefined) return free;
  busy.delete(firstBusy);
  return [firstBusy];
}

/** Puts writes of busy categories back, in front of the later writes of their categories. */
export function putBack({ lanes, busy }: WriteQueue, leftOut: Lanes): void {
  for (const [name, writes] of leftOut) {
    lanes.set(name, [...writes, ...lanes.get(name) ?? []]);
    busy.add(name);
  }
}

export function categoryOf({ streamName }: EachWrite): string {
  return category(streamName);
}
