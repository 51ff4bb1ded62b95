import { CATALOGUE } from "../../src/messages/_parser.ts";
import type { MessageCatalogue, MessageInput } from "../../mod.ts";

/** A message of a catalogue whose data the constructor has not seen: it was changed since. */
export function unchecked(
  catalogue: MessageCatalogue,
  type: string,
  data: unknown,
  id?: string,
): MessageInput {
  const message = { type, data, ...(id !== undefined && { id }) };
  return Object.defineProperty(message, CATALOGUE, { value: catalogue[CATALOGUE] });
}
