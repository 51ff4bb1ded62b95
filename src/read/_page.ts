import { safeInteger } from "../messages/_columns.ts";
import type { Message } from "../types.ts";

/** A part of what is followed. */
export interface Page {
  readonly messages: readonly Message[];
  /** Where to read on: behind what was left out, too. */
  readonly next: number;
  /** Whether there was no more when it was read. */
  readonly atEnd: boolean;
  /** Whether nothing behind it waits for a position that is missing; it is, unless it says so. */
  readonly isSettled?: boolean;
  /** Whether all that was read, with what was left out, is what consumers write. */
  readonly isQuiet?: boolean;
}

/** How far a statement has read, with what it left out. */
export interface Extent {
  readonly count: number;
  /** The position of the last that it read; null where it read nothing. */
  readonly last: number | null;
  /** The position of the last that there was; null where there was nothing. */
  readonly head: number | null;
}

/** What is behind a page's last message was looked at too, where the page is not full. */
export function pageOf(
  messages: readonly Message[],
  { count, last, head }: Extent,
  wanted: { readonly position: number; readonly batchSize: number },
): Page {
  const atEnd = count < wanted.batchSize;
  const read = Math.max(last ?? 0, atEnd ? head ?? 0 : 0);
  return { messages, next: Math.max(safeInteger(read) + 1, wanted.position), atEnd };
}
