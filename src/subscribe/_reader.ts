import type { ConsumerObserver } from "../handle/_observe.ts";
import { isPassing } from "../handle/_retry.ts";
import { ownOf } from "../handle/_statement.ts";
import { invalid } from "../lib/invalid.ts";
import { beginWork, type Underway, workSince } from "../lib/share_work.ts";
import { checkAggregateName } from "../names/_aggregate_name.ts";
import {
  checkCategory,
  checkConsumerGroup,
  checkInteger,
  checkMembers,
  checkName,
} from "../names/_check.ts";
import { isOwnMessage } from "../names/_own_streams.ts";
import { category, isCategory } from "../names/stream_name.ts";
import { fitting } from "../read/_fitting.ts";
import { firstReferenceSince, firstSince } from "../read/_first_since.ts";
import { type Mark, markBefore } from "../read/_mark.ts";
import { untilWritersEnd } from "../read/_look_at_writers.ts";
import type { Page, WantedPage } from "../read/_page.ts";
import { readAggregatePage } from "../read/_read_aggregate_page.ts";
import { readCategoryPage } from "../read/_read_category_page.ts";
import { readSettled } from "../read/_read_settled.ts";
import { readAll } from "../read/read_all.ts";
import { readCategory } from "../read/read_category.ts";
import { readStreamPage } from "../read/_read_stream_page.ts";
import type { AggregatedMessage } from "../read/reference.ts";
import type { StartAt } from "../read/start_at.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Message, Sql } from "../types.ts";
import { ALL, type Watched } from "./_heads.ts";
import type { Source, SourceOptions } from "./source.ts";

/** Reads a source. A place is a position in a stream; for every other source, a global position. */
export interface Reader {
  /** The category of the source's messages; null for `"$all"`. */
  readonly category: string | null;
  /** The source as it is watched. */
  readonly watched: Watched;
  /**
   * Reads the page that begins at a place. The signal ends a wait for a position that is missing.
   *
   * Shares a read of the same page that began on this handle after the moment `since`. By default, begins a read.
   *
   * @throws {StoreWentBackError} If the store has lost the mark.
   */
  read(place: number, mark?: Mark | null, signal?: AbortSignal, since?: number): Promise<Page>;
  /** The place of a message of this source; for an aggregate, the place of its reference. */
  placeOf(message: Message): number;
  /** Finds the place to start at. */
  start(at: StartAt): Promise<number>;
  /** The mark of a place to start at: the store has a position before that. */
  markAt(place: number): Mark | null;
  /** Whether a read may find something although the source has no news. */
  readonly isDue?: () => boolean;
}

/** The reader, whose reads are told to an observer, if there is one. */
export function observedReader<Observed extends Pick<Reader, "read">>(
  reader: Observed,
  observer: ConsumerObserver | undefined,
): Observed {
  if (observer === undefined) return reader;
  return { ...reader, read: (...wanted) => observer.receive(() => reader.read(...wanted)) };
}

/**
 * Whether a consumer is given a message that was read: one of all messages is not given what this library
 * writes for itself.
 */
export function isForConsumers({ category }: Reader, message: Message): boolean {
  return category !== null || !isOwnMessage(message);
}

const CATEGORY_OPTIONS = ["correlation", "consumerGroup"] as const;

/** Checks a source and its options. */
export function checkSource(source: Source, options: SourceOptions): void {
  const { types, correlation, consumerGroup, batchSize = 1000 } = options;
  checkInteger("batchSize", batchSize, 1);
  if (types !== undefined) checkTypes(types);
  if (correlation !== undefined) checkCategory("correlation", correlation);
  if (consumerGroup !== undefined) checkConsumerGroup(consumerGroup);

  if (typeof source === "object" && source !== null) {
    checkMembers("source", source, { aggregate: true });
    checkAggregateName("aggregate", source.aggregate);
    return refuse(options, ["correlation"], "an aggregate");
  }
  checkName("source", source);
  if (source === "$all") refuse(options, CATEGORY_OPTIONS, '"$all"');
  else if (!isCategory(source)) refuse(options, CATEGORY_OPTIONS, "a stream");
}

export function checkTypes(types: unknown): void {
  if (!Array.isArray(types) || types.length === 0) {
    throw invalid("types", types, "an array of at least one message type");
  }
  for (const type of types) checkName("types", type);
}

function refuse(
  options: SourceOptions,
  names: readonly (keyof SourceOptions)[],
  source: string,
): void {
  for (const name of names) {
    if (options[name] !== undefined) throw invalid(name, options[name], `left out for ${source}`);
  }
}

type Reads = Map<string, Underway<Page>>;

const readsUnderway = new WeakMap<Sql, Reads>();

/** The reads of pages that are under way on a handle, by what they read: all its readers share them. */
function readsOn(sql: Sql): Reads {
  const reads: Reads = readsUnderway.get(sql) ?? new Map();
  // A Worker ends a fetch with the request that has begun it: another request would wait for ever. And what is no
  // handle is refused when it is read.
  if (typeof sql === "function" && !ownOf(sql)?.retries) readsUnderway.set(sql, reads);
  return reads;
}

/** Makes the reader of a source that `checkSource` has checked. */
export function readerOf(
  sql: Sql,
  source: Source,
  { batchSize = 1000, ...options }: SourceOptions,
): Reader {
  const { label, read, ...reader } = sizedReaderOf(sql, source, options);
  const reads = readsOn(sql);
  const { types, correlation, consumerGroup } = options;
  const what = [reader.watched, types, correlation, consumerGroup];
  return {
    ...reader,
    read: fitting(
      label,
      () => batchSize,
      async (
        count,
        place: number,
        mark: Mark | null = null,
        signal?: AbortSignal,
        since = Infinity,
      ) => {
        const wanted = { position: place, batchSize: count, mark };
        const key = JSON.stringify([wanted, what]);
        const others = workSince(reads, key, since);
        let page = await (others ?? beginWork(reads, key, () => read(wanted, signal)));
        // The others' wait for a gap may have ended early, for this reader.
        if (others && page.length === 0 && page.isSettled === false) {
          page = await read(wanted, signal);
        }
        if (!page.isErased) return page;
        await untilWritersEnd(sql, wanted, signal).catch((error) => {
          // A gateway may refuse the question to who may read one category alone.
          if (isPassing(error)) throw error;
        });
        return await read(wanted, signal);
      },
    ),
  };
}

/** A reader that is told how many messages to read. */
interface SizedReader extends Omit<Reader, "read"> {
  /** What is read, for errors. */
  readonly label: string;
  read(wanted: WantedPage, signal?: AbortSignal): Promise<Page>;
}

type ReaderOptions = Omit<SourceOptions, "batchSize">;

function sizedReaderOf(sql: Sql, source: Source, options: ReaderOptions): SizedReader {
  if (typeof source === "object") return aggregateReader(sql, source.aggregate, options);
  if (source === "$all") return allReader(sql, options);
  return isCategory(source)
    ? categoryReader(sql, source, options)
    : streamReader(sql, source, options);
}

function aggregateReader(sql: Sql, name: string, options: ReaderOptions): SizedReader {
  return {
    label: `aggregate "${name}"`,
    category: name,
    watched: ["aggregate", name],
    read: (wanted) => readAggregatePage(sql, { ...options, ...wanted, name }),
    placeOf: (message) => (message as AggregatedMessage).reference.globalPosition,
    start: (at) => startOf(sql, at, name, null, firstReferenceSince),
    markAt: markBefore,
  };
}

function allReader(sql: Sql, { types }: ReaderOptions): SizedReader {
  return {
    label: "all messages",
    category: null,
    watched: ALL,
    read: (wanted, signal) =>
      readSettled(sql, { ...wanted, pattern: null, filter: { types } }, { signal }),
    placeOf: (message) => message.globalPosition,
    start: (at) => startOf(sql, at, null),
    markAt: markBefore,
  };
}

function categoryReader(sql: Sql, category: string, options: ReaderOptions): SizedReader {
  return {
    label: `category "${category}"`,
    category,
    watched: ["category", category],
    read: (wanted) => readCategoryPage(sql, { ...options, ...wanted, category }),
    placeOf: (message) => message.globalPosition,
    start: (at) => startOf(sql, at, category),
    markAt: markBefore,
  };
}

function streamReader(sql: Sql, streamName: string, { types }: ReaderOptions): SizedReader {
  return {
    label: `stream "${streamName}"`,
    category: category(streamName),
    watched: ["stream", streamName],
    read: (wanted) => readStreamPage(sql, { ...wanted, streamName, types }),
    placeOf: (message) => message.position,
    start: (at) => startOf(sql, at, null, streamName),
    // A stream's position is no global position.
    markAt: () => null,
  };
}

async function startOf(
  sql: Sql,
  at: StartAt,
  category: string | null,
  streamName: string | null = null,
  findFirstSince = firstSince,
): Promise<number> {
  if (typeof at === "number") return at;
  if (at === "beginning") return 0;
  // The end is read before the search for the time: a message that is written during the search comes
  // after this end, so it is not left out.
  const end = await endOf(sql, category, streamName);
  return at === "end" ? end : await findFirstSince(sql, { streamName, category }, at) ?? end;
}

/** The place behind the last message: of a stream, of a category, or of all messages. */
async function endOf(
  sql: Sql,
  category: string | null,
  streamName: string | null,
): Promise<number> {
  if (streamName !== null) return await streamVersion(sql, streamName) + 1;
  const last = { direction: "backward", batchSize: 1 } as const;
  const [message] = category === null
    ? await readAll(sql, last)
    : await readCategory(sql, category, last);
  return (message?.globalPosition ?? 0) + 1;
}
