import { StoreWentBackError } from "../errors.ts";
import type { Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { ClaimLostError, ownerOf, TIME_TO_ASK } from "./_claim.ts";
import { endRound, type KeptPosition, takePosition } from "./_kept_position.ts";
import { type IdentifiedLast, readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import { readToEnd } from "./_read_to_end.ts";
import { isConflict, record } from "./_record_position.ts";

/**
 * Reads what the stream records. The position may move forward by this, unless this process handles all messages
 * itself. It moves back only if an operator has set it.
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
  if (!isSet) {
    if (!kept.handlesAll) kept.position = Math.max(kept.position, stored);
    return kept.position;
  }
  kept.redone = Math.max(kept.redone, kept.position);
  kept.position = stored;
  kept.unstored = 0;
  endRound(kept);
  return stored;
}

/**
 * If the store has another name, reads again whether it has the last message of the page in hand, and so all before
 * it, and goes on from what is recorded there.
 *
 * @throws {StoreWentBackError} If it lacks the message, or what this process has recorded.
 */
export async function confirmStore(kept: KeptPosition): Promise<void> {
  const { inHand, isRenamed } = kept;
  if (!isRenamed) return;
  const page = inHand && await inHand.read(inHand.next, inHand.mark);
  // Another page may have been taken in hand.
  if (kept.inHand !== inHand) return;
  if (kept.find) return await goOnFromRecord(kept);
  kept.store = page!.store ?? null;
  kept.isRenamed = false;
}

/**
 * Finds the position again, and goes on from there.
 *
 * @throws {StoreWentBackError} If the store lacks what this process has recorded.
 * @throws {ClaimLostError} If another process has the position.
 */
export async function goOnFromRecord(kept: KeptPosition): Promise<void> {
  const found = await kept.find!();
  // Before the claim, nothing is handled.
  if (kept.isClaimed) await confirmRecord(kept);
  takePosition(kept, found);
}

/**
 * Looks whether the store has what this process has recorded, and whether the position is still this process's.
 *
 * @throws {StoreWentBackError} If the store lacks what this process has recorded.
 * @throws {ClaimLostError} If another process has the position.
 */
export async function confirmRecord(kept: KeptPosition): Promise<void> {
  if (await highestSince(kept, kept.sql) === undefined) throw new StoreWentBackError(kept.position);
  await readAfterLoss(kept);
}

/** Reads the last message of the position's stream, after the store went back; undefined if there is none. */
export async function readAfterLoss(kept: KeptPosition): Promise<IdentifiedLast | undefined> {
  const [last] = await readLastMessages(kept.sql, [kept.streamName]);
  // The store may have gone back to a time before the claim.
  if (ownerOf(last) !== undefined) await checkOwner(kept, last);
  return last;
}

/** Whether the claim is given back already: the answer to the last store was lost. */
export async function isGivenBack(kept: KeptPosition): Promise<boolean> {
  const [last] = await readLastMessages(kept.sql, [kept.streamName]);
  return last?.version === kept.version && ownerOf(last) === undefined &&
    kept.stored >= kept.position;
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
  try {
    await record(kept, sql, position, 0, last);
  } catch (error) {
    if (!isConflict(kept, error)) throw error;
  }
}

/**
 * The last message of a process that has taken the position over while a transaction was under way, and has
 * handled nothing yet. The work of the transaction counts then, or two processes whose handlers take longer
 * than a lease would take the position over from each other for ever.
 *
 * @param position The position that the transaction reaches.
 * @throws {ClaimLostError} If that process has handled something.
 * @throws {StoreWentBackError} If what this process has recorded is lost.
 */
export async function findSuccessor(
  kept: KeptPosition,
  sql: Sql,
  position: number,
): Promise<IdentifiedLast | undefined> {
  const { claim, confirmedAt, streamName, stored, version } = kept;
  if (claim === undefined) return undefined;
  if (performance.now() - confirmedAt < claim.leaseDuration * TIME_TO_ASK) return undefined;
  const [last] = await readLastMessages(sql, [streamName]);
  if (last === undefined || ownerOf(last) === claim.owner) return undefined;
  const highest = await highestSince(kept, sql);
  if (highest === undefined) throw new StoreWentBackError(kept.position);
  // A message out of turn moves no position: only a claim without any later record has handled none.
  const mayHaveHandled = position === kept.position && last.version > version + 1;
  if (highest !== stored || mayHaveHandled) throw new ClaimLostError();
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
  // What this process has recorded may have been pruned, but not if it was the last.
  let highest = version === NO_STREAM ? stored : undefined;
  for await (const message of readToEnd(sql, streamName, Math.max(version, 0))) {
    if (message.position > version) {
      const position = message.metadata?.["reset"] ? Infinity : recordedPosition(message);
      highest = Math.max(highest ?? stored, position);
    } else if (message.id === versionId) highest = stored;
    else return undefined;
  }
  return highest;
}
