import { causationOf } from "../messages/_causation.ts";
import { invalid } from "../lib/invalid.ts";
import {
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
  checkPattern,
} from "../names/_check.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { listenForMessages } from "../subscribe/_bell.ts";
import { followPages } from "../subscribe/_follow_pages.ts";
import type { Page } from "../read/_page.ts";
import { readSettled } from "../read/_read_settled.ts";
import { readerOf } from "../subscribe/_reader.ts";
import { checkStartAt } from "../read/_first_since.ts";
import type { StartAt } from "../read/start_at.ts";
import { aggregateStream, isOwnMessage } from "../names/_own_streams.ts";
import { readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import { retryWhileUnavailable } from "../handle/_retry.ts";
import { abortable } from "../lib/wait.ts";
import { WrongExpectedVersionError } from "../errors.ts";
import { checkAggregateName, checkPartition, partitionStream } from "../names/_aggregate_name.ts";
import { category } from "../names/stream_name.ts";
import type { FollowOptions } from "../subscribe/follow_options.ts";
import { type CheckedFollowing, checkFollowing } from "../subscribe/_following.ts";
import type { Message, MessageInput, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import { writeStreams } from "../write/write_streams.ts";

/** After so many messages without a reference, how far it has come is stored all the same. */
const POSITION_UPDATE_INTERVAL = 1000;

/** What an aggregate is made of. */
export interface Aggregate extends Pick<FollowOptions, "pollInterval" | "notify" | "onRetry"> {
  /** Its name, which is the category of its partitions: `"ledger"`. */
  readonly name: string;
  /**
   * The streams whose messages it refers to: categories, and LIKE patterns, which have a `%` or a `-`.
   */
  readonly from: readonly string[];
  /** Tells the partition of a message: its number, or a text. */
  readonly partition: (message: Message) => number | string;
  /**
   * How many partitions there are, from 1: a number is divided by it and the rest taken, a text is
   * hashed to one of them.
   *
   * @default as many as `partition` names: `"ledger-eu"` for `"eu"`
   */
  readonly partitions?: number | undefined;
  /**
   * Where to start while there is no reference yet: a global position, `"beginning"`, `"end"`, or a
   * `Date`.
   *
   * @default "beginning"
   */
  readonly startAt?: StartAt | undefined;
  /**
   * How many messages to read at once, from 1. The references to them are written at once, too, with
   * one message more, so it has to be less than a gateway's `maxBatchSize`.
   *
   * @default 500
   */
  readonly batchSize?: number | undefined;
}

/** Options of `aggregate`. */
export interface AggregateOptions {
  /** Ends it, without an error. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether to end where there is no more, as `drain` does.
   *
   * @default false
   */
  readonly once?: boolean | undefined;
}

/**
 * Keeps an aggregate: an ordered stream of references to messages of many streams, in partitions,
 * until the signal aborts.
 *
 * As depeche_db's aggregated streams, in Message DB itself. A partition is the stream
 * `{name}-{partition}`, whose messages have the types of those that they refer to, where these are as
 * Eventide's causation metadata, and the aggregate's name as `referringAggregate`; its positions have no
 * gaps. References are written together with how far it has come (the stream `{name}:aggregate-{name}`)
 * in one statement, so each message gets one reference, whoever runs this how often at the same time and
 * whatever crashes. It reads as `readAll` does: a message that commits late gets its reference late, and
 * none is lost. The messages of a partition are in their global order. Positions that consumers store
 * are left out, and what aggregates write.
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
 * @param aggregate Its name, whose messages it has, and their partitions.
 * @param options What ends it.
 * @returns Nothing, when it has ended.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the aggregate is none, or an option is of the wrong type; what `partition` throws.
 * @throws {RangeError} If a number is out of range.
 */
export async function aggregate(
  sql: Sql,
  aggregate: Aggregate,
  options: AggregateOptions = {},
): Promise<void> {
  const checked = checkAggregate(sql, aggregate);
  checkOptions(options);
  const { signal, once = false } = options;
  const { name, patterns, batchSize, listener, pollInterval, onRetry } = checked;
  const ending = shutdownOn([signal], 0);
  const { stopping } = ending;
  const retrying = { onRetry, signal: stopping, attempts: once ? 5 : Infinity };
  const read = (position: number): Promise<Page> =>
    readSettled(sql, { position, batchSize, pattern: null, filter: { patterns } });
  let bell;
  try {
    if (stopping.aborted) return;
    let stored: Stored | undefined = await abortable(findStored(sql, checked), stopping);
    if (listener) bell = await listenForMessages(listener, null, stopping);
    while (!stopping.aborted) {
      // Another one was faster: on from where it is.
      stored ??= await retryWhileUnavailable(() => findStored(sql, checked), retrying);
      const pages = followPages(read, stored.position + 1, { ...retrying, pollInterval, bell });
      for await (const page of pages) {
        const from: Stored = stored;
        const references = referTo(page.messages, checked);
        const store = () => storeReferences(sql, name, references, page.next - 1, from);
        stored = await retryWhileUnavailable(store, retrying);
        if (stored === undefined) break;
        if (once && page.atEnd) return;
      }
    }
  } catch (error) {
    if (!stopping.aborted) throw error;
  } finally {
    bell?.remove();
    ending.dispose();
  }
}

/** How far an aggregate has come, and the version of the stream that says so. */
interface Stored {
  readonly position: number;
  readonly version: number;
}

async function findStored(sql: Sql, { name, startAt }: CheckedAggregate): Promise<Stored> {
  const [last] = await readLastMessages(sql, [aggregateStream(name)]);
  if (last !== undefined) return { position: recordedPosition(last), version: last.version };
  const start = await readerOf(sql, "$all", {}).start(startAt);
  return { position: Math.max(start - 1, 0), version: NO_STREAM };
}

/** The references to messages, each partition's in order. */
function referTo(
  messages: readonly Message[],
  { name, partitionOf }: CheckedAggregate,
): ReadonlyMap<string, readonly MessageInput[]> {
  const references = new Map<string, MessageInput[]>();
  for (const message of messages) {
    if (isOwnMessage(message) || isReference(message)) continue;
    const partition = partitionStream(name, partitionOf(message));
    const inPartition = references.get(partition) ?? [];
    inPartition.push(referenceTo(message, name));
    references.set(partition, inPartition);
  }
  return references;
}

/** Writes references, with how far that is; undefined where another one has already. */
async function storeReferences(
  sql: Sql,
  name: string,
  references: ReadonlyMap<string, readonly MessageInput[]>,
  position: number,
  from: Stored,
): Promise<Stored | undefined> {
  const isWorthStoring = references.size > 0 || from.version === NO_STREAM ||
    position - from.position >= POSITION_UPDATE_INTERVAL;
  if (!isWorthStoring) return from;
  const recorded = { type: "Recorded", data: { position } };
  const streamName = aggregateStream(name);
  try {
    const [version] = await writeStreams(sql, [
      { streamName, messages: [recorded], expectedVersion: from.version },
      ...[...references].map(([streamName, messages]) => ({ streamName, messages })),
    ]);
    return { position, version: version! };
  } catch (error) {
    if (error instanceof WrongExpectedVersionError && error.streamName === streamName) {
      return undefined;
    }
    throw error;
  }
}

/** Whether it is a reference: of this aggregate, or of another one of all streams. */
function isReference({ streamName, metadata }: Message): boolean {
  return metadata?.["referringAggregate"] === category(streamName);
}

function referenceTo(
  message: Message,
  name: string,
): MessageInput {
  return {
    type: message.type,
    metadata: {
      // Else two aggregates of all streams would refer to each other's references without an end.
      referringAggregate: name,
      ...causationOf(message),
    },
  };
}

interface CheckedAggregate extends CheckedFollowing {
  readonly name: string;
  readonly patterns: readonly string[];
  readonly partitionOf: (message: Message) => number | string;
  readonly startAt: StartAt;
  readonly batchSize: number;
}

function checkAggregate(sql: Sql, aggregate: Aggregate): CheckedAggregate {
  checkOptions(aggregate);
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
  return {
    ...checkFollowing(sql, aggregate),
    name,
    patterns,
    partitionOf: partitions === undefined ? partition : (message) => {
      const key = partition(message);
      checkPartition(key);
      return (typeof key === "number" ? key : hash(key)) % partitions;
    },
    startAt,
    batchSize,
  };
}

/** Of a category, in which `_` is a character as any other, the patterns of what Message DB has in it. */
function patternsOf(from: string): string[] {
  if (/[%-]/.test(from)) return [from];
  const escaped = from.replace(/[\\_]/g, "\\$&");
  return [escaped, `${escaped}-%`];
}

/** FNV-1a, 32 bits, over UTF-16 code units: it must never change, nor where messages are. */
function hash(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  return hash >>> 0;
}
