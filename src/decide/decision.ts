import type { MessageInput } from "../types.ts";

/** What to write to an entity: a message, several, or none. */
export type Decision<Input extends MessageInput = MessageInput> =
  | Input
  | readonly Input[]
  | null
  | undefined
  | void;

/** Options of `decide`. */
export interface DecideOptions {
  /**
   * How many times to read and decide again at most, from 0, if somebody else has written since the last
   * read. Each wait before that is longer than the one before, from 4 ms to a second.
   *
   * @default 20
   */
  readonly retries?: number | undefined;
}

/** The result of an entity's `decide`. */
export interface Decided {
  /**
   * The position of the last message that was written, or that was in the store already, by its id. If
   * nothing was to be written, it is the position of the entity's last message; `NO_STREAM` (-1) for none.
   */
  readonly version: number;
  /** The global position of the last message that was written, for `waitFor`; null for none. */
  readonly globalPosition: number | null;
}
