import { invalid } from "../lib/invalid.ts";
import type { Message, MessageInput } from "../types.ts";
import { type EncodedMessage, encodeMessage } from "./_json.ts";
import { CATALOGUE, type Parser } from "./_parser.ts";
import type { MessageCatalogue } from "./catalogue.ts";

/** Options with or without a catalogue. */
export interface MaybeTyped {
  readonly messages?: MessageCatalogue | undefined;
}

/** The parser of the options' catalogue; undefined if the options have no catalogue. */
export function parserOf({ messages }: MaybeTyped): Parser | undefined {
  const parser = messages?.[CATALOGUE];
  if (messages !== undefined && !parser) {
    throw invalid("messages", messages, "what defineMessages() makes");
  }
  return parser;
}

/** Checks that handlers are for types of the catalogue, by their names now and not by aliases. */
export function checkTypesOf(parser: Parser, handlers: object): void {
  for (const type of Object.keys(handlers)) {
    if (type === "$forgotten" && parser.decodeForgotten) continue;
    const now = parser.typeOf(type);
    if (now === type) continue;
    const why = now !== undefined
      ? `: "${type}" is an alias of "${now}"`
      : type === "$forgotten"
      ? ': a read gives no forgotten message without a codec, or with "skip" as "forgotten"'
      : "";
    throw invalid(`handlers.${type}`, type, `a type that the catalogue defines${why}`);
  }
}

/**
 * Makes a function that picks the handler, or another taker, for messages of a stored type: the one
 * for all types, or the one under the type's name now.
 */
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
 * Converts messages to parameters.
 *
 * A caller may change a message right after the call, and that change must not be written. So each
 * message is converted or copied before this function returns. There is no promise without a
 * catalogue.
 */
export function encodeMessages(
  messages: readonly MessageInput[],
  streamName: string,
  parser: Parser | undefined,
): EncodedMessage[] | Promise<EncodedMessage[]> {
  const parserFor = (message: MessageInput | null) => parser ?? makerOf(message);
  if (!messages.some(parserFor)) return Array.from(messages, encodeMessage);
  return Promise.all(Array.from(messages, async (message) => {
    const own = parserFor(message);
    return encodeMessage(own ? (await own.encode(message, streamName)).stored : message);
  }));
}

/** The parser of the catalogue whose constructor has made the message; undefined for another message. */
export function makerOf(message: MessageInput | null): Parser | undefined {
  return (message as Partial<MessageCatalogue> | null)?.[CATALOGUE];
}

/** Parses stored messages. Without a parser these are the same messages. */
export async function fromStored(
  messages: readonly Message[],
  parser: Parser | undefined,
): Promise<Message[]> {
  if (parser === undefined) return messages as Message[];
  const parsed = await Promise.all(messages.map((message) => {
    try {
      return parser.decode(message);
    } catch (error) {
      // If this threw, nobody would handle the rejections of the promises that came before.
      return Promise.reject(error);
    }
  }));
  return parsed.filter((message) => message !== undefined);
}
