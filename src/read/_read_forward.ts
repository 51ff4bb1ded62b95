import type { Parser } from "../messages/_parser.ts";
import { fromStored } from "../messages/_typed.ts";
import type { Message, Sql } from "../types.ts";
import { readSettled } from "./_read_settled.ts";

/** Reads messages of the streams that match a pattern, or of all streams if the pattern is null. */
export async function readForward(
  sql: Sql,
  pattern: string | null,
  position: string | null,
  batchSize: string,
  parser: Parser | undefined,
): Promise<Message[]> {
  const page = await readSettled(sql, {
    position: Number(position ?? 1),
    batchSize: Number(batchSize),
    pattern,
  });
  return await fromStored(page.messages, parser);
}
