import type { Sql } from "@messagedb/client";

/** Why a read of all messages may end before the last one. */
export const HELD_BACK = "because a transaction that is open may write before them: " +
  '"messagedb doctor" shows it';

/**
 * Looks where the last message is. A read of the selection that begins after that is whole if it comes there: the
 * result answers for the last global position that was read. Messages that are written meanwhile do not count.
 */
export async function rememberLast(
  sql: Sql,
  selection: string,
): Promise<(reached: number) => Promise<boolean>> {
  // Writers of a category wait for each other, so nothing holds back a category or a stream.
  if (selection !== "$all") return () => Promise.resolve(true);
  const last = await lastPositionUpTo(sql, undefined);
  // The last message may be deleted meanwhile: what counts is one that is there and was not read.
  return async (reached) => reached >= last || await lastPositionUpTo(sql, last) <= reached;
}

/** The global position of the last message up to a position; 0 if there is none. */
async function lastPositionUpTo(sql: Sql, position: number | undefined): Promise<number> {
  const { readAll } = await import("@messagedb/client");
  const [last] = await readAll(sql, { direction: "backward", position, batchSize: 1 });
  return last?.globalPosition ?? 0;
}
