import { abortable, onAbort, sleep } from "../lib/wait.ts";

/** What wakes who waits for messages. */
export interface Bell {
  /** From here on, a ring ends the next wait. */
  silence(): void;
  wait(milliseconds: number): Promise<void>;
  /** No one waits any more. */
  remove(): void;
}

/** A handle that can be told of notifications: postgres.js over TCP. */
export interface ListeningSql {
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen: () => void,
  ): Promise<{ unlisten(): Promise<unknown> }>;
}

export function canListen(sql: unknown): sql is ListeningSql {
  return typeof (sql as ListeningSql).listen === "function";
}

/** Listens to what the trigger of `install(sql, { notify: true })` says of a category, null for all. */
export async function listenForMessages(
  sql: ListeningSql,
  category: string | null,
  signal: AbortSignal,
): Promise<Bell> {
  let isRung = false;
  let sleeping = new AbortController();
  const ring = () => {
    isRung = true;
    sleeping.abort();
  };
  const onNotify = (payload: string) => {
    if (category === null || payload === category) ring();
  };
  // When it listens, too: what was written before was told to nobody.
  const listening = sql.listen("message_store", onNotify, ring);
  const unlisten = () => {
    // A connection that is lost does not listen any more, either.
    listening.then((it) => it.unlisten()).catch(() => {});
  };
  await abortable(listening, signal).catch((error) => {
    unlisten();
    throw error;
  });
  const forget = onAbort(signal, ring);
  return {
    silence: () => {
      isRung = false;
    },
    wait: async (milliseconds) => {
      if (isRung || signal.aborted) return;
      sleeping = new AbortController();
      await sleep(milliseconds, sleeping.signal);
    },
    remove: () => {
      forget();
      // Not waited for: who ends it may do so because the database does not answer.
      unlisten();
    },
  };
}
