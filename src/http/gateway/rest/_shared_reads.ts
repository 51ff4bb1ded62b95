import { sleep, unlessAborted } from "../../../lib/wait.ts";
import type { Page } from "../../../read/_page.ts";
import type { Followers, SharedRead } from "../_gateway.ts";

/** A page of a live read: what it is of, and where it begins. */
export interface LivePage {
  /** The same for all pages that are of the same messages and begin at the same position. */
  readonly key: string;
  /** How many milliseconds to wait before the page is read. */
  readonly pause: number;
  readonly read: () => Promise<Page>;
}

/**
 * Reads a page once for all live reads that want the same page: who comes while another waits for that page waits
 * with it.
 *
 * @returns The page; undefined if `ended` aborts before.
 */
export async function readShared(
  { reads }: Followers,
  { key, ...wanted }: LivePage,
  ended: AbortSignal,
): Promise<Page | undefined> {
  const shared = reads.get(key) ?? begin(wanted);
  const forget = () => {
    if (reads.get(key) === shared) reads.delete(key);
  };
  if (!reads.has(key)) {
    reads.set(key, shared);
    // Before anybody gets the page: who comes after that wants a newer one.
    shared.page.then(forget, forget);
  }
  shared.count++;
  try {
    return await unlessAborted(shared.page, ended);
  } finally {
    if (--shared.count === 0) {
      forget();
      shared.abandoned.abort();
    }
  }
}

function begin({ pause, read }: Omit<LivePage, "key">): SharedRead {
  const abandoned = new AbortController();
  const readAfterPause = async (): Promise<Page> => {
    if (pause > 0) await sleep(pause, abandoned.signal);
    abandoned.signal.throwIfAborted();
    return await read();
  };
  return { page: readAfterPause(), count: 0, abandoned };
}
