import type { JSX, RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ListedMessage, MessageKind } from "../../_api.ts";
import { asFailure, type CallFailure } from "../lib/call.ts";
import { type Feed, type FeedFilter, type FeedState, isStream, useFeed } from "../lib/feed.ts";
import { numberText, quantity } from "../lib/format.ts";
import { useKeyDown } from "../lib/keys.ts";
import { messageUrl } from "../lib/links.ts";
import { currentPlace, goWith, rememberPosition, tellsPosition, visit } from "../lib/place.ts";
import { heartbeat } from "../lib/pulse.ts";
import { useValue } from "../lib/store.ts";
import { every } from "../lib/ticker.ts";
import { FilterBar } from "./filter_bar.tsx";
import { ViewLink } from "./link.tsx";
import { isBookkeeping } from "../lib/kinds.ts";
import { columnsOfMessages } from "./message_cells.tsx";
import { filterOf, isFilterOf, NO_FILTERS } from "./message_filters.ts";
import { MessageView } from "./message_view.tsx";
import { RowTable } from "./rows.tsx";
import { Empty, Failed, Loading } from "./states.tsx";

/** The table of a stream, of a category or of all messages, and the message that is chosen beside it. */
export function MessageTable(
  { source, label, learnKind }: {
    readonly source: string;
    readonly label: string;
    /** Told what the first message is that the table shows; null if it shows none. */
    readonly learnKind?: (kind: MessageKind | null) => void;
  },
): JSX.Element {
  const { query, visits } = useValue(currentPlace);
  const filter = filterOf(source, query);
  const feed = useFeed(filter, visits);
  const chosen = query.get("message") ?? undefined;
  const [isLive, setIsLive] = useState(true);
  const liveFailure = useTail(feed, filter, isLive);
  const state = feed.state();
  const kind = state.rows[0]?.kind ?? (state.hasMore ? undefined : null);
  useEffect(() => {
    if (kind !== undefined) learnKind?.(kind);
  }, [source, kind]);
  const columns = useMemo(() => columnsOfMessages(source), [source]);
  const onScrolled = useRemembered(feed);
  const isJumped = query.has("position");
  const canJump = filter.direction === "backward" ? state.hasBefore : isJumped && state.hasMore;
  const jumpToLatest = () => {
    if (isJumped) goWith({ position: undefined, direction: undefined });
    else visit(location.pathname + location.search);
  };
  const split = useRowOfClosed(chosen, state.rows);
  const open = (row: ListedMessage) =>
    goWith({ message: row.id }, { replaces: chosen !== undefined });
  const close = () => goWith({ message: undefined });
  useKeyDown("input, dialog", ({ key }) => {
    if (chosen !== undefined && key === "Escape") close();
  });
  return (
    <>
      <FilterBar
        key={source}
        source={source}
        isLive={isLive}
        setIsLive={setIsLive}
        liveFailure={liveFailure}
        jumpToLatest={canJump ? jumpToLatest : undefined}
        isLeftBehind={state.isLeftBehind}
      />
      <div ref={split} class={`split${chosen === undefined ? "" : " has-panel"}`}>
        <RowTable
          key={visits}
          label={label}
          columns={columns}
          rows={state.rows}
          keyOf={idOf}
          open={open}
          selected={chosen}
          classOf={(row) =>
            `${isBookkeeping(row) ? "own" : ""}${isTarget(row, filter) ? " target" : ""}`}
          shift={state.shift}
          fresh={state.fresh}
          onScrolled={onScrolled}
          onTop={state.hasBefore ? feed.before : nothing}
          onBottom={state.hasMore && !state.isPaused && !state.failure ? feed.more : nothing}
          foot={<Foot feed={feed} state={state} filter={filter} />}
        />
        {chosen !== undefined && <Panel id={chosen} close={close} />}
      </div>
    </>
  );
}

function nothing(): void {}

function idOf({ id }: ListedMessage): string {
  return id;
}

/** Gives the focus to the row of a message that is closed, if it was in the message: the browser would put it nowhere. */
function useRowOfClosed(
  chosen: string | undefined,
  rows: readonly ListedMessage[],
): RefObject<HTMLDivElement | null> {
  const table = useRef<HTMLDivElement>(null);
  const before = useRef(chosen);
  useLayoutEffect(() => {
    const closed = chosen === undefined ? before.current : undefined;
    before.current = chosen;
    if (closed === undefined || document.activeElement !== document.body) return;
    const at = rows.findIndex(({ id }) => id === closed);
    const row = at < 0 ? null : table.current?.querySelector(`[aria-rowindex="${at + 2}"]`);
    // A row that is far from what one sees is not made: what one reads stays where it is.
    const target = row ?? document.querySelector("main");
    (target as HTMLElement | null)?.focus({ preventScroll: true });
  }, [chosen]);
  return table;
}

/** Whether one has jumped to the message. */
function isTarget(row: ListedMessage, { source, startAt }: FeedFilter): boolean {
  return startAt === (isStream(source) ? row.position : row.globalPosition);
}

function Panel({ id, close }: { readonly id: string; readonly close: () => void }): JSX.Element {
  return (
    <aside class="panel" aria-label="Message">
      <div class="panel-bar">
        <ViewLink url={messageUrl(id)}>Open alone</ViewLink>
        <span class="grow" />
        <button type="button" class="quiet" onClick={close}>Close</button>
      </div>
      <MessageView id={id} />
    </aside>
  );
}

/** Remembers where one is in the list, as soon as one has stopped to scroll. */
function useRemembered(feed: Feed): (index: number) => void {
  const top = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useLayoutEffect(() => {
    const end = tellsPosition((before) => {
      const { rows, hasBefore } = feed.state();
      // Whoever leaves a list that has not come yet comes back to where it was to begin.
      if (rows.length === 0) return before;
      const row = top.current > 0 || hasBefore ? rows[top.current] : undefined;
      return row && feed.keyOf(row);
    });
    return () => {
      clearTimeout(timer.current);
      end();
    };
  }, [feed]);
  return (index) => {
    top.current = index;
    clearTimeout(timer.current);
    timer.current = setTimeout(rememberPosition, 300);
  };
}

/** What is below the last row: more to come, the end, or how far the search has looked. */
function Foot(
  { feed, state, filter }: {
    readonly feed: Feed;
    readonly state: FeedState;
    readonly filter: FeedFilter;
  },
): JSX.Element {
  const { rows, failure, isLoading, isSearching, isPaused, hasMore, scanned } = state;
  const looked = `Looked at ${quantity(scanned, "message")}, found ${numberText(rows.length)}`;
  if (failure) return <Failed failure={failure} retry={() => void feed.more()} />;
  if (isSearching) {
    return (
      <div class="state" role="status">
        {looked}… <button type="button" onClick={feed.cancel}>Cancel</button>
      </div>
    );
  }
  if (isLoading && !isPaused) return <Loading />;
  if (isPaused) {
    return (
      <div class="state" role="status">
        {looked}. <button type="button" onClick={feed.searchOn}>Search on</button>
      </div>
    );
  }
  if (hasMore) return <div class="state" />;
  if (rows.length > 0) {
    const isFiltered = isFilterOf({ ...filter, startAt: undefined });
    // What came live was looked at besides.
    const isCounted = isFiltered && scanned >= rows.length;
    return <div class="state faint">{isCounted ? `The end. ${looked}.` : "The end"}</div>;
  }
  return (
    <Empty>
      {isFilterOf(filter)
        ? "No message fits the filters. "
        : isStream(filter.source)
        ? "This stream has no messages."
        : "No messages yet."}
      {isFilterOf(filter) && (
        <button type="button" onClick={() => goWith(NO_FILTERS)}>Take the filters out</button>
      )}
    </Empty>
  );
}

/** A list in which nothing comes while others are written to is looked at less often: up to each fourth turn. */
const MOST_TURNS = 3;

/**
 * A transaction that commits late puts messages before the head, which does not move then: so many seconds after it has
 * moved last, a list looks again.
 */
const LATE_LOOKS: readonly number[] = [5, 30];

/** So many milliseconds after a look, a list looks again that is not told whether the store has moved. */
const BLIND_LOOKS = 5000;

/**
 * Reads what is new when the store has moved, and what came late.
 *
 * @returns Why the last look has failed.
 */
function useTail(
  feed: Feed,
  { source, direction }: FeedFilter,
  isLive: boolean,
): CallFailure | undefined {
  const { pulse } = useValue(heartbeat);
  const [failure, setFailure] = useState<CallFailure>();
  const done = useRef({ feed, pulse });
  if (done.current.feed !== feed) done.current = { feed, pulse };
  done.current.pulse ??= pulse;
  useEffect(() => {
    setFailure(undefined);
    if (!isLive) return;
    const known = done.current;
    let idleLooks = 0;
    let turnsToWait = 0;
    let stillFor = 0;
    let lookedAt = Date.now();
    return every(1000, async () => {
      const { pulse: target, failure: silence } = heartbeat.get();
      stillFor = String(target?.heads) === String(known.pulse?.heads) ? stillFor + 1 : 0;
      if (silence) {
        if (Date.now() - lookedAt < BLIND_LOOKS) return;
      } else if (stillFor > 0 ? !LATE_LOOKS.includes(stillFor) : turnsToWait-- > 0) return;
      const { rows } = feed.state();
      try {
        if (!await feed.refresh(known.pulse?.heads)) return void stillFor--;
        setFailure(undefined);
        known.pulse = target;
        idleLooks = feed.state().rows === rows ? idleLooks + 1 : 0;
        turnsToWait = Math.min(idleLooks, MOST_TURNS);
      } catch (error) {
        setFailure(asFailure(error));
        // A server in trouble is not asked at each turn, and no look is forgotten.
        stillFor = 0;
        turnsToWait = MOST_TURNS;
      }
      lookedAt = Date.now();
    }).end;
  }, [feed, isLive, source, direction]);
  return failure;
}
