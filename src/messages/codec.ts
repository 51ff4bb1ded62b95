import type { MessageInput } from "../types.ts";

/** Converts data on its way to the store and back, for example to encrypt it. */
export interface Codec {
  /**
   * Called before a write, with the data as JSON, after the schema has parsed it.
   *
   * @returns The data to store, or a promise of it: anything that JSON can hold.
   */
  encode(data: unknown, message: CodedMessage): unknown;
  /**
   * Called after a read, with the stored data, before upcasts lift it and the schema parses it.
   *
   * @returns The data that `encode` was given, or a promise of it.
   */
  decode(data: unknown, message: CodedMessage): unknown;
}

/** The message, or the snapshot, whose data a codec converts. */
export interface CodedMessage {
  /** The stored type; for a snapshot `"Recorded:"` and its version. */
  readonly type: string;
  /** The stream; for a snapshot `account:snapshot-123`. */
  readonly streamName: string;
  /** The metadata as it is stored. */
  readonly metadata: MessageInput["metadata"];
  /** Whether the data is an entity's state, for a snapshot, and not the data of a message. */
  readonly isSnapshot: boolean;
}
