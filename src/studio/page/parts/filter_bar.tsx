import type { JSX } from "preact";
import { useId, useLayoutEffect, useState } from "preact/hooks";
import { type CallFailure, failureText } from "../lib/call.ts";
import { isStream } from "../lib/feed.ts";
import { currentPlace, goWith } from "../lib/place.ts";
import { useValue } from "../lib/store.ts";
import { readTime, shownTime, timeProblem, TIMES } from "../lib/times.ts";
import { typedPosition } from "../lib/typed.ts";
import { directionOf, hidesOwn, NO_FILTERS } from "./message_filters.ts";

/** The filters of a table of messages. They are in the URL. */
export function FilterBar(
  { source, isLive, setIsLive, liveFailure, jumpToLatest, isLeftBehind }: {
    readonly source: string;
    readonly isLive: boolean;
    readonly setIsLive: (isLive: boolean) => void;
    /** Why what is new is not shown. */
    readonly liveFailure: CallFailure | undefined;
    /** Given if what is new does not come where one is. */
    readonly jumpToLatest: (() => void) | undefined;
    /** Whether too much is new to be shown by itself. */
    readonly isLeftBehind: boolean;
  },
): JSX.Element {
  const { query } = useValue(currentPlace);
  const hasFilters = Object.keys(NO_FILTERS).some((name) => query.get(name));
  const direction = directionOf(query);
  return (
    <div class="filters" role="group" aria-label="Filters">
      <Field name="text" label="Text in the data" placeholder="Text" />
      <Field name="type" label="Types, with a comma between" placeholder="Type" />
      <Field name="correlation" label="Stream of the correlation" placeholder="Correlation" />
      <TimeField name="since" label="Since" />
      <TimeField name="until" label="Until" />
      <Jump source={source} />
      <select
        aria-label="Order"
        value={direction}
        onChange={({ currentTarget }) => goWith({ direction: currentTarget.value })}
      >
        <option value="backward">Newest first</option>
        <option value="forward">Oldest first</option>
      </select>
      {source === "$all" && (
        <label class="check">
          <input
            type="checkbox"
            checked={!hidesOwn(source, query)}
            onChange={({ currentTarget }) =>
              goWith({ own: currentTarget.checked ? "1" : undefined })}
          />
          Bookkeeping
        </label>
      )}
      {hasFilters && (
        <button type="button" class="quiet" onClick={() => goWith(NO_FILTERS)}>Clear</button>
      )}
      <span class="grow" />
      {jumpToLatest && (
        <span role="status" class="news">
          {isLeftBehind && "Much is new. "}
          <button type="button" onClick={jumpToLatest}>Jump to the latest</button>
        </span>
      )}
      <span role="status" class="news bad-text">
        {liveFailure && `Not live: ${failureText(liveFailure)}`}
      </span>
      <button
        type="button"
        class={`live${!isLive || jumpToLatest ? "" : liveFailure ? " bad" : " on"}`}
        onClick={() => setIsLive(!isLive)}
      >
        {isLive ? "Live" : "Paused"}
      </button>
    </div>
  );
}

function Field(
  { name, label, placeholder }: {
    readonly name: string;
    readonly label: string;
    readonly placeholder: string;
  },
): JSX.Element {
  const { query } = useValue(currentPlace);
  const current = query.get(name) ?? "";
  const [value, setValue] = useState(current);
  // At once: what one types next is not to be replaced.
  useLayoutEffect(() => setValue(current), [current]);
  const apply = () => {
    if (value.trim() !== current) goWith({ [name]: value.trim() });
  };
  return (
    <TypedText
      class={`field-${name}`}
      aria-label={label}
      placeholder={placeholder}
      value={value}
      setValue={setValue}
      apply={apply}
    />
  );
}

/** A text that is applied by Enter, or when one leaves the field. What is wrong with it is said when one has tried. */
function TypedText(
  { setValue, apply, leave = apply, problem, ...attributes }:
    & Pick<
      JSX.IntrinsicElements["input"],
      "class" | "aria-label" | "title" | "placeholder" | "value"
    >
    & {
      readonly setValue: (value: string) => void;
      readonly apply: () => void;
      /** What to do when one leaves the field, if not the same. */
      readonly leave?: () => void;
      readonly problem?: string | undefined;
    },
): JSX.Element {
  const id = useId();
  const [isTried, setIsTried] = useState(false);
  const isTold = isTried && problem !== undefined;
  const attempt = (act: () => void) => {
    setIsTried(true);
    if (problem === undefined) act();
  };
  return (
    <>
      <input
        type="text"
        {...attributes}
        aria-invalid={problem !== undefined}
        aria-describedby={isTold ? id : undefined}
        spellcheck={false}
        autocomplete="off"
        onInput={({ currentTarget }) => {
          setValue(currentTarget.value);
          if (problem === undefined) setIsTried(false);
        }}
        onBlur={() => attempt(leave)}
        onKeyDown={({ key, isComposing }) => key === "Enter" && !isComposing && attempt(apply)}
      />
      {isTold && <p id={id} class="problem" role="alert">{problem}</p>}
    </>
  );
}

/** A time: as one says it, "2 h" ago, or a date. */
function TimeField(
  { name, label }: { readonly name: string; readonly label: string },
): JSX.Element {
  const { query } = useValue(currentPlace);
  const current = query.get(name) ?? "";
  const [value, setValue] = useState("");
  useLayoutEffect(() => setValue(shownTime(current)), [current]);
  const isOfUrl = value === shownTime(current);
  const apply = () => {
    if (isOfUrl) return;
    goWith({ [name]: value.trim() === "" ? undefined : readTime(value) });
  };
  return (
    <TypedText
      class="field-time"
      aria-label={`${label} a time`}
      title={`${label}: ${TIMES}`}
      placeholder={label}
      value={value}
      setValue={setValue}
      apply={apply}
      problem={isOfUrl ? undefined : timeProblem(value)}
    />
  );
}

/** Goes to a position, or to a time. */
function Jump({ source }: { readonly source: string }): JSX.Element {
  const [value, setValue] = useState("");
  const text = value.trim().replaceAll(",", "");
  const isPosition = typedPosition(text) !== undefined;
  const jump = () => {
    if (text === "") return;
    goWith({ position: isPosition ? text : readTime(text) });
    setValue("");
  };
  const what = isStream(source) ? "position" : "global position";
  return (
    <TypedText
      class="field-jump"
      aria-label={`Jump to a ${what} or a time`}
      title={`A ${what}, or a time: ${TIMES}`}
      placeholder="Go to position or time"
      value={value}
      setValue={setValue}
      apply={jump}
      leave={stay}
      problem={isPosition ? undefined : timeProblem(text, "a position, or a time")}
    />
  );
}

function stay(): void {}
