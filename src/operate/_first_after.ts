import { abortable } from "../lib/wait.ts";
import { isForConsumers, readerOf } from "../subscribe/_reader.ts";
import type { Source, SourceOptions } from "../subscribe/source.ts";
import type { Message, Sql } from "../types.ts";

/** How many messages the first page has, and how many a page has after pages without any that is wanted. */
const FIRST_PAGE = 100;
const LARGEST_PAGE = 2000;

/** What to look for, and how far. */
export interface WantedFirst extends Omit<SourceOptions, "batchSize"> {
  /** The position that the consumer has. */
  readonly position: number;
  /** How many messages to look at. @default all */
  readonly scanLimit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The first message after a position that a consumer is given, and its place in the source. */
export interface FoundFirst {
  readonly message: Message;
  readonly place: number;
}

/**
 * Finds the first message after a position that a consumer is given.
 *
 * @returns Null if there is none; `"beyond"` if it is none of those to look at.
 */
export async function firstAfter(
  sql: Sql,
  source: Source,
  { position, scanLimit = Infinity, signal, ...options }: WantedFirst,
): Promise<FoundFirst | null | "beyond"> {
  let left = scanLimit;
  for (
    let at = position + 1, size = FIRST_PAGE;
    left > 0;
    size = Math.min(size * 2, LARGEST_PAGE)
  ) {
    signal?.throwIfAborted();
    const batchSize = Math.min(size, left);
    const reader = readerOf(sql, source, { ...options, batchSize });
    const page = await abortable(reader.read(at, null, signal), signal);
    const message = Array.from(page.messages()).find((it) => isForConsumers(reader, it));
    if (message !== undefined) return { message, place: reader.placeOf(message) };
    if (page.atEnd) return null;
    at = page.next;
    left -= batchSize;
  }
  return "beyond";
}
