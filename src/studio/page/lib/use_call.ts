import { useEffect, useRef, useState } from "preact/hooks";
import type { OperationName } from "../../_api.ts";
import { asFailure, call, type CallAnswer, type CallArguments, type CallFailure } from "./call.ts";
import { every, type Repeated } from "./ticker.ts";

/** What became of a call. An answer stays while the same is asked again, and is never that of other arguments. */
export interface Called<T> {
  readonly answer: T | undefined;
  readonly failure: CallFailure | undefined;
  readonly isLoading: boolean;
  /** Asks at once: what somebody has done wants it. */
  readonly reload: () => void;
  /** Asks when it is its turn: what the page has learned wants it. */
  readonly renew: () => void;
}

/**
 * Calls an operation, again when its arguments change, and every so many milliseconds.
 *
 * @param args Undefined: nothing is called.
 */
export function useCall<Name extends OperationName>(
  operation: Name,
  args: CallArguments<Name> | undefined,
  interval = Infinity,
): Called<CallAnswer<Name>> {
  const key = args === undefined ? undefined : JSON.stringify(args);
  const nothing = { key, answer: undefined, failure: undefined, isLoading: key !== undefined };
  const [state, setState] = useState<State<CallAnswer<Name>>>(nothing);
  const [turn, setTurn] = useState(0);
  const repeated = useRef<Repeated | undefined>(undefined);
  useEffect(() => {
    if (key === undefined) return;
    const controller = new AbortController();
    const ask = async () => {
      try {
        const answer = await call(operation, JSON.parse(key), controller.signal);
        setState({ key, answer, failure: undefined, isLoading: false });
      } catch (error) {
        if (controller.signal.aborted) return;
        setState((it) => ({ ...it, failure: asFailure(error), isLoading: false }));
      }
    };
    setState((it) => ({ ...(it.key === key ? it : nothing), isLoading: true }));
    void ask();
    const asking = every(interval, ask);
    repeated.current = asking;
    return () => {
      asking.end();
      controller.abort();
    };
  }, [operation, key, interval, turn]);
  return {
    // What is kept is of the arguments before until the effect has run.
    ...(state.key === key ? state : nothing),
    reload: () => setTurn((it) => it + 1),
    renew: () => repeated.current?.soon(),
  };
}

interface State<T> extends Omit<Called<T>, "reload" | "renew"> {
  /** The arguments that it is of. */
  readonly key: string | undefined;
}
