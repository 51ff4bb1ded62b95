import { ownOf } from "../handle/_statement.ts";
import { storeFor } from "../handle/_store_for.ts";
import { readMessage } from "../read/read_messages.ts";
import { abortable } from "../lib/wait.ts";
import { safeInteger } from "../messages/_columns.ts";
import {
  checkId,
  checkInteger,
  checkMembers,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkStreamName,
} from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { dateOrNull } from "./_date_or_null.ts";
import {
  type CausedPage,
  readCausedPage,
  readLinks,
  readTraceBeginning,
  type StoredLink,
} from "./_read_trace.ts";

/** How many messages a statement looks at. */
const BATCH_SIZE = 10_000;

/** What to trace: a message by its id, or all messages of a stream. */
export type TraceStart =
  | { readonly id: string; readonly streamName?: undefined }
  | { readonly streamName: string; readonly id?: undefined };

/** Options of `trace`. */
export interface TraceOptions {
  /**
   * How many messages that followed to read at most, from 1. No more causes than that are read, and no more messages of
   * the stream.
   *
   * @default 1000
   */
  readonly limit?: number | undefined;
  /** Ends the search: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What led to messages, and what followed from them. */
export interface Trace {
  /** The messages, by global position: a cause comes before its effects. */
  readonly messages: readonly TracedMessage[];
  /** Whether messages were left out, because there are more than `limit`. */
  readonly hasMore: boolean;
}

/** A message in a trace. */
export interface TracedMessage {
  /** The id of the message. */
  readonly id: string;
  /** The stream of the message. */
  readonly streamName: string;
  /** The type of the message; if it is longer than 1,000 characters, the first 1,000 and `...`. */
  readonly type: string;
  /** The position in the stream. */
  readonly position: number;
  /** The global position. */
  readonly globalPosition: number;
  /** When the message was written; null if no Date can be so early or late. */
  readonly time: Date | null;
  /** Whether the message led to what was asked for (`"cause"`), is it (`"start"`), or followed from it (`"effect"`). */
  readonly role: "cause" | "start" | "effect";
  /** The global position of the message that caused it; null if no message of the trace did. */
  readonly cause: number | null;
  /** The place that its metadata name as its cause, whether a message is there or not; null for none. */
  readonly namedCause: { readonly streamName: string; readonly position: number } | null;
  /** How many causes it has in the trace: its cause, the cause of that, and so on. */
  readonly depth: number;
}

/**
 * Traces cause and effect: finds the messages that led to a message, up to the first, and all that followed from it,
 * across all streams. It goes by the metadata that `follow` writes (`causationMessageStreamName` and
 * `causationMessagePosition`).
 *
 * An index finds the causes. The effects are found by looking at all later messages, 10,000 a statement: about two
 * seconds for a million. The search ends sooner if more than `limit` messages followed. What else followed from a cause
 * is not in the trace: trace the cause to see it.
 *
 * @example What followed from a message
 * ```ts
 * import { follow, readLastMessage, write } from "@messagedb/client";
 * import { trace } from "@messagedb/client/operate";
 *
 * await write(sql, "account:command-123", { type: "Withdraw" });
 * const command = await readLastMessage(sql, "account:command-123");
 * await write(sql, "account-123", follow(command!, { type: "Withdrawn" }));
 *
 * const { messages } = await trace(sql, { streamName: "account:command-123" });
 * for (const { depth, type, streamName } of messages) console.log(" ".repeat(depth), type, streamName);
 * ```
 *
 * @param sql The handle. A gateway refuses the statements.
 * @param start The id of a message, or the name of a stream.
 * @param options How much to read.
 * @returns The trace; without messages if the store has no such message or stream.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the id is not a UUID, the name is not a stream's, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export async function trace(
  sql: Sql,
  start: TraceStart,
  options: TraceOptions = {},
): Promise<Trace> {
  checkMembers(
    "start",
    start,
    { id: true, streamName: true },
    "an object with an id or a streamName",
  );
  checkOneOf("start", start, "id", "streamName");
  const { id, streamName } = start;
  if (id !== undefined) checkId(id);
  if (streamName !== undefined) checkStreamName(streamName);
  checkOptions(options, { limit: true, signal: true });
  const { limit = 1000, signal } = options;
  checkInteger("limit", limit, 1);
  checkSignal(signal);
  signal?.throwIfAborted();
  const wanted = { id, streamName, limit: String(limit + 1) };
  const store = streamName === undefined
    ? await storeOfMessage(sql, id!)
    : storeFor(sql, streamName);
  const beginning = await abortable(readTraceBeginning(store, wanted), signal);
  const starts = beginning.traced.slice(0, limit);
  const isStart = new Set(beginning.traced.map(({ globalPosition }) => globalPosition));
  const causes = beginning.causes.filter(({ globalPosition }) => !isStart.has(globalPosition));
  const effects = await findEffects(store, starts, limit + 1, signal);
  // A message may have led to one of the stream, and followed from another.
  const linked = new Map<number, Linked>();
  for (const it of causes.slice(-limit)) linked.set(it.globalPosition, [it, "cause"]);
  for (const it of starts) linked.set(it.globalPosition, [it, "start"]);
  for (const it of effects.slice(0, limit)) linked.set(it.globalPosition, [it, "effect"]);
  return {
    messages: connect([...linked.values()]),
    hasMore: [beginning.traced, causes, effects].some(({ length }) => length > limit),
  };
}

/** The partition that has a message; of a message that is nowhere, any. */
async function storeOfMessage(sql: Sql, id: string): Promise<Sql> {
  const stores = ownOf(sql)?.partitions;
  if (!stores) return sql;
  const message = await readMessage(sql, id);
  return message ? storeFor(sql, message.streamName) : stores[0]!;
}

/** Finds what follows from messages, page by page of the store, until there are so many or the store ends. */
async function findEffects(
  sql: Sql,
  starts: readonly StoredLink[],
  most: number,
  signal: AbortSignal | undefined,
): Promise<StoredLink[]> {
  if (starts.length === 0) return [];
  const reached = new Set(starts.map(({ globalPosition }) => globalPosition));
  const effects: StoredLink[] = [];
  let after = Math.min(...reached);
  for (;;) {
    const known = [...starts, ...effects];
    const query = readCausedPage(sql, {
      causes: JSON.stringify(known.map((it) => [it.streamName, it.position, it.globalPosition])),
      after: String(after),
      batchSize: String(BATCH_SIZE),
    });
    const page = await abortable(query, signal);
    const found = followPairs(page.pairs, reached).slice(0, most - effects.length);
    if (found.length > 0) effects.push(...await abortable(readLinks(sql, found), signal));
    if (effects.length >= most || page.last === null || page.count < BATCH_SIZE) return effects;
    after = page.last;
  }
}

/** Finds what follows from the messages that are reached, and adds it to them: a cause comes before its effects. */
function followPairs(pairs: CausedPage["pairs"], reached: Set<number>): number[] {
  const found: number[] = [];
  for (const [effect, cause] of pairs) {
    if (!reached.has(cause) || reached.has(effect)) continue;
    reached.add(effect);
    found.push(effect);
  }
  return found;
}

/** A message, and its role in the trace. */
type Linked = readonly [StoredLink, TracedMessage["role"]];

/** Connects messages with their causes among them. */
function connect(linked: readonly Linked[]): TracedMessage[] {
  const sorted = linked.toSorted(([a], [b]) => a.globalPosition - b.globalPosition);
  const byPlace = new Map<string, TracedMessage>();
  return sorted.map(([{ causeStream, causePosition, time, ...link }, role]) => {
    const cause = causeStream === null || causePosition === null
      ? undefined
      : byPlace.get(placeKey(causeStream, causePosition));
    const message: TracedMessage = {
      ...link,
      position: safeInteger(link.position),
      globalPosition: safeInteger(link.globalPosition),
      time: dateOrNull(time),
      role,
      cause: cause?.globalPosition ?? null,
      namedCause: namedPlace(causeStream, causePosition),
      depth: cause === undefined ? 0 : cause.depth + 1,
    };
    byPlace.set(placeKey(link.streamName, String(link.position)), message);
    return message;
  });
}

function placeKey(streamName: string, position: string): string {
  return `${position} ${streamName}`;
}

function namedPlace(
  streamName: string | null,
  position: string | null,
): TracedMessage["namedCause"] {
  if (!streamName || position === null || !/^\d{1,15}$/.test(position)) return null;
  return { streamName, position: Number(position) };
}
