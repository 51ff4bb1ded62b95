import { unlessAborted } from "../../../lib/wait.ts";
import type { Followers, LivePage } from "../_gateway.ts";

/**
 * Reads a page once for all live reads that want the same page at the same time: who comes while another waits
 * for that page waits with it.
 *
 * @param key The same for all pages that are of the same messages and begin at the same position.
 * @param since By `performance.now()`: a read that began before lacks what was found then.
 * @returns The page; undefined if `ended` aborts before.
 */
export async function readShared(
  { reads }: Followers,
  key: string,
  since: number,
  read: () => Promise<LivePage>,
  ended: AbortSignal,
): Promise<LivePage | undefined> {
  let shared = reads.get(key);
  if (shared === undefined || shared.begunAt < since) {
    const begun = { begunAt: performance.now(), page: read() };
    reads.set(key, shared = begun);
    // Before anybody gets the page: who comes after that wants a newer one.
    const forget = () => {
      if (reads.get(key) === begun) reads.delete(key);
    };
    begun.page.then(forget, forget);
  }
  return await unlessAborted(shared.page, ended);
}
