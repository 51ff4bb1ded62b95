import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkInteger, checkPage, checkPattern } from "../names/_check.ts";
import { readAhead } from "../lib/read_ahead.ts";
import { readSettled } from "./_read_settled.ts";
import { readAll, type ReadAllOptions } from "./read_all.ts";
import { readCategory, type ReadCategoryOptions } from "./read_category.ts";
import type { ReadMatchingOptions } from "./read_matching.ts";
import { readStream, type ReadStreamOptions } from "./read_stream.ts";
import type { Message, Sql } from "../types.ts";

/** What the iterators take besides the options of their read. */
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
 * Holds two pages of `batchSize` messages: the next one is read while one is used, by the same handle,
 * and nothing behind the `limit`. It ends with the first page that is not full when it is read: of what
 * is written while it goes on, it may yield some or none. Takes the options of `readStream`.
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
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @param options Where to start, which way, how many in all and how many a page.
 * @returns The messages; throws what `readStream` throws when iterated over.
 */
export function iterateStream<Output extends Message>(
  sql: Sql,
  streamName: string,
  options: ReadStreamOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
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
  return pages(
    options,
    (page) => readStream(sql, streamName, page),
    (message) => message.position,
  );
}

/**
 * Iterates over a category to its current end, page by page.
 *
 * Holds two pages of `batchSize` messages: the next one is read while one is used, by the same handle,
 * and nothing behind the `limit`. It ends with the first page that is not full when it is read: of what
 * is written while it goes on, it may yield some or none. Takes the options of `readCategory`.
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
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param category The category: `"account"`.
 * @param options Where to start, which way, how many in all and how many a page, whose.
 * @returns The messages; throws what `readCategory` throws when iterated over.
 */
export function iterateCategory<Output extends Message>(
  sql: Sql,
  category: string,
  options: ReadCategoryOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
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
  return pages(
    options,
    (page) => readCategory(sql, category, page),
    (message) => message.globalPosition,
  );
}

/**
 * Iterates over all streams to the current end, page by page, and loses no message.
 *
 * Reads ahead as `iterateStream` does. Takes the options of `readAll`; forward, it waits four seconds for
 * a missing position to settle, from when the page is read, and ends before it where that is not enough.
 *
 * @example
 * ```ts
 * import { iterateAll } from "@messagedb/client";
 *
 * const count = new Map<string, number>();
 * for await (const { type } of iterateAll(sql)) count.set(type, (count.get(type) ?? 0) + 1);
 * ```
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param options Where to start, which way, how many in all and how many a page.
 * @returns The messages; throws what `readAll` throws when iterated over.
 */
export function iterateAll<Output extends Message>(
  sql: Sql,
  options: ReadAllOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
export function iterateAll<Data = unknown>(
  sql: Sql,
  options?: ReadAllOptions & IterateOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
export function iterateAll(
  sql: Sql,
  options: ReadAllOptions & IterateOptions & MaybeTyped = {},
): AsyncGenerator<Message, void, undefined> {
  return options?.direction === "backward"
    ? pages(options, (page) => readAll(sql, page), (message) => message.globalPosition)
    : settledPages(sql, null, options);
}

/**
 * Iterates over the streams whose names match a SQL LIKE pattern to the current end, page by page, and
 * loses no message.
 *
 * Reads ahead as `iterateStream` does. Takes the options of `readMatching`; as depeche_db's
 * `read_wildcard`.
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
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param pattern The LIKE pattern.
 * @param options Where to start, how many in all and how many a page.
 * @returns The messages; throws what `readMatching` throws when iterated over.
 */
export function iterateMatching<Output extends Message>(
  sql: Sql,
  pattern: string,
  options: ReadMatchingOptions & IterateOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
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
  return settledPages(sql, pattern, options);
}

function settledPages(
  sql: Sql,
  pattern: string | null,
  options: ReadAllOptions & IterateOptions & MaybeTyped,
): AsyncGenerator<Message, void, undefined> {
  return upToLimit(options, async (position = 1, batchSize) => {
    if (pattern !== null) checkPattern(pattern);
    const wanted = { position, batchSize, pattern, patience: 4000 };
    const { messages, next, atEnd } = await readSettled(sql, wanted);
    return { messages, next: atEnd ? undefined : next };
  });
}

function pages<Options extends ReadAllOptions & IterateOptions & MaybeTyped>(
  options: Options,
  read: (options: Options) => Promise<Message[]>,
  place: (message: Message) => number,
): AsyncGenerator<Message, void, undefined> {
  return upToLimit(options, async (position, batchSize) => {
    const messages = await read({ ...options, messages: undefined, position, batchSize });
    if (messages.length < batchSize) return { messages, next: undefined };
    const next = place(messages.at(-1)!) + (options.direction === "backward" ? -1 : 1);
    return { messages, next: next < 0 ? undefined : next };
  });
}

interface PageOfLimit {
  readonly messages: readonly Message[];
  /** Where to read on; undefined where there is no more. */
  readonly next: number | undefined;
}

async function* upToLimit(
  options: ReadAllOptions & IterateOptions & MaybeTyped,
  read: (position: number | undefined, batchSize: number) => Promise<PageOfLimit>,
): AsyncGenerator<Message, void, undefined> {
  const batchSize = Number(checkPage(options).batchSize);
  const parser = parserOf(options);
  let left = checkLimit(options.limit);
  let unread = left;
  const parts = readAhead(
    async (position: number | undefined) => {
      // Of those that are skipped, there may be any number before the last that is wanted.
      const part = await read(position, parser ? batchSize : Math.min(batchSize, unread));
      unread -= part.messages.length;
      return part;
    },
    options.position,
    ({ next }) => next,
    ({ messages }) => messages.length >= left,
  );
  for await (const { messages } of parts) {
    for (const message of messages) {
      // Those before a message that does not fit are there, so it is parsed when it is wanted.
      const decoded = parser ? await parser.decode(message) : message;
      if (decoded === undefined) continue;
      yield decoded;
      if (--left === 0) return;
    }
  }
}

function checkLimit(limit: number = Infinity): number {
  if (limit !== Infinity) checkInteger("limit", limit, 1);
  return limit;
}
