import { StoreWentBackError } from "../errors.ts";
import { isPassing, retryUntilAborted } from "../handle/_retry.ts";
import { type ShutdownControl, shutdownOn } from "../lib/shutdown.ts";
import { isOwnMessage } from "../names/_own_streams.ts";
import type { Page } from "../read/_page.ts";
import { listenForMessages } from "../subscribe/_bell.ts";
import { type Following, followPages } from "../subscribe/_follow_pages.ts";
import type { Reader } from "../subscribe/_reader.ts";
import type { Placed, Run } from "./_task.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import type { FoundPosition } from "./_find_position.ts";
import { goBack, readFor, type Reading } from "./_go_back.ts";
import { handlePage, type PageRun } from "./_handle_page.ts";
import {
  closePosition,
  isStoreDue,
  type KeptPosition,
  passTo,
  storePosition,
} from "./_kept_position.ts";
import { LeaseLostError } from "./_lease.ts";

/** How long the last store may take after the work in hand was given up, in milliseconds. */
const LAST_STORE = 1000;

/** What ends a run, besides a shutdown. */
export interface Bounds {
  /** Whether to end when there are no more messages. */
  readonly untilCaughtUp: boolean;
  /** How many messages to handle at most. */
  readonly limit: number;
  /**
   * When to begin no more messages, by `Date.now()`. A timer would not do: while handlers run that
   * wait for nothing, no timer fires.
   */
  readonly deadline: number;
}

export const UNBOUNDED: Bounds = { untilCaughtUp: false, limit: Infinity, deadline: Infinity };

/** What a run has done. */
export interface MemberResult {
  readonly handled: number;
  /** Everything up to here, included, is handled. */
  readonly position: number;
  /** Whether it ended where there were no more messages. */
  readonly caughtUp: boolean;
}

/**
 * Reads and handles page after page, then stores the position for the last time.
 *
 * @param find Finds the position again, after the store went back.
 */
export async function runMember(
  consumer: CheckedConsumer,
  reader: Reader,
  kept: KeptPosition,
  find: () => Promise<FoundPosition>,
  shutdown: ShutdownControl,
  bounds: Bounds,
): Promise<MemberResult> {
  const { stopping, givingUp } = shutdown;
  const { listener } = consumer;
  // The database has answered when the position was found. So each later error may be temporary.
  const retrying = { ...consumer, signal: stopping, isFirst: false };
  const listening = () => listenForMessages(listener!, reader.category, stopping);
  const bell = listener && await retryUntilAborted(listening, retrying);
  const storing = { ...consumer, signal: givingUp };
  const store = () => retryUntilAborted(() => storePosition(kept), storing);
  const run = { consumer, kept, ...shutdown, deadline: bounds.deadline, store };
  const progress = { handled: 0, caughtUp: false };
  const failures: unknown[] = [];
  try {
    const reading = readFor(kept, reader);
    const following = { ...retrying, bell };
    while (
      await hasGoneBack(handlePages(run, reading, following, bounds, progress), run, reading)
    ) {
      await retryUntilAborted(() => goBack(reading, find), storing);
    }
  } catch (error) {
    failures.push(error);
  }
  bell?.remove();
  try {
    const lastShutdown = shutdownOn([givingUp], LAST_STORE);
    await storeLast(run, lastShutdown.givingUp).finally(lastShutdown.dispose);
  } catch (error) {
    failures.push(error);
  }
  // A lost lease is no failure: another process goes on with the member.
  const hasFailed = failures.length > 0;
  if (hasFailed && !(failures[0] instanceof LeaseLostError)) throw failures[0];
  progress.caughtUp &&= !hasFailed;
  return { ...progress, position: kept.position };
}

/** Waits for the work, and tells whether it ended because the store went back. */
async function hasGoneBack(
  work: Promise<void>,
  { consumer, kept }: Run,
  reading: Reading,
): Promise<boolean> {
  try {
    await work;
    return false;
  } catch (error) {
    if (!(error instanceof StoreWentBackError)) throw error;
    // Until the position is found again, what was reached in the lost messages must not be stored.
    reading.reached = kept.position;
    kept.position = Math.max(kept.stored, 0);
    consumer.onRetry?.(error);
    return true;
  }
}

async function handlePages(
  run: PageRun,
  reading: Reading,
  following: Following,
  { untilCaughtUp, limit }: Bounds,
  progress: { handled: number; caughtUp: boolean },
): Promise<void> {
  const { kept } = run;
  const { reader } = reading;
  const start = { position: kept.position + 1, mark: null };
  for await (const page of followPages(reading.read, start, following)) {
    reading.page = page;
    const ahead = messagesAhead(page, reader, kept);
    const placed = ahead.slice(0, limit - progress.handled);
    const count = await handlePage(run, placed);
    progress.handled += count;
    if (count < placed.length) return;
    if (placed.length === ahead.length) {
      passTo(kept, page.next - 1, !page.isQuiet);
      progress.caughtUp = page.atEnd && page.isSettled !== false;
    }
    if (page.atEnd && untilCaughtUp || progress.handled >= limit) return;
    if (isStoreDue(kept, page.atEnd)) await run.store();
  }
}

/** The messages of a page that are still to be handled, with their places. */
function messagesAhead(page: Page, reader: Reader, kept: KeptPosition): Placed[] {
  const isOfAll = reader.category === null;
  return page.messages
    .map((message) => ({ message, place: reader.placeOf(message) }))
    .filter(({ message, place }) => place > kept.position && !(isOfAll && isOwnMessage(message)));
}

/**
 * Stores the position for the last time. It is no failure if the database is unavailable: the
 * messages since the last stored position are handled again.
 */
async function storeLast({ consumer, kept }: Run, signal: AbortSignal): Promise<void> {
  try {
    await retryUntilAborted(() => closePosition(kept), { ...consumer, tries: 5, signal });
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}
