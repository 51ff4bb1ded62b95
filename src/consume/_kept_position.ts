import { StoreWentBackError, WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { sleep } from "../lib/wait.ts";
import { encodeMessage } from "../messages/_json.ts";
import type { Mark } from "../read/_mark.ts";
import type { Page } from "../read/_page.ts";
import { readStream } from "../read/read_stream.ts";
import type { Reader } from "../subscribe/_reader.ts";
import type { Metadata, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { type Claim, ClaimLostError, ownerOf, TIME_TO_ASK } from "./_claim.ts";
import type { FoundInStore, StoredPlace } from "./_find_position.ts";
import { type IdentifiedLast, readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import type { Thrown } from "./_thrown.ts";
import { writeRecorded } from "./_write_recorded.ts";

/** How long a position may stay unstored while messages come, in milliseconds. */
const LONGEST_UNSTORED_BUSY = 1000;
/** How long a position may stay unstored while no messages come, in milliseconds. */
const LONGEST_UNSTORED_IDLE = 250;
/** How many times a store looks at most whether a store of another name has the page in hand. */
const MOST_RENAMES = 3;
/** How long a transaction waits at most for a write beside it that is under way, in milliseconds. */
const LONGEST_WRITE_BESIDE = 100;

/**
 * A position that this process keeps: how far the consumer is, and what is known of the position's
 * stream.
 *
 * Every write expects the version that the stream is known to have. So of two processes that keep
 * the same position, one writes and the other gets a conflict. The process with the conflict
 * reloads the position and goes on from there. If the position has a claim and another process has
 * taken it over, the process stops instead.
 */
export interface KeptPosition {
  readonly sql: Sql;
  /** How long a statement may take, in milliseconds. */
  readonly answerTimeout: number;
  readonly streamName: string;
  /** The claim that each write repeats; undefined if any process may keep the position. */
  readonly claim: Claim | undefined;
  /** The types that the consumer handles, which each write repeats; undefined for all. */
  readonly types: readonly string[] | undefined;
  /** After how many handled messages the position is stored at the latest. */
  readonly positionUpdateInterval: number;
  /** Everything up to here, included, is handled. */
  position: number;
  /** The version of the stream, and the id of the message there; null for none. */
  version: number;
  versionId: string | null;
  /** The position that the stream records. */
  stored: number;
  /** The last position that is worth storing: after it came only messages of this library. */
  worth: number;
  /** How many messages were passed since the last store, without those of this library. */
  unstored: number;
  /** When the position was last stored, by `performance.now()`. */
  storedAt: number;
  /** When this process was last seen to be the owner, by `performance.now()`. */
  confirmedAt: number;
  /** Whether the stream has the claim. */
  isClaimed: boolean;
  /** Ends a round: aborts when the position is set, or found again. Each round has a signal of its own. */
  moved: AbortController;
  /** Resolves when the last store that was asked for has ended. It never rejects. */
  idle: Promise<unknown>;
  /** Everything up to here was handled before an operator set the position back; 0 if none did. */
  redone: number;
  /** Called when the position is stored. */
  onStored: ((position: number) => void) | undefined;
  /** Finds the position again. */
  readonly find?: (() => Promise<FoundInStore>) | undefined;
  /** The name of the store in which the position was found or the page in hand was read; null for any store. */
  store: string | null;
  /** The page whose messages are handled; undefined before the first page. */
  inHand?: InHand | undefined;
  /** Whether the store was seen to have another name than `store`. */
  isRenamed?: boolean;
  /** What the stream records in place of the position: for messages that are taken out of turn. */
  readonly recordedAs?: number;
  /** Whether a transaction has done its work, and records the position or commits. */
  isRecording?: boolean;
  /** Whether the next store is the last. */
  isClosing?: boolean;
  /** Whether the last store is done, and the claim is given back. */
  isClosed?: boolean;
  /** Why a transaction could not record the position. */
  recordFailure?: Thrown;
}

/** A page that was read, and how to look whether a store has it. */
interface InHand {
  /** The mark after the page. */
  readonly mark: Mark;
  /** The place after the page. */
  readonly next: number;
  readonly read: Reader["read"];
}

/** A position that was found, and how to find it again if the store gets another name before the first page. */
type Start = StoredPlace & Partial<Pick<KeptPosition, "store" | "find">>;

/** Begins to keep a position, at the place where it was found. */
export function keepPosition(
  { sql, answerTimeout, types, positionUpdateInterval }: Pick<
    KeptPosition,
    "sql" | "answerTimeout" | "types" | "positionUpdateInterval"
  >,
  streamName: string,
  { position, version, versionId, stored, store = null, find }: Start,
  claim?: Claim,
  onStored?: (position: number) => void,
): KeptPosition {
  const now = performance.now();
  return {
    sql,
    answerTimeout,
    streamName,
    claim,
    types,
    positionUpdateInterval,
    position,
    version,
    versionId,
    stored,
    worth: position,
    unstored: 0,
    storedAt: now,
    confirmedAt: now,
    isClaimed: false,
    moved: new AbortController(),
    idle: Promise.resolve(),
    redone: 0,
    onStored,
    find,
    store,
  };
}

/**
 * Takes a page in hand. From now on, the position is stored only in the store that the page was read from.
 *
 * Pages that follow each other are of one store, by their marks. The first page may be of another store than the
 * position before it: then that position says nothing of this store, and is found again.
 *
 * @returns Whether to handle the page; if not, the round is over.
 * @throws {StoreWentBackError} If the position is claimed, and this store has another one.
 */
export async function takeInHand(
  kept: KeptPosition,
  { mark, next }: Page,
  read: Reader["read"],
): Promise<boolean> {
  // There is no message, and so nothing that names the store.
  if (!mark) return true;
  if (kept.inHand === undefined && kept.find && mark.store !== kept.store) {
    await inTurn(kept, () => confirmStart(kept));
    return false;
  }
  kept.store = mark.store;
  kept.inHand = { mark, next, read };
  kept.isRenamed = false;
  return true;
}

/** Takes a position that was found again, before anything was handled. The next round reads from there. */
export function takePosition(
  kept: KeptPosition,
  { position, version, versionId, stored, store }: FoundInStore,
): void {
  Object.assign(kept, { position, version, versionId, stored, store, inHand: undefined });
  kept.isRenamed = false;
  endRound(kept);
}

function endRound(kept: KeptPosition): void {
  kept.moved.abort();
  kept.moved = new AbortController();
}

/**
 * Moves the position forward, and never back.
 *
 * @param isWorthStoring Whether to store the position in time. After messages of this library alone, the
 * position is not stored, because each store writes one more of them: consumers would wake each other for ever.
 */
export function passTo(kept: KeptPosition, position: number, isWorthStoring = true): void {
  if (position <= kept.position) return;
  kept.position = position;
  if (!isWorthStoring) return;
  kept.unstored++;
  kept.worth = position;
}

/** Whether it is time to store the position. */
export function isStoreDue(kept: KeptPosition, isIdle = false): boolean {
  const { claim, isClaimed, positionUpdateInterval, position, worth, stored, unstored } = kept;
  const isFar = Math.min(position, worth) - stored >= positionUpdateInterval;
  if (claim !== undefined && !isClaimed) return isFar;
  const now = performance.now();
  if (unstored >= positionUpdateInterval) return true;
  // Another process may have asked meanwhile, and taken over: a store finds that out.
  if (claim !== undefined && now - kept.confirmedAt >= claim.leaseDuration) return true;
  return (unstored > 0 || isFar) &&
    now - kept.storedAt >= (isIdle ? LONGEST_UNSTORED_IDLE : LONGEST_UNSTORED_BUSY);
}

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
  await kept.idle;
  // Another process has moved the position meanwhile, and done the work.
  if (kept.position > begunFrom) throw new PositionMovedError();
  let recorded: StoredVersion | undefined;
  let position = begunFrom;
  let successor: IdentifiedLast | undefined;
  const begunAt = performance.now();
  const moved = kept.moved.signal;
  let isRecording = false;
  await begin(async (sql) => {
    position = await work(sql);
    // The handler was given up, and another transaction may be under way.
    if (moved.aborted) throw new PositionMovedError();
    kept.isRecording = isRecording = true;
    if (kept.claim !== undefined) await Promise.race([kept.idle, sleep(LONGEST_WRITE_BESIDE)]);
    const limited = withTimeLimit(sql, kept.answerTimeout);
    try {
      successor = await findSuccessor(kept, limited);
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

/** Somebody has set the position, or moved it, while a transaction was under way. */
export class PositionMovedError extends Error {}

/** The store has another name than the one whose messages were handled: after a restart, or a failover. */
class StoreRenamedError extends Error {}

/**
 * The last message of a process that has taken the position over while a transaction was under way, and has
 * handled nothing yet. The work of the transaction counts then, or two processes whose handlers take longer
 * than a lease would take the position over from each other for ever.
 *
 * @throws {ClaimLostError} If that process has handled something.
 * @throws {StoreWentBackError} If what this process has recorded is lost.
 */
async function findSuccessor(kept: KeptPosition, sql: Sql): Promise<IdentifiedLast | undefined> {
  const { claim, confirmedAt, streamName, stored } = kept;
  if (claim === undefined) return undefined;
  if (performance.now() - confirmedAt < claim.leaseDuration * TIME_TO_ASK) return undefined;
  const [last] = await readLastMessages(sql, [streamName]);
  if (last === undefined || ownerOf(last) === claim.owner) return undefined;
  const highest = await highestSince(kept, sql);
  if (highest === undefined) throw new StoreWentBackError(kept.position);
  if (highest !== stored) throw new ClaimLostError();
  return last;
}

/**
 * The highest position that others have recorded; Infinity if one of them has set it. Undefined if what this
 * process has recorded is lost.
 */
async function highestSince(
  { streamName, version, versionId, stored }: KeptPosition,
  sql: Sql,
): Promise<number | undefined> {
  const [own, ...since] = await readStream(sql, streamName, { position: version });
  if (own?.id !== versionId) return undefined;
  if (since.some(({ metadata }) => metadata?.["reset"])) return Infinity;
  return Math.max(stored, ...since.map(recordedPosition));
}

/**
 * Writes a position to its stream.
 *
 * @param age How long ago the transaction began, in milliseconds. A message has the time at which its
 * transaction began, and a lease counts from there. So the lease gets this much longer.
 * @param successor The last message of a process that has taken the position over: its claim stays.
 * @returns The new version, and its message's id.
 * @throws {StoreWentBackError} If another message is at the version that this process knows.
 * @throws {StoreRenamedError} If it is not known that the store has the messages up to the position.
 */
async function record(
  kept: KeptPosition,
  sql: Sql,
  position: number,
  age = 0,
  successor?: IdentifiedLast,
): Promise<StoredVersion> {
  const { claim, types, isClosing, streamName, store } = kept;
  const own: Metadata = {
    ...claim && !isClosing && { ...claim, leaseDuration: claim.leaseDuration + age },
    ...types && { types },
  };
  const metadata = successor ? successor.metadata : Object.keys(own).length > 0 ? own : null;
  const data = { position: kept.recordedAs ?? position };
  const message = encodeMessage({ type: "Recorded", data, metadata });
  const expected = { store, versionId: successor?.id ?? kept.versionId };
  const expectedVersion = successor?.version ?? kept.version;
  const version = await writeRecorded(sql, streamName, message, expectedVersion, expected);
  if (version === "overwritten") throw new StoreWentBackError(kept.position);
  if (version !== "renamed") return { version, versionId: message.id };
  kept.isRenamed = true;
  throw new StoreRenamedError();
}

type StoredVersion = Pick<KeptPosition, "version" | "versionId">;

/**
 * Reads again, if the store has another name: whether it has the last message of the page in hand, and so all
 * before it.
 *
 * @throws {StoreWentBackError} If it has not.
 */
async function confirmStore(kept: KeptPosition): Promise<void> {
  const { inHand, isRenamed } = kept;
  if (!isRenamed) return;
  if (inHand === undefined) return await confirmStart(kept);
  const { mark, next, read } = inHand;
  const { store } = (await read(next, mark)).mark!;
  // Another page may have been taken in hand.
  if (kept.inHand !== inHand) return;
  kept.store = store;
  kept.isRenamed = false;
}

/**
 * Finds the position again, before the first page.
 *
 * @throws {StoreWentBackError} If it is claimed, and this store has another one: the claim was lost.
 */
async function confirmStart(kept: KeptPosition): Promise<void> {
  const found = await kept.find!();
  const { position, version, versionId, isClaimed } = kept;
  const isSame = found.position === position && found.version === version &&
    found.versionId === versionId;
  if (isClaimed && !isSame) throw new StoreWentBackError(position);
  takePosition(kept, found);
}

function noteStored(kept: KeptPosition, position: number): void {
  if (position > kept.stored) kept.onStored?.(position);
  kept.stored = position;
  kept.storedAt = performance.now();
  if (position >= kept.position) kept.unstored = 0;
}

/**
 * Whether the error says that the position's stream is at another version: another process has
 * stored a position, or this process has and the answer was lost.
 */
export function isConflict({ streamName }: KeptPosition, error: unknown): boolean {
  return error instanceof PositionMovedError || error instanceof StoreRenamedError ||
    error instanceof WrongExpectedVersionError && error.streamName === streamName;
}

/**
 * Whether a transaction failed when it recorded the position, and not in its work. The state 25P02
 * says that the transaction had failed before: then the work has failed.
 */
export function isRecordFailure({ recordFailure }: KeptPosition, error: unknown): boolean {
  return recordFailure?.cause === error && sqlStateOf(error) !== "25P02";
}

/**
 * Reads what the stream records. The position may move forward by this. It moves back only if an operator
 * has set it.
 *
 * @returns The position.
 * @throws {StoreWentBackError} If the store lacks the page in hand, the stream is shorter than it was, or records a lower position.
 * @throws {ClaimLostError} If there is a claim, and the stream's last message does not have its
 * owner.
 */
export async function reloadPosition(kept: KeptPosition): Promise<number> {
  await confirmStore(kept);
  const known = kept.version;
  const [last] = await readLastMessages(kept.sql, [kept.streamName]);
  const version = last?.version ?? NO_STREAM;
  if (version < known) throw new StoreWentBackError(kept.position);
  // A transaction of this process has recorded the position since the stream was read.
  if (version < kept.version) return kept.position;
  await checkOwner(kept, last);
  const stored = last === undefined ? 0 : recordedPosition(last);
  const isSet = version > kept.version && last!.metadata?.["reset"] === true;
  if (!isSet && stored < kept.stored) throw new StoreWentBackError(kept.position);
  kept.version = version;
  kept.versionId = last?.id ?? null;
  kept.stored = stored;
  if (!isSet) return kept.position = Math.max(kept.position, stored);
  kept.redone = Math.max(kept.redone, kept.position);
  kept.position = stored;
  kept.unstored = 0;
  endRound(kept);
  return stored;
}

/** Reads the last message of the position's stream, after the store went back; undefined if there is none. */
export async function readAfterLoss(kept: KeptPosition): Promise<IdentifiedLast | undefined> {
  const [last] = await readLastMessages(kept.sql, [kept.streamName]);
  // The store may have gone back to a time before the claim.
  if (ownerOf(last) !== undefined) await checkOwner(kept, last);
  return last;
}

/** @throws {ClaimLostError} If the position is claimed, and the stream's last message has another owner. */
async function checkOwner(kept: KeptPosition, last: IdentifiedLast | undefined): Promise<void> {
  const { claim, isClaimed, isClosing } = kept;
  const owner = ownerOf(last);
  if (claim === undefined || !isClaimed || owner === claim.owner) return;
  // The answer to the last store was lost.
  if (isClosing && owner === undefined) return;
  if (last !== undefined && owner !== undefined) await handIn(kept, last);
  throw new ClaimLostError();
}

/**
 * Stores what this process has finished in the name of the process that has taken the position over. So
 * what was finished is never lost, even if every handler takes longer than a lease.
 */
async function handIn(kept: KeptPosition, last: IdentifiedLast): Promise<void> {
  const { position, sql } = kept;
  const highest = await highestSince(kept, sql);
  if (highest === undefined || position <= highest) return;
  const handOver = () => record(kept, sql, position, 0, last);
  try {
    await handOver().catch(async (error) => {
      if (!(error instanceof StoreRenamedError)) throw error;
      await confirmStore(kept);
      await handOver();
    });
  } catch (error) {
    if (!isConflict(kept, error)) throw error;
  }
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
  kept.inHand = undefined;
  kept.isRenamed = false;
  // The next page tells whether it is of the same store.
  kept.store = null;
  await storePosition(kept);
  kept.store = store;
}
