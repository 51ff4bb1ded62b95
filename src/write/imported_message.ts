import type { IdentifiedMessageInput } from "./synchronize.ts";

/** A message with its stream. A `Message` that was read from another store can be imported as it is. */
export interface ImportedMessage extends IdentifiedMessageInput {
  /**
   * The stream that the message is added to, after the messages that are there: `"account-123"`. Every name
   * that a store can have is taken, also one that `write` refuses.
   */
  readonly streamName: string;
  /**
   * When the message was written, in the years 1 to 9999.
   *
   * @default now
   */
  readonly time?: Date | undefined;
  /**
   * The message's global position in the store that it was read from, from 0. Positions in such messages are
   * translated.
   *
   * @default the message is from no store, and is written as it is
   */
  readonly globalPosition?: number | undefined;
  /** The message's position in the store that it was read from, from 0. */
  readonly position?: number | undefined;
}
