import type { GroupMembership } from "../consume/consumer.ts";

/**
 * An operation that a page of the studio asks for. `authorize` decides whether it is allowed.
 *
 * A field is `undefined` if the operation does not have it. A rule should say what it allows rather than what it
 * forbids. `streamName` and `category` say where all messages of the answer are: an operation that can answer messages
 * of other streams has neither.
 *
 * When the page opens, the studio asks about each operation that writes, without names: whether the page is to offer it.
 */
export interface StudioCall {
  /**
   * The name of the operation: most are those of this package. `"open"` is the page itself with its scripts and
   * styles, and what it is told first. `"pulse"` is the head of the store, and `"states"` an entity in time.
   */
  readonly operation:
    | "activity"
    | "consumers"
    | "diagnose"
    | "discardParked"
    | "findMessages"
    | "messageTypes"
    | "nextMessage"
    | "open"
    | "park"
    | "parked"
    | "planRewind"
    | "pulse"
    | "readAggregate"
    | "readMessage"
    | "replayParked"
    | "rewind"
    | "skip"
    | "states"
    | "storeStatus"
    | "streams"
    | "trace"
    | "write";
  /** Whether the operation writes. */
  readonly writes: boolean;
  /** The stream that is read or written to. */
  readonly streamName?: string | undefined;
  /** The category that is read, the category of the stream, or the category that the consumer reads. */
  readonly category?: string | undefined;
  /** The aggregate that is read, or that the consumer reads. */
  readonly aggregate?: string | undefined;
  /** The name of the consumer. */
  readonly consumerId?: string | undefined;
  /** The number of the partition in which the consumer is; undefined if it is told by the category. */
  readonly partition?: number | undefined;
  /** The member and the size of the consumer's group. */
  readonly consumerGroup?: GroupMembership | undefined;
  /** The ids of the messages that are read, parked, skipped, discarded or replayed. */
  readonly ids?: readonly string[] | undefined;
  /** The type of the message to write. */
  readonly type?: string | undefined;
}
