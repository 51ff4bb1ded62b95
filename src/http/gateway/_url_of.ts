import { Refusal } from "./_problem.ts";

/** For a request without a host: on Bun, its `url` is a path alone. */
const WITHOUT_HOST = "http://gateway";

export function hasUrl({ url }: Request): boolean {
  return URL.canParse(url, WITHOUT_HOST);
}

/** The URL of a request. */
export function urlOf(request: Request): URL {
  if (hasUrl(request)) return new URL(request.url, WITHOUT_HOST);
  throw new Refusal(400, "Cannot read the address of this request: its host is none");
}
