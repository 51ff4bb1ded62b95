import { useEffect, useState } from "preact/hooks";

/** A value that the page has once, and that components follow. */
export interface Shared<T> {
  readonly get: () => T;
  readonly set: (value: T) => void;
  /** Calls the function with each value that is set; answers how to end that. */
  readonly follow: (listener: (value: T) => void) => () => void;
}

export function shared<T>(initial: T): Shared<T> {
  const listeners = new Set<(value: T) => void>();
  let current = initial;
  return {
    get: () => current,
    set: (value) => {
      if (Object.is(value, current)) return;
      current = value;
      for (const listener of [...listeners]) listener(value);
    },
    follow: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function useValue<T>(store: Shared<T>): T {
  const [value, setValue] = useState(store.get());
  useEffect(() => {
    setValue(store.get());
    return store.follow((it) => setValue(it));
  }, [store]);
  return value;
}
