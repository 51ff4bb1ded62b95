import type { Message } from "../../../types.ts";

/** Milliseconds. */
const FIRST_LIVE_PAUSE = 100;
const LONGEST_LIVE_PAUSE = 1000;
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
}

/**
 * Answers messages as server-sent events: what is there, then what comes.
 *
 * A page is read when the client has taken the last one. Whatever ends the stream, an EventSource comes
 * again with the id of the last event that it has seen; so trouble ends it, since a status of 500 would
 * have an EventSource give up.
 */
export function answerLive(live: LiveRead): Response {
  const { read, place, onError, signal } = live;
  const deadline = Date.now() + LIFETIME;
  const encoder = new TextEncoder();
  let { position } = live;
  let isOver = false;
  let heartbeat: ReturnType<typeof setInterval>;
  let wake = () => {};
  let close = () => {};

  function end(): void {
    if (isOver) return;
    isOver = true;
    clearInterval(heartbeat);
    // It lives on, with the gateway.
    signal?.removeEventListener("abort", end);
    wake();
    close();
  }

  function wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** The next events; undefined when it is over. */
  async function next(): Promise<string | undefined> {
    let pause = FIRST_LIVE_PAUSE;
    while (!isOver) {
      const messages = await read(position);
      if (isOver) break;
      if (messages.length > 0) {
        position = place(messages.at(-1)!) + 1;
        return messages.map((it) => `id: ${place(it)}\ndata: ${JSON.stringify(it)}\n\n`).join("");
      }
      await wait(pause);
      pause = Math.min(pause * 2, LONGEST_LIVE_PAUSE);
    }
    return undefined;
  }

  async function fail(error: unknown): Promise<undefined> {
    if (isOver) return;
    onError(error);
    // Those that come again at once would come as often as they can.
    await wait(LONGEST_LIVE_PAUSE);
    end();
  }

  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(encoder.encode("retry: 1000\n\n"));
      close = () => controller.close();
      heartbeat = setInterval(() => {
        if (Date.now() >= deadline) end();
        // Not while the client has something to take still.
        else if (controller.desiredSize! > 0) controller.enqueue(encoder.encode(":\n\n"));
      }, HEARTBEAT);
      signal?.addEventListener("abort", end);
      if (signal?.aborted) end();
    },
    pull: async (controller) => {
      const events = await next().catch(fail);
      if (events !== undefined) controller.enqueue(encoder.encode(events));
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
