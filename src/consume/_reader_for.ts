import { NotInstalledError, ReplicaReadError } from "../errors.ts";
import { LONGEST_SILENCE } from "../read/_check_replica.ts";
import { type Mark, moveMark } from "../read/_mark.ts";
import type { Page } from "../read/_page.ts";
import { readScannedPage } from "../read/_read_settled_page.ts";
import { type Reader, readerOf } from "../subscribe/_reader.ts";
import type { ConsumerGroup } from "../types.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";

type ReadingConsumer = Pick<
  CheckedConsumer,
  "sql" | "readFrom" | "isDrained" | "source" | "types" | "correlation" | "batchSize" | "onRetry"
>;

/** Makes the reader of a consumer, or of a member of its group. */
export function readerFor(
  consumer: ReadingConsumer,
  consumerGroup: ConsumerGroup | undefined,
): Reader {
  const { sql, readFrom, source, types, correlation, batchSize } = consumer;
  const options = { types, correlation, batchSize, consumerGroup };
  const primary = readerOf(sql, source, options);
  return readFrom
    ? throughReplica(consumer, primary, readerOf(readFrom, source, options))
    : primary;
}

/**
 * Makes a reader of pages from a replica.
 *
 * Where a replica gives nothing, it may be the end, or the replica receives nothing, or it is of another store.
 * Only the primary can tell. So the last page of a drain comes from the primary, and while a replica gives
 * nothing, a page of the primary is read in each `LONGEST_SILENCE`. If that has messages, the pages after it come
 * from the primary, too, up to its end.
 */
function throughReplica(consumer: ReadingConsumer, primary: Reader, replica: Reader): Reader {
  const look = consumer.source === "$all" ? lookAtAll(consumer) : lookAtSource(consumer);
  /** When the replica last gave something, or the primary had no more. */
  let knownAt = performance.now();
  let isBehind = false;
  const isDue = () => isBehind || performance.now() - knownAt >= LONGEST_SILENCE;
  const readReplica = async (
    place: number,
    mark: Mark | null,
    signal: AbortSignal | undefined,
    since: number | undefined,
  ): Promise<Page | undefined> => {
    let page: Page;
    try {
      // A replica gets no mark: it may be behind what was passed, or be another one than before.
      page = await replica.read(place, null, signal, since);
    } catch (error) {
      if (error instanceof NotInstalledError) {
        const message = `${error.message} (the replica of readFrom)`;
        throw new NotInstalledError(error.reason, { message, cause: error.cause });
      }
      if (!(error instanceof ReplicaReadError)) throw error;
      consumer.onRetry?.(error);
      return undefined;
    }
    const seen = await look(page, place, mark);
    return seen && { ...page, isErased: false, ...seen };
  };
  return {
    ...primary,
    isDue,
    read: async (place, mark = null, signal, since) => {
      const page = await readReplica(place, mark, signal, since);
      if (page && page.next > place) {
        knownAt = performance.now();
        isBehind = false;
        return consumer.isDrained ? { ...page, atEnd: false } : page;
      }
      if (page && !consumer.isDrained && !isDue()) return page;
      const there = await primary.read(place, mark, signal, since);
      isBehind = there.next > place && !(there.isQuiet && there.atEnd);
      if (!isBehind) knownAt = performance.now();
      return there;
    },
  };
}

/**
 * Looks a page of a replica up on the primary.
 *
 * The positions of the page are stored on the primary, and they mean nothing there if the replica has other
 * messages: it may follow the primary that was there before a failover. So one statement looks at two messages
 * on the primary: the last one that was passed before the page, which tells whether the primary went back since,
 * and one that the primary has only if it has all messages of the page.
 *
 * The gateway knows the statement, and lets those send it who may read the source.
 *
 * @returns What of the page is the primary's; undefined if the page has to be read there.
 * @throws {StoreWentBackError} If the primary went back.
 */
type Look = (
  page: Page,
  place: number,
  mark: Mark | null,
) => Promise<Pick<Page, "mark" | "store" | "isStandby"> | undefined>;

/**
 * A category's messages are committed in the order of their positions, and its positions only rise. So who has the
 * last message of the page has all of it.
 */
function lookAtSource({ sql, source, types }: ReadingConsumer): Look {
  // The last message of a page may be one of another member, or of another correlation.
  const first = readerOf(sql, source, { types, batchSize: 1 });
  return async (page, place, mark) => {
    const last = page.next > place ? page.mark ?? null : null;
    const there = await first.read(last?.position ?? place, mark);
    const { store } = there;
    if (last === null) return { mark: mark && { ...mark, store: store! }, store };
    const { position, id } = there.mark ?? {};
    return position === last.position && id === last.id ? { mark: there.mark!, store } : undefined;
  };
}

/**
 * 147 can be committed after 148. So a standby that is promoted between the two has the last message of a page,
 * and lacks one before. But who has the record up to which the page was read has all messages up to there.
 */
function lookAtAll({ sql, types }: ReadingConsumer): Look {
  return async (page, place, mark) => {
    const last = page.next > place ? page.mark ?? null : null;
    const record = last && page.record;
    const there = await readScannedPage(sql, {
      position: record?.[2] ?? last?.position ?? place,
      batchSize: 1,
      pattern: null,
      filter: { types },
      mark,
    }, { settled: 0, mark: null });
    if (there.standing === "behind" || there.standing === "erased") return undefined;
    const [position, id] = there.passed ?? [];
    const isRecorded = record && position === record[2] && id === record[1];
    if (last && !isRecorded && last.store !== there.store) return undefined;
    const passed = last && [last.position, last.id] as const;
    const { store, replica } = there;
    return { mark: moveMark(mark, there, passed), store, isStandby: replica === "standby" };
  };
}
