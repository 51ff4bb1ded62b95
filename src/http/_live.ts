import type { Message } from "../types.ts";

/** Milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 1000;
/** Less than the ten seconds after which Bun takes a connection for dead. */
const LONGEST_SILENCE = 5000;
/** Then the client has to come again, and to be let in again. */
const LIFETIME = 300_000;

/** What a live read reads, page after page. */
export interface LiveRead {
  /** Where to start. */
  readonly position: number;
  readonly read: (position: number) => Promise<readonly Message[]>;
  /** The position of a message in what is read. */
  readonly place: (message: Message) => number;
  readonly onError: (error: unknown) => void;
  /** Ends it: the client has gone. */
  readonly signal: AbortSignal;
  readonly lifetime?: number;
}

/**
 * Answers messages as server-sent events: what is there, then what comes.
 *
 * A page is read when the client has taken the last one. Whatever ends the stream, an EventSource comes
 * again with the id of the last event that it has seen; so trouble ends it, since a status of 500 would
 * have an EventSource give up.
 */
export function answerLive(live: LiveRead): Response {
  const { read, place, onError, signal, lifetime = LIFETIME } = live;
  const deadline = Date.now() + lifetime;
  const encoder = new TextEncoder();
  let { position } = live;
  let pause = FIRST_PAUSE;
  let hasEnded = signal.aborted;
  let isCancelled = false;
  let wake = () => {};
  const end = () => {
    hasEnded = true;
    signal.removeEventListener("abort", end);
    wake();
  };
  signal.addEventListener("abort", end);

  /** The next events, or a comment for a sign of life; undefined at the end. */
  async function next(): Promise<string | undefined> {
    for (let silence = 0; !hasEnded && Date.now() < deadline; silence += pause) {
      const messages = await read(position);
      if (messages.length > 0) {
        position = place(messages.at(-1)!) + 1;
        pause = FIRST_PAUSE;
        return messages.map((it) => `id: ${place(it)}\ndata: ${JSON.stringify(it)}\n\n`).join("");
      }
      if (silence >= LONGEST_SILENCE) return ":\n\n";
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pause);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
    return undefined;
  }

  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode("retry: 1000\n\n")),
    pull: async (controller) => {
      const events = await next().catch(onError);
      if (isCancelled) return;
      if (events) return controller.enqueue(encoder.encode(events));
      end();
      controller.close();
    },
    cancel: () => {
      isCancelled = true;
      end();
    },
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      // nginx would keep events until it has a buffer full.
      "x-accel-buffering": "no",
    },
  });
}
