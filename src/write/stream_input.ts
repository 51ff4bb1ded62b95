import type { MessageInput } from "../types.ts";
import type { WriteOptions } from "./write.ts";

/** One stream's part of `writeStreams`. */
export interface StreamInput<Input extends MessageInput = MessageInput> extends WriteOptions {
  /** The stream: `"account-123"`. */
  readonly streamName: string;
  /**
   * What to write to it, in order. None, and its expected version is checked and nothing is written to
   * it: what is written to the others was decided by what it holds. Refused under REPEATABLE READ and
   * SERIALIZABLE, which do not see what others have written since the transaction began.
   */
  readonly messages: readonly Input[];
}
