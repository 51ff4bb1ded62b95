import { invalid } from "../lib/invalid.ts";
import type { Message, MessageInput } from "../types.ts";
import { CATALOGUE, type Parser } from "./_parser.ts";
import type { MessageCatalogue } from "./catalogue.ts";

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
