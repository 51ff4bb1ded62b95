import { countAnswered, eachMessage, type MessageRow, safeInteger } from "../messages/_columns.ts";
import type { Message } from "../types.ts";
import { isErased, type Mark, moveMark, type Standing, standingJson } from "./_mark.ts";
import { STORE } from "./_store_identity.ts";

/** A page of messages, and how to read on. */
export interface Page {
  /** How many messages it has. */
  readonly length: number;
  /**
   * Makes the messages, one after another: the next page may be under way by then.
   *
   * No getter: V8 keeps a getter with the shape of its object, among the old objects. Then the messages outlive
   * the page, and each run of the collector copies them.
   */
  readonly messages: () => Iterable<Message>;
  /** The position to read on from: after the messages that were left out, too. */
  readonly next: number;
  /** Whether there was no more when the page was read. */
  readonly atEnd: boolean;
  /**
   * False if the page ends before an open gap, or before what a replica cannot read yet (see
   * `readSettled`). So there may be more after it.
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
  /** The mark for the next page; null if nothing was passed yet. */
  readonly mark?: Mark | null;
  /** The name of the store: see `STORE_NAME`. */
  readonly store?: string | undefined;
  /**
   * Whether the message of the wanted mark is gone, and its position is given. A transaction that is
   * still open may fill the position: then the store went back. Only a read after the end of all such
   * transactions tells.
   *
   * @default false
   */
  readonly isErased?: boolean;
  /** Whether the server is a standby. Only reads of all streams tell. */
  readonly isStandby?: boolean;
  /**
   * The record up to which a replica reads all streams: its position in its stream, its id, and its global
   * position. Only another record is news there.
   *
   * @default null
   */
  readonly record?: readonly [position: number, id: string, globalPosition: number] | null;
}

/** Where to read on. */
export type Cursor = Pick<WantedPage, "position" | "mark">;

/** Which page to read: from where, how many messages, and after which mark. */
export interface WantedPage {
  readonly position: number;
  readonly batchSize: number;
  readonly mark?: Mark | null | undefined;
}

/** What there is of a source, as a statement sees it. */
export interface Extent extends Standing {
  /** The position of the last message that there was; null if there was none. */
  readonly head: number | null;
  /** Its id; null if the statement's snapshot lacks the message. */
  readonly headId: string | null;
}

/** How far a statement has read. Messages that it left out count. */
export interface Reach {
  /** How many messages it has read. */
  readonly count: number;
  /** The position of the last message that it has read; null if it has read none. */
  readonly last: number | null;
  /** Its id; null if the statement's snapshot lacks the message. */
  readonly lastId: string | null;
}

/** SQL of the members of an `Extent`, for concat(). The head is given as SQL, and so is the mark. */
export function extentJson(head: string, mark: string): string {
  return `'"head":', coalesce(${head}::text, 'null'),
    ',"headId":', coalesce(to_json(${idAt(head)})::text, 'null'),
    ',"standing":', ${standingJson(mark)},
    ',"store":', ${STORE}`;
}

/** SQL of the id of the message at a global position. */
export function idAt(position: string): string {
  return `(
        select messages.id
        from message_store.messages
        where messages.global_position = ${position}
      )`;
}

/** The messages of rows, for a page. */
export function messagesIn(rows: readonly MessageRow[]): Pick<Page, "length" | "messages"> {
  return { length: countAnswered(rows), messages: () => eachMessage(rows) };
}

/**
 * Makes a page. A page that is not full reaches up to `head`: the statement has looked at
 * everything up to there, so the next page begins after that.
 */
export function pageOf(
  messages: Pick<Page, "length" | "messages">,
  { count, last, lastId }: Reach,
  extent: Extent,
  wanted: WantedPage,
): Page {
  const atEnd = count < wanted.batchSize;
  const read = safeInteger(Math.max(last ?? 0, atEnd ? extent.head ?? 0 : 0));
  const passed = read === 0 ? null : [read, read === last ? lastId : extent.headId] as const;
  const mark = moveMark(wanted.mark ?? null, extent, passed);
  const next = Math.max(read + 1, wanted.position);
  const { store } = extent;
  return { ...messages, next, atEnd, mark, store, isErased: isErased(wanted.mark, extent) };
}
