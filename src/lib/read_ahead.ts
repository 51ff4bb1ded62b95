import { letSend } from "./wait.ts";

/**
 * Reads page after page. While the caller uses a page, the next page is read, and no further page.
 *
 * If that read fails, the error is thrown when the turn of the next page comes. A caller that leaves earlier
 * neither waits for the next page nor gets its error.
 *
 * @param next The position behind a page; undefined if the page was the last.
 * @param mayBeEnough Whether the caller may leave while it uses this page. Then no page is read ahead.
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
    // The caller may leave and never wait for this page: then its error must not count as unhandled.
    ahead?.catch(() => {});
    if (ahead) await letSend();
    yield page;
    if (from === undefined) return;
    position = from;
  }
}
