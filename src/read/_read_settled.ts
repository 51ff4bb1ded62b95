import { safeInteger } from "../messages/_columns.ts";
import type { Message, Sql } from "../types.ts";
import { lookAtWriters } from "./_look_at_writers.ts";
import { readScannedPage, type ScannedPage, type SettledQuery } from "./_read_settled_page.ts";

/** A page of the whole store, or of the streams that match a pattern. */
export interface SettledPage<Data> {
  readonly messages: Message<Data>[];
  /** Where to read on: behind what was left out, too. */
  readonly next: number;
  /** Whether there was no more when the page was read, so far as it is settled. */
  readonly atEnd: boolean;
  /** Whether nothing behind it waits for a position that is missing. */
  readonly isSettled: boolean;
  /** Whether all that was read, with what was left out, is what consumers write. */
  readonly isQuiet: boolean;
}

/**
 * Reads forward across categories without ever passing a message that is yet to commit.
 *
 * A writer takes a global position before it commits, so 148 can be there while 147 is not, yet.
 * Every writer holds a RowExclusiveLock on the table from before it takes a position until its
 * transaction has ended. So where positions are missing in a page, those who hold that lock now may
 * have taken them; when all of these have ended, what a later statement does not find will never be.
 * No time decides that: while they are at work, the page ends before the first missing position.
 */
export async function readSettled<Data>(
  sql: Sql,
  wanted: SettledQuery,
): Promise<SettledPage<Data>> {
  const known = memories.get(sql);
  let page = await readScannedPage<Data>(sql, wanted, known?.settled ?? 0);
  // What is known is of one store, and newer than a snapshot that is the transaction's.
  if (known && (page.store !== known.store || page.snapshot !== null)) {
    page = await readScannedPage<Data>(sql, wanted, 0);
  }
  if (page.gap !== null) {
    const wait = beforeGap(page).length === 0;
    const patience = wait ? wanted.patience ?? 127 : 0;
    const settled = await waitUntilSettled(sql, { ...wanted, patience }, page.store, page.gap);
    if (settled >= page.gap) {
      const again = await readScannedPage<Data>(sql, wanted, settled);
      const isNewer = page.snapshot === null || page.snapshot !== again.snapshot;
      if (isNewer && page.store === again.store) page = again;
    }
  }
  const { gap, count, last, isQuiet } = page;
  const next = gap ?? (last === null ? wanted.position : safeInteger(last) + 1);
  const messages = beforeGap(page);
  const atEnd = gap === null ? count < wanted.batchSize : messages.length === 0;
  return { messages, next, atEnd, isSettled: gap === null, isQuiet };
}

function beforeGap<Data>({ messages, gap }: ScannedPage<Data>): Message<Data>[] {
  return gap === null ? messages : messages.filter((it) => it.globalPosition < gap);
}

/** The writers that were at work when the positions up to `last` had been taken, less who ended. */
interface Look {
  readonly last: number;
  writers: string[];
}

/**
 * What was seen through a handle. Without it each call would look anew, and writers who overlap would
 * never all have ended.
 */
interface Memory {
  readonly store: string;
  /** The global position up to which no message can appear any more. */
  settled: number;
  looks: Look[];
}

const memories = new WeakMap<Sql, Memory>();

/** The position up to which nothing is open for this transaction, as far as it has to wait for it. */
async function waitUntilSettled(
  sql: Sql,
  wanted: SettledQuery & { readonly patience: number },
  store: string,
  gap: number,
): Promise<number> {
  let { patience } = wanted;
  for (let delay = 1;; delay = Math.min(delay * 2, 128)) {
    // Answers may overtake each other: this one says nothing of a look that is taken meanwhile.
    const earlier = new Set(memories.get(sql)?.looks);
    const { writers, own, ...now } = await lookAtWriters(sql, wanted);
    if (now.store !== store || writers === null) return 0;

    let seen = memories.get(sql);
    if (seen?.store !== store) memories.set(sql, seen = { store, settled: 0, looks: [] });
    for (const look of seen.looks) {
      // A transaction that is prepared goes on under another name.
      const goesOn = (it: string) => look.writers.includes(it) || it.startsWith("-1/");
      if (earlier.has(look)) look.writers = writers.filter(goesOn);
    }
    if (!seen.looks.some((look) => look.last >= gap)) seen.looks.push({ last: now.last, writers });

    let settled = seen.settled;
    for (const { last, writers } of seen.looks) {
      if (writers.length === 0) seen.settled = Math.max(seen.settled, last);
      // What a transaction has taken itself, it sees.
      if (writers.every((it) => it === own)) settled = Math.max(settled, last);
    }
    seen.looks = seen.looks.filter(({ writers }) => writers.length > 0);
    if (settled >= gap || patience <= 0) return settled;
    await new Promise((resolve) => setTimeout(resolve, delay));
    patience -= delay;
  }
}
