import { StoreWentBackError, WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import type { FoundPosition } from "./_find_position.ts";
import { type Lease, LeaseLostError } from "./_lease.ts";
import { type LastMessage, readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import type { Thrown } from "./_thrown.ts";

/** How long a position may stay unstored while messages come, in milliseconds. */
const LONGEST_UNSTORED_BUSY = 1000;
/** How long a position may stay unstored while no messages come, in milliseconds. */
const LONGEST_UNSTORED_IDLE = 250;
/** How long a transaction waits at most for a renewal that is under way, in milliseconds. */
const LONGEST_RENEWAL_WAIT = 100;

/**
 * A position that this process keeps: how far the consumer is, and what is known of the position's
 * stream.
 *
 * Every write expects the version that the stream is known to have. So of two processes that keep
 * the same position, one writes and the other gets a conflict. The process with the conflict
 * reloads the position and goes on from there. If the position has a lease and another process has
 * taken it over, the process stops instead.
 */
export interface KeptPosition {
  readonly sql: Sql;
  /** How long a statement may take, in milliseconds. */
  readonly answerTimeout: number;
  readonly streamName: string;
  /** The lease that each write renews; undefined if any process may keep the position. */
  readonly lease: Lease | undefined;
  /** After how many handled messages the position is stored at the latest. */
  readonly positionUpdateInterval: number;
  /** Everything up to here, included, is handled. */
  position: number;
  /** The version of the stream. */
  version: number;
  /** The position that the stream records. */
  stored: number;
  /** How many messages were passed since the last store, without those of this library. */
  unstored: number;
  /** When the position was last stored, by `Date.now()`. */
  storedAt: number;
  /** When the lease was last renewed outside a transaction, by `Date.now()`. */
  renewedAt: number;
  /** Resolves when the last store that was asked for has ended. It never rejects. */
  idle: Promise<unknown>;
  /** Whether a transaction has done its work, and records the position or commits. */
  isRecording?: boolean;
  /** Whether the next store is the last. */
  isClosing?: boolean;
  /** Whether the last store is done, and the lease is given back. */
  isClosed?: boolean;
  /** Why a transaction could not record the position. */
  recordFailure?: Thrown;
}

/** Begins to keep a position, at the place where `findPosition` has found it. */
export function keepPosition(
  { sql, answerTimeout, positionUpdateInterval }: Pick<
    KeptPosition,
    "sql" | "answerTimeout" | "positionUpdateInterval"
  >,
  streamName: string,
  { position, version, stored }: Omit<FoundPosition, "holder">,
  lease?: Lease,
): KeptPosition {
  const now = Date.now();
  return {
    sql,
    answerTimeout,
    streamName,
    lease,
    positionUpdateInterval,
    position,
    version,
    stored,
    unstored: 0,
    storedAt: now,
    renewedAt: now,
    idle: Promise.resolve(),
  };
}

/**
 * Moves the position forward, and never back.
 *
 * @param isWorthStoring Whether to store the position in time. After messages of this library alone, the
 * position is stored rarely, because each store writes one more of them.
 */
export function passTo(kept: KeptPosition, position: number, isWorthStoring = true): void {
  if (position <= kept.position) return;
  if (isWorthStoring) kept.unstored++;
  kept.position = position;
}

/** Whether it is time to store the position. */
export function isStoreDue(kept: KeptPosition, isIdle = false): boolean {
  const { lease, positionUpdateInterval, position, stored, unstored } = kept;
  const now = Date.now();
  // The lease may have run out, and another process may have taken over: a store finds that out.
  if (lease !== undefined && now - kept.renewedAt >= lease.leaseDuration) return true;
  if (unstored >= positionUpdateInterval) return true;
  const isWorthStoring = unstored > 0 || position - stored >= positionUpdateInterval;
  return isWorthStoring &&
    now - kept.storedAt >= (isIdle ? LONGEST_UNSTORED_IDLE : LONGEST_UNSTORED_BUSY);
}

/** Records where the consumer starts, if that is not recorded yet, and claims the lease. */
export async function openPosition(kept: KeptPosition): Promise<void> {
  if (hasToStore(kept)) await recordNow(kept);
}

/**
 * Stores the position, if it is not stored yet. If there is a lease, the position is stored in any
 * case: that renews the lease. Nothing is stored while a transaction records the position.
 */
export function storePosition(kept: KeptPosition): Promise<void> {
  // One store after another: each store expects the version that the store before it has made.
  const storing = kept.idle.then(() => storeNow(kept));
  kept.idle = storing.catch(() => {});
  return storing;
}

/** Stores the position for the last time, and gives the lease back. */
export function closePosition(kept: KeptPosition): Promise<void> {
  kept.isClosing = true;
  return storePosition(kept);
}

async function storeNow(kept: KeptPosition): Promise<void> {
  // A renewal that comes after the last store must not claim the lease again.
  while (!kept.isClosed && !kept.isRecording && hasToStore(kept)) {
    try {
      return await recordNow(kept);
    } catch (error) {
      if (!isConflict(kept, error)) throw error;
      await reloadPosition(kept);
    }
  }
}

function hasToStore({ stored, position, lease }: KeptPosition): boolean {
  return stored < position || lease !== undefined;
}

async function recordNow(kept: KeptPosition): Promise<void> {
  const { position, isClosing } = kept;
  const now = Date.now();
  kept.version = await record(kept, kept.sql, position);
  kept.renewedAt = now;
  if (isClosing) kept.isClosed = true;
  noteStored(kept, position);
}

/**
 * Does work in a transaction that also records the position: both, or neither.
 *
 * A lease is renewed beside the transaction while the work goes on. A renewal between the work and the
 * record would change the version that the record expects, and the work would be done again. So no
 * renewal begins then. The transaction waits briefly for a renewal that is under way: the renewal may
 * itself be waiting for the transaction's connection.
 */
export async function storeWith(
  kept: KeptPosition,
  position: number,
  begin: (work: (sql: Sql) => Promise<void>) => Promise<void>,
  work: (sql: Sql) => Promise<void>,
): Promise<void> {
  await kept.idle;
  let version = NO_STREAM;
  const begunAt = Date.now();
  await begin(async (sql) => {
    await work(sql);
    kept.isRecording = true;
    if (kept.lease !== undefined) await Promise.race([kept.idle, sleep(LONGEST_RENEWAL_WAIT)]);
    const limited = withTimeLimit(sql, kept.answerTimeout);
    version = await record(kept, limited, position, Date.now() - begunAt).catch((error) => {
      kept.recordFailure = { cause: error };
      throw error;
    });
  }).finally(() => kept.isRecording = false);
  kept.version = Math.max(kept.version, version);
  passTo(kept, position);
  noteStored(kept, position);
}

/**
 * Writes a position to its stream.
 *
 * @param age How long ago the transaction began, in milliseconds. A message has the time at which its
 * transaction began, and a lease counts from there. So the lease gets this much longer.
 * @returns The new version.
 */
function record(kept: KeptPosition, sql: Sql, position: number, age = 0): Promise<number> {
  const { lease, isClosing, streamName, version: expectedVersion } = kept;
  const metadata = lease && !isClosing
    ? { ...lease, leaseDuration: lease.leaseDuration + age }
    : null;
  return write(sql, streamName, { type: "Recorded", data: { position }, metadata }, {
    expectedVersion,
  });
}

function noteStored(kept: KeptPosition, position: number): void {
  kept.stored = position;
  kept.storedAt = Date.now();
  if (position >= kept.position) kept.unstored = 0;
}

/**
 * Whether the error says that the position's stream is at another version: another process has
 * stored a position, or this process has and the answer was lost.
 */
export function isConflict({ streamName }: KeptPosition, error: unknown): boolean {
  return error instanceof WrongExpectedVersionError && error.streamName === streamName;
}

/**
 * Whether a transaction failed when it recorded the position, and not in its work. The state 25P02
 * says that the transaction had failed before: then the work has failed.
 */
export function isRecordFailure({ recordFailure }: KeptPosition, error: unknown): boolean {
  return recordFailure?.cause === error && sqlStateOf(error) !== "25P02";
}

/**
 * Reads what the stream records. The position may move forward by this, and never back.
 *
 * @returns The position.
 * @throws {StoreWentBackError} If the stream is shorter than it was, or records a lower position.
 * @throws {LeaseLostError} If there is a lease, and the stream's last message does not have its
 * owner.
 */
export async function reloadPosition(kept: KeptPosition): Promise<number> {
  const last = await readRecord(kept);
  const version = last?.version ?? NO_STREAM;
  const stored = last === undefined ? 0 : recordedPosition(last);
  if (version < kept.version || stored < kept.stored) throw new StoreWentBackError(kept.position);
  kept.version = version;
  kept.stored = stored;
  return kept.position = Math.max(kept.position, stored);
}

/**
 * Reads the last message of the position's stream; undefined if there is none.
 *
 * @throws {LeaseLostError} If there is a lease, and that message does not have its owner.
 */
export async function readRecord(
  { sql, streamName, lease }: KeptPosition,
): Promise<LastMessage | undefined> {
  const [last] = await readLastMessages(sql, [streamName]);
  if (lease !== undefined && last?.metadata?.["owner"] !== lease.owner) throw new LeaseLostError();
  return last;
}

/** Moves the position back, in the stream too: other processes follow. */
export async function setBack(
  kept: KeptPosition,
  { position, version, stored }: Pick<KeptPosition, "position" | "version" | "stored">,
): Promise<void> {
  kept.position = position;
  kept.version = version;
  // -1, so that a lower position than the recorded one is stored.
  kept.stored = stored === position ? stored : -1;
  kept.unstored = 0;
  await storePosition(kept);
}
