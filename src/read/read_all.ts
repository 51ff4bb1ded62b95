import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkPage } from "../names/_check.ts";
import { queryMessages } from "../messages/_columns.ts";
import { readSettled } from "./_read_settled.ts";
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
   * Which way to read.
   *
   * @default "forward"
   */
  readonly direction?: Direction | undefined;
}

/**
 * Reads messages of all streams, in the order of their global positions, and loses none.
 *
 * Writers of different categories commit in any order: a message can appear behind one that was read
 * already. So a forward read never passes a missing position while a transaction that may have taken
 * it is at work. It answers what is before it, or, where that is nothing, waits for an eighth of a
 * second and then answers nothing; read on, with the same handle, at the last global position + 1. A
 * position that was rolled back settles when those who wrote when it was first missed have ended. A
 * backward read answers what is there.
 *
 * Inside a REPEATABLE READ transaction what is missing cannot settle, and on a standby neither. All of
 * it rests on the sequence of global positions as Message DB makes it: without a cache, and nobody
 * choosing positions by hand.
 *
 * @example
 * ```ts
 * import { readAll } from "@messagedb/client";
 *
 * const messages = await readAll(sql, { position: 1, batchSize: 100 });
 * ```
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param options Where to start, which way, how many.
 * @returns The messages; fewer than asked for before the end, too.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If an option is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue that is given as `messages`.
 * @throws {RangeError} If the position or the batch size is out of range.
 */
export function readAll<Output extends Message>(
  sql: Sql,
  options: ReadAllOptions & Typed<Output>,
): Promise<Output[]>;
export function readAll<Data = unknown>(
  sql: Sql,
  options?: ReadAllOptions,
): Promise<Message<Data>[]>;
export async function readAll(
  sql: Sql,
  options: ReadAllOptions & MaybeTyped = {},
): Promise<Message[]> {
  const { position, batchSize, backward } = checkPage(options);
  const parser = parserOf(options);
  if (!backward) {
    const page = await readSettled(sql, {
      position: Number(position ?? 1),
      batchSize: Number(batchSize),
      pattern: null,
    });
    return await fromStored(page.messages, parser);
  }
  return await queryMessages(sql, parser)`
    select *
    from message_store.messages
    where global_position <= coalesce(${position}::text::bigint, 9223372036854775807)
    order by global_position desc
    limit ${batchSize}::text::bigint`;
}
