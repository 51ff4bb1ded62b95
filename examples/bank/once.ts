/**
 * How does a step happen once, although a consumer may handle its message twice?
 *
 * A message that has an id of ours is written once, however often we send it. So the id of what follows
 * from a message is made of that message's id: handled again, it is the same.
 */
import type { Message } from "@messagedb/client";

/** The id of the one message that follows from this one: a UUID of its SHA-256. */
export async function idAfter({ id }: Message): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(id));
  const bytes = new Uint8Array(digest, 0, 16);
  bytes[6] = bytes[6]! & 0x0f | 0x80;
  bytes[8] = bytes[8]! & 0x3f | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
