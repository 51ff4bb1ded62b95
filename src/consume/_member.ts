import { StoreWentBackError } from "../errors.ts";
import type { Reader } from "../subscribe/_reader.ts";
import type { ConsumerGroup } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import { ask, type Claim, holderOf, mayAsk } from "./_claim.ts";
import { findPosition, type FoundPosition, streamOf } from "./_find_position.ts";
import {
  isConflict,
  keepPosition,
  type KeptPosition,
  renewClaim,
  storePosition,
} from "./_kept_position.ts";
import { readerFor } from "./_reader_for.ts";
import { type Report, reporterOf, reportingRetries } from "./_report.ts";

/** A member of a group; without a group, the whole consumer. */
export interface Member {
  readonly consumer: CheckedConsumer;
  readonly reader: Reader;
  readonly kept: KeptPosition;
  readonly report: Report | undefined;
  /** Finds the position again, after the store went back. */
  find(): Promise<FoundPosition>;
  /**
   * Claims the position, unless that is done.
   *
   * @returns Whether this process has the position; false if another process has.
   */
  claim(): Promise<boolean>;
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
  const consumer = reportingRetries(checked, report);
  const { sql, startAt } = consumer;
  const reader = readerFor(consumer, group);
  let found = await findPosition(sql, consumer, group, () => reader.start(startAt));
  // At the next start, "end" and a Date would mean another position. So the position that they mean now
  // is stored, even if it is 0.
  const isMoving = startAt === "end" || typeof startAt === "object";
  const storedOf = ({ stored, version }: FoundPosition) =>
    isMoving && version === NO_STREAM ? -1 : stored;
  const kept = keepPosition(
    consumer,
    streamOf(consumer, group),
    { ...found, stored: storedOf(found) },
    claim,
    report && ((position) => report({ type: "positionStored", position })),
  );
  const find = () =>
    findPosition(sql, consumer, group, () => {
      // Nothing is recorded any more, and the start would now be another one.
      if (isMoving && kept.version !== NO_STREAM) throw new StoreWentBackError(kept.position);
      return reader.start(startAt);
    });
  const claimNow = async (): Promise<boolean> => {
    if (kept.isClaimed) return true;
    for (;;) {
      if (claim !== undefined && await isHeld(consumer, found, claim)) return false;
      // The run has ended, and nobody would give the claim back.
      if (kept.isClosing) return false;
      try {
        await (claim ? renewClaim(kept) : storePosition(kept));
        kept.isClaimed = true;
        if (claim) report?.({ type: "claimTaken" });
        return true;
      } catch (error) {
        if (!isConflict(kept, error)) throw error;
        found = await find();
        Object.assign(kept, { position: found.position, version: found.version });
        kept.stored = storedOf(found);
      }
    }
  };
  return { consumer, reader, kept, report, find, claim: claimNow };
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
