import type { ImportedMessage, ImportProgress, Sql } from "@messagedb/client";
import { CommandError, EXIT_CODE } from "./exit_code.ts";
import { makeRate } from "./rate.ts";
import type { Context } from "./run.ts";
import { counted, countText } from "./text.ts";

/** How messages are imported. */
export interface ImportingOptions {
  readonly omitPositions?: boolean | undefined;
  /** How much of the source is read, from 0 to 1, where that is known. */
  readonly share?: (() => number | undefined) | undefined;
}

/** Imports messages with progress. If the import ends early, says how far it got and how to go on. */
export async function importSource(
  { output, signal }: Pick<Context, "output" | "signal">,
  sql: Sql,
  source: AsyncIterable<string> | AsyncIterable<ImportedMessage>,
  { omitPositions, share }: ImportingOptions,
): Promise<Pick<ImportProgress, "count" | "written">> {
  const { importMessages } = await import("@messagedb/client");
  const tell = makeRate(output, "Imported");
  let progress: Pick<ImportProgress, "count" | "written"> = { count: 0, written: 0 };
  try {
    return await importMessages(sql, untilInterrupted(source as AsyncIterable<string>, signal), {
      positions: omitPositions ? "omit" : "translate",
      onProgress(reached) {
        progress = reached;
        tell(reached.count, share?.());
      },
    });
  } catch (error) {
    const failure = toFailure(error);
    const { exitCode } = failure as Partial<CommandError>;
    if (exitCode !== EXIT_CODE.badUse) {
      const advice = failure instanceof CommandError
        ? "Mend or leave out the message below, and run the command again: it skips what is there"
        : "Run the command again: it skips what is there, and goes on";
      output.note(
        progress.count === 0
          ? "Nothing was imported"
          : `The import is not whole: ${progressText(progress)}. ${advice}`,
      );
    }
    throw failure;
  }
}

async function* untilInterrupted<Item>(
  source: AsyncIterable<Item>,
  signal: AbortSignal,
): AsyncGenerator<Item> {
  for await (const item of source) {
    signal.throwIfAborted();
    yield item;
  }
}

/** How many messages an import has done. */
export function progressText(
  { count, written }: Pick<ImportProgress, "count" | "written">,
): string {
  const skipped = count === written ? "" : `, ${countText(count - written)} skipped`;
  return `${counted(count, "message")}, ${countText(written)} written${skipped}`;
}

/** An argument's error is one of the source here, and the option has another name. */
function toFailure(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, cause } = error;
  if (name === "DuplicateMessageError" && cause instanceof Error) return toFailure(cause);
  if (name !== "TypeError" && name !== "RangeError") return error;
  const text = message.replace(
    'leave positions out, by the option positions: "omit"',
    "leave positions out with --omit-positions",
  ).replace(/: Cannot use undefined as "(\w+)"/, ': it has no "$1"');
  return new CommandError(text, undefined, { cause: error });
}
