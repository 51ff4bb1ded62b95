import { type RetryOptions, retryWhileUnavailable } from "../handle/_retry.ts";
import { letSend, sleep } from "../lib/wait.ts";
import type { Page } from "../read/_page.ts";
import type { Bell } from "./_bell.ts";

/** Milliseconds. */
const FIRST_POLL_PAUSE = 25;

/** How to follow a source. */
export interface Following extends RetryOptions {
  readonly signal: AbortSignal;
  /** How long to wait at most between two reads where there was no more, in milliseconds. */
  readonly pollInterval: number;
  /** What cuts a wait short. */
  readonly bell?: Bell | undefined;
}

/**
 * Reads page after page, and waits where there is no more, until the signal aborts.
 *
 * While a full page is in hand, the next one is read, and no more than that.
 */
export async function* followPages(
  read: (position: number) => Promise<Page>,
  position: number,
  following: Following,
): AsyncGenerator<Page, void, undefined> {
  const { signal, pollInterval, bell } = following;
  let ahead: Promise<Page> | undefined;
  // What has never worked may never do, unless the caller knows better.
  let first: Following | undefined = { attempts: 1, ...following };
  let pause = Math.min(FIRST_POLL_PAUSE, pollInterval);
  const readFrom = (from: number) => {
    // What rings while it is read may have come too late for it.
    bell?.silence();
    return read(from);
  };
  try {
    while (!signal.aborted) {
      const from = position;
      const page = await (ahead ?? retryWhileUnavailable(() => readFrom(from), first ?? following));
      first = undefined;
      position = page.next;
      ahead = page.atEnd ? undefined : retryWhileUnavailable(() => readFrom(page.next), following);
      // Who waits for it may never come again.
      ahead?.catch(() => {});
      if (ahead) await letSend();
      yield page;
      if (page.messages.length > 0) pause = Math.min(FIRST_POLL_PAUSE, pollInterval);
      if (!page.atEnd) continue;
      await (bell ? bell.wait(pause) : sleep(pause, signal));
      pause = Math.min(pause * 2, pollInterval);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
