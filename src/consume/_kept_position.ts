import { WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import { sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import type { FoundPosition } from "./_find_position.ts";
import { type Lease, LeaseLostError } from "./_lease.ts";
import { readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import type { Thrown } from "./_thrown.ts";

/** How long a position may stay unstored, in milliseconds: while messages come, and while none come. */
const BUSY = 1000;
const IDLE = 250;
/** How long a transaction waits for a renewal that is under way, in milliseconds. */
const RENEWAL = 100;

/**
 * A position that this process keeps: how far the consumer is, and what is known of the position's
 * stream.
 *
 * Every write expects the version that the stream is known to have. So of two processes that keep the
 * same position, one writes and the other gets a conflict: it reloads the position and goes on from
 * there or, if the position has a lease, stops.
 */
export interface KeptPosition {
  readonly sql: Sql;
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
  /** When the position was stored, and when the lease was last renewed, as `Date.now()` gives it. */
  storedAt: number;
  renewedAt: number;
  /** Resolves when no store is under way. */
  idle: Promise<unknown>;
  /** Whether a transaction is about to record the position. */
  isRecording?: boolean;
  /** Whether the next store is the last. */
  isClosing?: boolean;
  /** Whether the last store is done, and the lease is given back. */
  isClosed?: boolean;
  /** Why a transaction could not record the position. */
  recordFailure?: Thrown;
}

/** Keeps a position from where it was found. */
export function keepPosition(
  { sql, positionUpdateInterval }: { readonly sql: Sql; readonly positionUpdateInterval: number },
  streamName: string,
  { position, version, stored }: Omit<FoundPosition, "holder">,
  lease?: Lease,
): KeptPosition {
  const now = Date.now();
  return {
    sql,
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
  // No renewal has come through for so long that another process may have taken over.
  if (lease !== undefined && now - kept.renewedAt >= lease.leaseDuration) return true;
  if (unstored >= positionUpdateInterval) return true;
  const isWorthStoring = unstored > 0 || position - stored >= positionUpdateInterval;
  return isWorthStoring && now - kept.storedAt >= (isIdle ? IDLE : BUSY);
}

/** Records where the consumer starts, if that is not recorded yet, and claims the lease. */
export async function openPosition(kept: KeptPosition): Promise<void> {
  if (hasToStore(kept)) await recordNow(kept);
}

/** Stores the position, if it is not stored yet. A lease is renewed in any case. */
export function storePosition(kept: KeptPosition): Promise<void> {
  // One store after another: each expects the version that the one before has made.
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
    if (kept.lease !== undefined) await Promise.race([kept.idle, sleep(RENEWAL)]);
    version = await record(kept, sql, position, Date.now() - begunAt).catch((error) => {
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

/** Whether the error says that another process has stored a position. */
export function isConflict({ streamName }: KeptPosition, error: unknown): boolean {
  return error instanceof WrongExpectedVersionError && error.streamName === streamName;
}

/**
 * Whether a transaction failed as it recorded the position, and not in its work. (In a transaction that
 * has failed already, 25P02, the work has failed.)
 */
export function isRecordFailure({ recordFailure }: KeptPosition, error: unknown): boolean {
  return recordFailure?.cause === error && sqlStateOf(error) !== "25P02";
}

/** Learns what the stream records; resolves to the position, which never goes back. */
export async function reloadPosition(kept: KeptPosition): Promise<number> {
  const [last] = await readLastMessages(kept.sql, [kept.streamName]);
  if (kept.lease !== undefined && last?.metadata?.["owner"] !== kept.lease.owner) {
    throw new LeaseLostError();
  }
  kept.version = last?.version ?? NO_STREAM;
  kept.stored = last === undefined ? 0 : recordedPosition(last);
  return kept.position = Math.max(kept.position, kept.stored);
}
