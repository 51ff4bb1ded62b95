import { StoreWentBackError } from "../errors.ts";
import { readStream } from "../read/read_stream.ts";
import { nameOfStore } from "../subscribe/_heads.ts";
import { observedReader, type Reader } from "../subscribe/_reader.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { type CheckedConsumer, observerOf } from "./_checked_consumer.ts";
import { ask, type Claim, holderOf, mayAsk } from "./_claim.ts";
import { findPosition, type FoundInStore, type FoundPosition, streamOf } from "./_find_position.ts";
import { keepPosition, type KeptPosition, takePosition } from "./_kept_position.ts";
import { recordedPosition } from "./_read_last_messages.ts";
import { readerFor } from "./_reader_for.ts";
import { isConflict } from "./_record_position.ts";
import { type Report, reporterOf, reportingRetries } from "./_report.ts";
import { renewClaim, storePosition } from "./_store_position.ts";

/** A member of a group; without a group, the whole consumer. */
export interface Member {
  readonly consumer: CheckedConsumer;
  readonly reader: Reader;
  readonly kept: KeptPosition;
  readonly report: Report | undefined;
  /**
   * Claims the position, unless that is done.
   *
   * @returns Whether this process has the position; false if another process has. Undefined if the position is
   * another one than before: the round is over.
   */
  claim(): Promise<boolean | undefined>;
}

/**
 * Finds where a member goes on, and keeps its position, which is still to be claimed.
 *
 * @param claim The claim of this process; undefined if any process may have the member.
 */
export async function openMember(
  checked: CheckedConsumer,
  group: ConsumerGroup | undefined,
  claim: Claim | undefined,
): Promise<Member> {
  const report = reporterOf(checked, group);
  const observer = group ? observerOf(checked.sql, checked, group.member) : checked.observer;
  const consumer = { ...reportingRetries(checked, report), observer };
  const { sql, startAt } = consumer;
  const reader = observedReader(readerFor(consumer, group), observer);
  const streamName = streamOf(consumer, group);
  const isMoving = startAt === "end" || typeof startAt === "object";
  const find = async (known?: KeptPosition): Promise<FoundInStore> => {
    const store = await nameOfStore(sql, streamName);
    const found = await findPosition(sql, consumer, group, () => {
      // Nothing is recorded any more, and the start would now be another one.
      if (isMoving && known && known.version !== NO_STREAM) {
        throw new StoreWentBackError(known.position);
      }
      return reader.start(startAt);
    });
    // At the next start, "end" and a Date would mean another position. So the position that they mean now
    // is stored, even if it is 0.
    const stored = isMoving && found.version === NO_STREAM ? -1 : found.stored;
    return { ...found, stored, store };
  };
  let found = await find();
  const findAgain = async () => found = await find(kept);
  const kept = keepPosition(
    consumer,
    streamName,
    { ...found, find: findAgain, handlesAll: claim === undefined && !consumer.begin },
    claim,
    report && ((position) => report({ type: "positionStored", position })),
  );
  if (observer) kept.redone = await findRedone(sql, streamName, found);
  const claimOnce = async (): Promise<boolean | undefined> => {
    if (claim !== undefined && await isHeld(consumer, found, claim)) return false;
    // The run has ended, and nobody would give the claim back.
    if (kept.isClosing) return false;
    try {
      await (claim ? renewClaim(kept) : storePosition(kept));
    } catch (error) {
      if (!isConflict(kept, error) && !(error instanceof StoreWentBackError)) throw error;
      takePosition(kept, await findAgain());
      return undefined;
    }
    kept.isClaimed = true;
    if (claim) report?.({ type: "claimTaken" });
    return true;
  };
  let claiming: Promise<boolean | undefined> | undefined;
  return {
    consumer,
    reader,
    kept,
    report,
    claim: async () =>
      kept.isClaimed || await (claiming ??= claimOnce().finally(() => claiming = undefined)),
  };
}

/** Up to where a member has handled everything before an operator set its position back; 0 if none did. */
async function findRedone(
  sql: Sql,
  streamName: string,
  { last }: FoundPosition,
): Promise<number> {
  if (last?.metadata?.["reset"] !== true || last.version === 0) return 0;
  const [before] = await readStream(sql, streamName, { position: last.version - 1, batchSize: 1 });
  return before ? recordedPosition(before) : 0;
}

/** Whether another process has the position. If that process may be gone, it is asked. */
async function isHeld(
  { sql }: CheckedConsumer,
  { last, question }: FoundPosition,
  claim: Claim,
): Promise<boolean> {
  // The holder is this process itself if the answer to its claim was lost.
  const isFree = [undefined, claim.owner].includes(holderOf(last, question));
  if (!isFree && mayAsk(last!, question)) await ask(sql, claim.owner, last!, question);
  return !isFree;
}
