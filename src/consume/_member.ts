import { isBookkeeping } from "./_bookkeeping.ts";
import {
  type Cursor,
  findPosition,
  keepPosition,
  type Lease,
  LeaseLostError,
  memberStream,
  positionStream,
} from "./_cursor.ts";
import { type Shutdown, type ShutdownControl, shutdownOn } from "../lib/shutdown.ts";
import { listenForMessages } from "../subscribe/_bell.ts";
import { followPages } from "../subscribe/_follow_pages.ts";
import { handleMessage, type Placed } from "./_attempt.ts";
import { type Reader, readerOf } from "../subscribe/_reader.ts";
import { isLostConnection, retryWhileLost } from "../handle/_retry.ts";
import { abortable } from "../lib/wait.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import type { AggregatedMessage } from "../read/reference.ts";
import type { ConsumerGroup } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";

/** How long the last store may take where what was in hand is given up, in milliseconds. */
const LAST_STORE = 1000;

/** For how long to go on, besides the signals. */
export interface Bounds {
  /** To end where there is no more. */
  readonly untilCaughtUp: boolean;
  /** How many messages to handle at most. */
  readonly limit: number;
  /** When to begin no more, by `Date.now()`: a timer has no turn between handlers that wait for nothing. */
  readonly deadline: number;
}

/** To go on until it is stopped. */
export const UNBOUNDED: Bounds = { untilCaughtUp: false, limit: Infinity, deadline: Infinity };

/** What a run has done. */
export interface MemberRun {
  readonly handled: number;
  /** The global position up to which all is handled. */
  readonly position: number;
  /** Whether it ended where there was no more. */
  readonly caughtUp: boolean;
}

/** A member of a group that this process has, or the consumer where it has no group. */
export interface Member {
  readonly cursor: Cursor;
  run(ending: ShutdownControl, bounds: Bounds): Promise<MemberRun>;
}

/** Finds where the member goes on; undefined where another process has it, by a lease. */
export function openMember(
  consumer: CheckedConsumer,
  member: ConsumerGroup | undefined,
  lease: Lease,
): Promise<Member | undefined>;
export function openMember(
  consumer: CheckedConsumer,
  member: ConsumerGroup | undefined,
): Promise<Member>;
export async function openMember(
  consumer: CheckedConsumer,
  member: ConsumerGroup | undefined,
  lease?: Lease,
): Promise<Member | undefined> {
  const { sql, source, types, correlation, batchSize, startAt } = consumer;
  const reader = readerOf(sql, source, { types, correlation, batchSize, consumerGroup: member });
  const found = await findPosition(consumer, member, () => reader.start(startAt));
  if (lease !== undefined && found.holder !== undefined) return undefined;
  const name = member ? memberStream(consumer, member) : positionStream(consumer);
  // Where the end is depends on when that is asked: it is stored where it is 0, too.
  const isMoving = startAt === "end" || typeof startAt === "object";
  const stored = isMoving && found.version === NO_STREAM ? -1 : found.stored;
  const cursor = keepPosition(consumer, name, { ...found, stored }, lease);
  // Who starts at the end, or where another group was, starts there again; and who takes it has it.
  try {
    await cursor.open();
  } catch (error) {
    if (!cursor.isConflict(error)) throw error;
    return await openMember(consumer, member, lease!);
  }
  return { cursor, run: (ending, bounds) => runMember(consumer, reader, cursor, ending, bounds) };
}

async function runMember(
  consumer: CheckedConsumer,
  reader: Reader,
  cursor: Cursor,
  ending: ShutdownControl,
  bounds: Bounds,
): Promise<MemberRun> {
  const { stopping, givingUp } = ending;
  const { listener } = consumer;
  const isOfAll = reader.category === null;
  // Its position was found: the database has been there.
  const retrying = { attempts: Infinity, ...consumer, signal: stopping };
  const bell = listener &&
    await retryWhileLost(() => listenForMessages(listener, reader.category, stopping), retrying)
      .catch((error) => {
        if (!stopping.aborted) throw error;
        return undefined;
      });
  const pages = followPages(reader.read, cursor.position + 1, { ...retrying, bell });
  const handling: Handling = {
    ...ending,
    deadline: bounds.deadline,
    store: () =>
      retryWhileLost(cursor.store, { ...consumer, signal: givingUp }).catch((error) => {
        if (!givingUp.aborted) throw error;
      }),
  };
  let handled = 0;
  let caughtUp = false;
  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const page of pages) {
      const ahead = page.messages
        .map((message) => ({ message, place: reader.place(message) }))
        .filter(({ message, place }) =>
          place > cursor.position && !(isOfAll && isBookkeeping(message))
        );
      const placed = ahead.slice(0, bounds.limit - handled);
      const count = await handlePage(consumer, cursor, placed, handling);
      handled += count;
      if (count < placed.length) break;
      if (placed.length === ahead.length) {
        cursor.pass(page.next - 1, !page.isQuiet);
        caughtUp = page.atEnd && page.isSettled !== false;
      }
      if (page.atEnd && bounds.untilCaughtUp || handled >= bounds.limit) break;
      if (cursor.isDue(page.atEnd)) await handling.store();
    }
  } catch (error) {
    failure = { error };
  }
  bell?.remove();
  try {
    const last = shutdownOn([givingUp], LAST_STORE);
    await storeLast(consumer, cursor, last.givingUp).finally(last.dispose);
  } catch (error) {
    failure ??= { error };
  }
  if (failure && !(failure.error instanceof LeaseLostError)) throw failure.error;
  return { handled, position: cursor.position, caughtUp: caughtUp && failure === undefined };
}

/** What cannot be stored now is handled again: that is no failure. */
async function storeLast(
  consumer: CheckedConsumer,
  cursor: Cursor,
  signal: AbortSignal,
): Promise<void> {
  try {
    await retryWhileLost(cursor.close, { ...consumer, attempts: 5, signal });
  } catch (error) {
    if (!signal.aborted && !isLostConnection(error)) throw error;
  }
}

interface Handling extends Shutdown, Pick<ShutdownControl, "stop">, Pick<Bounds, "deadline"> {
  store(): Promise<void>;
}

/**
 * Handles the messages of a page: those of one stream one after another, so many streams side by side.
 *
 * Each as early as its stream allows: a position says that all before it is handled, so what is done
 * ahead of one that is not is done again by who goes on from there.
 *
 * @returns How many it has handled.
 */
async function handlePage(
  consumer: CheckedConsumer,
  cursor: Cursor,
  placed: readonly Placed[],
  handling: Handling,
): Promise<number> {
  const { stopping, givingUp, stop, store, deadline } = handling;
  const isHandled: boolean[] = [];
  let prefix = 0;
  let count = 0;
  const failures: unknown[] = [];
  let next = 0;
  /** The indices of the messages of each stream in hand, to which those that come meanwhile are added. */
  const lanes = new Map<string, number[]>();

  async function work(): Promise<void> {
    while (next < placed.length) {
      const first = next++;
      const name = laneOf(placed[first]!);
      const inHand = lanes.get(name);
      if (inHand) {
        inHand.push(first);
        continue;
      }
      const lane = [first];
      lanes.set(name, lane);
      for (const at of lane) {
        if (cursor.isDue()) await store();
        if (Date.now() >= deadline) stop();
        if (stopping.aborted) return;
        const handled = handleMessage(consumer, cursor, placed[at]!, handling);
        const outcome = handled instanceof Promise ? await handled : handled;
        if (outcome === "ended" || givingUp.aborted) return;
        isHandled[at] = true;
        count++;
        while (isHandled[prefix]) cursor.pass(placed[prefix++]!.place);
      }
      lanes.delete(name);
    }
  }
  const workers = Array.from(
    { length: Math.min(consumer.concurrency, placed.length) },
    () =>
      work().catch((error) => {
        failures.push(error);
        // The others finish what they have in hand.
        stop();
      }),
  );
  await abortable(Promise.all(workers), givingUp).catch(() => {});
  if (failures.length > 0) throw failures[0];
  return count;
}

/** The stream that it is of, of an aggregate the partition. */
function laneOf({ message }: Placed): string {
  return (message as AggregatedMessage).reference?.streamName ?? message.streamName;
}
