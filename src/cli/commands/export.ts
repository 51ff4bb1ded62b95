import type { Message, Sql } from "@messagedb/client";
import type { Command } from "commander";
import { wholeNumber } from "../terminal/arguments.ts";
import { badUse, CommandError, EXIT_CODE, type ExitCode } from "../terminal/exit_code.ts";
import { makeRate } from "../terminal/rate.ts";
import { type Context, withStore } from "../terminal/run.ts";
import { openPart, openStdout, type Sink } from "../terminal/sink.ts";
import { counted } from "../terminal/text.ts";
import { HELD_BACK, rememberLast } from "../terminal/held_back.ts";

interface ExportCommandOptions {
  readonly from?: number | undefined;
  readonly output?: string;
  readonly resume?: boolean;
}

type ExportContext = Context & { readonly sql: Sql };

export function defineExport(program: Command): void {
  program.command("export")
    .description("Print all messages as lines of JSON, which import takes")
    .argument("<selection>", "'$all', a category (account), or a stream (account-123)")
    .option("--from <position>", "the first position: global, or of the stream", wholeNumber(0))
    .option("--output <file>", "a file that has this name once it is whole")
    .option("--resume", "go on with the file of an export that was cut short")
    .action(withStore(async (context, selection: string, options: ExportCommandOptions) => {
      const { from, output, resume = false } = options;
      if (resume && output === undefined) {
        throw badUse("--resume goes on with the file of --output");
      }
      if (resume && from !== undefined) {
        throw badUse("--resume goes on where the file ends: give no --from");
      }
      if (output === undefined) return await exportTo(openStdout(), context, selection, options);
      const part = await openPart(output, { resume });
      try {
        const position = part.lastLine === undefined
          ? from
          : await positionAfter(context, selection, part.lastLine, `${output}.part`);
        return await exportTo(part, context, selection, { ...options, from: position });
      } finally {
        await part.close();
      }
    }));
}

/** So many characters are written at once. */
const PIECE_LENGTH = 0x10000;

async function exportTo(
  sink: Sink,
  context: ExportContext,
  selection: string,
  options: ExportCommandOptions,
): Promise<ExitCode> {
  const { exportMessages } = await import("@messagedb/client/operate");
  const { sql, signal, output } = context;
  const { partition } = context.options;
  const asked = { selection, ...partition !== undefined && { partition } };
  const tell = makeRate(output, "Exported");
  const isShown = options.output === undefined && output.isTerminal;
  let piece = "";
  let count = 0;
  let last: string | undefined;
  /** What is written by now. */
  let written: Exported = { count, last };
  const flush = async () => {
    await sink.write(piece);
    piece = "";
    written = { count, last };
    if (!isShown) tell(count);
  };
  const isWholeUpTo = await rememberLast(sql, selection);
  let isWhole = false;
  try {
    for await (const line of exportMessages(sql, selection, { position: options.from })) {
      signal.throwIfAborted();
      piece += line;
      last = line;
      count++;
      if (piece.length > PIECE_LENGTH) await flush();
    }
    await flush();
    isWhole = await isWholeUpTo(globalPositionOf(written) ?? (options.from ?? 1) - 1);
    if (isWhole) await sink.finish();
  } catch (error) {
    if (error === signal.reason) await flush();
    const mayBeCut = options.output === undefined && error instanceof CommandError;
    if (written.count > 0 && !mayBeCut) {
      output.note(await howToGoOn(written, asked, options));
    }
    throw error;
  }
  if (!isWhole) {
    output.note(`Later messages are not exported, ${HELD_BACK}`);
    output.note(await howToGoOn(written, asked, options, "When it has ended, go on with"));
  }
  if (options.output !== undefined && output.isJson) {
    await output.json({ count, globalPosition: globalPositionOf(written) ?? null, isWhole });
  } else if (isWhole) output.note(`Exported ${exportedText(written)}`);
  return isWhole ? EXIT_CODE.done : EXIT_CODE.failed;
}

interface Exported {
  readonly count: number;
  /** The last line. */
  readonly last: string | undefined;
}

function globalPositionOf({ last }: Exported): number | undefined {
  return last === undefined ? undefined : (JSON.parse(last) as Message).globalPosition;
}

/** What was exported, in words: `300,000 messages, up to the global position 300000`. */
function exportedText(exported: Exported): string {
  const globalPosition = globalPositionOf(exported);
  const end = globalPosition === undefined ? "" : `, up to the global position ${globalPosition}`;
  return `${counted(exported.count, "message")}${end}`;
}

async function howToGoOn(
  exported: Exported,
  { selection, partition }: { readonly selection: string; readonly partition?: number },
  { from, output, resume }: ExportCommandOptions,
  goOnWith = "Go on with",
): Promise<string> {
  const next = exported.last === undefined
    ? from
    : await nextPosition(JSON.parse(exported.last), selection);
  const fromNext = next === undefined ? "" : ` --from ${next}`;
  const hasPart = exported.count > 0 || (resume && from !== undefined);
  const rest = output === undefined
    ? `${fromNext} >> FILE`
    : hasPart
    ? ` --output ${output} --resume`
    : `${fromNext} --output ${output}`;
  const one = partition === undefined ? "" : ` --partition ${partition}`;
  return `The export is not whole: ${exportedText(exported)}. ` +
    `${goOnWith}: messagedb export '${selection}'${one}${rest}`;
}

async function nextPosition(
  { position, globalPosition }: Message,
  selection: string,
): Promise<number> {
  const { isCategory } = await import("@messagedb/client");
  return (selection === "$all" || isCategory(selection) ? globalPosition : position) + 1;
}

/** The position after the last line of a file, if the store has its message in the same place. */
async function positionAfter(
  { sql }: ExportContext,
  selection: string,
  line: string,
  file: string,
): Promise<number> {
  const { category, readMessage } = await import("@messagedb/client");
  let last: Message;
  try {
    last = JSON.parse(line);
  } catch {
    throw badUse(`The last line of "${file}" is no JSON: delete the file, and export anew`);
  }
  const { id, streamName, globalPosition } = last;
  const stored = await readMessage(sql, String(id)).catch(() => null);
  const isSelected = selection === "$all" || streamName === selection ||
    category(String(streamName)) === selection;
  if (isSelected && stored?.streamName === streamName && stored.globalPosition === globalPosition) {
    return await nextPosition(last, selection);
  }
  throw new CommandError(
    `The last message of "${file}" is not one of '${selection}' in this store: ` +
      "delete the file, and export anew",
  );
}
