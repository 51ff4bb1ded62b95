import type { Message, MessageInput } from "../types.ts";
import type { CATALOGUE, Parser } from "./_parser.ts";

/**
 * What `defineMessages` makes: the messages that there are, by their types.
 *
 * @typeParam Output The messages as they are read.
 * @typeParam Input The messages as they are written.
 */
export interface MessageCatalogue<
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
> {
  /** What reads and writes them; not for callers. */
  readonly [CATALOGUE]: Parser<Output, Input>;
}

/** The option of every read, subscription and consumer. */
export interface Typed<Output extends Message> {
  /**
   * The catalogue that the messages are parsed by: the result is a union that `type` tells apart.
   *
   * @default none: nothing is parsed
   */
  readonly messages: MessageCatalogue<Output>;
}

/** The option of every write. */
export interface TypedInput<Input extends MessageInput> {
  /**
   * The catalogue that the messages have to be of.
   *
   * @default the one that has made the message, if any
   */
  readonly messages: MessageCatalogue<Message, Input>;
}
