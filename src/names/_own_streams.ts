import type { ConsumerGroup, Message } from "../types.ts";
import { streamName } from "./stream_name.ts";

/*
 * The streams that this library writes for itself, by the type of their category:
 *
 *   account:position-{consumerId}                    how far a consumer is
 *   account:position-{consumerId}+{member}+{size}    how far a member of its group is
 *   account:position-{consumerId}+parked             how far replayParked is
 *   account:group-{consumerId}                       the sizes that its group has had
 *   account:group-{consumerId}+waiting               the processes that wait for a member
 *   account:claim-{consumerId}…                      the processes that ask for a position, named as that
 *   account:parked-{consumerId}                      the messages that it has parked, and what became of them
 *   ledger:aggregate-ledger                          how far an aggregate is
 *   account:snapshot-{entityId}                      the state of an entity
 *   $all:settled-all                                 up to where all messages are settled, for replicas
 *
 * Eventide names positions and snapshots in the same way, and records both in messages of the type
 * "Recorded": Ruby and TypeScript services can take over each other's consumers. So none of these
 * names may change. The other types are this library's own.
 */

/** The names of a consumer. */
export interface ConsumerNames {
  readonly category: string;
  readonly consumerId: string;
}

export function positionStream(
  { category, consumerId }: ConsumerNames,
  ...suffix: readonly string[]
): string {
  return streamName(category, [consumerId, ...suffix], ["position"]);
}

export function memberStream(consumer: ConsumerNames, { member, size }: ConsumerGroup): string {
  return positionStream(consumer, String(member), String(size));
}

/** The position streams of all members of a group, in their order. */
export function memberStreams(consumer: ConsumerNames, size: number): string[] {
  return Array.from({ length: size }, (_, member) => memberStream(consumer, { member, size }));
}

export function replayStream(consumer: ConsumerNames): string {
  return positionStream(consumer, "parked");
}

export function groupStream(
  { category, consumerId }: ConsumerNames,
  ...suffix: readonly string[]
): string {
  return streamName(category, [consumerId, ...suffix], ["group"]);
}

export function waitingStream(consumer: ConsumerNames): string {
  return groupStream(consumer, "waiting");
}

/** The stream in which other processes ask for a position: `account:claim-balances+0+2`. */
export function claimStream(positionStream: string): string {
  // The first "-" of a name ends its category.
  return positionStream.replace("position-", "claim-");
}

export function parkedStream({ category, consumerId }: ConsumerNames): string {
  return streamName(category, consumerId, ["parked"]);
}

export function aggregateStream(name: string): string {
  return streamName(name, name, ["aggregate"]);
}

/** The stream that says up to which global position all messages are settled. */
export const SETTLED_STREAM = "$all:settled-all";

export function snapshotStream(category: string, entityId: string): string {
  return streamName(category, entityId, ["snapshot"]);
}

/**
 * What this library writes to these streams: the type of the stream's category, the type of the message, the
 * path in the data to a whole number, and the other members of the data. A message is the library's own only
 * if it has that number and no member besides: an application may have streams of such names, and messages
 * of such types. JavaScript and Postgres read these regular expressions alike.
 */
export const OWN = /* @__PURE__ */ [
  ["position|aggregate", "Recorded", "position"],
  [
    "snapshot",
    "Recorded(:.*)?",
    "entityVersion",
    "entityData",
    "messageId",
    "messageGlobalPosition",
    "time",
  ],
  ["settled", "Settled", "position"],
  ["group", "Sized", "size"],
  ["group", "Waiting", "leaseDuration", "owner"],
  ["claim", "Claimed", "version", "owner"],
  ["parked", "Parked", "message.globalPosition", "error", "attempts", "reference", "reason"],
  ["parked", "Replayed", "position"],
  ["parked", "Discarded", "position", "reason"],
].map(([kinds, types, path, ...others]) => {
  const number = path!.split(".");
  return {
    streams: new RegExp(`^[^-]*[:+](${kinds})-`),
    types: new RegExp(`^${types}$`, "s"),
    number,
    members: [number[0]!, ...others],
  };
});

/** SQL of `isOwnMessage`, for the columns of a message. The data come last, because they are long. */
export const IS_OWN_MESSAGE: string = /* @__PURE__ */ OWN.map(
  ({ streams, types, number, members }) =>
    `case
            when type ~ '${types.source}' and stream_name ~ '${streams.source}'
              and (data${number.map((it) => ` -> '${it}'`).join("")})::text ~ '^[0-9]+$'
            then (data${members.map((it) => ` - '${it}'`).join("")})::text = '{}'
            else false
          end`,
).join(" or ");

/**
 * Whether this library wrote the message for itself: readers of all messages have no use for it.
 */
export function isOwnMessage({ streamName, type, data }: Message): boolean {
  return OWN.some(({ types, streams, number, members }) =>
    types.test(type) && streams.test(streamName) && isNumberAt(data, number) &&
    Object.keys(data as object).every((it) => members.includes(it))
  );
}

function isNumberAt(data: unknown, [member, ...path]: readonly string[]): boolean {
  if (member === undefined) return Number.isInteger(data) && data as number >= 0;
  return isNumberAt((data as Record<string, unknown> | null)?.[member], path);
}
