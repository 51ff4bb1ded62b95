import { storeFor } from "../handle/_store_for.ts";
import { safeInteger } from "../messages/_columns.ts";
import { checkCategory, checkInteger, checkOptions } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { checkAfter } from "./_check_after.ts";
import { dateOrNull } from "./_date_or_null.ts";
import {
  readStreamsByCount,
  readStreamsByLast,
  readStreamsByName,
  type StoredStreams,
  type WantedStreams,
} from "./_read_streams.ts";

/** A stream, as `streams` describes it. */
export interface StreamStatus {
  /** The name of the stream: `"account-123"`. */
  readonly streamName: string;
  /** How many messages it has, by its first and its last position: what was deleted from between them counts, too. */
  readonly count: number;
  /** The time of its first message; null if no Date can be so early or late. */
  readonly firstAt: Date | null;
  /** The time of its last message; null if no Date can be so early or late. */
  readonly lastAt: Date | null;
  /** The global position of its last message. */
  readonly lastGlobalPosition: number;
}

/** Options of `streams`. */
export interface StreamsOptions {
  /**
   * The order: by the last message from the latest on, by the number of messages from the longest stream on, or by
   * name, in the order of the database's locale.
   *
   * @default "last"
   */
  readonly sort?: "last" | "count" | "name" | undefined;
  /**
   * How many streams to read at most, from 1.
   *
   * @default 100
   */
  readonly limit?: number | undefined;
  /**
   * The `next` of the page before, or a stream: what the streams are sorted by is enough, `{ streamName: "account-5" }`.
   *
   * @default none: the first page
   */
  readonly after?: Partial<StreamStatus> | undefined;
}

/** Streams of a category, as `streams` answers them. */
export interface StreamsPage {
  /** The streams, in their order. There may be fewer than `limit` although more are left. */
  readonly streams: readonly StreamStatus[];
  /** Where to go on: the `after` of the next page; null if nothing is left. */
  readonly next: Partial<StreamStatus> | null;
  /**
   * False if streams were left out that should be among these: by the number of messages, in a category of more than
   * 2,000 streams.
   */
  readonly isComplete: boolean;
}

/**
 * Reads the streams of a category, page by page: how many messages each has, and since when.
 *
 * A page takes milliseconds, however many messages the category has, because each statement has a limit:
 *
 * - By the last message, it looks at the last 10,000 messages for their streams. Where these are of fewer streams than
 *   `limit`, it goes through the names of up to 2,000 streams; if the category has more, the page ends there, and
 *   `next` says where to go on.
 * - By name, it goes from one name to the next.
 * - By the number of messages, it compares up to 2,000 streams. If the category has more, it compares the first 2,000
 *   by name with those that it meets at 1,000 places of the category. A stream with more than a hundredth of the messages
 *   is met; `isComplete` is false.
 *
 * Sorted by the last message, a stream that gets a message between two pages moves to the first page, and the later
 * pages do not have it. To read each stream once, sort by name.
 *
 * @example The latest streams, and the next page
 * ```ts
 * import { streams } from "@messagedb/client/operate";
 *
 * const page = await streams(sql, "account");
 * for (const { streamName, count, lastAt } of page.streams) console.log(streamName, count, lastAt);
 * if (page.next) await streams(sql, "account", { after: page.next });
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param category The category: `"account"`. A category with a type is another category: `"account:command"`.
 * @param options The order, and which page.
 * @returns The streams, and where to go on.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is not a category's, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export async function streams(
  sql: Sql,
  category: string,
  options: StreamsOptions = {},
): Promise<StreamsPage> {
  checkCategory("category", category);
  checkOptions(options, { sort: true, limit: true, after: true });
  const { sort = "last", limit = 100, after } = options;
  checkInteger("limit", limit, 1);
  checkAfter(sort, after);
  const wanted = { category, limit: String(limit) };
  const stored = await readSorted(storeFor(sql, category), wanted, sort, after);
  const found = stored.streams.map(({ lastGlobalPosition, firstAt, lastAt, ...stream }) => ({
    ...stream,
    firstAt: dateOrNull(firstAt),
    lastAt: dateOrNull(lastAt),
    lastGlobalPosition: safeInteger(lastGlobalPosition),
  }));
  return { streams: found, next: placeAfter(found, stored, sort), isComplete: stored.isComplete };
}

function readSorted(
  sql: Sql,
  wanted: WantedStreams,
  sort: StreamsOptions["sort"],
  after: Partial<StreamStatus> | undefined,
): Promise<StoredStreams> {
  const { streamName, count, lastGlobalPosition } = after ?? {};
  if (sort === "name") return readStreamsByName(sql, wanted, streamName);
  if (sort === "last") {
    return readStreamsByLast(sql, wanted, after && String(lastGlobalPosition));
  }
  return readStreamsByCount(
    sql,
    wanted,
    after && { count: String(count), streamName: streamName! },
  );
}

/** Where the next page begins: after the last stream of this one, or where the statement stopped before. */
function placeAfter(
  found: readonly StreamStatus[],
  { hasMore, stoppedAt }: StoredStreams,
  sort: StreamsOptions["sort"],
): StreamsPage["next"] {
  const last = found.at(-1);
  if (hasMore && last) {
    const { streamName, count, lastGlobalPosition } = last;
    if (sort === "name") return { streamName };
    return sort === "count" ? { count, streamName } : { lastGlobalPosition };
  }
  if (stoppedAt === null) return null;
  return typeof stoppedAt === "string"
    ? { streamName: stoppedAt }
    : { lastGlobalPosition: safeInteger(stoppedAt) };
}
