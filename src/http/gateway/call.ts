import type { ConsumerGroup, Direction, MessageInput } from "../../types.ts";

/**
 * What a request asks of the gateway, for `authorize` to decide.
 *
 * A field that the operation does not have, or that was left out, is `undefined`. A rule should say
 * what it allows rather than what it forbids: a read of everything has no `streamName`, and a read by
 * ids or of an aggregate may be of any stream.
 */
export interface GatewayCall {
  /**
   * The operation by its name in this package. What is made of others arrives as those: the iterators
   * and `subscribe` as their reads, `readMessage` as `readMessages`, `writeStreams` to one stream as
   * `writeBatch`, each write of `groupCommit` as `write`. A consumer reads its source, and reads and
   * writes the streams of its category's types `position`, `group` and `parked`. Of all that write,
   * `importMessages` alone says when messages were written.
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
  /** Whether it writes. */
  readonly writes: boolean;
  /** The stream that it writes to or reads: of `writeStreams` and `importMessages`, one of them a call. */
  readonly streamName?: string | undefined;
  /** The category that it reads, or that its stream is of: `"order"`. */
  readonly category?: string | undefined;
  /** What is to be written to the stream. */
  readonly messages?: readonly MessageInput[] | undefined;
  /** What the write expects. */
  readonly expectedVersion?: number | undefined;
  /** Where the read starts. */
  readonly position?: number | undefined;
  /** How many messages are to be read at most. */
  readonly batchSize?: number | undefined;
  /** Which way to read. */
  readonly direction?: Direction | undefined;
  /** The category of the correlation stream. */
  readonly correlation?: string | undefined;
  /** The member of a consumer group that reads. */
  readonly consumerGroup?: ConsumerGroup | undefined;
  /** A SQL condition; only where the gateway allows conditions. */
  readonly condition?: string | undefined;
  /** The LIKE pattern of `readMatching`. */
  readonly pattern?: string | undefined;
  /** The ids of `readMessages`. */
  readonly ids?: readonly string[] | undefined;
  /** The message types that a subscription wants. */
  readonly types?: readonly string[] | undefined;
  /** The message type of `readLastMessage`. */
  readonly type?: string | undefined;
}
