import type { Message, MessageInput } from "../types.ts";
import type { Codec } from "./codec.ts";

/** Where a catalogue, and a message that it has made, have what reads and writes its messages. */
export const CATALOGUE: unique symbol = Symbol.for("@messagedb/client/catalogue");

/** What reads and writes messages of a catalogue. */
export interface Parser<
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
> {
  /** Types alone. */
  readonly types?: { readonly output: Output; readonly input: Input };
  /** The message as it is stored. */
  encode(message: MessageInput, streamName: string): Promise<MessageInput>;
  /** The message as it is read; undefined where it is of a type to be skipped. */
  decode(message: Message): Message | undefined | Promise<Message | undefined>;
  /** The type that a stored message has here; undefined where it is none of these. */
  typeOf(storedType: string): string | undefined;
  /** The types that messages of these are stored with. Null for any, unless others are to be skipped. */
  storedTypes(types: readonly string[] | null): readonly string[] | null;
  readonly codec: Codec | undefined;
}
