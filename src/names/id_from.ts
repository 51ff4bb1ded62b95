import { sha256 } from "../lib/sha256.ts";
import { checkName } from "./_check.ts";

/**
 * Makes a message's id from a text: the same id for the same text.
 *
 * Make the id of a message from the id of the message that caused it. Then the message is written once,
 * however often a handler is called with its cause, in one process or several.
 *
 * @example
 * ```ts
 * import { drain, idFrom, write } from "@messagedb/client";
 *
 * await drain(sql, {
 *   category: "account",
 *   consumerId: "greeter",
 *   handle: async ({ id, streamName }, { sql, follow }) => {
 *     const greeted = { id: await idFrom(`${id} greeted`), type: "Greeted", data: { streamName } };
 *     await write(sql, "greeting-1", follow(greeted));
 *   },
 * });
 * ```
 *
 * @param text The text that the id stands for: the `id` of the cause, and a word that tells apart the
 * messages that follow from the same cause.
 * @returns A UUID of version 8 (RFC 9562), made from the SHA-256 of the text.
 * @throws {TypeError} If the text is empty, or is not a string.
 */
export async function idFrom(text: string): Promise<string> {
  checkName("text", text);
  const digest = await sha256(new TextEncoder().encode(text));
  const hex = Array.from(digest, (it) => it.toString(16).padStart(2, "0")).join("");
  const variant = (parseInt(hex[16]!, 16) & 3 | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${
    hex.slice(17, 20)
  }-${hex.slice(20, 32)}`;
}
