import { checkInteger, checkName, checkOptions } from "../names/_check.ts";
import type { Message, Sql } from "../types.ts";
import { iterateSelection } from "./_iterate_selection.ts";

/** Options of `exportMessages`. */
export interface ExportOptions {
  /**
   * The position of the first message, which is included: for a stream the position in it, otherwise a
   * global position.
   *
   * @default the beginning
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at once, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}

/**
 * Exports messages as lines of NDJSON: a backup, or a copy by a file.
 *
 * Each line is a message as JSON, with its id, stream, type, position, global position, data, metadata and
 * time, and ends with a line feed. `importMessages` takes the lines back, with or without the line feeds.
 *
 * Messages are read page by page, as the iterators read them: no message is lost beside writers, and the
 * export ends at the current end. No more than two pages are held. Positions of consumers can be imported
 * from an export of `"$all"` only. Numbers have 15 digits, as JavaScript has them, and times milliseconds.
 *
 * @example Into a file
 * ```ts
 * import { exportMessages } from "@messagedb/client/operate";
 * import { createWriteStream } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { pipeline } from "node:stream/promises";
 *
 * await pipeline(exportMessages(sql, "$all"), createWriteStream(`${tmpdir()}/store.ndjson`));
 * ```
 *
 * @param sql The handle.
 * @param selection What to export: all messages (`"$all"`), a category (`"account"`) or a stream
 * (`"account-123"`).
 * @param options Where to start, and how many messages a page.
 * @returns The lines. The iteration throws what `readAll`, `readCategory` and `readStream` throw.
 * @throws {TypeError} If the selection is no name, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export function exportMessages(
  sql: Sql,
  selection: string,
  options: ExportOptions = {},
): AsyncGenerator<string, void, undefined> {
  checkName("selection", selection);
  checkOptions(options, { position: true, batchSize: true });
  const { position, batchSize = 1000 } = options;
  if (position !== undefined) checkInteger("position", position, 0);
  checkInteger("batchSize", batchSize, 1);
  return linesOf(iterateSelection(sql, selection, { position, batchSize }));
}

async function* linesOf(
  messages: AsyncGenerator<Message, void, undefined>,
): AsyncGenerator<string, void, undefined> {
  for await (const message of messages) {
    // Many programs take these two for ends of lines, as node:readline does.
    const line = JSON.stringify(message).replaceAll("\u2028", "\\u2028").replaceAll(
      "\u2029",
      "\\u2029",
    );
    yield `${line}\n`;
  }
}
