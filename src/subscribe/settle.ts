import { ReplicaReadError, StoreWentBackError } from "../errors.ts";
import { retryUntilAborted, retryWhileUnavailable } from "../handle/_retry.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { invalid } from "../lib/invalid.ts";
import { onAbort, sleep } from "../lib/wait.ts";
import { checkMilliseconds, checkOptions, checkSignal } from "../names/_check.ts";
import { LONGEST_SILENCE } from "../read/_check_replica.ts";
import { readSettled } from "../read/_read_settled.ts";
import type { Sql } from "../types.ts";
import { listenForMessages } from "./_bell.ts";
import { type Following, followPages, retryOnStandby } from "./_follow_pages.ts";
import { checkFollowing } from "./_following.ts";
import { ALL } from "./_heads.ts";
import type { Reader } from "./_reader.ts";
import { recordSettled, type Settled } from "./_record_settled.ts";
import type { FollowOptions } from "./follow_options.ts";

/** How many messages a statement looks at. None of them is sent. */
const SETTLED_BATCH = 1000;

/** How long to wait at most for news, for the next record, and before a record is repeated, in milliseconds. */
const LONGEST_WITHOUT_RECORD = LONGEST_SILENCE / 3;

/** Options of `settle`. */
export interface SettleOptions
  extends Pick<FollowOptions, "pollInterval" | "notify" | "answerTimeout" | "onRetry"> {
  /** Ends it, without an error. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How long to wait at least between two records, in milliseconds, from 0 to 10,000, as for `pollInterval`:
   * after 30 seconds without a record, a replica reports a standstill. A message comes that much later on a
   * replica. Each record is a message in the store.
   *
   * @default 100
   */
  readonly interval?: number | undefined;
}

/**
 * Lets replicas read all messages: records on the primary, until the signal aborts, up to which global
 * position everything is settled.
 *
 * 148 can be there while 147 is not, yet, and only the primary can tell whether 147 will come. So this reads
 * `"$all"` of the primary as `readAll` does, and writes the last position that it has passed to the stream
 * `$all:settled-all`. The record comes to each standby and each logical subscriber after all messages up to
 * that position, because a replica gets commits in their order. There `readAll`, `readMatching`, `iterateAll`,
 * `iterateMatching` and `subscribe` to `"$all"` read up to the last record.
 *
 * Run it once beside each primary. A second process does no harm: it counts the records of the first as its
 * own, and takes over if the first is gone. While nobody writes messages but those that this library writes for
 * itself, nothing is recorded. While messages wait for a transaction that is open, the last record is repeated
 * every ten seconds: so replicas know that somebody looks.
 *
 * The first time, it reads through the whole store, without fetching the messages. If the first statement
 * fails, its error is thrown. After that, trouble that passes is retried, and after a failover it goes on at
 * the last record that the new primary has.
 *
 * @example
 * ```ts
 * import { settle } from "@messagedb/client";
 *
 * await settle(sql, { signal: AbortSignal.timeout(500) });
 * ```
 *
 * @param sql The handle of the primary.
 * @param options When to end, and how often to record.
 * @returns Nothing, when the signal has aborted.
 * @throws {ReplicaReadError} If the server is a standby or a logical subscriber, from the start on.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If an option is of the wrong type, or the handle cannot listen.
 * @throws {RangeError} If an option is out of range.
 */
export async function settle(sql: Sql, options: SettleOptions = {}): Promise<void> {
  checkOptions(options, {
    signal: true,
    interval: true,
    pollInterval: true,
    notify: true,
    answerTimeout: true,
    onRetry: true,
  });
  const { signal, interval = 100 } = options;
  checkSignal(signal);
  checkMilliseconds("interval", interval, 0);
  const { listener, ...checked } = checkFollowing(sql, options);
  checkPause("interval", interval);
  checkPause("pollInterval", checked.pollInterval);
  const limited = withTimeLimit(sql, checked.answerTimeout);
  const ending = new AbortController();
  const forget = signal && onAbort(signal, () => ending.abort());
  const following: Following = {
    ...checked,
    sql: limited,
    watched: ALL,
    signal: ending.signal,
    server: { wasPrimary: false },
  };
  let bell;
  try {
    for (let isFirst = true; !ending.signal.aborted; isFirst = false) {
      const begin = () =>
        retryWhileUnavailable(() => findSettled(limited), { ...following, isFirst });
      const last = await retryOnStandby(begin, following);
      if (listener) bell ??= await listenForMessages(listener, null, ending.signal);
      try {
        await settleFrom(last, { ...following, isFirst: false, bell }, interval);
      } catch (error) {
        if (!(error instanceof StoreWentBackError)) throw error;
        checked.onRetry?.(error);
      }
    }
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    forget?.();
    ending.abort();
    bell?.remove();
  }
}

function checkPause(name: string, pause: number): void {
  if (pause <= LONGEST_WITHOUT_RECORD) return;
  throw invalid(
    name,
    pause,
    `at most ${LONGEST_WITHOUT_RECORD}, so that replicas see no standstill`,
    RangeError,
  );
}

async function findSettled(sql: Sql): Promise<Settled> {
  const last = await recordSettled(sql, null);
  if (last.replica !== null) throw settledHere(last.replica);
  return last;
}

function settledHere(replica: NonNullable<Settled["replica"]>): ReplicaReadError {
  const what = replica === "standby" ? "it is a standby" : "a subscription writes the messages";
  return new ReplicaReadError(
    replica,
    `Cannot tell what is settled on this server: ${what}: run settle() with a handle of the primary`,
  );
}

/**
 * Records what is settled after the last record, until the signal aborts or the store is another one.
 *
 * A record is true where it is written: the last record comes from the store itself, all that was read since
 * comes from the same run of its server, and so does the next record. What is settled there stays settled. A
 * standby that is promoted, or a restored backup, is another run, even if it has all messages: what was read
 * before is forgotten then. The records that it has are true there, because all that was committed before
 * them is there as well, and its sequence is behind no position that was given before.
 */
async function settleFrom(last: Settled, following: Following, interval: number): Promise<void> {
  const { sql, signal } = following;
  const { store } = last;
  let { settled: recorded, version } = last;
  let recordedAt = -Infinity;
  /** Whether an application has written since the last record. */
  let hasNews = false;
  let isDue = false;
  const read: Reader["read"] = async (position, mark = null) => {
    const wanted = {
      position,
      batchSize: SETTLED_BATCH,
      pattern: null,
      filter: { types: [] },
      mark,
    };
    const page = await readSettled(sql, wanted, { patience: 0, signal });
    if (page.replica !== null) throw settledHere(page.replica);
    // What is behind an open gap is not known if the page is full.
    const isQuiet = page.isQuiet && (page.isSettled || page.count < SETTLED_BATCH);
    // No message is sent. What was passed counts: the next pause is short.
    return { ...page, isQuiet, length: page.mark?.position === mark?.position ? 0 : 1 };
  };
  const start = { position: recorded + 1, mark: null };
  for await (const page of followPages(read, start, { ...following, isDue: () => isDue })) {
    const { mark = null, isSettled, isQuiet } = page;
    if (mark !== null && mark.store !== store) return;
    const position = Math.max(mark?.position ?? 0, recorded);
    hasNews ||= !isQuiet;
    isDue = hasNews && position > recorded;
    const age = performance.now() - recordedAt;
    const isRepeated = !isSettled && !isQuiet && age >= LONGEST_WITHOUT_RECORD;
    if (isDue && age >= interval || isRepeated) {
      const record = { position, store, version };
      const before = await retryUntilAborted(() => recordSettled(sql, record), following);
      if (before?.store !== store) return;
      // The record of another process counts as one of this process.
      recorded = before.version === version ? position : before.settled;
      version = before.recorded ?? before.version;
      recordedAt = performance.now();
      hasNews = isDue = hasNews && position > recorded;
    } else if (isDue && page.atEnd) await sleep(interval - age, signal);
  }
}
