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
   * How often to read and ask again at most, where somebody else has written meanwhile, from 0. Each time
   * it waits longer, from 4 ms to a second.
   *
   * @default 20
   */
  readonly retries?: number | undefined;
}

/** What an entity's `decide` has done. */
export interface Decided {
  /**
   * The position of the last message that was written, or that was there by its id; where nothing was to
   * be written, of the entity's last message, `NO_STREAM` (-1) for none.
   */
  readonly version: number;
  /** The global position of the last message that was written: what `waitFor` takes; null for none. */
  readonly globalPosition: number | null;
}
