import { sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { LONGEST_PAUSE, lookAtWriters, stillOpen } from "./_look_at_writers.ts";
import type { Mark } from "./_mark.ts";
import type { SettledQuery } from "./_read_settled_page.ts";

/**
 * All gaps up to a global position, and the open transactions that may still fill one of them.
 * These gaps were first looked at together, so they settle together.
 */
interface OpenGaps {
  readonly upTo: number;
  writers: string[];
}

/**
 * What is known about the gaps of a store. Each handle has a memory of its own, for the store it
 * last read.
 *
 * A gap waits for the writers that were open at its first look. Without a memory, each call would
 * wait for the writers that are open now. While writers overlap, some are always open: no gap would
 * ever be settled.
 */
interface GapMemory {
  readonly store: string;
  /** The last message of the store at the last look. Without it, the store went back. */
  mark: Mark | null;
  /** Up to this global position no gap will be filled any more. */
  settled: number;
  /** The gaps after that position. */
  gaps: readonly OpenGaps[];
}

export const gapMemories: WeakMap<Sql, GapMemory> = new WeakMap();

/**
 * Looks at the writers until the gap is settled, the patience, in milliseconds, is used up, or the
 * signal aborts.
 *
 * @returns The position up to which all gaps are settled for the caller. Undefined if nothing can
 * be known: on a standby, or if the store is not the one that the page is from.
 */
export async function waitUntilSettled(
  sql: Sql,
  wanted: SettledQuery,
  store: string,
  gap: number,
  { patience, signal }: { patience: number; readonly signal: AbortSignal | undefined },
): Promise<number | undefined> {
  for (let pause = 1;; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const settled = await lookAndRemember(sql, wanted, store, gap);
    if (settled === undefined || settled >= gap || patience <= 0 || signal?.aborted) return settled;
    await sleep(pause, signal);
    patience -= pause;
  }
}

/** Remembers which writers are open now. Answers as `waitUntilSettled`, without waiting. */
async function lookAndRemember(
  sql: Sql,
  wanted: SettledQuery,
  store: string,
  gap: number,
): Promise<number | undefined> {
  // Calls with one handle overlap: another call may remember gaps while this call waits for the
  // answer of its statement. The writers of those gaps may have begun after that answer was made:
  // they are open, and the answer lacks them. So the answer counts only for the gaps that were
  // remembered before the statement was sent.
  const gapsBeforeLook = gapMemories.get(sql)?.gaps ?? [];
  const { writers, own, last, lastId, store: storeNow } = await lookAtWriters(sql, wanted);
  if (writers === null || storeNow !== store) return undefined;

  let memory = gapMemories.get(sql);
  if (memory?.store !== store) {
    gapMemories.set(sql, memory = { store, mark: null, settled: 0, gaps: [] });
  }
  memory.mark = lastId === null ? null : { position: last, id: lastId, store };
  for (const gaps of gapsBeforeLook) {
    gaps.writers = stillOpen(gaps.writers, writers);
  }
  if (!memory.gaps.some(({ upTo }) => upTo >= gap)) {
    memory.gaps = [...memory.gaps, { upTo: last, writers }];
  }
  return settleGaps(memory, own);
}

/**
 * Settles the gaps that no open transaction can fill.
 *
 * @returns The position up to which all gaps are settled for the transaction `own`. A gap that only
 * this transaction can fill is settled for it, because it sees its own messages. That is not
 * remembered: through the same handle, another transaction may read next.
 */
function settleGaps(memory: GapMemory, own: string): number {
  let settledForOwn = memory.settled;
  for (const { upTo, writers } of memory.gaps) {
    if (writers.length === 0) memory.settled = Math.max(memory.settled, upTo);
    if (writers.every((it) => it === own)) settledForOwn = Math.max(settledForOwn, upTo);
  }
  memory.gaps = memory.gaps.filter(({ writers }) => writers.length > 0);
  return settledForOwn;
}
