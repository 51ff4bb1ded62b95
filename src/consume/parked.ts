import type { Reference } from "../read/reference.ts";

/** The data of a message in a consumer's stream of parked messages. */
export interface Parked {
  /** The message that was parked. */
  readonly message: {
    readonly id: string;
    readonly type: string;
    readonly streamName: string;
    readonly position: number;
    readonly globalPosition: number;
  };
  /** The aggregate's reference to the message, if the consumer reads an aggregate. */
  readonly reference?: Reference | undefined;
  /**
   * What the handler threw; null if the handler answered "park". Of a text, the first 10,000 characters are
   * stored. What the database cannot hold is replaced, by `?` where its encoding lacks the character.
   */
  readonly error: { readonly name: string; readonly message: string } | null;
  /** How many times the message was tried; 0 if an operator has parked it. */
  readonly attempts: number;
  /** Why an operator has parked the message. */
  readonly reason?: string | undefined;
}
