import type { Message } from "../types.ts";

/** Milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 1000;
/** Less than the ten seconds after which Bun takes a connection for dead. */
const HEARTBEAT = 5000;
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
  /** Ends it: the server stops. */
  readonly signal: AbortSignal | undefined;
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
  const over = new AbortController();
  let { position } = live;
  let heartbeat: ReturnType<typeof setInterval>;
  let close = () => {};

  function end(): void {
    clearInterval(heartbeat);
    signal?.removeEventListener("abort", end);
    over.abort();
    close();
  }

  /** The next events; undefined at the end. */
  async function next(): Promise<string | undefined> {
    let pause = FIRST_PAUSE;
    while (!over.signal.aborted && Date.now() < deadline) {
      const messages = await read(position);
      if (messages.length > 0) {
        position = place(messages.at(-1)!) + 1;
        return messages.map((it) => `id: ${place(it)}\ndata: ${JSON.stringify(it)}\n\n`).join("");
      }
      if (over.signal.aborted) break;
      await wait(pause, over.signal);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
    return undefined;
  }

  /** Reports it, and lets those that come again at once come less often. */
  async function fail(error: unknown): Promise<undefined> {
    if (over.signal.aborted) return;
    onError(error);
    await wait(LONGEST_PAUSE, over.signal);
  }

  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(encoder.encode("retry: 1000\n\n"));
      heartbeat = setInterval(() => {
        if (Date.now() > deadline) end();
        // Not while the client has something to take still.
        else if (controller.desiredSize! > 0) controller.enqueue(encoder.encode(":\n\n"));
      }, HEARTBEAT);
      close = () => controller.close();
      signal?.addEventListener("abort", end);
      if (signal?.aborted) end();
    },
    pull: async (controller) => {
      const events = await next().catch(fail);
      if (over.signal.aborted) return;
      if (events === undefined) end();
      else controller.enqueue(encoder.encode(events));
    },
    cancel: () => {
      close = () => {};
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

function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
