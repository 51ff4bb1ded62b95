import type { Message, MessageInput } from "../types.ts";
import type { Codec } from "./codec.ts";

/**
 * The key of the parser in a catalogue, and in each message that a catalogue's constructor has
 * made.
 *
 * @internal
 */
export const CATALOGUE: unique symbol = Symbol.for("@messagedb/client/catalogue");

/**
 * A message to write as it is stored, and its data as a read gives them.
 *
 * @internal
 */
export interface EncodedTyped {
  readonly stored: MessageInput;
  readonly read: unknown;
}

/**
 * Encodes and decodes the messages of a catalogue.
 *
 * @internal
 */
export interface Parser<
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
> {
  /** Carries the two types for the compiler. There is no such member at run time. */
  readonly types?: { readonly output: Output; readonly input: Input };
  /**
   * Throws what `encode` would throw about the message's data, if the schema answers at once. Says nothing if it
   * answers by a promise.
   */
  check(message: MessageInput): void;
  /** Makes the message that is stored, and the data that a read of it gives. */
  encode(message: MessageInput, streamName: string): Promise<EncodedTyped>;
  /** Makes the message that the caller gets; undefined if messages of its type are skipped. */
  decode(message: Message): Message | undefined | Promise<Message | undefined>;
  /**
   * Makes the forgotten message if the message's data is forgotten, and else answers undefined: only the
   * codec is asked. There is no such function if reads give no forgotten messages.
   */
  readonly decodeForgotten:
    | ((message: Message) => Message | undefined | Promise<Message | undefined>)
    | undefined;
  /** All stored types of the definitions. */
  readonly definedTypes: readonly string[];
  /** The type that a stored type belongs to, by its name now; undefined if no definition has it. */
  typeOf(storedType: string): string | undefined;
  /**
   * The stored types to read for these types. For null, which means any type, it is null too,
   * unless undefined types are skipped: then it is all stored types.
   */
  storedTypes(types: readonly string[] | null): readonly string[] | null;
  readonly codec: Codec | undefined;
}
