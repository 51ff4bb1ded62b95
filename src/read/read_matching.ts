import { storeFor } from "../handle/_store_for.ts";
import { patternScope } from "../names/_pattern_scope.ts";
import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkOptions, checkPage, checkPattern } from "../names/_check.ts";
import { readForward } from "./_read_forward.ts";
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
 * positions, and loses none: see `readAll`.
 *
 * As depeche_db's `read_wildcard`. In a pattern `%` stands for any text and `_` for any one
 * character. A `\` before `%`, `_` or `\` makes it stand for itself: `"order\\_item-%"` in
 * TypeScript is the category `order_item`. The pattern must match the whole name.
 *
 * A read goes through the messages from its position on until it has enough. So it costs by how
 * many messages it skips: up to a second for a million, if few match. With the option `nameIndex`
 * of `install`, a pattern that begins with text and matches few streams is found by that beginning.
 * Then the read costs by how far apart the messages are, because it still counts the positions
 * between them.
 *
 * @example The streams of two categories, and their command streams
 * ```ts
 * import { readMatching } from "@messagedb/client";
 *
 * await readMatching(sql, "account%-123");
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param pattern The LIKE pattern.
 * @param options Where to start, how many.
 * @returns The messages. There may be fewer than asked for even before the end.
 * @throws {ReplicaReadError} If a position is missing on a replica, and `settle` does not run on the primary.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the pattern is not text, is empty or ends with a single `\`, or an option
 * is of the wrong type.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {RangeError} If the position or the batch size is out of range.
 */
export function readMatching<Output extends Message>(
  sql: Sql,
  pattern: string,
  options: ReadMatchingOptions & Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
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
  checkOptions(options, { position: true, batchSize: true, messages: true });
  const { position, batchSize } = checkPage(options);
  return await readForward(
    storeFor(sql, patternScope(pattern)),
    pattern,
    position,
    batchSize,
    parserOf(options),
  );
}
