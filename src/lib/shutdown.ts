import { onAbort } from "./wait.ts";

/** When to end. */
export interface Ending {
  /** Nothing new is begun any more. */
  readonly stopping: AbortSignal;
  /** What is in hand is given up. */
  readonly over: AbortSignal;
}

/** An end that can be made. */
export interface MadeEnding extends Ending {
  stop(): void;
  giveUp(): void;
  /** It will not be needed any more. */
  dispose(): void;
}

/** Stops when one of the signals aborts, and gives up so many milliseconds later. */
export function endingOf(
  signals: readonly (AbortSignal | undefined)[],
  timeout: number,
): MadeEnding {
  const stopping = new AbortController();
  const over = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  function stop(): void {
    if (stopping.signal.aborted) return;
    stopping.abort();
    timer = setTimeout(giveUp, timeout);
  }
  function giveUp(): void {
    stop();
    over.abort();
  }
  const forget = signals.map((signal) => signal && onAbort(signal, stop));
  return {
    stopping: stopping.signal,
    over: over.signal,
    stop,
    giveUp,
    dispose: () => {
      clearTimeout(timer);
      for (const it of forget) it?.();
    },
  };
}
