import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkOptions, checkPage } from "../names/_check.ts";
import { messagesOf } from "../messages/_columns.ts";
import { readBackwardRows } from "./_read_backward_rows.ts";
import { readForward } from "./_read_forward.ts";
import type { Direction, Message, Sql } from "../types.ts";

/** Options of `readAll`. */
export interface ReadAllOptions {
  /**
   * The global position to start at, which is included.
   *
   * @default 1, or the end when reading backward
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at most, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
  /**
   * The direction to read in.
   *
   * @default "forward"
   */
  readonly direction?: Direction | undefined;
}

/**
 * Reads messages of all streams, in the order of their global positions, and loses none.
 *
 * 148 can be there while 147 is not, yet: writers of different categories take their global
 * positions in one order and commit in another. So a forward read never passes a missing position
 * while a transaction is open that may have taken it. The read returns the messages before that
 * position. If there are none, it waits for up to an eighth of a second, and returns none if the
 * position cannot settle in that time. Then read on with the same handle, at the last global
 * position + 1. A position that was rolled back settles when the transactions have ended that were
 * writing when it was first missed. A backward read returns the messages that are there.
 *
 * Inside a REPEATABLE READ or SERIALIZABLE transaction a missing position cannot settle. On a standby
 * and on a logical subscriber, a forward read goes up to what `settle` has recorded on the primary;
 * without that, it throws. All this relies on the sequence of global positions as Message DB makes it: without a
 * cache, and with no positions chosen by hand.
 *
 * @example
 * ```ts
 * import { readAll } from "@messagedb/client";
 *
 * const messages = await readAll(sql, { position: 1, batchSize: 100 });
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param options Where to start, in which direction, how many.
 * @returns The messages. There may be fewer than asked for even before the end.
 * @throws {ReplicaReadError} If a position is missing on a replica, and `settle` does not run on the primary.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If an option is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {RangeError} If the position or the batch size is out of range.
 */
export function readAll<Output extends Message>(
  sql: Sql,
  options: ReadAllOptions & Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
export function readAll<Data = unknown>(
  sql: Sql,
  options?: ReadAllOptions,
): Promise<Message<Data>[]>;
export async function readAll(
  sql: Sql,
  options: ReadAllOptions & MaybeTyped = {},
): Promise<Message[]> {
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    messages: true,
  });
  const { position, batchSize, backward } = checkPage(options);
  const parser = parserOf(options);
  if (!backward) return await readForward(sql, null, position, batchSize, parser);
  return await fromStored(messagesOf(await readBackwardRows(sql, position, batchSize)), parser);
}
