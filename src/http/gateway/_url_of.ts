import { Refusal } from "./_problem.ts";

/** The URL of a request; undefined if it cannot be read. On Bun, `request.url` has no host if the client sends none. */
export function readUrl({ url }: Request): URL | undefined {
  try {
    return new URL(url, "http://gateway");
  } catch {
    return undefined;
  }
}

/** As `readUrl`, but refuses a request whose URL cannot be read. */
export function urlOf(request: Request): URL {
  const url = readUrl(request);
  if (url !== undefined) return url;
  throw new Refusal(400, "Cannot read the address of this request: its host is none");
}
