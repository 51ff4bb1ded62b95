import { isCategory } from "../names/stream_name.ts";
import { iterateAll, iterateCategory, iterateStream } from "../read/iterate.ts";
import type { ReadAllOptions } from "../read/read_all.ts";
import type { Message, Sql } from "../types.ts";

/** Iterates over all messages (`"$all"`), a category or a stream: a position is global, or of the stream. */
export function iterateSelection(
  sql: Sql,
  selection: string,
  options: ReadAllOptions,
): AsyncGenerator<Message, void, undefined> {
  if (selection === "$all") return iterateAll(sql, options);
  return isCategory(selection)
    ? iterateCategory(sql, selection, options)
    : iterateStream(sql, selection, options);
}
