import { withTimeLimit } from "../handle/_time_limit.ts";
import { sleep } from "../lib/wait.ts";
import type { Page } from "../read/_page.ts";
import type { Reader } from "../subscribe/_reader.ts";
import type { Sql } from "../types.ts";
import { ClaimLostError } from "./_claim.ts";
import type { FoundInStore, StoredPlace } from "./_find_position.ts";
import { type KeptPosition, noteStored, passTo } from "./_kept_position.ts";
import type { IdentifiedLast } from "./_read_last_messages.ts";
import {
  isConflict,
  PositionMovedError,
  record,
  type StoredVersion,
  StoreRenamedError,
} from "./_record_position.ts";
import {
  confirmRecord,
  confirmStore,
  findSuccessor,
  goOnFromRecord,
  isGivenBack,
  reloadPosition,
} from "./_reload_position.ts";

/** How many times a store looks at most whether a store of another name has the page in hand. */
const MOST_RENAMES = 3;
/** How long a transaction waits at most for a write beside it that is under way, in milliseconds. */
const LONGEST_WRITE_BESIDE = 100;

/**
 * Stores the position, if it is not stored yet. Nothing is stored while a transaction records the position.
 */
export function storePosition(kept: KeptPosition): Promise<void> {
  return inTurn(kept, () => storeNow(kept));
}

/** Writes to the stream in any case: that claims the position, renews the claim and answers a question. */
export function renewClaim(kept: KeptPosition): Promise<void> {
  return inTurn(kept, () => storeNow(kept, true));
}

/** Stores the position for the last time, and gives the claim back. */
export function closePosition(kept: KeptPosition): Promise<void> {
  kept.isClosing = true;
  return inTurn(kept, async () => {
    const { claim, isClaimed } = kept;
    // Who has claimed nothing has handled nothing. (A claim that was under way has ended by now.)
    if (claim === undefined || isClaimed) await storeNow(kept, claim !== undefined);
    else kept.isClosed = true;
  });
}

/** Looks what the stream records, unless a transaction records the position. */
export function syncPosition(kept: KeptPosition): Promise<void> {
  return inTurn(kept, async () => {
    if (!kept.isRecording && !kept.isClosed) await reloadPosition(kept);
  });
}

/**
 * Takes a page in hand. From now on, the position is stored only in the store that the page was read from.
 *
 * If that store has another name than before, it may lack the last commits, although it has all messages up to the
 * page: the record of the position, or what handlers have written since. So the consumer goes on from what is
 * recorded there. Without a page before, the position may be one of another store.
 *
 * @returns Whether to handle the page; if not, the round is over.
 * @throws {StoreWentBackError} If the store lacks what this process has recorded.
 */
export async function takeInHand(
  kept: KeptPosition,
  { mark, store, next }: Page,
  read: Reader["read"],
): Promise<boolean> {
  if (kept.find && store !== undefined && store !== kept.store) {
    const isRecorded = kept.inHand !== undefined && kept.position <= kept.stored;
    await inTurn(kept, () => isRecorded ? confirmRecord(kept) : goOnFromRecord(kept));
    if (!isRecorded) return false;
  }
  kept.store = store ?? null;
  if (mark) kept.inHand = { mark, next, read };
  kept.isRenamed = false;
  return true;
}

/** Moves the position back, in the stream too: other processes follow. */
export async function setBack(
  kept: KeptPosition,
  { position, version, versionId, stored, store }: StoredPlace & Pick<FoundInStore, "store">,
): Promise<void> {
  kept.position = position;
  kept.version = version;
  kept.versionId = versionId;
  // -1, so that a lower position than the recorded one is stored.
  kept.stored = stored === position ? stored : -1;
  kept.unstored = 0;
  kept.unproven.clear();
  kept.inHand = undefined;
  kept.isRenamed = false;
  // The next page tells whether it is of the same store.
  kept.store = null;
  await storePosition(kept);
  kept.store = store;
}

/** Does one thing after another: each store expects the version that the store before it has made. */
function inTurn(kept: KeptPosition, work: () => Promise<void>): Promise<void> {
  const working = kept.idle.then(work);
  kept.idle = working.catch(() => {});
  return working;
}

async function storeNow(kept: KeptPosition, isForced = false): Promise<void> {
  let renames = 0;
  // A renewal that comes after the last store must not claim the position again.
  while (!kept.isClosed && !kept.isRecording && (isForced || kept.stored < kept.position)) {
    try {
      return await recordNow(kept);
    } catch (error) {
      const isUnclaimed = kept.claim !== undefined && !kept.isClaimed;
      // What is still to be claimed may have another owner by now.
      if (!isConflict(kept, error) || isUnclaimed) throw error;
      if (error instanceof StoreRenamedError && renames++ < MOST_RENAMES) await confirmStore(kept);
      // The position stays due.
      else if (error instanceof StoreRenamedError) return;
      else await reloadPosition(kept);
      if (kept.isClosing && kept.claim !== undefined) kept.isClosed = await isGivenBack(kept);
    }
  }
}

async function recordNow(kept: KeptPosition): Promise<void> {
  const { position, isClosing } = kept;
  const now = performance.now();
  Object.assign(kept, await record(kept, kept.sql, position));
  kept.confirmedAt = now;
  kept.isClaimed = true;
  if (isClosing) kept.isClosed = true;
  noteStored(kept, position);
}

/**
 * Does work in a transaction that also records the position: both, or neither.
 *
 * A question is answered beside the transaction while the work goes on. An answer between the work and the
 * record would change the version that the record expects, and the work would be done again. So no
 * answer begins then. The transaction waits briefly for an answer that is under way: the answer may
 * itself be waiting for the transaction's connection.
 *
 * @param work Answers the position that is reached.
 */
export async function storeWith(
  kept: KeptPosition,
  begin: (work: (sql: Sql) => Promise<void>) => Promise<void>,
  work: (sql: Sql) => Promise<number>,
): Promise<void> {
  const begunFrom = kept.position;
  const moved = kept.moved.signal;
  await kept.idle;
  // Somebody has set the position meanwhile, or another process has moved it, and done the work.
  if (moved.aborted || kept.position > begunFrom) throw new PositionMovedError();
  let recorded: StoredVersion | undefined;
  let position = begunFrom;
  let successor: IdentifiedLast | undefined;
  const begunAt = performance.now();
  let isRecording = false;
  await begin(async (sql) => {
    position = await work(sql);
    // The handler was given up, and another transaction may be under way.
    if (moved.aborted) throw new PositionMovedError();
    kept.isRecording = isRecording = true;
    if (kept.claim !== undefined) await Promise.race([kept.idle, sleep(LONGEST_WRITE_BESIDE)]);
    const limited = withTimeLimit(sql, kept.answerTimeout);
    try {
      successor = await findSuccessor(kept, limited, position);
      // The position that was set meanwhile counts, and not the one of the work. If another process has moved
      // the position, the work may be done already.
      if (moved.aborted || kept.position > begunFrom) throw new PositionMovedError();
      recorded = await record(kept, limited, position, performance.now() - begunAt, successor);
    } catch (error) {
      kept.recordFailure = { cause: error };
      throw error;
    }
  }).finally(() => {
    if (isRecording) kept.isRecording = false;
  });
  if (recorded!.version > kept.version) Object.assign(kept, recorded);
  kept.confirmedAt = performance.now();
  passTo(kept, position);
  noteStored(kept, position);
  if (successor) throw new ClaimLostError();
}
