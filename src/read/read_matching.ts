import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkPage, checkPattern } from "../names/_check.ts";
import { readSettled } from "./_read_settled.ts";
import type { Message, Sql } from "../types.ts";

/** Options of `readMatching`. */
export interface ReadMatchingOptions {
  /**
   * The global position to start at, which is included.
   *
   * @default 1
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at most, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}

/**
 * Reads messages of the streams whose names match a SQL LIKE pattern, in the order of their global
 * positions, and loses none, as `readAll` does.
 *
 * In a pattern `%` is any text and `_` any one character; `\` before one of the three stands for the
 * character itself: `"order\\_item-%"` in TypeScript is the category `order_item`. The pattern is
 * matched with the whole name. As depeche_db's `read_wildcard`. A read goes through the
 * messages from its position on until it has enough, so it costs by how many it passes over: up to a
 * second for a million, where few match. The option `nameIndex` of `install` has it find those that
 * match few streams by their beginning, and then the missing positions are all that it counts: that
 * still goes by how far apart they are.
 *
 * @example The streams of two categories, and their command streams
 * ```ts
 * import { readMatching } from "@messagedb/client";
 *
 * await readMatching(sql, "account%-123");
 * ```
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param pattern The LIKE pattern.
 * @param options Where to start, how many.
 * @returns The messages; fewer than asked for before the end, too.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the pattern is no text, is empty or ends with a single `\`, or an option is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue that is given as `messages`.
 * @throws {RangeError} If the position or the batch size is out of range.
 */
export function readMatching<Output extends Message>(
  sql: Sql,
  pattern: string,
  options: ReadMatchingOptions & Typed<Output>,
): Promise<Output[]>;
export function readMatching<Data = unknown>(
  sql: Sql,
  pattern: string,
  options?: ReadMatchingOptions,
): Promise<Message<Data>[]>;
export async function readMatching(
  sql: Sql,
  pattern: string,
  options: ReadMatchingOptions & MaybeTyped = {},
): Promise<Message[]> {
  checkPattern(pattern);
  const { position, batchSize } = checkPage(options);
  const parser = parserOf(options);
  const page = await readSettled(sql, {
    position: Number(position ?? 1),
    batchSize: Number(batchSize),
    pattern,
  });
  return await fromStored(page.messages, parser);
}
