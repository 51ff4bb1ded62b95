import type { MessageInput, Metadata } from "../types.ts";
import { CATALOGUE } from "./_parser.ts";
import type { MessageCatalogue } from "./catalogue.ts";

/** A copy of the message with this metadata. It belongs to the same catalogue. */
export function withMetadata<Input extends MessageInput>(
  message: Input,
  metadata: Metadata,
): Input & { readonly metadata: Metadata } {
  const value = (message as Partial<MessageCatalogue>)[CATALOGUE];
  const copy = { ...message, metadata };
  return value ? Object.defineProperty(copy, CATALOGUE, { value }) : copy;
}
