import { useEffect, useRef } from "preact/hooks";

/** Calls the function when a value has changed, and not for the first one. */
export function useChange(value: unknown, act: () => void): void {
  const known = useRef(value);
  useEffect(() => {
    if (Object.is(known.current, value)) return;
    known.current = value;
    act();
  }, [value]);
}
