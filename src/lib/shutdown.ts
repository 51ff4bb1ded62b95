import { onAbort } from "./wait.ts";

/** When to end. */
export interface Shutdown {
  /** Nothing new is begun any more. */
  readonly stopping: AbortSignal;
  /** What is in hand is given up. */
  readonly givingUp: AbortSignal;
}

/** An end that can be made. */
export interface ShutdownControl extends Shutdown {
  stop(): void;
  giveUp(): void;
  /** It will not be needed any more. */
  dispose(): void;
}

/** Stops when one of the signals aborts, and gives up so many milliseconds later. */
export function shutdownOn(
  signals: readonly (AbortSignal | undefined)[],
  timeout: number,
): ShutdownControl {
  const stopping = new AbortController();
  const givingUp = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  function stop(): void {
    if (stopping.signal.aborted) return;
    stopping.abort();
    timer = setTimeout(giveUp, timeout);
  }
  function giveUp(): void {
    stop();
    givingUp.abort();
  }
  const forget = signals.map((signal) => signal && onAbort(signal, stop));
  return {
    stopping: stopping.signal,
    givingUp: givingUp.signal,
    stop,
    giveUp,
    dispose: () => {
      clearTimeout(timer);
      for (const it of forget) it?.();
    },
  };
}
