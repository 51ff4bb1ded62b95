import { StoreWentBackError } from "../errors.ts";
import type { ShutdownControl } from "../lib/shutdown.ts";
import { memberStream, positionStream } from "../names/_own_streams.ts";
import { readerOf } from "../subscribe/_reader.ts";
import type { ConsumerGroup } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import { findPosition } from "./_find_position.ts";
import { isConflict, keepPosition, type KeptPosition, openPosition } from "./_kept_position.ts";
import type { Lease } from "./_lease.ts";
import { type Bounds, type MemberResult, runMember } from "./_run_member.ts";

/** A member of a group that this process has; without a group, the whole consumer. */
export interface Member {
  readonly kept: KeptPosition;
  run(shutdown: ShutdownControl, bounds: Bounds): Promise<MemberResult>;
}

/**
 * Finds where the member goes on, and claims the member by the lease. Undefined if another process
 * has the member.
 */
export function openMember(
  consumer: CheckedConsumer,
  member: ConsumerGroup | undefined,
  lease: Lease,
): Promise<Member | undefined>;
/** As above, without a lease: any process may have the member. */
export function openMember(
  consumer: CheckedConsumer,
  member: ConsumerGroup | undefined,
): Promise<Member>;
export async function openMember(
  consumer: CheckedConsumer,
  member: ConsumerGroup | undefined,
  lease?: Lease,
): Promise<Member | undefined> {
  const { sql, source, types, correlation, batchSize, startAt } = consumer;
  const reader = readerOf(sql, source, { types, correlation, batchSize, consumerGroup: member });
  const found = await findPosition(sql, consumer, member, () => reader.start(startAt));
  // The holder is this process itself if the answer to its claim was lost.
  const holders = [undefined, lease?.owner];
  if (lease !== undefined && !holders.includes(found.holder)) return undefined;
  const name = member ? memberStream(consumer, member) : positionStream(consumer);
  // At the next start, "end" and a Date would mean another position. So the position that they mean now
  // is stored, even if it is 0.
  const isMoving = startAt === "end" || typeof startAt === "object";
  const stored = isMoving && found.version === NO_STREAM ? -1 : found.stored;
  const kept = keepPosition(consumer, name, { ...found, stored }, lease);
  try {
    await openPosition(kept);
  } catch (error) {
    if (!isConflict(kept, error)) throw error;
    // Another process has stored a position meanwhile.
    return await openMember(consumer, member, lease!);
  }
  const find = () =>
    findPosition(sql, consumer, member, () => {
      // Nothing is recorded any more, and the start would now be another one.
      if (isMoving) throw new StoreWentBackError(kept.position);
      return reader.start(startAt);
    });
  return {
    kept,
    run: (shutdown, bounds) => runMember(consumer, reader, kept, find, shutdown, bounds),
  };
}
