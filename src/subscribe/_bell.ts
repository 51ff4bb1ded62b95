import { ownOf } from "../handle/_statement.ts";
import { momentNow } from "../lib/share_work.ts";
import { abortable } from "../lib/wait.ts";
import type { Sql } from "../types.ts";

/** Rings when a message has been written, so that a reader does not wait for its next poll. */
export interface Bell {
  /** Forgets the rings until now. */
  reset(): void;
  /** Rings, and so ends a pause. */
  ring(): void;
  /** Aborts at a ring. It has aborted if there was a ring since the last `reset`. */
  readonly ringing: AbortSignal;
  /** When it rang last; 0 if it has not: see `momentNow`. */
  readonly rangAt: number;
  /** Stops listening. */
  remove(): void;
}

/** A handle that can receive notifications: postgres.js over TCP. */
export interface ListeningSql extends Sql {
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen: () => void,
  ): Promise<{ unlisten(): Promise<unknown> }>;
}

/**
 * Listens for the notifications of the trigger that `install(sql, { notify: true })` creates.
 *
 * @param category The category whose messages ring; null for all messages.
 * @param signal Ends the start of the listening.
 */
export async function listenForMessages(
  sql: ListeningSql,
  category: string | null,
  signal: AbortSignal,
): Promise<Bell> {
  let ringing = new AbortController();
  let rangAt = 0;
  const ring = () => {
    rangAt = momentNow();
    ringing.abort();
  };
  const onNotify = (payload: string) => {
    if (category === null || payload === category) ring();
  };
  // Each new LISTEN rings too: the connection may have missed notifications until then.
  const listening = sql.listen(ownOf(sql)?.schema ?? "message_store", onNotify, ring);
  const unlisten = () => {
    // Not awaited: the caller may stop because the database does not answer. An error of a lost connection
    // is no news, because such a connection does not listen any more.
    listening.then((it) => it.unlisten()).catch(() => {});
  };
  await abortable(listening, signal).catch((error) => {
    unlisten();
    throw error;
  });
  return {
    ring,
    reset: () => {
      // Only after a ring, which has ended each wait: a wait that goes on must hear the next ring.
      if (ringing.signal.aborted) ringing = new AbortController();
    },
    get ringing() {
      return ringing.signal;
    },
    get rangAt() {
      return rangAt;
    },
    remove: unlisten,
  };
}
