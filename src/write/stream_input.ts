import type { MessageInput } from "../types.ts";
import type { WriteOptions } from "./write.ts";

/** A stream of `writeStreams`, with the messages for it. */
export interface StreamInput<Input extends MessageInput = MessageInput> extends WriteOptions {
  /** The stream: `"account-123"`. */
  readonly streamName: string;
  /**
   * The messages to write to the stream, in order.
   *
   * If there are none, nothing is written to the stream, and only its expected version is checked. Do so if
   * this stream decided what is written to the others. Such a check is refused under REPEATABLE READ and
   * SERIALIZABLE, because the transaction does not see what others have written since it began.
   */
  readonly messages: readonly Input[];
}
