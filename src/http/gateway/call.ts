import type { ConsumerGroup, Direction, MessageInput } from "../../types.ts";

/**
 * An operation that a request asks for. `authorize` decides whether it is allowed.
 *
 * A field is `undefined` if the operation does not have it, or if the request leaves it out. A rule
 * should say what it allows rather than what it forbids. `streamName` and `category` say where all messages
 * of the call are: a read that can answer messages of other streams has neither. That is a read of all
 * messages, by a pattern, by ids, or of an aggregate. A read with a condition is asked about twice: as what
 * it is, and with its `condition` alone.
 */
export interface GatewayCall {
  /**
   * The name of the operation in this package.
   *
   * Some functions of this package arrive under another name, because they are made of other
   * operations: the iterators and `subscribe` arrive as reads, `readMessage` as `readMessages`,
   * `writeStreams` to one stream as `writeBatch`, `reply` and each write of `groupCommit` as `write`. A consumer
   * reads its source. It also reads and writes streams of the types `position`, `claim`, `group` and
   * `parked` of its category; an entity with snapshots, of the type `snapshot`; and what keeps an aggregate,
   * of the type `aggregate`. `importMessages` is the only write that chooses the time of its messages.
   */
  readonly operation:
    | "categories"
    | "entityIds"
    | "importMessages"
    | "messageStoreVersion"
    | "readAggregate"
    | "readAll"
    | "readCategory"
    | "readLastMessage"
    | "readMatching"
    | "readMessages"
    | "readStream"
    | "streamNames"
    | "streamVersion"
    | "synchronize"
    | "write"
    | "writeBatch"
    | "writeStreams";
  /** Whether the operation writes. */
  readonly writes: boolean;
  /**
   * The stream that the operation writes to or reads. `writeStreams` and `importMessages` make one call
   * for each of their streams.
   */
  readonly streamName?: string | undefined;
  /** The category that the operation reads, or the category of its stream: `"order"`. */
  readonly category?: string | undefined;
  /** The aggregate that is read. Its references may be to messages of any stream. */
  readonly aggregate?: string | undefined;
  /** The partition of the aggregate that is read. All partitions if this is left out. */
  readonly partition?: string | undefined;
  /** The messages to write to the stream. */
  readonly messages?: readonly MessageInput[] | undefined;
  /** The version of the stream that the write expects; `STREAM_EXISTS` (-4) for any. */
  readonly expectedVersion?: number | undefined;
  /** The position where the read starts. */
  readonly position?: number | undefined;
  /** How many messages to read, at most. */
  readonly batchSize?: number | undefined;
  /** Which way to read. */
  readonly direction?: Direction | undefined;
  /** Reads only messages whose correlation stream is of this category. */
  readonly correlation?: string | undefined;
  /** The member of the consumer group that reads. */
  readonly consumerGroup?: ConsumerGroup | undefined;
  /** A SQL condition. A gateway without `allowConditions` refuses it before it asks `authorize`. */
  readonly condition?: string | undefined;
  /** The LIKE pattern of `readMatching`. */
  readonly pattern?: string | undefined;
  /** The ids of `readMessages`. */
  readonly ids?: readonly string[] | undefined;
  /** The message types that a subscription reads. */
  readonly types?: readonly string[] | undefined;
  /** The message type of `readLastMessage`. */
  readonly type?: string | undefined;
}
