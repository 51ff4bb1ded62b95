import type { JSX } from "preact";
import type { TraceArguments } from "../../_api.ts";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { ageText, numberText, quantity } from "../lib/format.ts";
import { streamUrl } from "../lib/links.ts";
import { currentPlace, go, goWith, viewUrl } from "../lib/place.ts";
import { useValue } from "../lib/store.ts";
import { indentOf } from "../lib/trace_layout.ts";
import {
  placesInTime,
  timesOf,
  type TracedOne,
  type TraceRow,
  traceRows,
} from "../lib/trace_rows.ts";
import { useCall } from "../lib/use_call.ts";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { ViewLink } from "../parts/link.tsx";
import { StreamLink } from "../parts/message_cells.tsx";
import { MessageView } from "../parts/message_view.tsx";
import { CallOutcome, Empty } from "../parts/states.tsx";
import { TracePicture } from "./trace_picture.tsx";

const LIMIT = 500;

/** What led to a message, and what followed from it. Also of all messages of a stream. */
export function TraceView({ start }: { readonly start: TraceArguments }): JSX.Element {
  const called = useCall("trace", { ...start, limit: LIMIT });
  const { streamName } = start;
  return (
    <div class="page full">
      <ViewHead
        title="Cause and effect"
        trail={[
          streamName === undefined
            ? { url: viewUrl(["all"]), text: "All messages" }
            : { url: streamUrl(streamName), text: <Foreign text={streamName} most={60} /> },
        ]}
      />
      <CallOutcome of={called} what="Looking at all later messages">
        {({ messages, hasMore }) =>
          messages.length === 0
            ? (
              <Empty>
                {streamName === undefined
                  ? "The store has no such message. It may have been deleted."
                  : "This stream has no messages."}
              </Empty>
            )
            : <Walk messages={messages} hasMore={hasMore} />}
      </CallOutcome>
    </div>
  );
}

function Walk(
  { messages, hasMore }: { readonly messages: readonly TracedOne[]; readonly hasMore: boolean },
): JSX.Element {
  const { query } = useValue(currentPlace);
  const rows = useMemo(() => traceRows(messages), [messages]);
  const places = useMemo(() => placesInTime(rows), [rows]);
  const start = Math.max(0, rows.findIndex(({ message }) => message.role === "start"));
  const found = rows.findIndex(({ message }) => message.id === query.get("message"));
  const active = found === -1 ? start : found;
  const times = timesOf(messages);
  const span = Math.max(...times) - Math.min(...times);
  const streams = new Set(messages.map(({ streamName }) => streamName)).size;
  return (
    <>
      <p class="sentence">
        {quantity(messages.length, "message")} in {quantity(streams, "stream")}, within{" "}
        {ageText(span)}.
        {hasMore && ` There are more: the first ${numberText(LIMIT)} are shown.`}
        <CauseOfFirst rows={rows} hasMore={hasMore} />
      </p>
      <div class="split has-panel">
        <Tree rows={rows} places={places} active={active} />
        <aside class="panel" aria-label="Message">
          <div class="panel-bar">
            {rows[active]!.message.role !== "start" && (
              <ViewLink url={viewUrl(["trace", rows[active]!.message.id])}>
                Trace from here
              </ViewLink>
            )}
          </div>
          <MessageView id={rows[active]!.message.id} isTraced />
        </aside>
      </div>
    </>
  );
}

/** What is so of the cause that the first message names: it is not before the message in the trace. */
function CauseOfFirst(
  { rows, hasMore }: { readonly rows: readonly TraceRow[]; readonly hasMore: boolean },
): JSX.Element | null {
  const { namedCause, cause } = rows[0]!.message;
  if (namedCause === null || cause !== null) return null;
  const { streamName, position } = namedCause;
  const at = rows.findIndex(({ message }) =>
    message.streamName === streamName && message.position === position
  );
  if (at === 0) return <>{" "}The first names itself as its cause.</>;
  return (
    <>
      {" "}The first names {at === -1
        ? `a cause that ${hasMore ? "is not shown" : "the store does not have"}`
        : `as its cause a message that ${
          isFirstBefore(rows, at) ? "followed from it" : "was written later"
        }`}: <StreamLink name={streamName} position={position} />.
    </>
  );
}

/** Whether a message followed from the first one. */
function isFirstBefore(rows: readonly TraceRow[], at: number): boolean {
  let row = at;
  while (row > 0) row = rows[row]!.cause;
  return row === 0;
}

interface TreeProps {
  readonly rows: readonly TraceRow[];
  readonly places: readonly number[];
  readonly active: number;
}

/** The tree, and beside each message its place in time. One walks by the arrows, or by clicks. */
function Tree({ rows, places, active }: TreeProps): JSX.Element {
  const element = useRef<HTMLDivElement>(null);
  const [hasFocus, setHasFocus] = useState(false);
  const choose = (row: number) => goWith({ message: rows[row]!.message.id }, { replaces: true });
  useEffect(() => {
    const row = element.current?.querySelector<HTMLElement>('[tabindex="0"]');
    if (hasFocus) row?.focus();
    else row?.scrollIntoView({ block: "nearest" });
  }, [active]);
  useLayoutEffect(() => {
    // The arrows work at once, if nobody is elsewhere already.
    if (!document.activeElement?.matches("body, main")) return;
    element.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
  }, []);
  const onKeyDown = (event: KeyboardEvent) => {
    const { cause, effect } = rows[active]!;
    const goals: Readonly<Record<string, number>> = {
      ArrowDown: active + 1,
      j: active + 1,
      ArrowUp: active - 1,
      k: active - 1,
      ArrowLeft: cause,
      ArrowRight: effect,
      Home: 0,
      End: rows.length - 1,
    };
    const goal = goals[event.key];
    if (event.key === "Enter") go(viewUrl(["trace", rows[active]!.message.id]));
    if (goal === undefined) return;
    event.preventDefault();
    if (rows[goal] !== undefined) choose(goal);
  };
  const times = timesOf(rows.map(({ message }) => message));
  const begin = Math.min(...times);
  return (
    <div
      class="trace"
      ref={element}
      role="tree"
      aria-label="Cause and effect"
      onKeyDown={onKeyDown}
      onFocusIn={() => setHasFocus(true)}
      onFocusOut={() => setHasFocus(false)}
    >
      <TracePicture rows={rows} places={places} active={active} />
      {rows.map((row, at) => (
        <Item
          key={row.message.globalPosition}
          row={row}
          isActive={at === active}
          after={times[at]! - begin}
          choose={() => choose(at)}
        />
      ))}
    </div>
  );
}

function Item(
  { row: { message, depth }, isActive, after, choose }: {
    readonly row: TraceRow;
    readonly isActive: boolean;
    /** How long after the first message it was written, in milliseconds. */
    readonly after: number;
    readonly choose: () => void;
  },
): JSX.Element {
  return (
    <div
      role="treeitem"
      aria-level={depth + 1}
      aria-selected={isActive}
      tabIndex={isActive ? 0 : -1}
      class={`trace-row ${message.role}${isActive ? " active" : ""}`}
      onClick={choose}
    >
      <span class="trace-label" style={{ paddingLeft: `${indentOf(depth)}px` }}>
        <span class="type">
          <Foreign text={message.type} most={80} />
        </span>{" "}
        <span class="mono faint">
          <Foreign text={message.streamName} most={80} />
        </span>
      </span>
      <span class="trace-time tabular faint">{after === 0 ? "" : `+${ageText(after)}`}</span>
      {message.role === "start" && <span class="sr">the message that was asked for</span>}
    </div>
  );
}
