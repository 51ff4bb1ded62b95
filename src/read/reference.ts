import type { Message } from "../types.ts";

/** The place of an aggregate's reference to a message. */
export interface Reference {
  /** The partition's stream: `"ledger-0"`. */
  readonly streamName: string;
  /** The position in the partition, from 0, without gaps. */
  readonly position: number;
  /**
   * The global position of the reference itself, not of the message. A subscription to an aggregate
   * counts by it.
   */
  readonly globalPosition: number;
}

/**
 * A message that an aggregate refers to: the message as it is in its own stream, and the place of
 * the reference.
 *
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 */
export interface AggregatedMessage<Data = unknown> extends Message<Data> {
  /** The place of the reference in the aggregate. */
  readonly reference: Reference;
}

/** A message of a catalogue, and the place of an aggregate's reference to it. */
export type Aggregated<Output extends Message> = Output & Pick<AggregatedMessage, "reference">;
