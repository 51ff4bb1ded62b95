import { isPassing } from "../handle/_retry.ts";
import { withoutTimeLimit } from "../handle/_time_limit.ts";
import { momentNow } from "../lib/share_work.ts";
import { onAbort } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { type Head, type News, readHeads, type Watched } from "./_heads.ts";

/** For how long nothing is watched after the statement was refused, in milliseconds. */
const REFUSAL = 60_000;

/** How to wait for news of sources. */
export interface Wait {
  /** The handle. All who wait on it share a watch, whatever their time limits are. */
  readonly sql: Sql;
  readonly sources: readonly Watched[];
  /** After how many milliseconds to look. Twice as many after each look without news, up to the interval. */
  readonly pause: number;
  readonly pollInterval: number;
  /** Ends the wait. */
  readonly signal: AbortSignal;
  /** Is told of an error of a look that may pass. If this throws, the wait rejects. */
  readonly onRetry?: ((error: unknown) => void) | undefined;
  /**
   * Tells whether there is news.
   *
   * @param heads The heads of the sources; undefined if nothing was committed since the look before.
   * @param store The name of the store.
   * @param askedAt When the look began, by `performance.now()`.
   */
  readonly isNews: (
    heads: readonly (Head | null)[] | undefined,
    store: string,
    askedAt: number,
  ) => boolean;
}

interface Waiter extends Wait {
  pause: number;
  /** When to look at the latest, by `performance.now()`. */
  dueAt: number;
  readonly end: () => void;
  readonly reject: (error: unknown) => void;
}

/** What all who wait on one handle share. */
interface Watch {
  readonly waiters: Set<Waiter>;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer fires, by `performance.now()`. */
  dueAt: number;
  isLooking: boolean;
  refusedUntil: number;
  /** The last answer; undefined if somebody came after it was asked for. */
  known: News | undefined;
  last: number;
}

const watches = new WeakMap<Sql, Watch>();

/**
 * Waits until a source may have news. One statement looks for all who wait on the handle. A waiter that is
 * alone is woken after its pause, and looks by its own read. If the statement fails, all waiters are woken.
 *
 * @returns When the wait ended: see `momentNow`. All who wait for the same news are woken before the
 *   first of them goes on.
 */
export function waitForNews(wait: Wait): Promise<number> {
  const handle = withoutTimeLimit(wait.sql);
  const watch = watches.get(handle) ?? newWatch();
  watches.set(handle, watch);
  const now = performance.now();
  const pause = Math.min(wait.pause, wait.pollInterval);
  return new Promise((resolve, reject) => {
    let forget = () => {};
    const waiter: Waiter = {
      ...wait,
      pause,
      dueAt: now + pause,
      reject,
      end: () => {
        forget();
        watch.waiters.delete(waiter);
        if (watch.waiters.size === 0) stop(watch);
        resolve(momentNow());
      },
    };
    watch.waiters.add(waiter);
    watch.known = undefined;
    forget = onAbort(wait.signal, () => waiter.end());
    if (watch.waiters.has(waiter)) tickAt(watch, waiter.dueAt, pause);
  });
}

function newWatch(): Watch {
  return {
    waiters: new Set(),
    timer: undefined,
    dueAt: Infinity,
    isLooking: false,
    refusedUntil: 0,
    known: undefined,
    last: 0,
  };
}

function stop(watch: Watch): void {
  clearTimeout(watch.timer);
  watch.dueAt = Infinity;
}

/** Looks at this time, unless a look is due before. */
function tickAt(watch: Watch, dueAt: number, delay = dueAt - performance.now()): void {
  if (watch.isLooking || dueAt >= watch.dueAt) return;
  clearTimeout(watch.timer);
  watch.dueAt = dueAt;
  watch.timer = setTimeout(() => {
    watch.dueAt = Infinity;
    void tick(watch, dueAt);
  }, delay);
}

function tickAgain(watch: Watch): void {
  let dueAt = Infinity;
  for (const waiter of watch.waiters) dueAt = Math.min(dueAt, waiter.dueAt);
  if (dueAt < Infinity) tickAt(watch, dueAt);
}

async function tick(watch: Watch, dueAt: number): Promise<void> {
  const waiters = [...watch.waiters];
  // Who the look was for may be gone.
  const due = waiters.filter((it) => it.dueAt <= dueAt);
  const isEachForItself = waiters.length === 1 || performance.now() < watch.refusedUntil;
  if (isEachForItself) {
    // Who waits for the same at the same time may share a read.
    const keys = new Set(due.map(keyOf));
    for (const waiter of waiters) if (keys.has(keyOf(waiter))) waiter.end();
  } else if (due.length > 0) await askForAll(watch, waiters);
  tickAgain(watch);
}

async function askForAll(watch: Watch, waiters: readonly Waiter[]): Promise<void> {
  const askedAt = performance.now();
  const places = new Map<string, number>();
  const sources: Watched[] = [];
  for (const source of waiters.flatMap((it) => it.sources)) {
    const key = String(source);
    if (places.has(key)) continue;
    places.set(key, sources.length);
    sources.push(source);
  }
  const state = watch.known?.state ?? null;
  const unknown: News = { state: "", store: "", last: 0, heads: null };
  watch.known = unknown;
  watch.isLooking = true;
  let news: News;
  try {
    news = await readHeads(waiters[0]!.sql, sources, state);
  } catch (error) {
    watch.known = undefined;
    const mayPass = isPassing(error);
    if (!mayPass) watch.refusedUntil = performance.now() + REFUSAL;
    // Each reads for itself, and has its own way with errors.
    for (const waiter of waiters) endAfter(waiter, mayPass, error);
    return;
  } finally {
    watch.isLooking = false;
  }
  // Who came meanwhile has to be told the heads next time.
  if (watch.known === unknown) watch.known = news;
  const isLess = news.last < watch.last;
  watch.last = news.last;
  for (const waiter of waiters) {
    if (!watch.waiters.has(waiter)) continue;
    const heads = news.heads ?? undefined;
    const own = heads && waiter.sources.map((source) => heads[places.get(String(source))!]!);
    if (isLess || waiter.isNews(own, news.store, askedAt)) waiter.end();
    else {
      waiter.pause = Math.min(waiter.pause * 2, waiter.pollInterval);
      waiter.dueAt = askedAt + waiter.pause;
    }
  }
}

/** Ends a wait after a look that failed. */
function endAfter(
  { end, reject, onRetry, signal }: Waiter,
  mayPass: boolean,
  error: unknown,
): void {
  try {
    if (mayPass && !signal.aborted) onRetry?.(error);
  } catch (thrown) {
    reject(thrown);
  }
  end();
}

function keyOf({ sources }: Waiter): string {
  return sources.join();
}
