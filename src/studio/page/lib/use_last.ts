import { useRef } from "preact/hooks";

/** A value, or the last one while there is none: what was answered, while the next answer is on its way. */
export function useLast<T>(value: T | undefined): T | undefined {
  const last = useRef(value);
  if (value !== undefined) last.current = value;
  return last.current;
}
