import { eachMessage, headOf, type MessageRow, safeInteger } from "../messages/_columns.ts";
import type { Message, Sql } from "../types.ts";
import { gapMemories, waitUntilSettled } from "./_gap_memory.ts";
import { checkReplica } from "./_check_replica.ts";
import { isErased, type Mark, moveMark } from "./_mark.ts";
import type { Page } from "./_page.ts";
import {
  type KnownGaps,
  readScannedPage,
  type ScannedPage,
  type SettledQuery,
} from "./_read_settled_page.ts";

/**
 * A page of the whole store, or of the streams that match a pattern. The page ends before the first
 * open gap.
 */
export interface SettledPage<Data> {
  /** How many messages it has. */
  readonly length: number;
  /** How many messages were read, those behind a gap, and those that were left out, included. */
  readonly count: number;
  /** As in `Page`. */
  readonly messages: () => Iterable<Message<Data>>;
  /** The position to read on from: after the messages that were left out, too. */
  readonly next: number;
  /**
   * Whether there is nothing more to read now. If the page ends before an open gap, this means that
   * the page is empty. Otherwise it means that fewer messages were read than the batch size.
   */
  readonly atEnd: boolean;
  /** False if the page ends before an open gap, or on a replica before messages that are not recorded as settled. */
  readonly isSettled: boolean;
  /** As in `ScannedPage`. */
  readonly isQuiet: boolean;
  /** The mark for the next page; null if nothing was passed yet. */
  readonly mark: Mark | null;
  /** As in `Page`. */
  readonly isErased: boolean;
  /** Whether the server is a standby, so that the next gap cannot settle. */
  readonly isStandby: boolean;
  /** Why the server is no primary; null if it is one. */
  readonly replica: ScannedPage["replica"];
  /** As in `Page`. */
  readonly record: NonNullable<Page["record"]> | null;
  /** The name of the store. */
  readonly store: string;
}

/**
 * How many milliseconds a read waits for a gap: 1 + 2 + 4 + 8 + 16 + 32 + 64, the pauses between
 * eight looks at the writers. That is enough for writers that commit within milliseconds, and a
 * caller that polls goes on after an eighth of a second.
 */
const PATIENCE = 127;

/** How long to wait for a gap. */
export interface GapWait {
  /** How many milliseconds, at least. */
  readonly patience?: number | undefined;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads messages of all categories in the order of their global positions, and never passes a
 * message that is still to be committed.
 *
 * A gap is a position without a message, before a message: 148 can be there while 147 is not, yet.
 * Writers take their global positions before they commit, and they commit in any order. The writer
 * of a gap is still open and may fill it, or has rolled back. Then nobody will ever fill it.
 *
 * Only open writers may fill a gap. Every writer holds a RowExclusiveLock on the table from before
 * it takes a position until its transaction has ended. So only the transactions that hold that lock
 * after the gap was seen may fill it. A transaction that gets the lock later takes a higher
 * position.
 *
 * A gap is settled when all these transactions have ended. A statement that is sent after that sees
 * every message that the gap will ever have. The caller's own transaction does not count, because
 * it sees its own messages. No timeout decides this: while another of the transactions is open, so
 * is the gap, and the page ends before it.
 *
 * Each handle remembers up to which position all gaps are settled, and for which transactions the
 * other gaps wait: see `GapMemory`.
 *
 * In a REPEATABLE READ or SERIALIZABLE transaction all statements read one snapshot. A message that
 * is committed later is missing in that snapshot, even if its gap is remembered as settled. So such
 * a read does not use what is remembered, and no gap settles until the transaction ends.
 *
 * A standby cannot see the writers, so no gap settles there. The subscriber of a logical replication
 * gets the messages in the order of the commits, from a session that can begin after the gap was
 * seen. So a replica reads up to what the primary has recorded as settled: see `settle`. Without a
 * record, a page with a gap is an error on a standby, and each page on a subscriber.
 *
 * A read waits for a gap only if the page is empty without that: no message before the gap passes
 * the filter. The read waits until the gap is settled. If the patience is used up before that, the
 * page is empty.
 *
 * @throws {StoreWentBackError} If the store has lost the mark that is wanted.
 * @throws {ReplicaReadError} If the server cannot tell whether a message is missing.
 */
export async function readSettled<Data>(
  sql: Sql,
  wanted: SettledQuery,
  wait: GapWait = {},
): Promise<SettledPage<Data>> {
  const first = await readKnowingGaps(sql, wanted);
  const page = await readAgainIfSettled(sql, wanted, first, wait);
  const { gap, count, last, isQuiet, passed } = page;
  const mark = moveMark(wanted.mark ?? null, page, passed);
  const next = gap ?? (last === null ? wanted.position : safeInteger(last) + 1);
  const rows = beforeGap(page);
  const isSettled = gap === null && !page.isWaiting;
  const atEnd = isSettled ? count < wanted.batchSize : rows.length === 0;
  const rest = {
    length: rows.length,
    count,
    next,
    atEnd,
    isSettled,
    isQuiet,
    mark,
    isErased: isErased(wanted.mark, page),
    isStandby: page.replica === "standby",
    replica: page.replica,
    record: page.record && [page.record[0], page.record[1], page.record[3]] as const,
    store: page.store,
  };
  return { ...rest, messages: () => eachMessage<Data>(rows) };
}

/** Reads a page. The gaps that this handle remembers as settled do not count. */
async function readKnowingGaps(sql: Sql, wanted: SettledQuery): Promise<ScannedPage> {
  const known = gapMemories.get(sql);
  let page = await readScannedPage(sql, wanted, known ?? NOTHING_KNOWN);
  const isLost = known && page.known !== "kept" && page.snapshot === null;
  if (isLost && gapMemories.get(sql) === known) gapMemories.delete(sql);
  // The memory may be of another store, of a store that went back, or newer than the snapshot of the
  // caller's transaction.
  const isUseless = known &&
    (page.store !== known.store || page.known !== "kept" || page.snapshot !== null);
  if (isUseless) page = await readScannedPage(sql, wanted, NOTHING_KNOWN);
  checkReplica(sql, page);
  return page;
}

const NOTHING_KNOWN: KnownGaps = { settled: 0, mark: null };

/** Reads the page again if its gap is settled, or settles in time. */
async function readAgainIfSettled(
  sql: Sql,
  wanted: SettledQuery,
  page: ScannedPage,
  { patience = PATIENCE, signal }: GapWait,
): Promise<ScannedPage> {
  const { gap, store, snapshot } = page;
  if (gap === null) return page;
  const wait = { patience: beforeGap(page).length === 0 ? patience : 0, signal };
  const settled = await waitUntilSettled(sql, wanted, store, gap, wait);
  if (settled === undefined || settled < gap) return page;
  const again = await readScannedPage(sql, wanted, { settled, mark: null });
  // In the same snapshot, the second page lacks what was committed into the gap since.
  const isNewer = snapshot === null || snapshot !== again.snapshot;
  return isNewer && store === again.store ? again : page;
}

function beforeGap({ rows, gap }: ScannedPage): readonly MessageRow[] {
  return gap === null ? rows : rows.filter((row) => headOf(row).globalPosition < gap);
}
