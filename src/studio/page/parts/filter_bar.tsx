import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { isStream } from "../lib/feed.ts";
import { currentPlace, goWith } from "../lib/place.ts";
import { useValue } from "../lib/store.ts";
import { readTime, shownTime } from "../lib/times.ts";
import { typedPosition } from "../lib/typed.ts";
import { directionOf, hidesOwn, NO_FILTERS } from "./message_filters.ts";

/** The filters of a table of messages. They are in the URL. */
export function FilterBar(
  { source, isLive, setIsLive, jumpToLatest }: {
    readonly source: string;
    readonly isLive: boolean;
    readonly setIsLive: (isLive: boolean) => void;
    /** Given if too much is new to be shown by itself. */
    readonly jumpToLatest: (() => void) | undefined;
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
          Much is new. <button type="button" onClick={jumpToLatest}>Jump to the latest</button>
        </span>
      )}
      <button
        type="button"
        class={`live${isLive ? " on" : ""}`}
        aria-pressed={isLive}
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
  useEffect(() => setValue(current), [current]);
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

/** A text that is applied by Enter, or when one leaves the field. */
function TypedText(
  { setValue, apply, ...attributes }:
    & Pick<
      JSX.IntrinsicElements["input"],
      "class" | "aria-label" | "aria-invalid" | "title" | "placeholder" | "value"
    >
    & { readonly setValue: (value: string) => void; readonly apply: () => void },
): JSX.Element {
  return (
    <input
      type="text"
      {...attributes}
      spellcheck={false}
      autocomplete="off"
      onInput={({ currentTarget }) => setValue(currentTarget.value)}
      onBlur={apply}
      onKeyDown={({ key }) => key === "Enter" && apply()}
    />
  );
}

/** A time: as one says it, "2 h" ago, or a date. */
function TimeField(
  { name, label }: { readonly name: string; readonly label: string },
): JSX.Element {
  const { query } = useValue(currentPlace);
  const current = query.get(name) ?? "";
  const [value, setValue] = useState("");
  useEffect(() => setValue(shownTime(current)), [current]);
  const isWrong = value.trim() !== "" && readTime(value) === undefined;
  const apply = () => {
    if (value === shownTime(current) || isWrong) return;
    goWith({ [name]: value.trim() === "" ? undefined : readTime(value) });
  };
  return (
    <TypedText
      class="field-time"
      aria-label={`${label} a time`}
      aria-invalid={isWrong}
      title={`${label}: ${EXAMPLES}`}
      placeholder={label}
      value={value}
      setValue={setValue}
      apply={apply}
    />
  );
}

const EXAMPLES = "2 h, 15 min, today, 12:30, 2026-01-31, 2026-01-31 12:00";

/** Goes to a position, or to a time. */
function Jump({ source }: { readonly source: string }): JSX.Element {
  const [value, setValue] = useState("");
  const jump = () => {
    const text = value.trim().replaceAll(",", "");
    if (text === "") return;
    const position = typedPosition(text) === undefined ? readTime(text) : text;
    if (position === undefined) return;
    goWith({ position });
    setValue("");
  };
  const what = isStream(source) ? "position" : "global position";
  return (
    <input
      type="text"
      class="field-jump"
      aria-label={`Jump to a ${what} or a time`}
      title={`A ${what}, or a time: ${EXAMPLES}`}
      placeholder="Go to position or time"
      value={value}
      autocomplete="off"
      onInput={({ currentTarget }) => setValue(currentTarget.value)}
      onKeyDown={({ key }) => key === "Enter" && jump()}
    />
  );
}
