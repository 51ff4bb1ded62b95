/** The callbacks of each signal. A signal has one listener for all of them: Node warns of more than ten. */
const callbacksBySignal = new WeakMap<AbortSignal, Set<() => void>>();

function callAll({ target }: Event): void {
  // A copy, because a callback may take itself or others back.
  for (const callback of [...callbacksBySignal.get(target as AbortSignal)!]) callback();
}

/**
 * Calls back when the signal aborts, or at once if the signal has aborted.
 *
 * @returns A function that takes the callback back.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) {
    callback();
    return () => {};
  }
  const callbacks = callbacksBySignal.get(signal) ?? new Set();
  if (callbacks.size === 0) {
    callbacksBySignal.set(signal, callbacks);
    signal.addEventListener("abort", callAll);
  }
  callbacks.add(callback);
  return () => {
    callbacks.delete(callback);
    if (callbacks.size === 0) signal.removeEventListener("abort", callAll);
  };
}

/** Resolves after the milliseconds, or as soon as the signal aborts. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let forget: (() => void) | undefined;
    const end = () => {
      clearTimeout(timer);
      forget?.();
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    if (signal) forget = onAbort(signal, end);
  });
}

/** Waits until a statement that was begun is sent: a driver may send it in a later turn of the event loop. */
export function letSend(): Promise<void> {
  // A channel takes less time than a timer, which takes a millisecond. Some runtimes have no channel.
  if (typeof MessageChannel === "undefined") return sleep(0);
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => resolve(port1.close());
    port2.postMessage(null);
  });
}

/** Waits for the work. Rejects with the signal's reason as soon as the signal aborts. */
export async function abortable<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return await work;
  let forget: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    forget = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    forget?.();
  }
}

/** What the work resolves to; undefined if the signal aborts before. */
export async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
): Promise<T | undefined> {
  try {
    return await abortable(work, signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    return undefined;
  }
}

/** The delay before the next attempt, in milliseconds. It doubles, and a random part keeps clients apart. */
export function backoff(attempt: number, first: number, longest: number): number {
  return Math.min(first * 2 ** (attempt - 1), longest) * (0.5 + Math.random() / 2);
}
