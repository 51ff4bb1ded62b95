import { storeFor } from "../handle/_store_for.ts";
import { patternScope } from "../names/_pattern_scope.ts";
import { headOf, type MessageRow } from "../messages/_columns.ts";
import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkInteger, checkOptions, checkPage, checkPattern } from "../names/_check.ts";
import { abortableValue, endable } from "../lib/endable.ts";
import { readAhead } from "../lib/read_ahead.ts";
import { abortable } from "../lib/wait.ts";
import { fitting } from "./_fitting.ts";
import type { Mark } from "./_mark.ts";
import { messagesIn, type Page } from "./_page.ts";
import { readBackwardRows } from "./_read_backward_rows.ts";
import { readCategoryRows } from "./_read_category_rows.ts";
import { readSettled } from "./_read_settled.ts";
import { readStreamRows } from "./_read_stream_rows.ts";
import type { ReadAllOptions } from "./read_all.ts";
import type { ReadMatchingOptions } from "./read_matching.ts";
import type { ReadCategoryOptions, ReadStreamOptions } from "./read_options.ts";
import type { Message, Sql } from "../types.ts";

/**
 * How many milliseconds an iterator waits for a gap, at least. A caller of a read can read on
 * later, but an iterator that stops at a gap has ended: so it waits longer than a read does.
 */
const ITERATOR_PATIENCE = 4000;

/** Options of the iterators, besides those of the read that they repeat. */
export interface IterateOptions {
  /**
   * How many messages to yield at most, from 1.
   *
   * @default all
   */
  readonly limit?: number | undefined;
}

/**
 * Iterates over a stream to its current end, page by page.
 *
 * Holds up to two pages of `batchSize` messages: while the caller uses one page, the same handle
 * reads the next. It reads nothing beyond the `limit`. It ends with the first page that was not
 * full when it was read, so it may yield some or none of the messages that are written meanwhile.
 * Takes the options of `readStream`.
 *
 * @example
 * ```ts
 * import { iterateStream } from "@messagedb/client";
 *
 * let balance = 0;
 * for await (const { data } of iterateStream<{ amount: number }>(sql, "account-123")) {
 *   balance += data.amount;
 * }
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @param options Where to start, in which direction, how many in all and how many a page.
 * @returns The messages. The iteration throws what `readStream` throws.
 */
export function iterateStream<Output extends Message>(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
/** Iterates over a stream without a catalogue: nothing checks `data`. */
export function iterateStream<Data = unknown>(
  sql: Sql,
  streamName: string,
  options?: ReadStreamOptions & IterateOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
export function iterateStream(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & IterateOptions & MaybeTyped = {},
): AsyncGenerator<Message, void, undefined> {
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    condition: true,
    limit: true,
    messages: true,
  });
  return pages(
    options,
    (page) => readStreamRows(sql, streamName, page),
    "position",
  );
}

/**
 * Iterates over a category to its current end, page by page.
 *
 * Holds up to two pages of `batchSize` messages: while the caller uses one page, the same handle
 * reads the next. It reads nothing beyond the `limit`. It ends with the first page that was not
 * full when it was read, so it may yield some or none of the messages that are written meanwhile.
 * Takes the options of `readCategory`.
 *
 * @example
 * ```ts
 * import { iterateCategory } from "@messagedb/client";
 *
 * for await (const message of iterateCategory(sql, "account")) {
 *   console.log(message.streamName, message.type);
 * }
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param category The category: `"account"`.
 * @param options Where to start, in which direction, how many in all and how many a page, for which
 * member.
 * @returns The messages. The iteration throws what `readCategory` throws.
 */
export function iterateCategory<Output extends Message>(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
/** Iterates over a category without a catalogue: nothing checks `data`. */
export function iterateCategory<Data = unknown>(
  sql: Sql,
  category: string,
  options?: ReadCategoryOptions & IterateOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
export function iterateCategory(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & IterateOptions & MaybeTyped = {},
): AsyncGenerator<Message, void, undefined> {
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    condition: true,
    correlation: true,
    consumerGroup: true,
    limit: true,
    messages: true,
  });
  return pages(
    options,
    (page) => readCategoryRows(sql, category, page),
    "globalPosition",
  );
}

/**
 * Iterates over all streams to the current end, page by page, and loses no message.
 *
 * Reads ahead as `iterateStream` does. Takes the options of `readAll`. Forward, if the next
 * position is missing, the iterator waits for it for up to four seconds, from when the page is
 * read. If the position cannot settle in that time, the iterator ends before it. On a replica, the
 * iterator ends at what `settle` has recorded by then. If the store goes back
 * meanwhile, a forward iteration throws `StoreWentBackError`.
 *
 * @example
 * ```ts
 * import { iterateAll } from "@messagedb/client";
 *
 * const count = new Map<string, number>();
 * for await (const { type } of iterateAll(sql)) count.set(type, (count.get(type) ?? 0) + 1);
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param options Where to start, in which direction, how many in all and how many a page.
 * @returns The messages. The iteration throws what `readAll` throws.
 */
export function iterateAll<Output extends Message>(
  sql: Sql,
  options: ReadAllOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
/** Iterates over all streams without a catalogue: nothing checks `data`. */
export function iterateAll<Data = unknown>(
  sql: Sql,
  options?: ReadAllOptions & IterateOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
export function iterateAll(
  sql: Sql,
  options: ReadAllOptions & IterateOptions & MaybeTyped = {},
): AsyncGenerator<Message, void, undefined> {
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    limit: true,
    messages: true,
  });
  return options.direction === "backward"
    ? pages(options, (page) => {
      const { position, batchSize } = checkPage(page);
      return readBackwardRows(sql, position, batchSize);
    }, "globalPosition")
    : settledPages(sql, null, options);
}

/**
 * Iterates over the streams whose names match a SQL LIKE pattern to the current end, page by page,
 * and loses no message.
 *
 * As depeche_db's `read_wildcard`. Takes the options of `readMatching`. Reads ahead as
 * `iterateStream` does, and waits for missing positions as `iterateAll` does.
 *
 * @example
 * ```ts
 * import { iterateMatching } from "@messagedb/client";
 *
 * for await (const { streamName, type } of iterateMatching(sql, "account%-123")) {
 *   console.log(streamName, type);
 * }
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param pattern The LIKE pattern.
 * @param options Where to start, how many in all and how many a page.
 * @returns The messages. The iteration throws what `readMatching` throws.
 */
export function iterateMatching<Output extends Message>(
  sql: Sql,
  pattern: string,
  options: ReadMatchingOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
/** Iterates over streams without a catalogue: nothing checks `data`. */
export function iterateMatching<Data = unknown>(
  sql: Sql,
  pattern: string,
  options?: ReadMatchingOptions & IterateOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
export function iterateMatching(
  sql: Sql,
  pattern: string,
  options: ReadMatchingOptions & IterateOptions & MaybeTyped = {},
): AsyncGenerator<Message, void, undefined> {
  checkOptions(options, {
    position: true,
    batchSize: true,
    limit: true,
    messages: true,
  });
  return settledPages(sql, pattern, options);
}

function settledPages(
  sql: Sql,
  pattern: string | null,
  options: ReadAllOptions & IterateOptions & MaybeTyped,
): AsyncGenerator<Message, void, undefined> {
  let most = 0;
  let store = sql;
  const readPage = fitting(
    "all messages",
    () => most,
    (batchSize, position: number, mark: Mark | null, signal: AbortSignal) => {
      const wanted = { position, batchSize, pattern, mark };
      return readSettled(store, wanted, { patience: ITERATOR_PATIENCE, signal });
    },
  );
  let mark: Mark | null = null;
  return upToLimit(options, async (position = 1, batchSize, signal) => {
    if (pattern !== null) {
      checkPattern(pattern);
      store = storeFor(sql, patternScope(pattern));
    }
    most = batchSize;
    const page = await readPage(position, mark, signal);
    mark = page.mark;
    const next = page.atEnd ? undefined : page.next;
    return { next, length: page.length, messages: page.messages };
  });
}

function pages<Options extends ReadAllOptions & IterateOptions & MaybeTyped>(
  options: Options,
  read: (options: Options) => Promise<MessageRow[]>,
  place: "position" | "globalPosition",
): AsyncGenerator<Message, void, undefined> {
  const { limit: _limit, messages: _messages, ...unlimited } = options;
  return upToLimit(options, async (position, batchSize) => {
    const rows = await read({ ...unlimited, position, batchSize } as Options);
    const isFull = rows.length === batchSize;
    const step = options.direction === "backward" ? -1 : 1;
    const behind = isFull ? headOf(rows.at(-1)!)[place] + step : -1;
    const next = behind >= 0 ? behind : undefined;
    return { ...messagesIn(rows), next };
  });
}

/** A page of messages as they are stored. */
interface StoredPage extends Pick<Page, "length" | "messages"> {
  /** The position of the next page; undefined if there is none. */
  readonly next: number | undefined;
}

type ReadStoredPage = (
  position: number | undefined,
  batchSize: number,
  signal: AbortSignal,
) => Promise<StoredPage>;

/** Yields the messages of all pages, parsed, until the limit. `return()` ends a wait for a page. */
function upToLimit(
  options: ReadAllOptions & IterateOptions & MaybeTyped,
  read: ReadStoredPage,
): AsyncGenerator<Message, void, undefined> {
  return endable(({ signal }) => messagesUpToLimit(options, read, signal));
}

async function* messagesUpToLimit(
  options: ReadAllOptions & IterateOptions & MaybeTyped,
  read: ReadStoredPage,
  signal: AbortSignal,
): AsyncGenerator<Message, void, undefined> {
  const batchSize = Number(checkPage(options).batchSize);
  const parser = parserOf(options);
  const { limit = Infinity } = options;
  if (limit !== Infinity) checkInteger("limit", limit, 1);
  let unread = limit;
  let left = limit;
  const parts = readAhead(
    async (position: number | undefined) => {
      // A parser may skip messages, so any number of them may be needed for those that are left.
      const count = parser ? batchSize : Math.min(batchSize, unread);
      const part = await abortable(read(position, count, signal), signal);
      unread -= part.length;
      return part;
    },
    options.position,
    ({ next }) => next,
    ({ length }) => length >= left,
  );
  try {
    for await (const { messages } of parts) {
      for (const message of messages()) {
        // Parsed one by one, so that the caller gets all messages before one that does not fit.
        const decoded = parser ? await abortableValue(parser.decode(message), signal) : message;
        if (decoded === undefined) continue;
        yield decoded;
        if (--left === 0 || signal.aborted) return;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
