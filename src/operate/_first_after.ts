import { isForConsumers, type Reader } from "../subscribe/_reader.ts";
import type { Message } from "../types.ts";

/** The first message after a position that a consumer is given; undefined for none. */
export async function firstAfter(reader: Reader, position: number): Promise<Message | undefined> {
  for (let at = position + 1;;) {
    const page = await reader.read(at);
    const next = Array.from(page.messages()).find((message) => isForConsumers(reader, message));
    if (next !== undefined || page.atEnd) return next;
    at = page.next;
  }
}
