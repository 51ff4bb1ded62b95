import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { go } from "../lib/place.ts";
import { useOpened } from "../lib/rights.ts";
import { useValue } from "../lib/store.ts";
import { askForCategories, knownCategories } from "../lib/status.ts";
import { type SearchTarget, targetsOf } from "../lib/targets.ts";
import { Foreign } from "./foreign.tsx";

/** The box that goes to a stream, a category, a message or a position, or searches all messages. */
export function Search(): JSX.Element {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const [isOpen, setIsOpen] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const hasPartitions = (useOpened()?.partitions ?? 1) > 1;
  const targets = targetsOf(text, useValue(knownCategories), hasPartitions);
  const isShown = isOpen && targets.length > 0;
  const goTo = (target: SearchTarget | undefined) => {
    if (target === undefined) return;
    setText("");
    setIsOpen(false);
    leaveFor(target);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const count = targets.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setIsOpen(true);
      setChosen((chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % Math.max(count, 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      goTo(targets[chosen] ?? targets[0]);
    } else if (event.key === "Escape") {
      setIsOpen(false);
      input.current?.blur();
    }
  };
  return (
    <div class="search" role="search">
      <input
        ref={input}
        id="search"
        type="text"
        role="combobox"
        aria-label="Go to a stream, a category, a message id or a position, or search"
        aria-expanded={isShown}
        aria-controls="search-targets"
        aria-autocomplete="list"
        aria-activedescendant={isShown ? `search-target-${chosen}` : undefined}
        placeholder="Stream, category, id, position or text"
        autocomplete="off"
        spellcheck={false}
        value={text}
        onFocus={() => {
          void askForCategories();
          setIsOpen(true);
        }}
        onBlur={() => setIsOpen(false)}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setChosen(0);
          setIsOpen(true);
        }}
        onKeyDown={(event) => !event.isComposing && onKeyDown(event)}
      />
      <kbd aria-hidden="true">/</kbd>
      <Targets targets={isShown ? targets : []} chosen={chosen} goTo={goTo} />
    </div>
  );
}

function leaveFor({ url }: SearchTarget): void {
  go(url);
  document.querySelector<HTMLElement>("main")?.focus();
}

function Targets(
  { targets, chosen, goTo }: {
    readonly targets: readonly SearchTarget[];
    readonly chosen: number;
    readonly goTo: (target: SearchTarget) => void;
  },
): JSX.Element {
  return (
    <ul
      id="search-targets"
      role="listbox"
      aria-label="Where to go"
      class="targets"
      hidden={targets.length === 0}
    >
      {targets.map((target, at) => (
        <li
          key={target.url}
          id={`search-target-${at}`}
          role="option"
          aria-selected={at === chosen}
          // Before the input loses the focus, which closes the list.
          onMouseDown={(event) => {
            event.preventDefault();
            goTo(target);
          }}
        >
          <span class="faint">{target.kind}</span>{" "}
          <span class="mono">
            <Foreign text={target.text} most={80} />
          </span>
        </li>
      ))}
    </ul>
  );
}
