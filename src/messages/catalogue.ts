import type { Message, MessageInput } from "../types.ts";
import type { CATALOGUE, Parser } from "./_parser.ts";

/**
 * A catalogue: the message types of a program, as `defineMessages` makes it.
 *
 * @typeParam Output The messages as they are read.
 * @typeParam Input The messages as they are written.
 */
export interface MessageCatalogue<
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
> {
  /**
   * Encodes and decodes the messages. Not for callers.
   *
   * @internal
   */
  readonly [CATALOGUE]: Parser<Output, Input>;
}

/** The option of every read, subscription and consumer. */
export interface Typed<Output extends Message> {
  /**
   * The catalogue that parses the messages. The result is a union that `type` tells apart.
   *
   * @default none: nothing is parsed
   */
  readonly messages: MessageCatalogue<Output>;
}

/** The option of every write. */
export interface TypedInput<Input extends MessageInput> {
  /**
   * The catalogue that the messages must belong to.
   *
   * @default the catalogue whose constructor made the message, if any
   */
  readonly messages: MessageCatalogue<Message, Input>;
}
