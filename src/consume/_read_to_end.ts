import { readStream } from "../read/read_stream.ts";
import type { Message, Sql } from "../types.ts";

/** Reads a stream from a position to its end, page by page. One statement runs at a time, as in a transaction. */
export async function* readToEnd(
  sql: Sql,
  streamName: string,
  position: number,
): AsyncGenerator<Message, void, undefined> {
  for (;;) {
    const messages = await readStream(sql, streamName, { position });
    if (messages.length === 0) return;
    yield* messages;
    position = messages.at(-1)!.position + 1;
  }
}
