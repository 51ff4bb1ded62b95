import { askStores } from "../handle/_store_for.ts";
import { checkId, checkInteger, checkOptions } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { readTexts } from "./_read_texts.ts";
import type { FoundMessage } from "./found_message.ts";

/** Options of `inspectMessage`. */
export interface InspectOptions {
  /**
   * How many characters of data and metadata to read, from 0. What is longer is cut off in the database.
   *
   * @default 1000000000, which is all
   */
  readonly textLength?: number | undefined;
}

/**
 * Reads a message by its id as the store has it: data and metadata are text, which is not parsed. So a number that
 * JavaScript would round is as it is, and of a large message the beginning can be read.
 *
 * @example
 * ```ts
 * import { findMessages, inspectMessage } from "@messagedb/client/operate";
 *
 * const { messages } = await findMessages(sql, "$all", { direction: "backward", limit: 1 });
 * for (const { id } of messages) {
 *   const message = await inspectMessage(sql, id, { textLength: 10_000 });
 *   console.log(message?.size, message?.data);
 * }
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @param id The message's id.
 * @param options How much of it to read.
 * @returns The message; null if there is none.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the id is not a UUID, or the option is of the wrong type.
 * @throws {RangeError} If the option is out of range.
 */
export async function inspectMessage(
  sql: Sql,
  id: string,
  options: InspectOptions = {},
): Promise<FoundMessage | null> {
  checkId(id);
  checkOptions(options, { textLength: true });
  const { textLength = 1_000_000_000 } = options;
  checkInteger("textLength", textLength, 0, 1_000_000_000);
  const found = await askStores(sql, (store) => readTexts(store, [id], textLength));
  return found.flat()[0] ?? null;
}
