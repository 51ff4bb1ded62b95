import { typedPosition } from "../lib/typed.ts";
import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { CallAnswer } from "../lib/call.ts";
import { numberText, quantity } from "../lib/format.ts";
import { changesBetween } from "../lib/json_changes.ts";
import { readJsonText } from "../lib/json_nodes.ts";
import { useKeyDown } from "../lib/keys.ts";
import { categoryIn, messageUrl, streamUrl } from "../lib/links.ts";
import { currentPlace, goWith, viewUrl } from "../lib/place.ts";
import { useValue } from "../lib/store.ts";
import { useCall } from "../lib/use_call.ts";
import { useSettled } from "../lib/use_settled.ts";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { JsonView } from "../parts/json_view.tsx";
import { ViewLink } from "../parts/link.tsx";
import { RowTable } from "../parts/rows.tsx";
import { CallOutcome, Empty, Loading } from "../parts/states.tsx";
import { When } from "../parts/when.tsx";

type States = CallAnswer<"states">;
type StateOf = States["states"][number];

/** The messages of a stream, and the state after each. */
export function EntityView({ streamName }: { readonly streamName: string }): JSX.Element {
  const { position, settled, show } = usePosition();
  const { called, known } = useWindow(streamName, settled);
  const category = categoryIn(streamName);
  // While the next states are on their way, those of before are no answer for a position that is not among them.
  const isWaiting = called.answer === undefined || settled !== position;
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
      <CallOutcome of={{ ...called, answer: known }} what={FOLDING}>
        {(answer) =>
          answer.states.length === 0
            ? <Empty>{answer.error ?? "This stream has no messages."}</Empty>
            : (
              <InTime
                answer={answer}
                position={position}
                show={show}
                waiting={!isWaiting
                  ? undefined
                  : called.failure
                  ? <p class="state">This state could not be read.</p>
                  : <Loading what={FOLDING} />}
              />
            )}
      </CallOutcome>
    </div>
  );
}

const FOLDING = "Folding the messages";

/** The position that one looks at. It is in the URL when it has settled: a browser bears few changes of the URL a second. */
function usePosition() {
  const { query } = useValue(currentPlace);
  const ofUrl = typedPosition(query.get("position"));
  const [moved, setMoved] = useState<{ readonly from: number | undefined; readonly to: number }>();
  // Whoever goes to another URL meanwhile wants its position.
  const position = moved?.from === ofUrl ? moved?.to : ofUrl;
  const settled = useSettled(position);
  // At once: what one chooses next is not to be replaced.
  useLayoutEffect(() => {
    if (moved === undefined || settled !== position) return;
    setMoved(undefined);
    goWith({ position }, { replaces: true });
  }, [settled, position]);
  return { position, settled, show: (to: number) => setMoved({ from: ofUrl, to }) };
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
  return { called, known: known.current };
}

function InTime(
  { answer, position: wanted, show, waiting }: {
    readonly answer: States;
    readonly position: number | undefined;
    readonly show: (position: number) => void;
    /** What is shown of a position that is not among the states, if these are not the last word. */
    readonly waiting: JSX.Element | undefined;
  },
): JSX.Element {
  const { states, by, isCut, error } = answer;
  const [first, last] = [answer.first ?? 0, answer.last ?? 0];
  const position = Math.min(Math.max(wanted ?? last, first), last);
  const isAmong = position >= states[0]!.position && position <= states.at(-1)!.position;
  const at = Math.max(0, states.findLastIndex((it) => it.position <= position));
  const state = isAmong || waiting === undefined ? states[at] : undefined;
  useArrows((step) => {
    const next = (state && states[at + step]?.position) ?? position + step;
    if (next >= first && next <= last) show(next);
  });
  return (
    <>
      <p class="sentence">
        {by === "entity"
          ? "The state is what the entity of this category makes of the messages."
          : "The state is the data of the messages, merged: the studio has no entity for this category."}
        {isCut && ` Only the first ${numberText(last - first + 1)} messages are folded.`}
        {error !== null && (
          <strong class="bad-text">
            {" "}
            <Foreign text={error} most={500} />
          </strong>
        )}
      </p>
      <Slider first={first} last={last} value={position} show={show} />
      <div class="split has-panel entity">
        <RowTable
          label="Messages"
          columns={COLUMNS}
          rows={states}
          keyOf={({ id }) => id}
          open={({ position }) => show(position)}
          selected={state?.id}
        />
        <div class="panel">
          {state ? <StateAt state={state} before={states[at - 1]} /> : waiting}
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
  const isPart = state.isCut || before?.isCut === true;
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
          ? `which has changed nothing${isPart ? " in what is shown" : ""}`
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
  useKeyDown("input, textarea, select, dialog", (event) => {
    const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (by === 0) return;
    event.preventDefault();
    step(by);
  });
}
