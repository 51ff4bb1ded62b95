import { useEffect, useRef, useState } from "preact/hooks";
import type { OperationName } from "../../_api.ts";
import {
  asFailure,
  call,
  type CallAnswer,
  type CallArguments,
  type CallFailure,
  NOT_YET,
} from "./call.ts";
import { every } from "./ticker.ts";
import { useChange } from "./use_change.ts";

/** What became of a call. An answer stays while the same is asked again, and is never that of other arguments. */
export interface Called<T> {
  readonly answer: T | undefined;
  readonly failure: CallFailure | undefined;
  readonly isLoading: boolean;
  /** Asks at once: what somebody has done wants it. */
  readonly reload: () => void;
}

/**
 * Calls an operation, again when its arguments change, and every so many milliseconds.
 *
 * @param args Undefined: nothing is called.
 * @param interval Milliseconds.
 * @param known What the page knows of what is called: when it changes, the page asks again as soon as it is its turn.
 */
export function useCall<Name extends OperationName>(
  operation: Name,
  args: CallArguments<Name> | undefined,
  interval = Infinity,
  known?: string,
): Called<CallAnswer<Name>> {
  const key = args === undefined ? undefined : JSON.stringify(args);
  const nothing = { key, answer: undefined, failure: undefined, isLoading: key !== undefined };
  const [state, setState] = useState<State<CallAnswer<Name>>>(nothing);
  const [turn, setTurn] = useState(0);
  const renew = useRef((_: string | undefined) => {});
  useEffect(() => {
    if (key === undefined) return;
    const controller = new AbortController();
    const { signal } = controller;
    let again: string | undefined;
    let [asked, shown] = [0, 0];
    const ask = async () => {
      const turn = ++asked;
      try {
        const answer = await call(operation, JSON.parse(key), { signal, again });
        // An answer that was asked for later has come before.
        if (turn < shown) return;
        shown = turn;
        setState({ key, answer, failure: undefined, isLoading: false });
      } catch (error) {
        if (signal.aborted || turn < shown) return;
        if (error === NOT_YET) return asking.soon();
        setState((it) => ({ ...it, failure: asFailure(error), isLoading: false }));
      }
    };
    setState((it) => ({ ...(it.key === key ? it : nothing), isLoading: true }));
    const asking = every(interval, ask);
    void ask();
    renew.current = (known) => {
      again = known;
      asking.soon();
    };
    return () => {
      asking.end();
      controller.abort();
    };
  }, [operation, key, interval, turn]);
  useChange(known, () => renew.current(known));
  return {
    // What is kept is of the arguments before until the effect has run.
    ...(state.key === key ? state : nothing),
    reload: () => setTurn((it) => it + 1),
  };
}

interface State<T> extends Omit<Called<T>, "reload"> {
  /** The arguments that it is of. */
  readonly key: string | undefined;
}
