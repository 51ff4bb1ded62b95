import { type Shared, shared } from "./store.ts";

/** The path before all paths of the studio, without a slash at its end. */
export const BASE: string = document.documentElement.dataset["base"] ?? "";

/** Where the page is: a view, what it shows, and with which filters. */
export interface ViewPlace {
  /** The texts of the path: `["streams", "account-123"]`; undefined if one is no valid text. */
  readonly path: readonly string[] | undefined;
  readonly query: URLSearchParams;
  /** The position in the view's list that one has left it at, where one has come back to it. */
  readonly leftAt: number | undefined;
  /** How often one has gone to where one was already: then the view begins anew. */
  readonly visits: number;
}

export type Query = Readonly<Record<string, string | number | undefined>>;

let visits = 0;
export const currentPlace: Shared<ViewPlace> = shared(placeNow());

type TellPosition = (before: number | undefined) => number | undefined;
const asBefore: TellPosition = (before) => before;
let tellPosition = asBefore;

/** The URL of a view. A filter that is undefined or empty is left out. */
export function viewUrl(path: readonly string[], query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString().replaceAll("%3A", ":");
  return `${BASE}/${path.map(segmentOf).join("/")}${text === "" ? "" : `?${text}`}`;
}

export function go(url: string, { replaces = false } = {}): void {
  if (isHere(url)) return;
  if (replaces) history.replaceState(history.state, "", url);
  else {
    rememberPosition();
    history.pushState(null, "", url);
  }
  currentPlace.set(placeNow());
}

function isHere(url: string): boolean {
  return url === location.pathname + location.search;
}

/** Goes to a view; where one is there already, the view begins anew. */
export function visit(url: string): void {
  if (!isHere(url)) return go(url);
  visits++;
  history.replaceState(null, "");
  currentPlace.set(placeNow());
}

/** Changes filters of the view, and keeps the others. */
export function goWith(changes: Query, options: { readonly replaces?: boolean } = {}): void {
  const { path, query } = currentPlace.get();
  go(viewUrl(path ?? [], { ...Object.fromEntries(query), ...changes }), options);
}

/** Remembers where one is in the view's list, for whoever comes back, or loads the page again. */
export function rememberPosition(): void {
  history.replaceState({ leftAt: tellPosition(history.state?.leftAt) }, "");
}

/** Where one is in the view's list, by where one was before; answers how to end that. */
export function tellsPosition(tell: TellPosition): () => void {
  tellPosition = tell;
  return () => {
    if (tellPosition === tell) tellPosition = asBefore;
  };
}

export function followHistory(): void {
  addEventListener("popstate", () => currentPlace.set(placeNow()));
  addEventListener("pagehide", rememberPosition);
}

/** A browser takes "." and ".." out of a path, and what is empty is no segment: such a text has a "~" in front. */
function segmentOf(text: string): string {
  return encodeURIComponent(/^~*\.{0,2}$/.test(text) ? `~${text}` : text);
}

function textOfSegment(segment: string): string {
  return decodeURIComponent(segment).replace(/^~(?=~*\.{0,2}$)/, "");
}

function placeNow(): ViewPlace {
  const path = location.pathname.slice(BASE.length).split("/").filter((it) => it !== "");
  const query = new URLSearchParams(location.search);
  const leftAt = history.state?.leftAt;
  try {
    return { path: path.map(textOfSegment), query, leftAt, visits };
  } catch {
    return { path: undefined, query, leftAt, visits };
  }
}
