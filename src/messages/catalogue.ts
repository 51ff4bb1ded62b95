import { invalid } from "../lib/invalid.ts";
import type { Message, MessageInput } from "../types.ts";

/** Where a catalogue, and a message that it has made, have what reads and writes its messages. */
export const CATALOGUE: unique symbol = Symbol.for("@messagedb/client/catalogue");

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

/** Makes of the data what is stored, and of that the data: to encrypt it, for instance. */
export interface Codec {
  /**
   * Called with the JSON that the schema has made, before it is written.
   *
   * @returns What is stored, or a promise of it: anything that JSON can hold.
   */
  encode(data: unknown, message: CodedMessage): unknown;
  /**
   * Called with what is stored, before it is lifted and parsed.
   *
   * @returns What `encode` was given, or a promise of it.
   */
  decode(data: unknown, message: CodedMessage): unknown;
}

/** Whose data a codec has in hand. */
export interface CodedMessage {
  /** The stored type; of a snapshot, `"Recorded:"` and its version. */
  readonly type: string;
  /** The stream that it is in; of a snapshot, `account:snapshot-123`. */
  readonly streamName: string;
  /** The metadata as it is stored. */
  readonly metadata: MessageInput["metadata"];
  /** Whether it is the state of an entity, which a snapshot keeps, rather than a message's data. */
  readonly isSnapshot: boolean;
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

/** Options that may have a catalogue. */
export interface MaybeTyped {
  readonly messages?: MessageCatalogue | undefined;
}

/** What reads and writes by the catalogue of these options; undefined for none. */
export function parserOf({ messages }: MaybeTyped): Parser | undefined {
  const parser = messages?.[CATALOGUE];
  if (messages !== undefined && !parser) {
    throw invalid("messages", messages, "what defineMessages() makes");
  }
  return parser;
}

/** Checks that handlers are for types of the catalogue, by the names that they have now. */
export function checkTypesOf(parser: Parser, handlers: object): void {
  for (const type of Object.keys(handlers)) {
    if (parser.typeOf(type) !== type) {
      const now = parser.typeOf(type);
      const rule = now === undefined ? "" : `: "${type}" is an alias of "${now}"`;
      throw invalid(`handlers.${type}`, type, `a type that the catalogue defines${rule}`);
    }
  }
}

/** Finds what takes messages of a stored type: what takes all, or what has the type's name now. */
export function pickerOf<Taker>(
  parser: Parser | undefined,
  all: Taker | undefined,
  byType: Readonly<Record<string, Taker | undefined>> | undefined,
): (storedType: string) => Taker | undefined {
  if (byType === undefined) return () => all;
  return (storedType) => {
    const type = parser?.typeOf(storedType) ?? storedType;
    return Object.hasOwn(byType, type) ? byType[type] : undefined;
  };
}

/**
 * Messages as they are stored. Where no catalogue has to do with them, the same ones, and no promise: what
 * the caller changes after the call must not be what is written.
 */
export function toStored<Input extends MessageInput>(
  messages: readonly Input[],
  streamName: string,
  parser: Parser | undefined,
): readonly Input[] | Promise<readonly Input[]> {
  const parserFor = (message: Input | null) =>
    parser ?? (message as Partial<MessageCatalogue> | null)?.[CATALOGUE];
  if (!messages.some(parserFor)) return messages;
  return Promise.all(messages.map((message) => {
    const own = parserFor(message);
    return own ? own.encode(message, streamName) as Promise<Input> : message;
  }));
}

/** Messages as a catalogue reads them: the same ones, where there is none. */
export async function fromStored(
  messages: readonly Message[],
  parser: Parser | undefined,
): Promise<Message[]> {
  if (parser === undefined) return messages as Message[];
  const parsed = await Promise.all(messages.map((message) => {
    try {
      return parser.decode(message);
    } catch (error) {
      // Thrown here, it would leave the promises of those before to nobody.
      return Promise.reject(error);
    }
  }));
  return parsed.filter((message) => message !== undefined);
}
