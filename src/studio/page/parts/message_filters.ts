import { typedPosition, typedTypes } from "../lib/typed.ts";
import type { FeedFilter } from "../lib/feed.ts";

export function filterOf(source: string, query: URLSearchParams): FeedFilter {
  const text = (name: string) => query.get(name) || undefined;
  const types = query.getAll("type").flatMap(typedTypes);
  const position = text("position");
  const given = {
    text: text("text"),
    correlation: text("correlation"),
    since: text("since"),
    until: text("until"),
  };
  const defined = Object.entries(given).filter(([, value]) => value !== undefined);
  return {
    source,
    // Where one jumps to, one reads on forward.
    direction: directionOf(query),
    startAt: typedPosition(position) ?? position,
    ...(types.length > 0 && { types }),
    ...Object.fromEntries(defined),
    hidesOwn: hidesOwn(source, query),
  };
}

export function directionOf(query: URLSearchParams): FeedFilter["direction"] {
  const direction = query.get("direction");
  if (direction === "forward" || direction === "backward") return direction;
  return query.get("position") ? "forward" : "backward";
}

/** Whether the library's own messages are left out: of all messages, unless one wants them. */
export function hidesOwn(source: string, query: URLSearchParams): boolean {
  return source === "$all" && query.get("own") !== "1";
}

export const NO_FILTERS = {
  type: undefined,
  text: undefined,
  correlation: undefined,
  since: undefined,
  until: undefined,
  position: undefined,
} as const;

export function isFilterOf(
  { types, text, correlation, since, until, startAt }: FeedFilter,
): boolean {
  return [types, text, correlation, since, until, startAt].some((it) => it !== undefined);
}
