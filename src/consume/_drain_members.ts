import { retryUntilAborted, retryWhileUnavailable } from "../handle/_retry.ts";
import { randomUuid } from "../lib/random_uuid.ts";
import { type Shutdown, type ShutdownControl, shutdownOn } from "../lib/shutdown.ts";
import { unlessAborted } from "../lib/wait.ts";
import type { ConsumerGroup } from "../types.ts";
import { type CheckedConsumer, membersOf } from "./_checked_consumer.ts";
import { type Claim, ClaimLostError, TIME_TO_ASK } from "./_claim.ts";
import { lowestPosition } from "./_find_position.ts";
import type { KeptPosition } from "./_kept_position.ts";
import { openMember } from "./_member.ts";
import { pauseBefore } from "./_pause.ts";
import { type Bounds, type MemberResult, runMember } from "./_run_member.ts";
import { renewClaim } from "./_store_position.ts";
import type { Thrown } from "./_thrown.ts";

/** Consumes the members, one after another, each until it is caught up: without a group, the one. */
export async function drainMembers(
  consumer: CheckedConsumer,
  shutdown: Shutdown,
  bounds: Bounds,
): Promise<MemberResult> {
  const { stopping, givingUp } = shutdown;
  const { exclusive, leaseDuration } = consumer;
  const claim = exclusive ? { owner: randomUuid(), leaseDuration } : undefined;
  const members = membersOf(consumer);
  // Not every process begins with the same member.
  const first = Math.floor(Math.random() * members.length);
  const sum = { handled: 0, position: Infinity, caughtUp: true, isBusy: false };
  for (let at = first; at < first + members.length; at++) {
    if (stopping.aborted && at > first || sum.handled >= bounds.limit) {
      const findLowest = () => lowestPosition(consumer.sql, consumer, members.length);
      const lowest = retryWhileUnavailable(findLowest, consumer);
      return { ...sum, caughtUp: false, position: await unlessAborted(lowest, givingUp) ?? 0 };
    }
    const member = members[at % members.length];
    const memberBounds = { ...bounds, limit: bounds.limit - sum.handled };
    const result = await drainMember(consumer, member, claim, shutdown, memberBounds, at === first);
    sum.handled += result.handled;
    sum.position = Math.min(sum.position, result.position);
    sum.caughtUp &&= result.caughtUp;
    sum.isBusy ||= result.isBusy;
  }
  return sum;
}

async function drainMember(
  consumer: CheckedConsumer,
  group: ConsumerGroup | undefined,
  claim: Claim | undefined,
  { stopping, givingUp }: Shutdown,
  bounds: Bounds,
  isFirst: boolean,
): Promise<MemberResult> {
  const retrying = { ...consumer, signal: givingUp };
  let hasAnswered = false;
  let isStarting = false;
  const open = async () => {
    const member = await openMember(consumer, group, claim);
    hasAnswered = true;
    isStarting ||= member.kept.stored < 0;
    // A start at the end, or at a time, is recorded even if there is nothing to handle. If that fails, the start is
    // found again: the server that answers next may have another end.
    for (let attempt = 1; isStarting && !givingUp.aborted; attempt++) {
      if (await member.claim() !== undefined) break;
      await pauseBefore(attempt, givingUp);
    }
    return member;
  };
  const opening = { ...retrying, isFirst: () => isFirst && !hasAnswered };
  const member = await retryUntilAborted(open, opening);
  // The database has not answered in time, so the position is not known.
  if (member === undefined) return { handled: 0, position: 0, caughtUp: false, isBusy: false };
  const memberShutdown = shutdownOn([stopping], consumer.shutdownTimeout);
  const renewing = renewInTime(member.consumer, member.kept, memberShutdown);
  try {
    const result = await runMember(member, memberShutdown, bounds);
    renewing.end();
    return result;
  } finally {
    clearInterval(renewing.timer);
    memberShutdown.dispose();
  }
}

/** Renews the claim while messages are handled: who drains answers no questions. */
export function renewInTime(
  { leaseDuration, onRetry }: CheckedConsumer,
  kept: KeptPosition,
  shutdown: ShutdownControl,
): { readonly timer: ReturnType<typeof setInterval>; end(): void } {
  let failure: Thrown | undefined;
  let isRenewing = false;
  const renew = async (): Promise<void> => {
    const isFresh = performance.now() - kept.confirmedAt < leaseDuration * TIME_TO_ASK;
    if (isRenewing || !kept.isClaimed || kept.isClosing) return;
    if (kept.claim === undefined || isFresh) return;
    isRenewing = true;
    try {
      await renewClaim(kept);
    } catch (error) {
      if (error instanceof ClaimLostError) shutdown.giveUp();
      else if (!kept.isClosing) onRetry?.(error);
    } finally {
      isRenewing = false;
    }
  };
  const timer = setInterval(() => {
    // Only an error that the caller's `onRetry` throws comes here.
    renew().catch((error) => {
      failure ??= { cause: error };
      shutdown.stop();
    });
  }, leaseDuration * TIME_TO_ASK / 2);
  return {
    timer,
    end: () => {
      if (failure) throw failure.cause;
    },
  };
}
