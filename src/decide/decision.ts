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
  /**
   * The command's id: a text that is the command's own, in the whole store. A command that has written is
   * decided once, however often it comes: later calls do not ask the decision, write nothing, and answer as
   * the first did, also if the first crashed before it could answer. A decision that throws, or returns
   * nothing to write, leaves no trace: the next call asks it again. The ids of the messages are made of this
   * text, so a message has none of its own.
   *
   * @default each call is a command of its own
   */
  readonly commandId?: string | undefined;
}

/** The result of an entity's `decide`. */
export interface Decided<State = unknown> {
  /** The state after that. */
  readonly state: State;
  /**
   * The position of the last message that was written, or that was in the store already, by its id. If
   * nothing was to be written, it is the position of the entity's last message; `NO_STREAM` (-1) for none.
   */
  readonly version: number;
  /** The global position of the last message that was written, for `waitFor`; null for none. */
  readonly globalPosition: number | null;
}
