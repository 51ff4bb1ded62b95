import { letSend } from "./wait.ts";

/**
 * Reads page after page: the next one while one is used, and no more than that.
 *
 * An error of one that was read ahead is thrown when its turn comes; a caller who leaves before that does
 * not hear of it, and does not wait for it.
 *
 * @param next Where to go on behind a page; undefined where that was the last.
 * @param mayBeEnough Whether the caller may leave while this page is used: then none is read ahead.
 */
export async function* readAhead<Page, Position>(
  read: (position: Position) => Promise<Page>,
  position: Position,
  next: (page: Page) => Position | undefined,
  mayBeEnough: (page: Page) => boolean = () => false,
): AsyncGenerator<Page, void, undefined> {
  let ahead: Promise<Page> | undefined;
  for (;;) {
    const page = await (ahead ?? read(position));
    const from = next(page);
    ahead = from === undefined || mayBeEnough(page) ? undefined : read(from);
    // Who waits for it may never come again.
    ahead?.catch(() => {});
    if (ahead) await letSend();
    yield page;
    if (from === undefined) return;
    position = from;
  }
}
