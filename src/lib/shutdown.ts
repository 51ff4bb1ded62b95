import { onAbort } from "./wait.ts";

/** The signals by which work ends. */
export interface Shutdown {
  /** Aborts when nothing new may be begun. */
  readonly stopping: AbortSignal;
  /** Aborts when the work in hand is given up. */
  readonly givingUp: AbortSignal;
}

/** A shutdown, and the functions that make it happen. */
export interface ShutdownControl extends Shutdown {
  stop(): void;
  giveUp(): void;
  /** Clears the timer and the listeners, when the shutdown is not needed any more. */
  dispose(): void;
}

/** Stops when one of the signals aborts, and gives up `timeout` milliseconds later. */
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
