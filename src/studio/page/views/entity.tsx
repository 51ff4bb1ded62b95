import { typedPosition } from "../lib/typed.ts";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { CallAnswer } from "../lib/call.ts";
import { numberText, quantity } from "../lib/format.ts";
import { changesBetween } from "../lib/json_changes.ts";
import { readJsonText } from "../lib/json_nodes.ts";
import { categoryIn, messageUrl, streamUrl } from "../lib/links.ts";
import { currentPlace, goWith, viewUrl } from "../lib/place.ts";
import { useValue } from "../lib/store.ts";
import { useCall } from "../lib/use_call.ts";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { JsonView } from "../parts/json_view.tsx";
import { ViewLink } from "../parts/link.tsx";
import { RowTable } from "../parts/rows.tsx";
import { CallOutcome, Empty } from "../parts/states.tsx";
import { When } from "../parts/when.tsx";

type States = CallAnswer<"states">;
type StateOf = States["states"][number];

/** The messages of a stream, and the state after each. */
export function EntityView({ streamName }: { readonly streamName: string }): JSX.Element {
  const { query } = useValue(currentPlace);
  const position = typedPosition(query.get("position"));
  const window = useWindow(streamName, position);
  const category = categoryIn(streamName);
  return (
    <div class="page full">
      <ViewHead
        title={
          <span class="mono">
            <Foreign text={streamName} most={120} />
          </span>
        }
        trail={[
          { url: viewUrl(["categories"]), text: "Categories" },
          { url: viewUrl(["categories", category]), text: <Foreign text={category} most={60} /> },
        ]}
      >
        <ViewLink url={streamUrl(streamName)} class="button">Messages</ViewLink>
      </ViewHead>
      <CallOutcome of={window} what="Folding the messages">
        {(answer) =>
          answer.states.length === 0
            ? <Empty>{answer.error ?? "This stream has no messages."}</Empty>
            : <InTime answer={answer} position={position} />}
      </CallOutcome>
    </div>
  );
}

/** The states around a position: they are asked for anew if the position is not among them. */
function useWindow(streamName: string, position: number | undefined) {
  const asked = useRef<number | undefined>(position);
  const known = useRef<States | undefined>(undefined);
  const states = known.current?.states;
  const isKnown = states?.some((it) => it.position === position) === true;
  if (!isKnown && position !== undefined) asked.current = position;
  const called = useCall("states", {
    streamName,
    ...(asked.current !== undefined && { position: asked.current }),
  });
  if (called.answer) known.current = called.answer;
  return called;
}

function InTime(
  { answer, position }: { readonly answer: States; readonly position: number | undefined },
): JSX.Element {
  const { states, first, last, by, isCut, error } = answer;
  const found = states.findLastIndex((it) => it.position <= (position ?? Infinity));
  const at = Math.max(0, found);
  const state = states[at]!;
  const show = (position: number) => goWith({ position }, { replaces: true });
  useArrows((step) => {
    const next = states[at + step]?.position ?? state.position + step;
    if (next >= (first ?? 0) && next <= (last ?? 0)) show(next);
  });
  return (
    <>
      <p class="sentence">
        {by === "entity"
          ? "The state is what the entity of this category makes of the messages."
          : "The state is the data of the messages, merged: the studio has no entity for this category."}
        {isCut &&
          ` Only the first ${numberText((last ?? 0) - (first ?? 0) + 1)} messages are folded.`}
        {error !== null && (
          <strong class="bad-text">
            {" "}
            <Foreign text={error} most={500} />
          </strong>
        )}
      </p>
      <Slider first={first ?? 0} last={last ?? 0} value={state.position} show={show} />
      <div class="split has-panel entity">
        <RowTable
          label="Messages"
          columns={COLUMNS}
          rows={states}
          keyOf={({ id }) => id}
          open={({ position }) => show(position)}
          selected={state.id}
        />
        <div class="panel">
          <StateAt state={state} before={states[at - 1]} />
        </div>
      </div>
    </>
  );
}

const COLUMNS = [
  {
    name: "Position",
    width: "76px",
    isNumber: true,
    phone: "second",
    cell: ({ position }: StateOf) => numberText(position),
  },
  {
    name: "Type",
    width: "minmax(120px, 1fr)",
    phone: "first",
    cell: ({ type }: StateOf) => <Foreign text={type} most={80} />,
  },
  {
    name: "Time",
    width: "176px",
    phone: "second",
    cell: ({ time }: StateOf) => <When time={time} />,
  },
] as const;

function Slider(
  { first, last, value, show }: {
    readonly first: number;
    readonly last: number;
    readonly value: number;
    readonly show: (position: number) => void;
  },
): JSX.Element {
  return (
    <div class="slider">
      <button type="button" disabled={value <= first} onClick={() => show(value - 1)}>
        Before
      </button>
      <input
        type="range"
        aria-label="Position"
        min={first}
        max={last}
        value={value}
        onInput={({ currentTarget }) => show(Number(currentTarget.value))}
      />
      <button type="button" disabled={value >= last} onClick={() => show(value + 1)}>After</button>
      <span class="tabular">{numberText(value)} of {numberText(last)}</span>
    </div>
  );
}

/** A state, and what its message has changed. */
function StateAt(
  { state, before }: { readonly state: StateOf; readonly before: StateOf | undefined },
): JSX.Element {
  const changes = useMemo(
    () => before && changesBetween(readJsonText(before.state), readJsonText(state.state)),
    [before, state],
  );
  const removed = changes?.removed ?? [];
  const count = (changes?.added.size ?? 0) + (changes?.changed.size ?? 0) + removed.length;
  return (
    <article class="message">
      <h2>
        <ViewLink url={messageUrl(state.id)}>
          <Foreign text={state.type} most={80} />
        </ViewLink>
      </h2>
      <p class="faint">
        <When time={state.time} />, {before === undefined
          ? "the first state that is shown"
          : count === 0
          ? "which has changed nothing"
          : `which has changed ${quantity(count, "value")}`}
      </p>
      <JsonView
        text={state.state}
        isCut={state.isCut}
        changes={changes}
        label={`State after position ${numberText(state.position)}`}
      />
      {removed.length > 0 && (
        <ul class="removed" aria-label="Removed">
          {removed.map(({ path, text }) => (
            <li key={path} class="mono">
              <span class="sr">removed</span> <Foreign text={path} most={120} />:{" "}
              <Foreign text={text} most={200} />
            </li>
          ))}
        </ul>
      )}
    </article>
  );
}

/** The arrows to the left and to the right, wherever the focus is but in an input. */
function useArrows(step: (by: number) => void): void {
  const latest = useRef(step);
  latest.current = step;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
      if (by === 0 || event.metaKey || event.ctrlKey || event.altKey) return;
      if ((event.target as Element).closest("input, textarea, select, dialog")) return;
      event.preventDefault();
      latest.current(by);
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}
