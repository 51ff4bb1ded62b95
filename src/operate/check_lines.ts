import { invalid } from "../lib/invalid.ts";
import { parseLine } from "../write/_import_line.ts";
import { encodeRow } from "../write/_import_row.ts";
import type { ImportedMessage } from "../write/imported_message.ts";

/** A line that is checked: a message, or what is wrong with the line. */
export type CheckedLine =
  | { readonly line: number; readonly message: ImportedMessage; readonly problem: null }
  | { readonly line: number; readonly message: null; readonly problem: string };

/**
 * Checks lines as `importMessages` does before it writes them, and asks no store.
 *
 * `importMessages` ends at the first line that it cannot use. This function goes on, so that all of them can be
 * mended at once. Whether the store has a message, and whether positions can be translated, only the import
 * itself finds out.
 *
 * @example
 * ```ts
 * import { checkLines } from "@messagedb/client/operate";
 *
 * const lines = ['{"id":"6f5e0a5c-5d1a-4d0e-9d6c-2f3b8a1c7e90","streamName":"a-1","type":"A"}', "{"];
 * for await (const { line, problem } of checkLines(lines)) {
 *   if (problem !== null) console.log(line, problem);
 * }
 * ```
 *
 * @param lines Lines of NDJSON, as `exportMessages` makes them.
 * @returns Each line that is not blank, with its number from 1; blank lines count.
 * @throws {TypeError} If the lines cannot be iterated over.
 */
export function checkLines(
  lines: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<CheckedLine, void, undefined> {
  if (typeof lines === "string" || !isIterable(lines)) {
    throw invalid("lines", lines, "an iterable of lines");
  }
  return checkedLines(lines);
}

function isIterable(lines: unknown): boolean {
  return Object(lines)[Symbol.asyncIterator] !== undefined ||
    Object(lines)[Symbol.iterator] !== undefined;
}

async function* checkedLines(
  lines: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<CheckedLine, void, undefined> {
  let line = 0;
  for await (const text of lines) {
    line++;
    if (text.trim() === "") continue;
    try {
      const message = parseLine(text) as ImportedMessage;
      // No line is of a catalogue, so nothing is to be awaited.
      void encodeRow(`line ${line}`, message, false);
      yield { line, message, problem: null };
    } catch (error) {
      yield { line, message: null, problem: (error as Error).message };
    }
  }
}
