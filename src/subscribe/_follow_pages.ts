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
  read: (position: number, signal: AbortSignal) => Promise<Page>,
  position: number,
  following: Following,
): AsyncGenerator<Page, void, undefined> {
  const { signal, pollInterval, bell } = following;
  const readFrom = (from: number, retrying: RetryOptions): Promise<Page> =>
    retryWhileUnavailable(() => {
      // The page may lack a message that rings from here on: such a ring ends the next pause.
      bell?.reset();
      return read(from, signal);
    }, retrying);
  let pause = FIRST_POLL_PAUSE;
  // The database may never have worked: by default, the first read is not retried.
  let retrying: RetryOptions = { isFirst: true, ...following };
  let nextPage: Promise<Page> | undefined;
  try {
    while (!signal.aborted) {
      const page = await (nextPage ?? readFrom(position, retrying));
      retrying = following;
      position = page.next;
      nextPage = undefined;
      if (!page.atEnd) {
        nextPage = readFrom(position, following);
        // The caller may leave the loop: then nobody awaits this promise.
        nextPage.catch(() => {});
        await letSend();
      }
      yield page;
      if (page.messages.length > 0) pause = FIRST_POLL_PAUSE;
      if (!page.atEnd) continue;
      pause = Math.min(pause, pollInterval);
      await (bell ? bell.wait(pause) : sleep(pause, signal));
      pause *= 2;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
