import type { Parser } from "../messages/_parser.ts";
import { fromStored } from "../messages/_typed.ts";
import type { Message, Sql } from "../types.ts";
import { fitting } from "./_fitting.ts";
import { readSettled } from "./_read_settled.ts";

/** Reads messages of the streams that match a pattern, or of all streams if the pattern is null. */
export async function readForward(
  sql: Sql,
  pattern: string | null,
  position: string | null,
  batchSize: string,
  parser: Parser | undefined,
): Promise<Message[]> {
  const most = Number(batchSize);
  let messages: Message[] = [];
  const readPage = fitting(
    "all messages",
    () => most - messages.length,
    (count, position: number) => readSettled<unknown>(sql, { position, batchSize: count, pattern }),
  );
  // More than one page only if the answer would be too large.
  for (let from = Number(position ?? 1);;) {
    const page = await readPage(from);
    messages = messages.concat(Array.from(page.messages()));
    if (page.atEnd || !page.isSettled || messages.length >= most) break;
    from = page.next;
  }
  return await fromStored(messages, parser);
}
