import { useLayoutEffect, useRef } from "preact/hooks";
import { viewUrl, visit } from "./place.ts";

const GOALS: Readonly<Record<string, readonly string[]>> = {
  o: [],
  a: ["all"],
  c: ["categories"],
  k: ["consumers"],
};
const WAIT = 1500;

/** The keys that work everywhere but in an input: `/`, `?`, and `g` with another. */
export function useKeys(showKeys: () => void): void {
  const wentAt = useRef(0);
  useKeyDown("input, textarea, select, dialog", (event) => {
    const { key } = event;
    const isGoing = Date.now() - wentAt.current < WAIT;
    wentAt.current = 0;
    if (isGoing && GOALS[key]) visit(viewUrl(GOALS[key]));
    else if (key === "g") wentAt.current = Date.now();
    else if (key === "/") document.getElementById("search")?.focus();
    else if (key === "?") showKeys();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, { capture: true });
}

/**
 * Hears the keys that are pressed anywhere but in what has keys of its own, and without Ctrl, Alt or Meta.
 * It hears them as soon as one sees the component, and with what that shows.
 */
export function useKeyDown(
  unheard: string,
  act: (event: KeyboardEvent) => void,
  { capture = false }: { readonly capture?: boolean } = {},
): void {
  const latest = useRef(act);
  useLayoutEffect(() => void (latest.current = act));
  useLayoutEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
      if (!(event.target as Element).closest(unheard)) latest.current(event);
    };
    document.addEventListener("keydown", onKeyDown, { capture });
    return () => document.removeEventListener("keydown", onKeyDown, { capture });
  }, [unheard, capture]);
}
