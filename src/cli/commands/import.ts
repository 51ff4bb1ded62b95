import type { Sql } from "@messagedb/client";
import type { CheckedLine } from "@messagedb/client/operate";
import type { Command } from "commander";
import { CommandError, EXIT_CODE, type ExitCode } from "../terminal/exit_code.ts";
import { importSource, progressText } from "../terminal/importing.ts";
import { keepToPartition } from "../terminal/keep_to_partition.ts";
import { type Lines, openLines } from "../terminal/lines.ts";
import { makeRate } from "../terminal/rate.ts";
import { type Context, withStore } from "../terminal/run.ts";
import { counted, countText, printable } from "../terminal/text.ts";

interface ImportCommandOptions {
  readonly omitPositions?: boolean;
  readonly dryRun?: boolean;
}

type ImportContext = Context & { readonly sql: Sql };

export function defineImport(program: Command): void {
  program.command("import")
    .description("Write the messages of an export; those that are there already are skipped")
    .argument("<file>", "lines of JSON, as export makes them, or - for standard input")
    .option("--omit-positions", "leave out the positions of consumers, which start anew")
    .option("--dry-run", "check every line, and write nothing")
    .action(withStore(async (context, file: string, options: ImportCommandOptions) => {
      const lines = await openLines(file, context.signal);
      return await (options.dryRun ? checkFile : importFile)(context, lines, options);
    }));
}

async function importFile(
  context: ImportContext,
  lines: Lines,
  { omitPositions }: ImportCommandOptions,
): Promise<void> {
  const { output, options } = context;
  const sql = await keepToPartition(context.sql, options, { output });
  const share = () => lines.share;
  try {
    const { count, written } = await importSource(context, sql, lines, { omitPositions, share });
    if (output.isJson) await output.json({ count, written });
    else await output.print(`Imported ${progressText({ count, written })}`);
  } catch (error) {
    const { message, cause, exitCode } = error as CommandError;
    if (!isCut(lines, message)) throw error;
    throw new CommandError(`${message}: ${CUT}`, exitCode, { cause });
  }
}

const CUT = "the file ends in the middle of this line, so it is not whole";

function isCut({ cutAt }: Lines, text: string): boolean {
  return cutAt !== undefined && text.includes(`line ${cutAt}: it is not JSON`);
}

/** So many lines are kept at most to be told of. */
const MOST_BROKEN = 100;

/** What a dry run has found. */
interface CheckedFile {
  messages: number;
  /** How many messages the store has in the same stream. */
  known: number;
  brokenCount: number;
  readonly streams: Set<string>;
  readonly broken: { readonly line: number; readonly problem: string }[];
}

async function checkFile(context: ImportContext, lines: Lines): Promise<ExitCode> {
  const { output, options } = context;
  const { checkLines } = await import("@messagedb/client/operate");
  const sql = await keepToPartition(context.sql, options, { output });
  const tell = makeRate(output, "Checked");
  const checked: CheckedFile = {
    messages: 0,
    known: 0,
    brokenCount: 0,
    streams: new Set(),
    broken: [],
  };
  let page: CheckedLine[] = [];
  for await (const line of checkLines(lines)) {
    if (page.push(line) < 1000) continue;
    await lookUp(sql, page, checked);
    page = [];
    tell(checked.messages, lines.share);
  }
  await lookUp(sql, page, checked);
  await printChecked({ output }, checked, lines);
  return checked.brokenCount === 0 ? EXIT_CODE.done : EXIT_CODE.failed;
}

/** Looks which of the messages the store has, and which it would not take. */
async function lookUp(
  sql: Sql,
  page: readonly CheckedLine[],
  checked: CheckedFile,
): Promise<void> {
  const { partitionFor, readMessages } = await import("@messagedb/client");
  const ids = page.flatMap(({ message }) => message === null ? [] : [message.id]);
  const stored = await readMessages(sql, ids);
  const streams = new Map(stored.map(({ id, streamName }) => [id, streamName]));
  for (const { line, message, problem } of page) {
    const stream = message === null ? undefined : streams.get(message.id.toLowerCase());
    const wrong = message === null
      ? problem
      : stream !== undefined && stream !== message.streamName
      ? `the stream "${stream}" has a message of the id "${message.id}"`
      : refusalBy(() => partitionFor(sql, message.streamName));
    if (message !== null && wrong === undefined) {
      checked.messages++;
      checked.streams.add(message.streamName);
      if (stream !== undefined) checked.known++;
      continue;
    }
    checked.brokenCount++;
    if (checked.broken.length < MOST_BROKEN) checked.broken.push({ line, problem: wrong! });
  }
}

/** The sentence with which a check refuses; undefined if it does not. */
function refusalBy(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function printChecked(
  { output }: Pick<Context, "output">,
  { messages, known, streams, broken, brokenCount }: CheckedFile,
  lines: Lines,
): Promise<void> {
  const told = broken.map(({ line, problem }) => ({
    line,
    problem: isCut(lines, `line ${line}: ${problem}`) ? `${problem}: ${CUT}` : problem,
  }));
  if (output.isJson) {
    const counts = { messages, streams: streams.size, known, missing: messages - known };
    return await output.json({ ...counts, brokenCount, broken: told });
  }
  for (const { line, problem } of told) await output.print(`line ${line}: ${printable(problem)}`);
  if (brokenCount > 0) await output.print(`${counted(brokenCount, "line")} cannot be imported`);
  await output.print(
    `${counted(messages, "message")} of ${counted(streams.size, "stream")}: ` +
      `${countText(messages - known)} to write, ${countText(known)} already there`,
  );
}
