import type { MessageInput } from "../types.ts";

/** Makes of the data what is stored, and of that the data: to encrypt it, for instance. */
export interface Codec {
  /**
   * Called with the JSON that the schema has made, before it is written.
   *
   * @returns What is stored, or a promise of it: anything that JSON can hold.
   */
  encode(data: unknown, message: CodedMessage): unknown;
  /**
   * Called with what is stored, before it is lifted and parsed.
   *
   * @returns What `encode` was given, or a promise of it.
   */
  decode(data: unknown, message: CodedMessage): unknown;
}

/** Whose data a codec has in hand. */
export interface CodedMessage {
  /** The stored type; of a snapshot, `"Recorded:"` and its version. */
  readonly type: string;
  /** The stream that it is in; of a snapshot, `account:snapshot-123`. */
  readonly streamName: string;
  /** The metadata as it is stored. */
  readonly metadata: MessageInput["metadata"];
  /** Whether it is the state of an entity, which a snapshot keeps, rather than a message's data. */
  readonly isSnapshot: boolean;
}
