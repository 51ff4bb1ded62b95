import { Refusal } from "./_problem.ts";

/** The URL of a request. On Bun, `request.url` has no host if the client sends none. */
export function urlOf({ url }: Request): URL {
  try {
    return new URL(url, "http://gateway");
  } catch {
    throw new Refusal(400, "Cannot read the address of this request: its host is none");
  }
}
