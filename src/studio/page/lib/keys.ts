import { useEffect } from "preact/hooks";
import { go, viewUrl } from "./place.ts";

const GOALS: Readonly<Record<string, readonly string[]>> = {
  o: [],
  a: ["all"],
  c: ["categories"],
  k: ["consumers"],
};
const WAIT = 1500;

/** The keys that work everywhere but in an input: `/`, `?`, and `g` with another. */
export function useKeys(showKeys: () => void): void {
  useEffect(() => {
    let wentAt = 0;
    const onKeyDown = (event: KeyboardEvent) => {
      const { key, target } = event;
      if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
      if ((target as Element).closest("input, textarea, select, dialog")) return;
      const isGoing = Date.now() - wentAt < WAIT;
      wentAt = 0;
      if (isGoing && GOALS[key]) go(viewUrl(GOALS[key]));
      else if (key === "g") wentAt = Date.now();
      else if (key === "/") document.getElementById("search")?.focus();
      else if (key === "?") showKeys();
      else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    document.addEventListener("keydown", onKeyDown, { capture: true });
    return () => document.removeEventListener("keydown", onKeyDown, { capture: true });
  }, []);
}
