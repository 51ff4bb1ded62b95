import { onAbort, sleep } from "../../../lib/wait.ts";
import type { Message } from "../../../types.ts";

// All in milliseconds.
const FIRST_LIVE_PAUSE = 100;
const LONGEST_LIVE_PAUSE = 1000;
/** Shorter than ten seconds, because Bun takes a connection for dead after ten seconds without data. */
const HEARTBEAT_INTERVAL = 5000;
/** After this time the client has to connect again, so that `authorize` is asked again. */
const LIVE_LIFETIME = 300_000;

/** What a live read reads, page after page. */
export interface LiveRead {
  /** Where to start. */
  readonly position: number;
  readonly read: (position: number) => Promise<readonly Message[]>;
  /** The position of a message, as `read` counts positions: in its stream, or global. */
  readonly place: (message: Message) => number;
  readonly onError: (error: unknown) => void;
  /** Ends the live read, because the server stops. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Answers messages as server-sent events: first the stored messages, then new messages as they come.
 *
 * The next page is read when the client has taken the last one. Whatever ends the stream, an EventSource
 * connects again, with the id of the last event that it has seen. So an error ends the stream too: a
 * status of 500 would make an EventSource give up.
 */
export function answerLive(live: LiveRead): Response {
  const ended = new AbortController();
  const pages = readLive(live, ended.signal);
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      sendText(controller, "retry: 1000\n\n");
      keepAlive(controller, ended);
      endWithSignal(live.signal, controller, ended);
    },
    pull: async (controller) => {
      try {
        const { value: messages } = await pages.next();
        if (messages) sendText(controller, eventsOf(messages, live.place));
      } catch (error) {
        if (ended.signal.aborted) return;
        live.onError(error);
        // Without this, a client that connects again at once would do so as often as it can.
        await sleep(LONGEST_LIVE_PAUSE, ended.signal);
        end(controller, ended);
      }
    },
    cancel: () => ended.abort(),
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      // Without this, nginx keeps events until they fill a buffer.
      "x-accel-buffering": "no",
    },
  });
}

/** Yields each page that has messages. Pauses before it reads again after a page without messages. */
async function* readLive(
  { position, read, place }: LiveRead,
  ended: AbortSignal,
): AsyncGenerator<readonly Message[], void> {
  let next = position;
  let pause = FIRST_LIVE_PAUSE;
  while (!ended.aborted) {
    const messages = await read(next);
    if (ended.aborted) return;
    if (messages.length === 0) {
      await sleep(pause, ended);
      pause = Math.min(pause * 2, LONGEST_LIVE_PAUSE);
      continue;
    }
    next = place(messages.at(-1)!) + 1;
    pause = FIRST_LIVE_PAUSE;
    yield messages;
  }
}

function eventsOf(messages: readonly Message[], place: LiveRead["place"]): string {
  return messages.map((it) => `id: ${place(it)}\ndata: ${JSON.stringify(it)}\n\n`).join("");
}

type EventController = ReadableStreamDefaultController<Uint8Array>;

const encoder = new TextEncoder();

function sendText(controller: EventController, text: string): void {
  controller.enqueue(encoder.encode(text));
}

/** Sends heartbeats until the lifetime is over. Then this ends the stream. */
function keepAlive(controller: EventController, ended: AbortController): void {
  const deadline = Date.now() + LIVE_LIFETIME;
  const timer = setInterval(() => {
    if (Date.now() >= deadline) end(controller, ended);
    // A client that has not taken the last events yet needs no heartbeat.
    else if (controller.desiredSize! > 0) sendText(controller, ":\n\n");
  }, HEARTBEAT_INTERVAL);
  onAbort(ended.signal, () => clearInterval(timer));
}

function endWithSignal(
  signal: AbortSignal | undefined,
  controller: EventController,
  ended: AbortController,
): void {
  if (signal === undefined) return;
  const forget = onAbort(signal, () => end(controller, ended));
  // The signal lives as long as the gateway, so no listener of this stream may stay there.
  onAbort(ended.signal, forget);
}

/** Closes the stream from this side. A client that cancels the stream has closed it already. */
function end(controller: EventController, ended: AbortController): void {
  if (ended.signal.aborted) return;
  ended.abort();
  try {
    controller.close();
  } catch {
    // The stream has failed already. The other streams that end with this signal have to end too.
  }
}
