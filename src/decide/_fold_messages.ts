import { invalid } from "../lib/invalid.ts";
import { checkMessage } from "../messages/_check_message.ts";
import type { Parser } from "../messages/_parser.ts";
import { makerOf } from "../messages/_typed.ts";
import type { Message, MessageInput } from "../types.ts";
import { prepare } from "./_draft.ts";
import type { Fold } from "./_fold.ts";

/**
 * Folds messages that need not be in a store. What a catalogue's constructor has made is folded as it would
 * be read after a write; any other message is taken as the store holds it, and parsed.
 *
 * @param category Whose streams the messages are of that name no stream.
 */
export async function foldMessages(
  fold: Fold,
  parser: Parser | undefined,
  category: string,
  messages: readonly MessageInput[],
  before: unknown,
): Promise<unknown> {
  if (!Array.isArray(messages)) throw invalid("messages", messages, "an array");
  let state = before;
  for (const [at, message] of messages.entries()) {
    checkMessage(message);
    const placed = placedAt(message, category, at);
    if (makerOf(message)) {
      const { data } = await prepare(message, placed.streamName, parser);
      state = await fold.read(state, { ...placed, data });
    } else {
      state = await fold.stored(state, placed);
    }
  }
  return state;
}

/** A message as the store might hold it: what the message lacks is made up, the same for each call. */
export function placedAt(message: MessageInput, category: string, at: number): Message {
  return {
    streamName: `${category}-1`,
    position: at,
    globalPosition: at + 1,
    data: null,
    time: new Date(0),
    ...message,
    id: message.id ?? `00000000-0000-8000-8000-${String(at).padStart(12, "0")}`,
    metadata: message.metadata ?? null,
  };
}
