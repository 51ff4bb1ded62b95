import { askStores, storeFor } from "../handle/_store_for.ts";
import { ownOf } from "../handle/_statement.ts";
import { holderOf, isAsked } from "../consume/_claim.ts";
import { groupBy } from "../lib/group_by.ts";
import { safeInteger } from "../messages/_columns.ts";
import { checkCategory, checkInteger, checkOptions } from "../names/_check.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import { typesIn } from "./_recorded_types.ts";
import { readConsumers, type Runs, type StoredConsumer } from "./_read_consumers.ts";

/** How long a position may stand still while messages wait, in milliseconds. */
const LONGEST_STANDSTILL = 60_000;
/** An aggregate stores its position after so many global positions, if it refers to nothing between. */
const UNSTORED_BY_AGGREGATE = 1000;

/** Options of `consumers`. */
export interface ConsumersOptions {
  /**
   * The category that the consumers read, `"$all"` (of all partitions, if the store has several), or the name of an
   * aggregate.
   *
   * @default all consumers of the store
   */
  readonly category?: string | undefined;
  /**
   * How many messages are counted for each consumer at most, from 1. Then all messages after the position may be
   * looked at, and not only the first: for a consumer of few types, they can be many.
   *
   * @default as many as there are among the 1,000 messages after the position, 5,000 of `"$all"`
   */
  readonly upTo?: number | undefined;
}

/** How a consumer is, by the rules of `consumers`. */
export type ConsumerHealth =
  /** No message waits. */
  | "idle"
  /** Messages wait, and the consumer gets on with them. */
  | "busy"
  /** Messages wait, and the process that holds the position does not get on with them. */
  | "stuck"
  /** Messages wait, and nobody holds the position. */
  | "stopped"
  /** Another size of the group is in use, so that nobody needs this position any more. */
  | "replaced";

/** A consumer, a member of a consumer group, or an aggregate, as `consumers` describes it. */
export interface ConsumerStatus {
  /** The number of the partition that has the position, from 0; undefined if the store has no partitions. */
  readonly partition?: number | undefined;
  /** The stream in which the position is stored. */
  readonly streamName: string;
  /** The category that the consumer reads, or `"$all"`; undefined if `aggregate` is given. */
  readonly category?: string | undefined;
  /** The aggregate that the consumer reads, or the aggregate itself. */
  readonly aggregate?: string | undefined;
  /** The consumer's name; null for an aggregate itself. */
  readonly consumerId: string | null;
  /** The member of the group; undefined for a consumer without a group. */
  readonly consumerGroup?: ConsumerGroup | undefined;
  /** The types that the consumer handles, as they are stored; undefined for all types, or if it recorded none. */
  readonly types?: readonly string[] | undefined;
  /** The stored position: everything up to this global position, included, is handled. */
  readonly position: number;
  /**
   * The global position of the last message in what the consumer reads; 0 for none. It may be higher than the
   * position of a consumer that has nothing to do: that message may be another member's, and among all messages
   * are those that consumers write.
   */
  readonly head: number;
  /**
   * How many messages after the position the consumer has to read. It is counted as the consumer reads: its
   * category, its member's share, the types that it handles, references for an aggregate's consumer, no bookkeeping for
   * `"$all"`. What an aggregate refers to is not stored: all messages but bookkeeping and references are counted, also
   * those that an aggregate that is `"idle"` has passed. At most 1,000 messages are looked at, and 5,000 of `"$all"`;
   * with `upTo`, so many are counted.
   */
  readonly behind: number;
  /**
   * Whether there are more messages than were looked at, and with `upTo`, than were counted. So `behind` is the least
   * that it can be.
   */
  readonly isBehindMore: boolean;
  /**
   * How long the oldest of these messages waits, in milliseconds, by the server's clock; null if none is counted.
   */
  readonly oldestAge: number | null;
  /**
   * When the position moved last: the time of the first message that records this position. A consumer that
   * renews its claim does not move.
   */
  readonly movedAt: Date;
  /** The process that holds the position, by a name of its own; null for none. */
  readonly owner: string | null;
  /** Since when the process holds the position: the time of its first message; null if no process does. */
  readonly heldSince: Date | null;
  /** Whether another process has asked for the position, and the owner has not answered yet. */
  readonly isAsked: boolean;
  /**
   * How many parked messages the consumer has that are neither replayed nor discarded. All members of a group have
   * them together. At most 1,000 messages of the stream are looked at.
   */
  readonly parked: number;
  /**
   * Whether there are more messages than were looked at. More may be parked then; or fewer, if it was written further on
   * that they were replayed or discarded out of turn. `parked()` tells.
   */
  readonly isParkedMore: boolean;
  /** How the consumer is. */
  readonly health: ConsumerHealth;
}

/**
 * Tells of every consumer, member of a consumer group and aggregate that has a stored position: where it is, how far
 * behind, who holds it, and how it is.
 *
 * `health` follows these rules, and the first that fits counts:
 *
 * - `"replaced"`: nobody holds a member of the group's size, and each member of another size has a position
 *   that is held, or that was written later. Without a group, a consumer is a size of its own.
 * - `"idle"`: no message waits, however long ago the last one was. (An aggregate stores its position after 1,000
 *   positions at the latest. Fewer are no messages that wait.)
 * - `"busy"`: for less than a minute, messages wait, or the position has not moved, or its owner holds it.
 * - `"stuck"`: a process holds the position. Its handler hangs or fails again and again, or the process is gone and no
 *   other has asked for the position. Or the consumer reads `"$all"` and waits for a transaction: see `storeStatus`.
 * - `"stopped"`: nobody holds the position: it was given back, its lease is over, or the owner has not answered
 *   a process that asked. A consumer with `exclusive: false` never holds its position, and neither does an aggregate.
 *
 * It is one statement, which sees one moment. Its cost grows with the positions and the categories, and not with the
 * messages; with `upTo`, also with the messages that wait.
 *
 * @example
 * ```ts
 * import { consumers } from "@messagedb/client/operate";
 *
 * for (const { streamName, health, behind, oldestAge } of await consumers(sql)) {
 *   if (health === "stuck" || health === "stopped") console.log(streamName, behind, oldestAge);
 * }
 * ```
 *
 * @param sql The handle. Its role needs no more rights than to read messages. A gateway refuses the statement.
 * @param options Of which category, and how many messages are counted.
 * @returns One entry for each position, sorted by the names of the position streams, partition by partition. An empty
 * array if there is none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the category is no category, or `upTo` is no whole number.
 * @throws {RangeError} If `upTo` is below 1.
 */
export async function consumers(
  sql: Sql,
  options: ConsumersOptions = {},
): Promise<ConsumerStatus[]> {
  checkOptions(options, { category: true, upTo: true });
  const { category, upTo } = options;
  if (category !== undefined && category !== "$all") checkCategory("category", category);
  if (upTo !== undefined) checkInteger("upTo", upTo, 1);
  const stores = ownOf(sql)?.partitions;
  const ask = async (store: Sql) => {
    const found = await consumersOf(store, { category, upTo });
    return stores ? found.map((it) => ({ partition: stores.indexOf(store), ...it })) : found;
  };
  return category === undefined || category === "$all"
    ? (await askStores(sql, ask)).flat()
    : await ask(storeFor(sql, category));
}

async function consumersOf(sql: Sql, wanted: ConsumersOptions): Promise<ConsumerStatus[]> {
  const { now, positions, runs } = await readConsumers(sql, wanted);
  const held = positions.map((stored): HeldPosition => {
    const { last } = stored;
    const question = stored.question ?? undefined;
    return { stored, isAsked: isAsked(last, question), owner: holderOf(last, question) ?? null };
  });
  const replaced = findReplaced(held);
  return held.map((it) => statusOf(it, runs![it.stored.streamName]!, now!, replaced.has(it)));
}

/** A position, and the process that holds it. */
interface HeldPosition {
  readonly stored: StoredConsumer;
  readonly owner: string | null;
  readonly isAsked: boolean;
}

/** The positions of a size of a group that nobody holds, while another size is held or was written later. */
function findReplaced(all: readonly HeldPosition[]): ReadonlySet<HeldPosition> {
  const replaced = new Set<HeldPosition>();
  const ofConsumers = all.filter(({ stored }) => !stored.isAggregate);
  const nameOf = ({ stored }: HeldPosition) => JSON.stringify([stored.category, stored.consumerId]);
  for (const positions of groupBy(ofConsumers, nameOf).values()) {
    const sizes = [...groupBy(positions, ({ stored }) => stored.size).values()].map(describeSize);
    for (const own of sizes) {
      const isReplaced = !own.isHeld &&
        sizes.some((other) =>
          other !== own && other.isWhole && (other.isHeld || other.lastWrite > own.lastWrite)
        );
      if (isReplaced) own.members.forEach((it) => replaced.add(it));
    }
  }
  return replaced;
}

/** The members of a size of a group that have positions. */
function describeSize(members: readonly HeldPosition[]) {
  return {
    members,
    isWhole: members.length === (members[0]!.stored.size ?? 1),
    isHeld: members.some(({ owner }) => owner !== null),
    lastWrite: Math.max(...members.map(({ stored }) => -stored.last.age)),
  };
}

function statusOf(
  { stored, isAsked, owner }: HeldPosition,
  [movedAt, heldAt]: Runs,
  now: number,
  isReplaced: boolean,
): ConsumerStatus {
  const { streamName, category, isAggregate, isOfAggregate, consumerId, member, size } = stored;
  const { position, head, behind, isBehindMore, oldestAt, parked, isParkedMore } = stored;
  const types = typesIn(stored.last);
  const heldSince = owner === null ? null : heldAt;
  const waits = behind > 0 || isBehindMore;
  const isUnstored = isAggregate && head - position < UNSTORED_BY_AGGREGATE;
  const newest = Math.max(oldestAt ?? 0, movedAt, heldSince ?? 0);
  return {
    streamName,
    ...(isAggregate || isOfAggregate ? { aggregate: category } : { category }),
    consumerId: isAggregate ? null : consumerId,
    ...(size === null ? {} : { consumerGroup: { member: member!, size } }),
    ...(types && { types }),
    position: safeInteger(position),
    head: safeInteger(head),
    behind,
    isBehindMore,
    oldestAge: oldestAt === null ? null : now - oldestAt,
    movedAt: new Date(movedAt),
    owner,
    heldSince: heldSince === null ? null : new Date(heldSince),
    isAsked,
    parked,
    isParkedMore,
    health: isReplaced
      ? "replaced"
      : !waits || isUnstored
      ? "idle"
      : now - newest < LONGEST_STANDSTILL
      ? "busy"
      : owner === null
      ? "stopped"
      : "stuck",
  };
}
