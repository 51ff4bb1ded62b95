import { useEffect, useMemo, useState } from "preact/hooks";
import type { FindArguments, FoundAnswer, ListedMessage } from "../../_api.ts";
import { asFailure, call, type Failure } from "./call.ts";

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
  readonly failure: Failure | undefined;
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

function makeFeed(filter: FeedFilter, changed: () => void): { feed: Feed; end: () => void } {
  const { startAt, direction, ...rest } = filter;
  const isBackward = direction === "backward";
  const keyOf = (row: ListedMessage) => isStream(rest.source) ? row.position : row.globalPosition;
  let state: FeedState = { ...EMPTY, hasBefore: startAt !== undefined };
  let next: number | string = startAt ?? (isBackward ? "end" : "beginning");
  let controller = new AbortController();
  let isEnded = false;
  const update = (changes: Partial<FeedState>) => {
    state = { ...state, ...changes };
    if (!isEnded) changed();
  };
  const find = (direction: "forward" | "backward", startAt: number | string) =>
    call("findMessages", { ...rest, direction, startAt, limit: PAGE }, controller.signal);

  const append = ({ messages, next: place, scanned }: FoundAnswer) => {
    const rows = withoutKnown(state.rows, messages);
    const dropped = state.rows.length + rows.length > MOST_ROWS
      ? state.rows.length + rows.length - KEPT_ROWS
      : 0;
    if (place !== null) next = place;
    update({
      rows: [...state.rows, ...rows].slice(dropped),
      shift: state.shift - dropped,
      hasBefore: state.hasBefore || dropped > 0,
      hasMore: place !== null,
      isPaused: place !== null && messages.length < PAGE,
      scanned: state.scanned + scanned,
    });
  };

  const prepend = (messages: readonly ListedMessage[], hasBefore: boolean, isFresh: boolean) => {
    const rows = withoutKnown(state.rows, messages);
    const all = [...rows, ...state.rows];
    const isDropping = all.length > MOST_ROWS;
    const kept = isDropping ? all.slice(0, KEPT_ROWS) : all;
    if (isDropping) next = keyOf(kept.at(-1)!) + (isBackward ? -1 : 1);
    update({
      rows: kept,
      shift: state.shift + rows.length,
      fresh: state.fresh + (isFresh ? rows.length : 0),
      hasBefore,
      ...(isDropping && { hasMore: true, isPaused: false }),
    });
  };

  const guarded = async (work: () => Promise<void>) => {
    if (state.isLoading || isEnded) return;
    update({ isLoading: true, failure: undefined });
    const { signal } = controller;
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) update({ failure: asFailure(error) });
    } finally {
      update({ isLoading: false, isSearching: false });
    }
  };

  const feed: Feed = {
    state: () => state,
    more: () =>
      guarded(async () => {
        if (state.hasMore) append(await find(direction, next));
      }),
    searchOn: () =>
      guarded(async () => {
        update({ isSearching: true });
        const wanted = state.rows.length + PAGE;
        while (state.hasMore && state.rows.length < wanted) append(await find(direction, next));
      }),
    before: () =>
      guarded(async () => {
        const [first] = state.rows;
        if (first === undefined || !state.hasBefore) return;
        const place = keyOf(first) + (isBackward ? 1 : -1);
        if (place < 0) return update({ hasBefore: false });
        const found = await find(isBackward ? "forward" : "backward", place);
        prepend(found.messages.toReversed(), found.next !== null, false);
      }),
    cancel: () => {
      controller.abort();
      controller = new AbortController();
    },
    refresh: async () => {
      if (state.isLoading || isEnded) return;
      if (isBackward ? state.hasBefore : state.hasMore) return;
      const last = isBackward ? state.rows[0] : state.rows.at(-1);
      const overlap = isStream(rest.source) ? -1 : OVERLAP;
      const place = last === undefined ? 0 : Math.max(0, keyOf(last) - overlap);
      const found = last === undefined && isBackward
        ? (await find("backward", "end")).messages.toReversed()
        : (await find("forward", place)).messages;
      if (state.isLoading || isEnded) return;
      const rows = withoutKnown(state.rows, found);
      if (rows.length === 0) return;
      if (isBackward) prepend(rows.toReversed(), false, true);
      else update({ rows: [...state.rows, ...rows] });
    },
  };
  return {
    feed,
    end: () => {
      isEnded = true;
      controller.abort();
    },
  };
}

function withoutKnown(
  rows: readonly ListedMessage[],
  found: readonly ListedMessage[],
): ListedMessage[] {
  const known = new Set(rows.map(({ id }) => id));
  return found.filter(({ id }) => !known.has(id));
}
