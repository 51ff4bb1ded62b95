import { useEffect, useState } from "preact/hooks";

/** A value when it has not changed for a moment: one that is typed is not asked for at each key. */
export function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 300);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
