import type { Message } from "../types.ts";

/** Where an aggregate has its reference to a message. */
export interface Reference {
  /** The partition's stream: `"ledger-0"`. */
  readonly streamName: string;
  /** The place in the partition, from 0, without gaps. */
  readonly position: number;
  /** The reference's own global position: what a subscription to an aggregate goes by. */
  readonly globalPosition: number;
}

/**
 * A message that an aggregate refers to: as it is in its own stream, with the place of the reference.
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 */
export interface AggregatedMessage<Data = unknown> extends Message<Data> {
  /** Where the aggregate has it. */
  readonly reference: Reference;
}

/** A message of a catalogue, and where an aggregate has its reference to it. */
export type Aggregated<Output extends Message> = Output & Pick<AggregatedMessage, "reference">;
