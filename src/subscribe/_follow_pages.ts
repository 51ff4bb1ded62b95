import { ReplicaReadError } from "../errors.ts";
import { type RetryOptions, retryWhileUnavailable } from "../handle/_retry.ts";
import { momentNow } from "../lib/share_work.ts";
import { letSend, onAbort, sleep } from "../lib/wait.ts";
import type { Cursor, Page } from "../read/_page.ts";
import type { Sql } from "../types.ts";
import type { Bell } from "./_bell.ts";
import { type SeenHead, seenHeadOf } from "./_seen_head.ts";
import { RECORDS, type Watched } from "./_heads.ts";
import type { Reader } from "./_reader.ts";
import { type Wait, waitForNews } from "./_watch.ts";

/** Milliseconds. */
const FIRST_POLL_PAUSE = 25;

/** How to follow a source. */
export interface Following extends RetryOptions {
  readonly signal: AbortSignal;
  /** The handle, and the source as it is watched there while there are no messages. */
  readonly sql: Sql;
  readonly watched: Watched;
  /** The longest pause between two reads that found no message, in milliseconds. */
  readonly pollInterval: number;
  /** Whether the caller has something to do at the next page, even if it is empty. Then the wait for news ends. */
  readonly isDue?: (() => boolean) | undefined;
  /** Ends a pause early. */
  readonly bell?: Bell | undefined;
  /** What is known of the server. Who follows again after an error hands it on. */
  readonly server?: ServerMemory;
}

/** What is known of the server that a handle leads to. */
export interface ServerMemory {
  /** Whether it was a primary before. So a standby is promoted next. */
  wasPrimary: boolean;
}

/**
 * Reads page after page until the signal aborts, and pauses after each page that is the end.
 *
 * While the caller uses a full page, the next page is read. No second page is read ahead.
 *
 * @throws {StoreWentBackError} If the store has lost what was read.
 */
export async function* followPages(
  read: Reader["read"],
  start: Cursor,
  caller: Following,
): AsyncGenerator<Page, void, undefined> {
  const { pollInterval, bell } = caller;
  const { server = { wasPrimary: false } } = caller;
  // Whoever leaves the loop leaves no read behind.
  const leaving = new AbortController();
  const { signal } = leaving;
  const forget = onAbort(caller.signal, () => {
    leaving.abort();
    bell?.ring();
  });
  const following = { ...caller, signal };
  const readFrom = ({ position, mark }: Cursor, retrying: RetryOptions): Promise<Page> =>
    retryOnStandby(
      () =>
        retryWhileUnavailable(() => {
          // The page may lack a message that rings from here on: such a ring ends the next pause.
          bell?.reset();
          return read(position, mark, signal, Math.max(newsAt, bell?.rangAt ?? 0));
        }, retrying),
      { ...following, server },
    );
  let cursor = start;
  // When there was news: a read that began before may lack it.
  let newsAt = momentNow();
  let pause = Math.min(FIRST_POLL_PAUSE, pollInterval);
  // The database may never have worked: by default, the first read is not retried.
  let retrying: RetryOptions = { isFirst: true, ...following };
  let nextPage: Promise<Page> | undefined;
  const seen = seenHeadOf(start);
  try {
    while (!signal.aborted) {
      const page = await (nextPage ?? readFrom(cursor, retrying));
      retrying = following;
      seen.moveTo(page);
      cursor = { position: page.next, mark: page.mark };
      server.wasPrimary ||= page.isStandby === false;
      nextPage = undefined;
      if (!page.atEnd) {
        nextPage = readFrom(cursor, following);
        // The caller may leave the loop: then nobody awaits this promise.
        nextPage.catch(() => {});
        await letSend();
      }
      yield page;
      if (page.length > 0) pause = Math.min(FIRST_POLL_PAUSE, pollInterval);
      if (!page.atEnd) continue;
      newsAt = await waitAfter(page, seen, pause, following);
      pause = Math.min(pause * 2, pollInterval);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    forget();
    leaving.abort();
  }
}

/**
 * Waits after a page that is the end, until there is news of the source.
 *
 * @returns When the wait ended: see `momentNow`.
 */
async function waitAfter(
  { isSettled, record }: Page,
  seen: SeenHead,
  pause: number,
  { sql, watched, signal, pollInterval, isDue, bell, onRetry }: Following,
): Promise<number> {
  const idle = bell?.ringing ?? signal;
  // Before an open gap, the next message may be there already.
  if (isSettled === false) {
    await sleep(pause, idle);
    return momentNow();
  }
  const isRecorded: Wait["isNews"] = (heads) =>
    heads !== undefined && heads[0]?.[1] !== record?.[1];
  const hasNews = record ? isRecorded : seen.isNews;
  const isNews: Wait["isNews"] = (...news) => hasNews(...news) || !!isDue?.();
  const sources = [record ? RECORDS : watched];
  return await waitForNews({ sql, sources, pause, pollInterval, signal: idle, onRetry, isNews });
}

/**
 * Reads again if the handle has come to a standby after a primary: a failover is under way, and the
 * standby is promoted next.
 */
export async function retryOnStandby<Result>(
  read: () => Promise<Result>,
  { signal, pollInterval, onRetry, tries = Infinity, server }: Following,
): Promise<Result> {
  for (let attempt = 1;; attempt++) {
    try {
      return await read();
    } catch (error) {
      const mayPass = error instanceof ReplicaReadError && error.reason === "standby";
      if (!mayPass || !server?.wasPrimary || attempt >= tries) throw error;
      onRetry?.(error);
      await sleep(pollInterval, signal);
    }
  }
}
