import { storeFor } from "../handle/_store_for.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { checkInteger, checkOptions } from "../names/_check.ts";
import { checkStartAt } from "../read/_first_since.ts";
import type { StartAt } from "../read/start_at.ts";
import { readerOf } from "../subscribe/_reader.ts";
import type { Sql } from "../types.ts";
import { readConsumers } from "./_read_consumers.ts";
import { beyondEnd, checkWhole, noPosition } from "./_whole_consumer.ts";
import { consumers } from "./consumers.ts";

/** Options of `planRewind`. */
export interface PlanRewindOptions {
  /**
   * How many messages between the two positions to look at, at most, from 1.
   *
   * @default 1000000
   */
  readonly scanLimit?: number | undefined;
}

/** What `rewind` would do. */
export interface RewindPlan {
  /** The global position from which the consumer would go on. */
  readonly position: number;
  /** The positions that would be set: of the consumer, or of each member of its group. */
  readonly members: readonly PlannedMember[];
}

/** What `rewind` would do to a consumer, or to a member of its group. */
export interface PlannedMember {
  /** The stream in which the position is stored. */
  readonly streamName: string;
  /** The stored position: everything up to this global position, included, is handled. */
  readonly from: number;
  /** How many messages it would handle again. */
  readonly again: number;
  /** How many messages it would never handle. */
  readonly never: number;
  /** Whether there are more messages than were looked at: then the counts are the least that they can be. */
  readonly isMore: boolean;
  /** The process that holds the position, by a name of its own; null for none. */
  readonly owner: string | null;
  /** How many messages the consumer has parked. They stay parked. All members of a group have them together. */
  readonly parked: number;
}

/**
 * Tells what `rewind` would do, and changes nothing: from where to where each position would go, and how many
 * messages the consumer would handle again, or never.
 *
 * The messages between the two positions are counted as `consumers` counts them, up to a million. A million take half a
 * second, and two seconds of `"$all"`.
 *
 * @example
 * ```ts
 * import { append, drain } from "@messagedb/client";
 * import { planRewind } from "@messagedb/client/operate";
 *
 * const letters = { category: "parcel", consumerId: "letters", handle: () => {} };
 * await append(sql, "parcel-123", [{ type: "Packed" }, { type: "Sent" }]);
 * await drain(sql, letters);
 * const { position, members } = await planRewind(sql, letters, "beginning");
 * [position, members[0]!.again]; // [1, 2]
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param consumer The consumer's names, as for `rewind`.
 * @param position Where the consumer would go on, as for `rewind`.
 * @param options How many messages to look at.
 * @returns The position, and what becomes of each that is stored. Members of a size that has been replaced are left
 * out.
 * @throws {RangeError} If the position is below 0, or after the end of the store.
 * @throws {TypeError} If the consumer's names are invalid, a member is named, or the position is of the wrong
 * type.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {Error} If the store has no position of the consumer.
 */
export async function planRewind(
  sql: Sql,
  consumer: ConsumerIdentity,
  position: StartAt,
  options: PlanRewindOptions = {},
): Promise<RewindPlan> {
  checkOptions(options, { scanLimit: true });
  const { scanLimit = 1_000_000 } = options;
  checkInteger("scanLimit", scanLimit, 1);
  const identity = checkWhole(consumer);
  const store = storeFor(sql, identity.category);
  checkStartAt(position, "position");
  const first = Math.max(await readerOf(store, identity.source, {}).start(position), 1);
  const end = await readerOf(store, "$all", {}).start("end");
  if (first > end) throw beyondEnd(identity, first, end);
  const { category, consumerId } = identity;
  const all = await consumers(store, { category });
  const wanted = { category, consumerId, at: first - 1, scanLimit };
  const { positions } = await readConsumers(store, wanted);
  const counted = new Map(positions.map((it) => [it.streamName, it]));
  const members = all
    .filter((it) => it.consumerId === consumerId && it.health !== "replaced")
    .map(({ streamName, position: from, owner, parked }): PlannedMember => {
      const { behind: found = 0, isBehindMore = false } = counted.get(streamName) ?? {};
      // One more was looked at, which tells that there are more.
      const behind = Math.min(found, scanLimit);
      const isBack = first <= from;
      return {
        streamName,
        from,
        again: isBack ? behind : 0,
        never: isBack ? 0 : behind,
        isMore: isBehindMore,
        owner,
        parked,
      };
    });
  if (members.length === 0) throw noPosition("rewind", identity);
  return { position: first, members };
}
