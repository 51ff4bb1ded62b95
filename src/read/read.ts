import type { MaybeTyped } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import { checkName, checkOptions } from "../names/_check.ts";
import { readAll } from "./read_all.ts";
import { readCategory } from "./read_category.ts";
import type { ReadCategoryOptions } from "./read_options.ts";
import { readStream } from "./read_stream.ts";
import { isCategory } from "../names/stream_name.ts";
import type { Message, Sql } from "../types.ts";

/** Options of `read`: those of `readAll`, `readStream` or `readCategory`. */
export interface ReadOptions extends ReadCategoryOptions {
  /**
   * The position to start at, which is included: for a stream the position in it, otherwise a
   * global position.
   *
   * @default the beginning, or the end when reading backward
   */
  readonly position?: number | undefined;
}

/**
 * Reads messages of all streams (`"$all"`), of a stream (`"account-123"`) or of a category
 * (`"account"`).
 *
 * As message-db-py's `read`. The name decides between `readAll`, `readStream` and `readCategory`.
 *
 * @example
 * ```ts
 * import { read } from "@messagedb/client";
 *
 * await read(sql, "account-123", { batchSize: 10 });
 * await read(sql, "$all");
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param name `"$all"`, a stream or a category.
 * @param options Where to start, in which direction, how many. Options that are only for a category
 * are refused for another name.
 * @returns The messages; an empty array if there are none.
 * @throws {ConditionNotActivatedError} If there is a condition and the server does not allow it.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not one of these, or an option is of the wrong type or not for
 * this name.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {RangeError} If an option is out of range.
 */
export function read<Output extends Message>(
  sql: Sql,
  name: string,
  options: ReadOptions & Typed<Output>,
): Promise<Output[]>;
/** Reads messages without a catalogue: nothing checks `data`. */
export function read<Data = unknown>(
  sql: Sql,
  name: string,
  options?: ReadOptions,
): Promise<Message<Data>[]>;
export async function read(
  sql: Sql,
  name: string,
  options: ReadOptions & MaybeTyped = {},
): Promise<Message[]> {
  checkName("name", name);
  checkOptions(options, {
    position: true,
    batchSize: true,
    direction: true,
    condition: true,
    correlation: true,
    consumerGroup: true,
    messages: true,
  });
  const all = name === "$all";
  if (!all && isCategory(name)) return await readCategory(sql, name, options);
  for (const option of ["correlation", "consumerGroup", "condition"] as const) {
    if (options[option] !== undefined && (all || option !== "condition")) {
      throw invalid(
        option,
        options[option],
        `left out when reading ${all ? '"$all"' : "a stream"}`,
      );
    }
  }
  const { correlation: _correlation, consumerGroup: _group, ...ofStream } = options;
  if (!all) return await readStream(sql, name, ofStream);
  const { condition: _condition, ...ofAll } = ofStream;
  return await readAll(sql, ofAll);
}
