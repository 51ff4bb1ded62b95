import { safeInteger } from "../messages/_columns.ts";
import type { Message } from "../types.ts";

/** A page of messages, and how to read on. */
export interface Page {
  readonly messages: readonly Message[];
  /** The position to read on from: after the messages that were left out, too. */
  readonly next: number;
  /** Whether there was no more when the page was read. */
  readonly atEnd: boolean;
  /**
   * False if the page ends before an open gap (see `readSettled`), so that there may be more after
   * it.
   *
   * @default true
   */
  readonly isSettled?: boolean;
  /**
   * Whether all messages that were read are bookkeeping of consumers, aggregates or snapshots,
   * those that were left out included.
   *
   * @default false
   */
  readonly isQuiet?: boolean;
}

/** How far a statement has read. Messages that it left out count. */
export interface Extent {
  /** How many messages it has read. */
  readonly count: number;
  /** The position of the last message that it has read; null if it has read none. */
  readonly last: number | null;
  /** The position of the last message that there was; null if there was none. */
  readonly head: number | null;
}

/**
 * Makes a page. A page that is not full reaches up to `head`: the statement has looked at
 * everything up to there, so the next page begins after that.
 */
export function pageOf(
  messages: readonly Message[],
  { count, last, head }: Extent,
  wanted: { readonly position: number; readonly batchSize: number },
): Page {
  const atEnd = count < wanted.batchSize;
  const read = Math.max(last ?? 0, atEnd ? head ?? 0 : 0);
  return { messages, next: Math.max(safeInteger(read) + 1, wanted.position), atEnd };
}
