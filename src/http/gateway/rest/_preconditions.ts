import { invalid } from "../../../lib/invalid.ts";
import { NO_STREAM, STREAM_EXISTS } from "../../../write/write.ts";
import { Refusal } from "../_problem.ts";
import { type Header, IF_MATCH_HEADER, IF_NONE_MATCH_HEADER } from "./_input.ts";

/** Every entity tag of a list, weak ones too. */
const ENTITY_TAGS = /(?:W\/)?"[^"]*"/g;

/** The entity tag of a stream at a version. */
export function entityTagOf(version: number): string {
  return `"${version}"`;
}

/**
 * The versions that the conditional headers of a write expect: If-Match the one that it names, "If-Match: *" any
 * that there is, and "If-None-Match: *" the one of a stream without messages. A write can expect one version, so
 * other conditions are refused.
 */
export function preconditionsOf({ headers }: Request): number[] {
  const expected: number[] = [];
  const match = headers.get("if-match");
  if (match?.trim() === "*") {
    expected.push(STREAM_EXISTS);
  } else if (match !== null) {
    const tags = match.match(ENTITY_TAGS) ?? [];
    if (tags.length !== 1 || tags[0] !== match.trim()) throw unusable(IF_MATCH_HEADER, match);
    const version = /^"(-1|\d{1,16})"$/.exec(tags[0])?.[1];
    if (version === undefined) throw failedPrecondition(IF_MATCH_HEADER);
    expected.push(Number(version));
  }
  const noneMatch = headers.get("if-none-match");
  if (noneMatch !== null) {
    if (noneMatch.trim() !== "*") throw unusable(IF_NONE_MATCH_HEADER, noneMatch);
    expected.push(NO_STREAM);
  }
  return expected;
}

/** Refuses a request whose target has no version if the request sets a condition for that. */
export function refusePreconditions({ headers }: Request): void {
  for (const header of [IF_MATCH_HEADER, IF_NONE_MATCH_HEADER]) {
    if (headers.has(header.name)) throw failedPrecondition(header);
  }
}

/** Holds the answer of a read to the conditional headers of its request, by the answer's entity tag. */
export async function holdToPreconditions(request: Request, response: Response): Promise<Response> {
  if (!response.ok) return response;
  const match = request.headers.get("if-match");
  const noneMatch = request.headers.get("if-none-match");
  const tag = response.headers.get("etag");
  if (match !== null && match.trim() !== "*" && !tagsOf(match).some((it) => it === tag)) {
    await response.body?.cancel();
    throw failedPrecondition(IF_MATCH_HEADER);
  }
  const isKnown = noneMatch !== null &&
    (noneMatch.trim() === "*" || tagsOf(noneMatch).some((it) => it.replace("W/", "") === tag));
  if (!isKnown) return response;
  await response.body?.cancel();
  return new Response(null, { status: 304, headers: tag === null ? {} : { etag: tag } });
}

function tagsOf(list: string): string[] {
  return list.match(ENTITY_TAGS) ?? [];
}

function unusable(
  { name, rule }: Header<string> & { readonly rule: string },
  value: string,
): Refusal {
  return new Refusal(422, invalid(name, value, rule).message);
}

function failedPrecondition({ name }: Header<string>): Refusal {
  return new Refusal(
    412,
    `Cannot do this under this ${name}: what is there has another ETag, or none`,
  );
}
