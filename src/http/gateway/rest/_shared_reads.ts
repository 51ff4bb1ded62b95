import { unlessAborted } from "../../../lib/wait.ts";
import type { Followers, LivePage } from "../_gateway.ts";

/**
 * Reads a page once for all live reads that want the same page at the same time: who comes while another waits
 * for that page waits with it.
 *
 * @param key The same for all pages that are of the same messages and begin at the same position.
 * @returns The page; undefined if `ended` aborts before.
 */
export async function readShared(
  { reads }: Followers,
  key: string,
  read: () => Promise<LivePage>,
  ended: AbortSignal,
): Promise<LivePage | undefined> {
  let page = reads.get(key);
  if (page === undefined) {
    reads.set(key, page = read());
    // Before anybody gets the page: who comes after that wants a newer one.
    const forget = () => reads.delete(key);
    page.then(forget, forget);
  }
  return await unlessAborted(page, ended);
}
