import { useEffect, useMemo, useState } from "preact/hooks";
import type { FindArguments, FoundAnswer, ListedMessage } from "../../_api.ts";
import { asFailure, call, type CallFailure } from "./call.ts";

/** What a table of messages shows, without where it begins. */
export interface FeedFilter extends Omit<FindArguments, "startAt" | "limit" | "direction"> {
  readonly direction: "forward" | "backward";
  readonly startAt: number | string | undefined;
}

/** The messages that a table has, a part of all that there are. */
export interface FeedState {
  readonly rows: readonly ListedMessage[];
  /** How many rows came on top of the first ones, without those that were dropped there. */
  readonly shift: number;
  /** How many of them were written since the table was opened. */
  readonly fresh: number;
  /** Whether there may be more on top, and below. */
  readonly hasBefore: boolean;
  readonly hasMore: boolean;
  /** Whether the search has looked at as many messages as one statement may, and found few. */
  readonly isPaused: boolean;
  readonly isLoading: boolean;
  readonly isSearching: boolean;
  readonly scanned: number;
  readonly failure: CallFailure | undefined;
}

export interface Feed {
  readonly state: () => FeedState;
  /** Reads a page below, or on top. */
  readonly more: () => Promise<void>;
  readonly before: () => Promise<void>;
  /** Searches on until a page is full, or all is looked at, or `cancel` is called. */
  readonly searchOn: () => Promise<void>;
  readonly cancel: () => void;
  /** Reads what was written since. */
  readonly refresh: () => Promise<void>;
}

const PAGE = 100;
/** The rows that are kept: what is beyond is read again when one scrolls there. */
const MOST_ROWS = 3000;
const KEPT_ROWS = 2000;
/** Transactions may commit behind the last message: so many global positions are read again. */
const OVERLAP = 200;

const EMPTY: FeedState = {
  rows: [],
  shift: 0,
  fresh: 0,
  hasBefore: false,
  hasMore: true,
  isPaused: false,
  isLoading: false,
  isSearching: false,
  scanned: 0,
  failure: undefined,
};

export function useFeed(filter: FeedFilter): Feed {
  const key = JSON.stringify(filter);
  const [, setTurn] = useState(0);
  const { feed, end } = useMemo(
    () => makeFeed(JSON.parse(key), () => setTurn((it) => it + 1)),
    [key],
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
    controller: new AbortController(),
    isEnded: false,
  };
  const feed: Feed = {
    state: () => work.state,
    more: () =>
      guarded(work, async () => {
        if (work.state.hasMore) append(work, await find(work, direction, work.next));
      }),
    searchOn: () => guarded(work, () => search(work)),
    before: () => guarded(work, () => readBefore(work)),
    cancel: () => {
      work.controller.abort();
      work.controller = new AbortController();
    },
    refresh: () => refresh(work),
  };
  const end = () => {
    work.isEnded = true;
    work.controller.abort();
  };
  return { feed, end };
}

function find(
  { filter: { startAt: _, ...filter }, controller }: Work,
  direction: FeedFilter["direction"],
  startAt: number | string,
): Promise<FoundAnswer> {
  return call("findMessages", { ...filter, direction, startAt, limit: PAGE }, controller.signal);
}

/** One thing at a time. A failure stays until something is tried again. */
async function guarded(work: Work, act: () => Promise<void>): Promise<void> {
  if (work.state.isLoading || work.isEnded) return;
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
function append(work: Work, { messages, next, scanned }: FoundAnswer): void {
  const { state } = work;
  const rows = withoutKnown(state.rows, messages);
  const isDropping = state.rows.length + rows.length > MOST_ROWS;
  const dropped = isDropping ? state.rows.length + rows.length - KEPT_ROWS : 0;
  if (next !== null) work.next = next;
  work.update({
    rows: [...state.rows, ...rows].slice(dropped),
    shift: state.shift - dropped,
    hasBefore: state.hasBefore || dropped > 0,
    hasMore: next !== null,
    isPaused: next !== null && messages.length < PAGE,
    scanned: state.scanned + scanned,
  });
}

/** Puts rows on top. Far below, rows are dropped. */
function prepend(
  work: Work,
  messages: readonly ListedMessage[],
  { hasBefore, isFresh }: { readonly hasBefore: boolean; readonly isFresh: boolean },
): void {
  const { state, isBackward, keyOf } = work;
  const rows = withoutKnown(state.rows, messages);
  const all = [...rows, ...state.rows];
  const isDropping = all.length > MOST_ROWS;
  const kept = isDropping ? all.slice(0, KEPT_ROWS) : all;
  if (isDropping) work.next = keyOf(kept.at(-1)!) + (isBackward ? -1 : 1);
  work.update({
    rows: kept,
    shift: state.shift + rows.length,
    fresh: state.fresh + (isFresh ? rows.length : 0),
    hasBefore,
    ...(isDropping && { hasMore: true, isPaused: false }),
  });
}

async function readBefore(work: Work): Promise<void> {
  const { state: { rows: [first], hasBefore }, isBackward, keyOf } = work;
  if (first === undefined || !hasBefore) return;
  const place = keyOf(first) + (isBackward ? 1 : -1);
  if (place < 0) return work.update({ hasBefore: false });
  const found = await find(work, isBackward ? "forward" : "backward", place);
  prepend(work, found.messages.toReversed(), { hasBefore: found.next !== null, isFresh: false });
}

/** Reads what was written since, if the table is at that end. */
async function refresh(work: Work): Promise<void> {
  const { state: { rows, hasBefore, hasMore }, isBackward, keyOf } = work;
  if (work.state.isLoading || work.isEnded || (isBackward ? hasBefore : hasMore)) return;
  const last = isBackward ? rows[0] : rows.at(-1);
  const overlap = isStream(work.filter.source) ? -1 : OVERLAP;
  const found = last === undefined
    ? (await find(work, "backward", "end")).messages.toReversed()
    : (await find(work, "forward", Math.max(0, keyOf(last) - overlap))).messages;
  if (work.state.isLoading || work.isEnded) return;
  const news = withoutKnown(work.state.rows, found);
  if (news.length === 0) return;
  if (isBackward) prepend(work, news.toReversed(), { hasBefore: false, isFresh: true });
  else work.update({ rows: [...work.state.rows, ...news] });
}

function withoutKnown(
  rows: readonly ListedMessage[],
  found: readonly ListedMessage[],
): ListedMessage[] {
  const known = new Set(rows.map(({ id }) => id));
  return found.filter(({ id }) => !known.has(id));
}
