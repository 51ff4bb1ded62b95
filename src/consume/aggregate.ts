import { fnv1a } from "../lib/fnv1a.ts";
import { storeFor } from "../handle/_store_for.ts";
import type { ConsumerObserver } from "../handle/_observe.ts";
import { ownOf } from "../handle/_statement.ts";
import { StoreWentBackError, WrongExpectedVersionError } from "../errors.ts";
import { type RetryOptions, retryWhileUnavailable } from "../handle/_retry.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { invalid } from "../lib/invalid.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { causationOf } from "../messages/_causation.ts";
import { encodeMessage } from "../messages/_json.ts";
import { checkAggregateName, checkPartition, partitionStream } from "../names/_aggregate_name.ts";
import {
  checkFunction,
  checkInteger,
  checkMembers,
  checkName,
  checkOptions,
  checkPattern,
  checkSignal,
  checkWritableStreamName,
} from "../names/_check.ts";
import { aggregateStream, isOwnMessage } from "../names/_own_streams.ts";
import { patternScope } from "../names/_pattern_scope.ts";
import { category } from "../names/stream_name.ts";
import { checkStartAt } from "../read/_first_since.ts";
import { fitting } from "../read/_fitting.ts";
import type { Mark } from "../read/_mark.ts";
import { readSettled } from "../read/_read_settled.ts";
import type { Cursor, Page } from "../read/_page.ts";
import type { StartAt } from "../read/start_at.ts";
import { listenForMessages } from "../subscribe/_bell.ts";
import { ALL, nameOfStore } from "../subscribe/_heads.ts";
import { followPages } from "../subscribe/_follow_pages.ts";
import { type CheckedFollowing, checkFollowing } from "../subscribe/_following.ts";
import { observedReader, type Reader, readerOf } from "../subscribe/_reader.ts";
import type { FollowOptions } from "../subscribe/follow_options.ts";
import type { Message, MessageInput, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import { type EncodedReference, writeReferences } from "./_write_references.ts";

/**
 * After so many global positions, the position is stored even if there is no reference to write.
 */
const POSITION_UPDATE_INTERVAL = 1000;

/** The definition of an aggregate. */
export interface Aggregate
  extends Pick<FollowOptions, "pollInterval" | "answerTimeout" | "notify" | "onRetry"> {
  /** The name, which is the category of the partitions: `"ledger"`. */
  readonly name: string;
  /**
   * The streams whose messages the aggregate refers to. Each entry is a category or a LIKE pattern:
   * an entry with a `%` or a `-` is a pattern.
   */
  readonly from: readonly string[];
  /** Returns the partition of a message: a number or a text. */
  readonly partition: (message: Message) => number | string;
  /**
   * How many partitions there are, from 1. A number of `partition` is divided by this, and the remainder
   * is the partition. If `partition` returns text, a hash of the text
   * chooses the partition.
   *
   * @default as many as `partition` returns: `"ledger-eu"` for `"eu"`
   */
  readonly partitions?: number | undefined;
  /**
   * Where to start if no position is stored: at a global position, `"beginning"`, `"end"`, or a
   * `Date`.
   *
   * @default "beginning"
   */
  readonly startAt?: StartAt | undefined;
  /**
   * How many messages to read at once, from 1. The references and the position go in one statement, which has
   * one message more than this. So keep it below the `maxBatchSize` of a gateway.
   *
   * @default 500
   */
  readonly batchSize?: number | undefined;
}

/** Options of `aggregate`. */
export interface AggregateOptions {
  /** Ends the aggregate, without an error. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether to end when no message is left, as `drain` does.
   *
   * @default false
   */
  readonly once?: boolean | undefined;
}

/**
 * Keeps an aggregate until the signal aborts: an ordered stream of references to the messages of
 * many streams, in partitions.
 *
 * An aggregate is like an aggregated stream of depeche_db, in Message DB itself. A partition is the
 * stream `{name}-{partition}`. Each message of this stream is a reference to another message. The
 * reference has that message's type. Its metadata has that message's place, as Eventide's causation
 * metadata, and the aggregate's name as `referringAggregate`. The positions of a partition have no
 * gaps. Its references are in the global order of the messages that they refer to.
 *
 * The references and the aggregate's position (in the stream `{name}:aggregate-{name}`) are written
 * in one statement. So each message gets exactly one reference, however many processes run the same
 * aggregate at the same time, and whatever crashes. The aggregate reads as `readAll` does: a
 * message that commits late gets its reference late, and no message is lost.
 *
 * No reference is made to a message that consumers, aggregates or entities write for themselves,
 * such as a stored position.
 *
 * @example
 * ```ts
 * import { aggregate, readAggregate } from "@messagedb/client";
 *
 * await aggregate(sql, {
 *   name: "ledger",
 *   from: ["account", "transfer%"],
 *   partition: ({ streamName }) => streamName,
 *   partitions: 4,
 * }, { once: true });
 * await readAggregate(sql, "ledger", { partition: 0 });
 * ```
 *
 * @param sql The handle.
 * @param aggregate The name, the streams whose messages it refers to, and their partitions.
 * @param options When to end.
 * @returns Nothing, when the aggregate has ended.
 * @throws {StoreWentBackError} If the store went back, nothing is stored, and `startAt` is `"end"` or a time.
 * @throws {ReplicaReadError} If a position is missing on a standby, or on any logical subscriber.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the aggregate is invalid, or an option is of the wrong type. An error that
 * `partition` throws is thrown as it is.
 * @throws {RangeError} If a number is out of range.
 */
export async function aggregate(
  sql: Sql,
  aggregate: Aggregate,
  options: AggregateOptions = {},
): Promise<void> {
  const checked = checkAggregate(sql, aggregate);
  const limited = withTimeLimit(checked.sql, checked.answerTimeout);
  checkOptions(options, { signal: true, once: true });
  const { signal, once = false } = options;
  checkSignal(signal);
  const { patterns, batchSize, listener, pollInterval, onRetry } = checked;
  const shutdown = shutdownOn([signal], 0);
  const { stopping } = shutdown;
  const retrying = { onRetry, signal: stopping, tries: once ? 5 : Infinity, isFirst: false };
  const readMatching: Reader["read"] = fitting(
    "all messages",
    () => batchSize,
    (batchSize, position: number, mark: Mark | null) =>
      readSettled(limited, { position, batchSize, pattern: null, filter: { patterns }, mark }),
  );
  const { read } = observedReader({ read: readMatching }, checked.observer);
  let bell;
  try {
    if (stopping.aborted) return;
    let stored: Stored | undefined = await retryWhileUnavailable(
      () => findStored(limited, checked),
      { ...retrying, isFirst: true },
    );
    if (listener) bell = await listenForMessages(listener, null, stopping);
    const server = { wasPrimary: false };
    const following = { ...retrying, sql: limited, watched: ALL, pollInterval, bell, server };
    let known: Stored = stored;
    while (!stopping.aborted) {
      // `stored` is undefined if another process was faster, or if the store may lack what was read. This
      // process goes on at the stored position.
      stored ??= await retryWhileUnavailable(() => findStored(limited, checked, known), retrying);
      known = stored;
      try {
        const start: Cursor = { position: stored.position + 1, mark: null };
        for await (const page of followPages(read, start, following)) {
          known = stored;
          stored = await referToPage(limited, checked, page, known, retrying);
          if (stored === undefined) break;
          if (once && page.atEnd) return;
        }
      } catch (error) {
        if (!(error instanceof StoreWentBackError)) throw error;
        onRetry?.(error);
        stored = undefined;
      }
    }
  } catch (error) {
    if (!stopping.aborted) throw error;
  } finally {
    bell?.remove();
    shutdown.dispose();
  }
}

/** The stored position of an aggregate, and the version of its position stream. */
interface Stored {
  /** The name of the store in which it was found: see `STORE_NAME`. */
  readonly store: string;
  readonly position: number;
  readonly version: number;
  /** The id of the message at that version; null for none. */
  readonly versionId: string | null;
}

/**
 * Does the work once. If the database is unavailable, waits until it is time for a retry, and resolves to
 * undefined: the database that comes back may lack the messages that the work is about.
 */
async function tryOnce<T>(work: () => Promise<T>, retrying: RetryOptions): Promise<T | undefined> {
  let isTried = false;
  return await retryWhileUnavailable(async () => {
    if (isTried) return undefined;
    isTried = true;
    return await work();
  }, retrying);
}

/** @param known What was known to be stored. */
async function findStored(
  sql: Sql,
  { name, startAt }: CheckedAggregate,
  known?: Stored,
): Promise<Stored> {
  const streamName = aggregateStream(name);
  const store = await nameOfStore(sql, streamName);
  const [last] = await readLastMessages(sql, [streamName]);
  if (last !== undefined) {
    return { store, position: recordedPosition(last), version: last.version, versionId: last.id };
  }
  // Nothing is stored any more, and the start would now be another one.
  const isMoving = startAt === "end" || typeof startAt === "object";
  if (isMoving && known && known.version !== NO_STREAM) {
    throw new StoreWentBackError(known.position);
  }
  const start = await readerOf(sql, "$all", {}).start(startAt);
  return { store, position: Math.max(start - 1, 0), version: NO_STREAM, versionId: null };
}

/**
 * Refers to the messages of a page. Resolves to undefined if another process was faster, or if the store may lack
 * the messages.
 */
async function referToPage(
  sql: Sql,
  aggregate: CheckedAggregate,
  page: Page,
  from: Stored,
  retrying: RetryOptions,
): Promise<Stored | undefined> {
  const { name, observer } = aggregate;
  const messages = Array.from(page.messages()).filter(isReferable);
  const refer = () => {
    const references = referTo(messages, aggregate);
    const store = () => storeReferences(sql, name, references, page, from);
    return tryOnce(store, retrying);
  };
  return await (observer && messages.length > 0
    ? observer.process({ messages, attempt: 1 }, refer)
    : refer());
}

/** The references to messages, in order. */
function referTo(
  messages: Iterable<Message>,
  { name, partitionOf }: CheckedAggregate,
): EncodedReference[] {
  const references: EncodedReference[] = [];
  for (const message of messages) {
    const streamName = partitionStream(name, partitionOf(message));
    checkWritableStreamName(streamName);
    references.push({ streamName, ...encodeMessage(referenceTo(message, name)) });
  }
  return references;
}

/** Writes references together with the position; undefined as in `referToPage`. */
async function storeReferences(
  sql: Sql,
  name: string,
  references: readonly EncodedReference[],
  { next, store }: Page,
  from: Stored,
): Promise<Stored | undefined> {
  // The position before the page says nothing of this store.
  if (store === undefined || store !== from.store) return undefined;
  const position = next - 1;
  const isWorthStoring = references.length > 0 || from.version === NO_STREAM ||
    position - from.position >= POSITION_UPDATE_INTERVAL;
  if (!isWorthStoring) return from;
  const streamName = aggregateStream(name);
  const recorded = encodeMessage({ type: "Recorded", data: { position } });
  const { version: expectedVersion, versionId } = from;
  const written = { ...recorded, streamName, expectedVersion, versionId };
  try {
    const version = await writeReferences(sql, written, references, store);
    return version === null ? undefined : { store, position, version, versionId: recorded.id };
  } catch (error) {
    if (error instanceof WrongExpectedVersionError && error.streamName === streamName) {
      return undefined;
    }
    throw error;
  }
}

/** Whether the message is no reference, of whichever aggregate, and none that this library writes for itself. */
function isReferable(message: Message): boolean {
  const { streamName, metadata } = message;
  return !isOwnMessage(message) && metadata?.["referringAggregate"] !== category(streamName);
}

function referenceTo(
  message: Message,
  name: string,
): MessageInput {
  return {
    type: message.type,
    metadata: {
      // Without this, two aggregates of all streams would refer to each other's references for
      // ever.
      referringAggregate: name,
      ...causationOf(message),
    },
  };
}

interface CheckedAggregate extends CheckedFollowing {
  /** The handle of the store that the aggregate and its categories are in. */
  readonly sql: Sql;
  readonly name: string;
  readonly patterns: readonly string[];
  readonly partitionOf: (message: Message) => number | string;
  readonly startAt: StartAt;
  readonly batchSize: number;
  /** Is told what the aggregate does; undefined for none. */
  readonly observer: ConsumerObserver | undefined;
}

function checkAggregate(sql: Sql, aggregate: Aggregate): CheckedAggregate {
  checkMembers("aggregate", aggregate, {
    name: true,
    from: true,
    partition: true,
    partitions: true,
    startAt: true,
    batchSize: true,
    pollInterval: true,
    answerTimeout: true,
    notify: true,
    onRetry: true,
  });
  const { name, from, partition, partitions, startAt = "beginning", batchSize = 500 } = aggregate;
  checkAggregateName("name", name);
  if (!Array.isArray(from) || from.length === 0) {
    throw invalid("from", from, "an array of at least one category or pattern");
  }
  for (const it of from) checkName("from", it);
  const patterns = from.flatMap(patternsOf);
  for (const pattern of patterns) checkPattern(pattern);
  checkFunction("partition", partition);
  if (partitions !== undefined) checkInteger("partitions", partitions, 1, 32767);
  checkStartAt(startAt);
  checkInteger("batchSize", batchSize, 1);
  const store = storeFor(sql, name, ...from.map((it) => isPattern(it) ? patternScope(it) : it));
  return {
    ...checkFollowing(store, aggregate),
    sql: store,
    name,
    patterns,
    partitionOf: partitions === undefined ? partition : (message) => {
      const key = partition(message);
      checkPartition(key);
      return (typeof key === "number" ? key : fnv1a(key)) % partitions;
    },
    startAt,
    batchSize,
    observer: ownOf(store)?.observe?.consumer({ name }),
  };
}

/** Whether a source is a pattern. The name of a category is none, whose `_` is no wildcard. */
function isPattern(from: string): boolean {
  return /[%-]/.test(from);
}

/** The LIKE patterns for a category. A pattern is returned as it is. */
function patternsOf(from: string): string[] {
  if (isPattern(from)) return [from];
  const escaped = from.replace(/[\\_]/g, "\\$&");
  return [escaped, `${escaped}-%`];
}
