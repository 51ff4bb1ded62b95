import { storeFor } from "../handle/_store_for.ts";
import { invalid } from "../lib/invalid.ts";
import { safeInteger } from "../messages/_columns.ts";
import { checkInteger, checkName, checkOptions, checkTime } from "../names/_check.ts";
import { isCategory } from "../names/stream_name.ts";
import { checkStartAt, timestampOf } from "../read/_first_since.ts";
import type { StartAt } from "../read/start_at.ts";
import type { Direction, Sql } from "../types.ts";
import { findRows, foundMessage, type WantedFound } from "./_find_rows.ts";
import type { FoundMessage } from "./found_message.ts";

/** Options of `findMessages`. */
export interface FindMessagesOptions {
  /**
   * Which way to go.
   *
   * @default "forward"
   */
  readonly direction?: Direction | undefined;
  /**
   * Where to start, which is included: at a position (of a stream its own, else the global one), at the
   * `"beginning"`, or at the `"end"`. For a `Date`, forward is from the first message that was written then or later,
   * and backward from the last one before.
   *
   * @default "beginning" forward, "end" backward
   */
  readonly startAt?: StartAt | undefined;
  /**
   * How many messages to find at most, from 1.
   *
   * @default 100
   */
  readonly limit?: number | undefined;
  /**
   * Finds the messages of these types only.
   *
   * @default all
   */
  readonly types?: readonly string[] | undefined;
  /**
   * Finds the messages only whose data contain this text, in capitals or not. It is looked for as what a text of the
   * data says, `C:\temp "new"`, and in the JSON as the store writes it: `"amount": 11`, with a space. A `%` or a `_` is
   * what it is.
   *
   * @default all
   */
  readonly text?: string | undefined;
  /**
   * Finds the messages only whose `correlationStreamName` is this stream, or a stream of this category.
   *
   * @default all
   */
  readonly correlation?: string | undefined;
  /**
   * Finds the messages only that were written then or later.
   *
   * @default all
   */
  readonly since?: Date | undefined;
  /**
   * Finds the messages only that were written before.
   *
   * @default all
   */
  readonly until?: Date | undefined;
  /**
   * Whether to find the messages, too, that this library writes for itself: positions, claims, groups, snapshots, what
   * is parked, an aggregate's references and position, and what is settled. With false, they are looked at but not
   * answered.
   *
   * @default true
   */
  readonly ownMessages?: boolean | undefined;
  /**
   * How many messages to look at, at most, from 1. At 16 MB of data, as stored or as text,
   * and of names, the search ends too.
   *
   * @default 10000
   */
  readonly scanLimit?: number | undefined;
  /**
   * How many characters of data and metadata to read, from 0. What is longer is cut off in the database.
   *
   * @default 2000
   */
  readonly textLength?: number | undefined;
}

/** What `findMessages` has found. */
export interface FoundMessages {
  /** The messages, in the direction of the search. */
  readonly messages: readonly FoundMessage[];
  /** Where to go on: the `startAt` of the next page; null if nothing is left. */
  readonly next: number | null;
  /** How many messages were looked at. */
  readonly scanned: number;
}

/**
 * Finds messages in a store of any size, page by page and in either direction: by type, by time, and by a text in
 * their data. It is for people who look for something, and answers texts: what a message holds is not parsed.
 *
 * One call is one statement, which looks at `scanLimit` messages and then tells where to go on, whether it has found
 * anything or not. A page without a filter takes milliseconds by an index, and so does where a time is. With a filter,
 * 10,000 messages take about 50 milliseconds.
 *
 * A time is found by halving the range of positions, as if times rose with the positions. They nearly do: the time of
 * a message is that of the beginning of its transaction. A message of a long transaction, or one that was imported with
 * another time, may be missed at `since`, `until` and a `startAt` that is a Date. What is answered is within the times.
 *
 * Of `"$all"` and of a category, messages near the end may not be all there: 148 can be committed before 147. A
 * page that was read forward up to the end lacks such a message, and the next page begins after it. So this is not for
 * consumers, which `subscribe` and `readAll` are. (A category is locked by its writers, so it has no such gaps unless
 * someone writes to it by SQL.)
 *
 * @example The last messages of a category that name a customer
 * ```ts
 * import { findMessages } from "@messagedb/client/operate";
 *
 * const options = { direction: "backward", text: "Muster", since: new Date("2026-01-01") } as const;
 * let page = await findMessages(sql, "account", options);
 * for (const { streamName, type, data } of page.messages) console.log(streamName, type, data);
 * while (page.next !== null) {
 *   page = await findMessages(sql, "account", { ...options, startAt: page.next });
 * }
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param source `"$all"`, a category (`"account"`) or a stream (`"account-123"`). Over partitions, `"$all"` is refused.
 * @param options Which messages, from where, and how many.
 * @returns The messages, and where to go on.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {PartitionError} If `"$all"` of a partitioned store is wanted.
 * @throws {TypeError} If the source is empty, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export async function findMessages(
  sql: Sql,
  source: string,
  options: FindMessagesOptions = {},
): Promise<FoundMessages> {
  checkName("source", source);
  const direction = options?.direction ?? "forward";
  const wanted = checkWanted(options);
  const kind = source === "$all" ? "all" : isCategory(source) ? "category" : "stream";
  const name = kind === "all" ? null : source;
  const page = await findRows(storeFor(sql, source), kind, direction, { ...wanted, name });
  return {
    messages: page.messages.map(foundMessage),
    next: page.next === null ? null : safeInteger(page.next),
    scanned: page.scanned,
  };
}

function checkWanted(options: FindMessagesOptions): Omit<WantedFound, "name"> {
  checkOptions(options, {
    direction: true,
    startAt: true,
    limit: true,
    types: true,
    text: true,
    correlation: true,
    since: true,
    until: true,
    ownMessages: true,
    scanLimit: true,
    textLength: true,
  });
  const { direction = "forward", startAt, limit = 100, since, until } = options;
  const { types, text, correlation } = options;
  const { ownMessages = true, scanLimit = 10_000, textLength = 2000 } = options;
  if (direction !== "forward" && direction !== "backward") {
    throw invalid("direction", direction, '"forward" or "backward"');
  }
  if (startAt !== undefined) checkStartAt(startAt);
  checkInteger("limit", limit, 1);
  checkInteger("scanLimit", scanLimit, 1);
  checkInteger("textLength", textLength, 0, 1_000_000_000);
  if (types !== undefined) {
    if (!Array.isArray(types)) throw invalid("types", types, "an array of texts");
    for (const it of types) checkName("types", it);
  }
  if (text !== undefined) checkName("text", text);
  if (correlation !== undefined) checkName("correlation", correlation);
  checkTime(since);
  checkTime(until);
  if (typeof ownMessages !== "boolean") throw invalid("ownMessages", ownMessages, "true or false");
  return {
    start: firstPlace(startAt, direction),
    startTime: startAt instanceof Date ? timestampOf(startAt) : null,
    since: since === undefined ? null : timestampOf(since),
    until: until === undefined ? null : timestampOf(until),
    limit,
    scanLimit,
    types: types ?? null,
    text: text ?? null,
    escaped: text === undefined ? null : escapedOf(text),
    correlation: correlation ?? null,
    ownMessages,
    textLength,
  };
}

/** The text as JSON writes it; null if that is no other. */
function escapedOf(text: string): string | null {
  const escaped = JSON.stringify(text).slice(1, -1);
  return escaped === text ? null : escaped;
}

/** Beyond all positions: whoever starts there forward finds nothing. */
const BEYOND = Number.MAX_SAFE_INTEGER;

function firstPlace(startAt: StartAt | undefined, direction: Direction): number | null {
  if (typeof startAt === "number") return startAt;
  if (startAt === "end") return direction === "forward" ? BEYOND : null;
  return startAt === "beginning" && direction === "backward" ? 0 : null;
}
