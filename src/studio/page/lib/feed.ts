import { useEffect, useMemo, useState } from "preact/hooks";
import type { FindArguments, FoundAnswer, ListedMessage, Pulse } from "../../_api.ts";
import { ANSWER_WITHIN, asFailure, call, type CallFailure, NOT_YET } from "./call.ts";
import { currentPlace } from "./place.ts";
import { heartbeat } from "./pulse.ts";
import { type TableMessage, withReferred } from "./referred.ts";

/** What a table of messages shows, without where it begins. */
export interface FeedFilter extends Omit<FindArguments, "startAt" | "limit" | "direction" | "own"> {
  readonly direction: "forward" | "backward";
  readonly startAt: number | string | undefined;
  /** Whether the library's own messages are left out. */
  readonly hidesOwn: boolean;
}

/** The messages that a table has, a part of all that there are. */
export interface FeedState {
  readonly rows: readonly TableMessage[];
  /** How many rows came on top of the first ones, without those that were dropped there. */
  readonly shift: number;
  /** How many of them were written since the table was opened. */
  readonly fresh: number;
  /** Whether there may be more on top, and below. */
  readonly hasBefore: boolean;
  readonly hasMore: boolean;
  /** Whether more was written since than the table reads by itself. */
  readonly isLeftBehind: boolean;
  /** Whether the search has looked at as many messages as one statement may, and found few. */
  readonly isPaused: boolean;
  readonly isLoading: boolean;
  readonly isSearching: boolean;
  readonly scanned: number;
  readonly failure: CallFailure | undefined;
}

export interface Feed {
  /** What tells the place of a message: in its stream, or among all. */
  readonly keyOf: (row: ListedMessage) => number;
  readonly state: () => FeedState;
  /** Reads a page below, or on top. */
  readonly more: () => Promise<void>;
  readonly before: () => Promise<void>;
  /** Searches on until a page is full, or all is looked at, or `cancel` is called. */
  readonly searchOn: () => Promise<void>;
  readonly cancel: () => void;
  /**
   * Reads what was written since the partitions had these heads, as far as they are known.
   *
   * @returns Whether it has; false if it is to be asked again. Rejects with a `CallFailure`.
   */
  readonly refresh: (heads: Pulse["heads"] | undefined) => Promise<boolean>;
}

const PAGE = 100;
/** The rows that are kept: what is beyond is read again when one scrolls there. */
const MOST_ROWS = 3000;
const KEPT_ROWS = 2000;
/** Transactions may commit behind the last message: so many global positions are read again. */
const OVERLAP = 100;
/** What is new is read in so many pages at most. With more, it is read when one scrolls there. */
const MOST_NEWS = 5;
const NEWS = 400;

const EMPTY: FeedState = {
  rows: [],
  shift: 0,
  fresh: 0,
  hasBefore: false,
  hasMore: true,
  isLeftBehind: false,
  isPaused: false,
  isLoading: false,
  isSearching: false,
  scanned: 0,
  failure: undefined,
};

/** Makes the feed of a table: another one for another filter, or another visit. It begins where one was. */
export function useFeed(filter: FeedFilter, visits: number): Feed {
  const key = JSON.stringify(filter);
  const [, draw] = useState(0);
  const { feed, end } = useMemo(
    () => {
      const given: FeedFilter = JSON.parse(key);
      const startAt = currentPlace.get().leftAt ?? given.startAt;
      return makeFeed({ ...given, startAt }, () => draw((it) => it + 1));
    },
    [key, visits],
  );
  useEffect(() => {
    void feed.more();
    return end;
  }, [feed]);
  return feed;
}

export function isStream(source: string): boolean {
  return source !== "$all" && source.includes("-");
}

/** A page of messages that was found. */
interface FoundRows extends FoundAnswer {
  readonly messages: readonly TableMessage[];
}

/** What a feed works with. */
interface Work {
  readonly filter: FeedFilter;
  readonly isBackward: boolean;
  readonly keyOf: (row: ListedMessage) => number;
  /** Changes the state, and draws it. */
  readonly update: (changes: Partial<FeedState>) => void;
  state: FeedState;
  /** Where the next page begins. */
  next: number | string;
  /** Where the page on top begins, if it does not begin at the first row. */
  previous: number | undefined;
  /** The last position that was looked at, of those that are shown or left out. */
  seen: number;
  /** The partition that the messages are in. */
  partition: number;
  /** The last position that was looked at for what is new to a search; undefined before the first look. */
  searched: number | undefined;
  news: News | undefined;
  isRefreshing: boolean;
  /** What is read last, below or on top. */
  reading: Promise<void> | undefined;
  controller: AbortController;
  isEnded: boolean;
}

function makeFeed(filter: FeedFilter, changed: () => void): { feed: Feed; end: () => void } {
  const { startAt, direction, source } = filter;
  const isBackward = direction === "backward";
  const work: Work = {
    filter,
    isBackward,
    keyOf: (row) => isStream(source) ? row.position : row.globalPosition,
    update: (changes) => {
      work.state = { ...work.state, ...changes };
      if (!work.isEnded) changed();
    },
    state: { ...EMPTY, hasBefore: startAt !== undefined },
    next: startAt ?? (isBackward ? "end" : "beginning"),
    previous: undefined,
    seen: -1,
    partition: 0,
    searched: undefined,
    news: undefined,
    isRefreshing: false,
    reading: undefined,
    controller: new AbortController(),
    isEnded: false,
  };
  const feed: Feed = {
    keyOf: work.keyOf,
    state: () => work.state,
    more: () =>
      guarded(work, async () => {
        if (isSearch(work) && isStream(source)) work.searched ??= await endOfStream(work);
        if (work.state.hasMore) append(work, await find(work, direction, work.next));
      }),
    searchOn: async () => {
      // Whoever presses while what is on top is read does not press again.
      await work.reading;
      await guarded(work, () => search(work));
    },
    before: async () => {
      const isBegun = work.state.rows.length > 0 || work.previous !== undefined;
      if (isBegun) await guarded(work, () => readBefore(work));
    },
    cancel: () => {
      work.controller.abort();
      work.controller = new AbortController();
    },
    refresh: (heads) => refresh(work, heads),
  };
  const end = () => {
    work.isEnded = true;
    work.controller.abort();
  };
  return { feed, end };
}

async function find(
  work: Work,
  direction: FeedFilter["direction"],
  startAt: number | string,
  { limit = PAGE, again }: { readonly limit?: number; readonly again?: string } = {},
): Promise<FoundRows> {
  const { startAt: _, hidesOwn, ...filter } = work.filter;
  const { signal } = work.controller;
  const args = { ...filter, direction, startAt, limit, ...(hidesOwn && { own: false }) };
  const options = { signal, again, within: again === undefined ? undefined : ANSWER_WITHIN };
  const found = await call("findMessages", args, options);
  const keys = found.messages.map(work.keyOf);
  const end = direction === "forward" ? (found.next ?? 0) - 1 : -1;
  work.seen = Math.max(work.seen, end, ...keys);
  work.partition = found.partition;
  return { ...found, messages: await withReferred(filter, found.messages, options) };
}

/** One thing at a time. A failure stays until something is tried again. */
async function guarded(work: Work, act: () => Promise<void>): Promise<void> {
  if (work.state.isLoading || work.isEnded) return;
  await (work.reading = tryToRead(work, act));
}

async function tryToRead(work: Work, act: () => Promise<void>): Promise<void> {
  work.update({ isLoading: true, failure: undefined });
  const { signal } = work.controller;
  try {
    await act();
  } catch (error) {
    if (!signal.aborted) work.update({ failure: asFailure(error) });
  } finally {
    work.update({ isLoading: false, isSearching: false });
  }
}

async function search(work: Work): Promise<void> {
  work.update({ isSearching: true });
  const wanted = work.state.rows.length + PAGE;
  while (work.state.hasMore && work.state.rows.length < wanted) {
    append(work, await find(work, work.filter.direction, work.next));
  }
}

/** Puts a page below. Far above, rows are dropped. */
function append(
  work: Work,
  { messages, next, scanned }: Omit<FoundRows, "partition">,
): void {
  const { state } = work;
  const rows = newOf(work, messages);
  const isDropping = state.rows.length + rows.length > MOST_ROWS;
  const dropped = isDropping ? state.rows.length + rows.length - KEPT_ROWS : 0;
  if (next !== null) work.next = next;
  if (isDropping) work.previous = undefined;
  work.update({
    rows: [...state.rows, ...rows].slice(dropped),
    shift: state.shift - dropped,
    hasBefore: state.hasBefore || dropped > 0,
    hasMore: next !== null,
    // Without a filter, a page that is not full has large messages.
    isPaused: next !== null && messages.length < PAGE && (isSearch(work) || work.filter.hidesOwn),
    scanned: state.scanned + scanned,
  });
}

/** Puts rows on top. Far below, rows are dropped. */
function prepend(
  work: Work,
  messages: readonly TableMessage[],
  { hasBefore, isFresh }: { readonly hasBefore: boolean; readonly isFresh: boolean },
): void {
  const { state, isBackward, keyOf } = work;
  const rows = newOf(work, messages);
  const all = [...rows, ...state.rows];
  const isDropping = all.length > MOST_ROWS;
  const kept = isDropping ? all.slice(0, KEPT_ROWS) : all;
  if (isDropping) work.next = keyOf(kept.at(-1)!) + (isBackward ? -1 : 1);
  work.update({
    rows: kept,
    shift: state.shift + rows.length,
    fresh: state.fresh + (isFresh ? rows.length : 0),
    hasBefore,
    isLeftBehind: state.isLeftBehind && hasBefore,
    ...(isDropping && { hasMore: true, isPaused: false }),
  });
}

async function readBefore(work: Work): Promise<void> {
  const { state: { rows: [first], hasBefore }, isBackward, keyOf } = work;
  const place = work.previous ?? (first && keyOf(first) + (isBackward ? 1 : -1));
  if (place === undefined || !hasBefore) return;
  if (place < 0) return work.update({ hasBefore: false });
  const found = await find(work, isBackward ? "forward" : "backward", place);
  const isMore = found.next !== null;
  work.previous = undefined;
  if (found.messages.length > 0) {
    return prepend(work, found.messages.toReversed(), { hasBefore: isMore, isFresh: false });
  }
  // The search goes on from there when one scrolls again, and not by itself.
  work.previous = found.next ?? undefined;
  work.update({ hasBefore: isMore, isLeftBehind: work.state.isLeftBehind && isMore });
}

/**
 * Reads what was written since, if the table is at that end.
 *
 * @returns Whether it has looked, or need not; false while another read is under way.
 */
async function refresh(work: Work, heads: Pulse["heads"] | undefined): Promise<boolean> {
  const { isLoading, isLeftBehind } = work.state;
  if (isLoading || work.isRefreshing) return false;
  if (isLeftBehind || work.isEnded || isElsewhere(work)) return true;
  const isSearching = isSearch(work) ||
    work.isBackward && work.seen < 0 && !isStream(work.filter.source);
  const { signal } = work.controller;
  work.isRefreshing = true;
  try {
    return await (isSearching ? searchNews(work, heads) : readNews(work, work.seen));
  } catch (error) {
    // Somebody has cancelled a search, or has left.
    if (signal.aborted) return false;
    throw asFailure(error);
  } finally {
    work.isRefreshing = false;
  }
}

/** Whether the end at which news come is not in the table: they come when one scrolls there. */
function isElsewhere({ state: { hasBefore, hasMore }, isBackward }: Work): boolean {
  return isBackward ? hasBefore : hasMore;
}

/** Finds what is new; undefined if it is not the page's turn. */
async function findNews(
  work: Work,
  direction: FeedFilter["direction"],
  startAt: number | string,
): Promise<FoundRows | undefined> {
  const again = String(heartbeat.get().pulse?.heads);
  try {
    return await find(work, direction, startAt, { limit: NEWS, again });
  } catch (error) {
    if (error === NOT_YET) return undefined;
    throw error;
  }
}

/** What is new to a table, as far as it was the page's turn to read it. */
interface News {
  readonly rows: TableMessage[];
  /** Where to read on; null at the end. */
  from: number | null;
  /** The last position that was looked at. */
  seen: number;
  pages: number;
}

/** Reads what comes after a position, with an overlap; or goes on with what was begun. */
async function readNews(work: Work, known: number): Promise<boolean> {
  const isOfStream = isStream(work.filter.source);
  // Pages that show the same are to ask for the same, although they have not looked at the same time.
  const first = isOfStream ? known + 1 : Math.max(0, Math.floor(known / OVERLAP - 1) * OVERLAP);
  const news = work.news ??= { rows: [], from: first, seen: first - 1, pages: 0 };
  while (news.from !== null && news.pages < MOST_NEWS) {
    const found = await findNews(work, "forward", news.from);
    if (work.state.isLoading || work.isEnded) return work.isEnded;
    if (isElsewhere(work)) {
      work.news = undefined;
      return true;
    }
    if (found === undefined) return false;
    news.rows.push(...found.messages);
    news.from = found.next;
    // Of a stream, each message that was looked at is a position.
    news.seen = found.next === null ? news.seen + found.scanned : found.next - 1;
    news.pages++;
  }
  work.news = undefined;
  if (isOfStream) work.searched = news.seen;
  // A table to which nothing is new is not drawn again, and looks less often.
  const hasNews = newOf(work, news.rows).length > 0;
  if (work.isBackward && news.from !== null) {
    work.update({ hasBefore: true, isLeftBehind: true });
  } else if (work.isBackward && hasNews) {
    prepend(work, news.rows.toReversed(), { hasBefore: false, isFresh: true });
  } else if (hasNews || news.from !== null) {
    append(work, { messages: news.rows, next: news.from, scanned: 0 });
  }
  return true;
}

function isSearch({ filter: { types, text, correlation, since, until } }: Work): boolean {
  return [types, text, correlation, since, until].some((it) => it !== undefined);
}

/**
 * Looks for what is new to a search: after what was looked at of a stream, or after the head of all messages at the last
 * look. The last message that the search has found may be long ago.
 */
async function searchNews(work: Work, heads: Pulse["heads"] | undefined): Promise<boolean> {
  const { searched } = work;
  if (isStream(work.filter.source)) {
    return searched !== undefined && await readNews(work, searched);
  }
  const head = heads?.[work.partition] ?? undefined;
  const isDone = searched !== undefined && head !== undefined
    ? await readNews(work, head)
    : work.isBackward
    ? await searchNewest(work, head)
    : await readNews(work, work.seen);
  if (isDone) work.searched = head ?? 0;
  return isDone;
}

async function endOfStream({ filter: { source }, controller }: Work): Promise<number> {
  const end = { source, direction: "backward", startAt: "end", limit: 1 } as const;
  const { messages: [last] } = await call("findMessages", end, { signal: controller.signal });
  return last?.position ?? -1;
}

/**
 * Looks for what is new among the newest messages, in one statement: a search may have found its last message long ago,
 * and may have begun before a head was known. Later looks go on from the head.
 */
async function searchNewest(work: Work, head: number | undefined): Promise<boolean> {
  const found = await findNews(work, "backward", "end");
  if (work.state.isLoading || work.isEnded) return work.isEnded;
  if (isElsewhere(work)) return true;
  if (found === undefined) return false;
  const { messages, next } = found;
  const isGap = next !== null && head !== undefined && !isStream(work.filter.source) && next > head;
  const rows = newOf(work, messages);
  if (isGap) {
    work.previous = Math.max(0, head - OVERLAP);
    work.update({ hasBefore: true, isLeftBehind: true });
  } else if (rows.length > 0) prepend(work, rows, { hasBefore: false, isFresh: true });
  return true;
}

/** The messages that the table does not have, and is to have. */
function newOf(
  { state }: Work,
  found: readonly TableMessage[],
): TableMessage[] {
  const known = new Set(state.rows.map(({ id }) => id));
  return found.filter(({ id }) => !known.has(id) && known.add(id));
}
