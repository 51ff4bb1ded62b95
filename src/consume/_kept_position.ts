import type { Mark } from "../read/_mark.ts";
import type { Reader } from "../subscribe/_reader.ts";
import type { Sql } from "../types.ts";
import type { Claim } from "./_claim.ts";
import type { FoundInStore, StoredPlace } from "./_find_position.ts";
import type { Thrown } from "./_thrown.ts";

/** How long a position may stay unstored while messages come, in milliseconds. */
const LONGEST_UNSTORED_BUSY = 1000;
/** How long a position may stay unstored while no messages come, in milliseconds. */
const LONGEST_UNSTORED_IDLE = 250;

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
  /** The last position that is worth storing: every message after it is this library's own. */
  worthStoring: number;
  /** How many messages were passed since the last store, without those of this library. */
  unstored: number;
  /**
   * The records that this process has written since it last saw that the store has all that was read: their ids,
   * and when they were written (see `momentNow`).
   */
  readonly unproven: Map<string, number>;
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
  /**
   * Whether this process handles all messages, also those that another process has handled: there is no claim, and no
   * transaction tells what is done. Then the stream may record a later position than this process has reached.
   */
  readonly handlesAll?: boolean;
  /** Finds the position again. */
  readonly find?: (() => Promise<FoundInStore>) | undefined;
  /** The name of the store in which the position was found or the page in hand was read; null for any store. */
  store: string | null;
  /** The page whose messages are handled; undefined before the first page. */
  inHand?: InHand | undefined;
  /** Whether the store was seen to have another name than `store`. */
  isRenamed?: boolean;
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
type Start = StoredPlace & Partial<Pick<KeptPosition, "store" | "find" | "handlesAll">>;

/** Begins to keep a position, at the place where it was found. */
export function keepPosition(
  { sql, answerTimeout, types, positionUpdateInterval }: Pick<
    KeptPosition,
    "sql" | "answerTimeout" | "types" | "positionUpdateInterval"
  >,
  streamName: string,
  { position, version, versionId, stored, store = null, find, handlesAll = false }: Start,
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
    worthStoring: position,
    unstored: 0,
    unproven: new Map(),
    storedAt: now,
    confirmedAt: now,
    isClaimed: false,
    moved: new AbortController(),
    idle: Promise.resolve(),
    redone: 0,
    onStored,
    handlesAll,
    find,
    store,
  };
}

/** Takes a position that was found again. The next round reads from there. */
export function takePosition(
  kept: KeptPosition,
  { position, version, versionId, stored, store }: FoundInStore,
): void {
  Object.assign(kept, { position, version, versionId, stored, store, inHand: undefined });
  kept.unstored = 0;
  kept.isRenamed = false;
  endRound(kept);
}

export function endRound(kept: KeptPosition): void {
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
  kept.worthStoring = position;
}

/** Whether it is time to store the position. */
export function isStoreDue(kept: KeptPosition, isIdle = false): boolean {
  const { claim, isClaimed, positionUpdateInterval, position, worthStoring, stored } = kept;
  const unstored = position > stored ? kept.unstored : 0;
  const isFar = Math.min(position, worthStoring) - stored >= positionUpdateInterval;
  if (claim !== undefined && !isClaimed) return isFar;
  const now = performance.now();
  if (unstored >= positionUpdateInterval) return true;
  // Another process may have asked meanwhile, and taken over: a store finds that out.
  if (claim !== undefined && now - kept.confirmedAt >= claim.leaseDuration) return true;
  return (unstored > 0 || isFar) &&
    now - kept.storedAt >= (isIdle ? LONGEST_UNSTORED_IDLE : LONGEST_UNSTORED_BUSY);
}

export function noteStored(kept: KeptPosition, position: number): void {
  if (position > kept.stored) kept.onStored?.(position);
  kept.stored = position;
  kept.storedAt = performance.now();
  if (position >= kept.position) kept.unstored = 0;
}
