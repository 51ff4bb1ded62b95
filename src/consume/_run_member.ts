import { StoreWentBackError } from "../errors.ts";
import { isPassing, retryUntilAborted } from "../handle/_retry.ts";
import { type ShutdownControl, shutdownOn } from "../lib/shutdown.ts";
import { onAbort } from "../lib/wait.ts";
import type { Page } from "../read/_page.ts";
import { type Bell, listenForMessages } from "../subscribe/_bell.ts";
import { type Following, followPages, retryOnStandby } from "../subscribe/_follow_pages.ts";
import { isForConsumers, type Reader } from "../subscribe/_reader.ts";
import { ClaimLostError } from "./_claim.ts";
import { goBack, readFor, type Reading } from "./_go_back.ts";
import { handlePage, type PageRun } from "./_handle_page.ts";
import { handleTogether } from "./_handle_together.ts";
import { isStoreDue, type KeptPosition, passTo } from "./_kept_position.ts";
import type { Member } from "./_member.ts";
import { pauseBefore } from "./_pause.ts";
import { closePosition, storePosition, takeInHand } from "./_store_position.ts";
import type { Placed, Run } from "./_task.ts";

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
  /** Told when all messages that were there are handled, and when there are more again. */
  readonly onCaughtUp?: (isCaughtUp: boolean) => void;
}

/** What a run has done. */
export interface MemberResult {
  readonly handled: number;
  /** Everything up to here, included, is handled. */
  readonly position: number;
  /** Whether it ended where there were no more messages. */
  readonly caughtUp: boolean;
  /** Whether another process has the member, and messages are left. */
  readonly isBusy: boolean;
}

/** Reads and handles page after page, then stores the position for the last time. */
export async function runMember(
  member: Member,
  shutdown: ShutdownControl,
  bounds: Bounds,
): Promise<MemberResult> {
  const { consumer, reader, kept, report } = member;
  const { stopping, givingUp } = shutdown;
  const { listener } = consumer;
  // The database has answered when the position was found. So each later error may be temporary.
  const retrying = { ...consumer, signal: stopping, isFirst: false };
  const listening = () => listenForMessages(listener!, reader.category, stopping);
  const { watched } = reader;
  const isDue = () => isStoreDue(kept, true) || reader.isDue?.() === true;
  // News of what is read is news of the replica.
  const sql = consumer.readFrom ?? consumer.sql;
  const progress: Progress = { handled: 0, caughtUp: false, isBusy: false };
  const failures: unknown[] = [];
  const reading = readFor(kept, reader);
  let bell: Bell | undefined;
  try {
    bell = listener && await retryUntilAborted(listening, retrying);
    const following = { ...retrying, sql, watched, isDue, bell, server: { wasPrimary: false } };
    await runRounds(member, reading, following, shutdown, bounds, progress);
  } catch (error) {
    failures.push(error);
  }
  bell?.remove();
  try {
    const lastShutdown = shutdownOn([givingUp], LAST_STORE);
    const reached = kept.position;
    await storeLast(member, reading, lastShutdown.givingUp).finally(lastShutdown.dispose);
    progress.caughtUp &&= kept.position >= reached;
  } catch (error) {
    failures.push(error);
  }
  const [failure] = failures;
  progress.caughtUp &&= failures.length === 0;
  if (failure instanceof ClaimLostError) {
    // No failure: another process goes on with the member.
    report?.({ type: "claimLost" });
    progress.isBusy = true;
  } else if (failures.length > 0) {
    report?.({ type: "error", error: failure });
    throw failure;
  }
  return { ...progress, position: kept.position };
}

/** Handles pages round after round, as long as the position is set, found again, or set back. */
async function runRounds(
  member: Member,
  reading: Reading,
  following: Following,
  shutdown: ShutdownControl,
  bounds: Bounds,
  progress: Progress,
): Promise<void> {
  const { consumer, kept, report } = member;
  const { stop, stopping, givingUp } = shutdown;
  const { deadline } = bounds;
  const storing = { ...following, signal: givingUp };
  const store = () => retryUntilAborted(() => storePosition(kept), storing);
  let isAlone = false;
  for (let idleRounds = 0;;) {
    const { handled } = progress;
    const round = roundOf(member, shutdown);
    const run = { consumer, kept, report, ...round, stop, deadline, isAlone, store };
    const inRound = { ...following, signal: round.stopping };
    const handling = handlePages(run, member, reading, inRound, bounds, progress);
    const wentBack = await stepBackIfLost(handling, run, reading).finally(round.dispose);
    if (wentBack) {
      const goBackNow = () => retryOnStandby(() => goBack(reading), following);
      await retryUntilAborted(goBackNow, storing);
    } else if (!round.moved.aborted) return;
    isAlone = round.givingUp.aborted;
    idleRounds = progress.handled > handled ? 0 : idleRounds + 1;
    await pauseBefore(idleRounds, stopping);
  }
}

/** What a run has done so far. */
interface Progress {
  handled: number;
  caughtUp: boolean;
  isBusy: boolean;
}

/**
 * The signals of a round. It ends when the run does, and when the position is set or found again: then too, the
 * messages in hand may take `shutdownTimeout` at most. So an operator can pass a message whose handler hangs.
 */
function roundOf(
  { consumer, kept }: Member,
  { stopping, givingUp }: ShutdownControl,
): ShutdownControl & Pick<PageRun, "moved"> {
  const moved = kept.moved.signal;
  const round = shutdownOn([stopping, moved], consumer.shutdownTimeout);
  const forget = onAbort(givingUp, round.giveUp);
  const dispose = () => {
    forget();
    round.dispose();
  };
  return { ...round, moved, dispose };
}

/** Waits for the work. If the store went back, sets the position to the stored one, and answers true. */
async function stepBackIfLost(
  work: Promise<void>,
  { consumer, kept }: Pick<Run, "consumer" | "kept">,
  reading: Reading,
): Promise<boolean> {
  try {
    await work;
    return false;
  } catch (error) {
    if (!(error instanceof StoreWentBackError)) throw error;
    // Until the position is found again, what was reached in the lost messages must not be stored.
    reading.reached = kept.position;
    kept.position = Math.max(Math.min(kept.stored, kept.position), 0);
    consumer.onRetry?.(error);
    return true;
  }
}

async function handlePages(
  run: PageRun,
  { reader, claim }: Member,
  reading: Reading,
  following: Following,
  { untilCaughtUp, limit, onCaughtUp }: Bounds,
  progress: Progress,
): Promise<void> {
  const { consumer, kept, moved, report } = run;
  const hasClaimed = () => retryUntilAborted(claim, following);
  const handle = consumer.begin || consumer.pageHandler ? handleTogether : handlePage;
  const start = { position: kept.position + 1, mark: null };
  for await (const page of followPages(reading.read, start, following)) {
    if (moved.aborted) return;
    reading.page = page;
    const isInHand = await retryUntilAborted(() => takeInHand(kept, page, reader.read), following);
    if (!isInHand || moved.aborted) return;
    let ahead = messagesAhead(page, reader, kept);
    if (ahead.length > 0) {
      report?.({ type: "pageRead", count: ahead.length, next: page.next });
      progress.caughtUp = false;
      onCaughtUp?.(false);
      const hasIt = await hasClaimed();
      progress.isBusy = hasIt === false;
      if (!hasIt || moved.aborted) return;
      // Another process may have handled them until the claim.
      ahead = ahead.filter(({ place }) => place > kept.position);
    }
    const placed = ahead.slice(0, limit - progress.handled);
    const count = await handle(run, placed);
    progress.handled += count;
    if (count < placed.length) return;
    if (placed.length === ahead.length) {
      passTo(kept, page.next - 1, !page.isQuiet);
      noteCaughtUp(page.atEnd && page.isSettled !== false);
    }
    // Where little was passed over, and nothing handled, there is no claim, and nothing is stored.
    const mayStore = isStoreDue(kept, page.atEnd) && await hasClaimed();
    if (page.atEnd && untilCaughtUp || progress.handled >= limit) return;
    if (mayStore) await run.store();
  }

  function noteCaughtUp(isCaughtUp: boolean): void {
    if (isCaughtUp && !progress.caughtUp) {
      report?.({ type: "caughtUp", position: kept.position });
      onCaughtUp?.(true);
    }
    progress.caughtUp = isCaughtUp;
  }
}

/** The messages of a page that are still to be handled, with their places. */
function messagesAhead(page: Page, reader: Reader, kept: KeptPosition): Placed[] {
  return Array.from(page.messages())
    .map((message) => ({ message, place: reader.placeOf(message) }))
    .filter(({ message, place }) => place > kept.position && isForConsumers(reader, message));
}

/**
 * Stores the position for the last time. It is no failure if the database is unavailable: the
 * messages since the last stored position are handled again.
 */
async function storeLast(
  member: Member,
  reading: Reading,
  signal: AbortSignal,
): Promise<void> {
  const { consumer, kept } = member;
  const close = async () => {
    if (!await stepBackIfLost(closePosition(kept), member, reading)) return;
    await goBack(reading);
    await closePosition(kept);
  };
  try {
    await retryUntilAborted(close, { ...consumer, tries: 5, signal });
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}
