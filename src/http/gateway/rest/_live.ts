import { StoreWentBackError } from "../../../errors.ts";
import { withTimeLimit } from "../../../handle/_time_limit.ts";
import { beginWork, workSince } from "../../../lib/share_work.ts";
import { onAbort, sleep, unlessAborted } from "../../../lib/wait.ts";
import type { Mark } from "../../../read/_mark.ts";
import type { Page } from "../../../read/_page.ts";
import type { Watched } from "../../../subscribe/_heads.ts";
import { seenHeadOf } from "../../../subscribe/_seen_head.ts";
import { waitForNews } from "../../../subscribe/_watch.ts";
import type { Message, Sql } from "../../../types.ts";
import type { Followers, LivePage } from "../_gateway.ts";
import { tooManyFollowers } from "../_problem.ts";

// All in milliseconds.
const FIRST_LIVE_PAUSE = 100;
const LONGEST_LIVE_PAUSE = 1000;
/** One look answers for all live reads: without a limit, a look without an answer would hold them all. */
const LOOK_TIMEOUT = 30_000;
/** Shorter than ten seconds, because Bun takes a connection for dead after ten seconds without data. */
const HEARTBEAT_INTERVAL = 5000;
/** After this time the client has to connect again, so that `authorize` is asked again. */
const LIVE_LIFETIME = 300_000;

/** What a live read reads, page after page. */
export interface LiveRead {
  /** Says what is read, apart from where: live reads of the same messages have the same key. */
  readonly key: string;
  /** Where to start. */
  readonly position: number;
  /** The last message that the client has seen, if there is one. */
  readonly mark?: Mark | null;
  readonly read: (position: number, mark: Mark | null) => Promise<Page>;
  /** The handle, and what to watch there for new messages. */
  readonly sql: Sql;
  readonly watched: Watched;
  /** The position of a message, as `read` counts positions: in its stream, or global. */
  readonly place: (message: Message) => number;
  readonly onError: (error: unknown) => void;
  /** Ends the live read, because the server stops. */
  readonly signal: AbortSignal | undefined;
  readonly followers: Followers;
  readonly maxFollowers: number;
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
  takePlace(live, ended.signal);
  const pages = readLive(live, ended.signal);
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      sendText(controller, "retry: 1000\n\n");
      beatUntilLifetimeEnds(controller, ended);
      endWithSignal(live.signal, controller, ended);
    },
    pull: async (controller) => {
      try {
        const { value: events } = await pages.next();
        if (events) sendText(controller, events);
      } catch (error) {
        if (ended.signal.aborted) return;
        live.onError(error);
        if (error instanceof StoreWentBackError) sendText(controller, WENT_BACK);
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
      // Without no-transform, a compressor keeps events until they fill a block: Express's compression() does.
      "cache-control": "no-store, no-transform",
      // Without this, nginx keeps events until they fill a buffer.
      "x-accel-buffering": "no",
    },
  });
}

/** Counts a live read until it ends. */
function takePlace({ followers, maxFollowers }: LiveRead, ended: AbortSignal): void {
  if (followers.count >= maxFollowers) throw tooManyFollowers(maxFollowers);
  followers.count++;
  onAbort(ended, () => followers.count--);
}

/**
 * Yields the events of each page that has messages. Reads on from the end of each page, also of one that has none:
 * the statement has looked at all that it left out. Pauses after a page that is the end and has no messages.
 */
async function* readLive(
  { key, position, mark = null, read, place, sql, watched, followers }: LiveRead,
  ended: AbortSignal,
): AsyncGenerator<string, void> {
  let next = position;
  let passed = mark;
  let pause = FIRST_LIVE_PAUSE;
  // Many come at once when a server starts: they share the first read, too.
  let newsAt = 0;
  const seen = seenHeadOf({ position, mark });
  while (!ended.aborted) {
    const [from, after] = [next, passed];
    const of = JSON.stringify([from, after?.id ?? null, key]);
    const { reads } = followers;
    const reading = workSince(reads, of, newsAt) ??
      beginWork(reads, of, async () => withEvents(await read(from, after), place));
    const page = await unlessAborted(reading, ended);
    if (page === undefined || ended.aborted) return;
    next = page.next;
    passed = page.mark ?? null;
    seen.moveTo(page);
    if (page.length > 0) {
      pause = FIRST_LIVE_PAUSE;
      yield page.events;
    } else if (page.atEnd) {
      // Before an open gap, the next message may be there already.
      if (page.isSettled === false) await sleep(pause, ended);
      else {
        const { isNews } = seen;
        const pollInterval = LONGEST_LIVE_PAUSE;
        const sources = [watched];
        const limited = withTimeLimit(sql, LOOK_TIMEOUT);
        const wait = { sql: limited, sources, pause, pollInterval, signal: ended, isNews };
        newsAt = await waitForNews(wait);
      }
      pause = Math.min(pause * 2, LONGEST_LIVE_PAUSE);
    }
  }
}

function withEvents({ messages, ...page }: Page, place: LiveRead["place"]): LivePage {
  let events = "";
  for (const it of messages()) events += `id: ${place(it)}\ndata: ${JSON.stringify(it)}\n\n`;
  return { ...page, events };
}

/**
 * Tells the client that the store went back. The empty id makes an EventSource forget the last one, which is of
 * a message that is gone: so it begins again where its address says.
 */
const WENT_BACK = 'id\nevent: store-went-back\ndata: {"code":"STORE_WENT_BACK"}\n\n';

type EventController = ReadableStreamDefaultController<Uint8Array>;

const encoder = new TextEncoder();

function sendText(controller: EventController, text: string): void {
  controller.enqueue(encoder.encode(text));
}

/** Sends heartbeats until the lifetime is over. Then this ends the stream. */
function beatUntilLifetimeEnds(controller: EventController, ended: AbortController): void {
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
