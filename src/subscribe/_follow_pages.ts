import { type RetryOptions, retryWhileUnavailable } from "../handle/_retry.ts";
import { letSend, sleep } from "../lib/wait.ts";
import type { Page } from "../read/_page.ts";
import type { Bell } from "./_bell.ts";

/** Milliseconds. */
const FIRST_POLL_PAUSE = 25;

/** How to follow a source. */
export interface Following extends RetryOptions {
  readonly signal: AbortSignal;
  /** The longest pause between two reads that found no message, in milliseconds. */
  readonly pollInterval: number;
  /** Ends a pause early. */
  readonly bell?: Bell | undefined;
}

/**
 * Reads page after page until the signal aborts, and pauses after each page that is the end.
 *
 * While the caller uses a full page, the next page is read. No second page is read ahead.
 */
export async function* followPages(
  read: (position: number) => Promise<Page>,
  position: number,
  following: Following,
): AsyncGenerator<Page, void, undefined> {
  const { signal, pollInterval, bell } = following;
  const shortestPause = Math.min(FIRST_POLL_PAUSE, pollInterval);
  let pause = shortestPause;
  // If the first read fails, the database may never have worked: by default the read is not retried.
  let retrying: RetryOptions = { attempts: 1, ...following };
  let nextPage: Promise<Page> | undefined;
  const readFrom = (from: number) => {
    // The page may lack a message that rings from here on: such a ring ends the next pause.
    bell?.reset();
    return read(from);
  };
  try {
    while (!signal.aborted) {
      const from = position;
      const page = await (nextPage ?? retryWhileUnavailable(() => readFrom(from), retrying));
      retrying = following;
      position = page.next;
      nextPage = page.atEnd
        ? undefined
        : retryWhileUnavailable(() => readFrom(page.next), following);
      // The caller may leave the loop: then nobody awaits this promise, and its rejection is no news.
      nextPage?.catch(() => {});
      if (nextPage) await letSend();
      yield page;
      if (page.messages.length > 0) pause = shortestPause;
      if (!page.atEnd) continue;
      await (bell ? bell.wait(pause) : sleep(pause, signal));
      pause = Math.min(pause * 2, pollInterval);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
