import type { Message, Sql } from "@messagedb/client";
import type { ConsumerStatus, Difference } from "@messagedb/client/operate";
import type { Command } from "commander";
import type { Output } from "../terminal/output.ts";
import { badUse, CommandError, EXIT_CODE, type ExitCode } from "../terminal/exit_code.ts";
import { describeFailure } from "../terminal/failure.ts";
import { importSource, progressText } from "../terminal/importing.ts";
import { keepToPartition, readPlace } from "../terminal/keep_to_partition.ts";
import { makeRate } from "../terminal/rate.ts";
import { askStore, type Context, firstAnswer, withPostgres } from "../terminal/run.ts";
import {
  isOneDatabase,
  openOneDatabase,
  type PartitionPlace,
  placesIn,
  storeAddress,
  type StoreOptions,
} from "../terminal/store.ts";
import { counted, countText, printable } from "../terminal/text.ts";
import { HELD_BACK, rememberLast } from "../terminal/held_back.ts";

interface CopyCommandOptions {
  readonly to: string;
  readonly toSchema?: string;
  readonly omitPositions?: boolean;
  readonly dryRun?: boolean;
}

/** Both stores, and what is copied. */
interface Copying extends Context {
  readonly sql: Sql;
  readonly copy: Sql;
  readonly selection: string;
  readonly omitPositions: boolean;
}

export function defineCopy(program: Command): void {
  program.command("copy")
    .description("Copy messages into another store, with consumers where they are, and compare")
    .argument("<selection>", "'$all', a category (account), or a stream (account-123)")
    .requiredOption("--to <url>", "the other store: postgres://…")
    .option("--to-schema <name>", "the schema of the other store (default: message_store)")
    .option("--omit-positions", "leave out the positions of consumers, which start anew")
    .option("--dry-run", "compare only, and write nothing")
    .action(withPostgres(async (given, selection: string, options: CopyCommandOptions) => {
      const { partitionFor } = await import("@messagedb/client");
      const context = { ...given, sql: partitionFor(given.sql, selection) };
      const { output } = context;
      const { to, toSchema, omitPositions = false, dryRun } = options;
      const target = { url: [to], schema: toSchema };
      const { sql: copy, end } = await openOneDatabase(target);
      try {
        await checkTarget(context, copy, target);
        const from = await partitionCopied(context.sql, given);
        const own = await keepToPartition(copy, target, { output, from });
        const copying = { ...context, copy: own, selection, omitPositions };
        return await (dryRun ? printPlan : copySelection)(copying);
      } finally {
        await end();
      }
    }));
}

/** The partition that is copied; undefined if the store has none. */
async function partitionCopied(
  copied: Sql,
  { sql, options }: Context & { readonly sql: Sql },
): Promise<PartitionPlace | undefined> {
  if (isOneDatabase(options)) return await readPlace(copied);
  const { partitions } = await import("@messagedb/client");
  return placesIn(options)[partitions(sql).indexOf(copied)];
}

async function checkTarget(
  { sql, signal }: Context & { readonly sql: Sql },
  copy: Sql,
  target: StoreOptions,
): Promise<void> {
  const { isSameStore } = await import("@messagedb/client/operate");
  const address = storeAddress(target);
  try {
    await firstAnswer(askStore({ sql: copy }), { signal, address });
  } catch (error) {
    signal.throwIfAborted();
    const { text, exitCode } = describeFailure(error, address);
    const { code } = error as { readonly code?: unknown };
    throw new CommandError(
      code === "NOT_INSTALLED"
        ? `The store to copy to has no Message DB: run "messagedb install ${asOptions(target)}"`
        : `The store to copy to: ${text}`,
      exitCode,
      { cause: error },
    );
  }
  if (await isSameStore(sql, copy)) {
    throw badUse(`${address} is the store itself: give another one with --to or --to-schema`);
  }
}

/** The options that name a store, without a password. */
function asOptions({ url, schema }: Pick<StoreOptions, "url" | "schema">): string {
  return `--url ${storeAddress({ url })}${schema === undefined ? "" : ` --schema ${schema}`}`;
}

async function copySelection(copying: Copying): Promise<ExitCode> {
  const { output, sql, copy, selection, omitPositions } = copying;
  const isWholeUpTo = await rememberLast(sql, selection);
  const { messages, lastPosition } = await selectMessages(sql, selection);
  const { count, written } = await importSource(copying, copy, messages, { omitPositions });
  const comparison = await compareStores(copying, lastPosition());
  const { differences, differenceCount, compared } = comparison;
  const isWhole = await isWholeUpTo(lastPosition());
  const consumers = omitPositions || selection !== "$all" ? [] : await compareConsumers(sql, copy);
  const code = isWhole && differenceCount === 0 ? EXIT_CODE.done : EXIT_CODE.failed;
  if (!isWhole) tellHeldBack(output);
  if (output.isJson) {
    const told = consumers.map(({ here, there }) => ({
      streamName: here.streamName,
      behind: here.behind,
      behindInCopy: there?.behind ?? null,
    }));
    const counts = { count, written, isWhole, compared, differenceCount };
    await output.json({ ...counts, differences, consumers: told });
    return code;
  }
  await output.print(`Copied ${progressText({ count, written })}`);
  await printDifferences(output, comparison);
  const same = isWhole ? "the copy is the same" : "the same, but the copy is not whole";
  await output.print(
    `Compared ${counted(compared, "message")}: ${
      differenceCount === 0 ? same : counted(differenceCount, "difference")
    }`,
  );
  if (consumers.length > 0) {
    await output.print();
    await output.table([
      { title: "consumer", of: ({ here }) => printable(here.streamName) },
      { title: "behind here", of: ({ here }) => behindText(here), isNumber: true },
      { title: "behind in the copy", of: ({ there }) => behindText(there), isNumber: true },
    ], consumers);
  }
  return code;
}

function tellHeldBack(output: Output): void {
  output.note(
    `Later messages are not copied, ${HELD_BACK}. Run the command again when it has ended`,
  );
}

/** The messages, and where the last one that was read of them is. */
async function selectMessages(
  sql: Sql,
  selection: string,
): Promise<{ readonly messages: AsyncIterable<Message>; lastPosition(): number }> {
  const { isCategory, iterateAll, iterateCategory, iterateStream } = await import(
    "@messagedb/client"
  );
  const selected = selection === "$all"
    ? iterateAll(sql)
    : isCategory(selection)
    ? iterateCategory(sql, selection)
    : iterateStream(sql, selection);
  let position = 0;
  async function* messages(): AsyncGenerator<Message> {
    for await (const message of selected) {
      position = message.globalPosition;
      yield message;
    }
  }
  return { messages: messages(), lastPosition: () => position };
}

/** So many differences are told of at most. */
const MOST_TOLD = 100;

interface Comparison {
  readonly compared: number;
  /** Where the last message that was compared is; 0 if none was. */
  readonly globalPosition: number;
  readonly missing: number;
  readonly differenceCount: number;
  readonly differences: readonly Difference[];
}

async function compareStores(
  { sql, copy, selection, omitPositions, output, signal }: Copying,
  upTo?: number,
  isTold: (difference: Difference) => boolean = () => true,
): Promise<Comparison> {
  const { compareCopy } = await import("@messagedb/client/operate");
  const positions = omitPositions ? "omit" : "translate";
  const tell = makeRate(output, "Compared");
  const told: Difference[] = [];
  let missing = 0;
  let differenceCount = 0;
  let compared = 0;
  let globalPosition = 0;
  for await (const page of compareCopy(sql, copy, selection, { upTo, positions })) {
    signal.throwIfAborted();
    ({ compared, globalPosition } = page);
    missing += page.differences.filter(({ kind }) => kind === "missing").length;
    const differences = page.differences.filter(isTold);
    differenceCount += differences.length;
    told.push(...differences.slice(0, MOST_TOLD - told.length));
    tell(compared);
  }
  return { compared, globalPosition, missing, differenceCount, differences: told };
}

async function printDifferences(
  output: Output,
  { differences, differenceCount }: Comparison,
): Promise<void> {
  const { red } = output.colors;
  for (const { kind, text } of differences) {
    await output.print(`${red(kind.padEnd(7))}  ${printable(text)}`);
  }
  const more = differenceCount - differences.length;
  if (more > 0) await output.print(`and ${countText(more)} more`);
}

/** Tells what a copy would do: what is missing would be written. */
async function printPlan(copying: Copying): Promise<ExitCode> {
  const { output, sql, selection } = copying;
  const isWholeUpTo = await rememberLast(sql, selection);
  const comparison = await compareStores(copying, undefined, ({ kind }) => kind !== "missing");
  const { compared, missing, differenceCount, differences } = comparison;
  const isWhole = await isWholeUpTo(comparison.globalPosition);
  if (!isWhole) tellHeldBack(output);
  if (output.isJson) {
    await output.json({ isWhole, compared, missing, differenceCount, differences });
  } else {
    await printDifferences(output, comparison);
    await output.print(
      `${counted(compared, "message")}: ${countText(missing)} to write, ` +
        `${countText(compared - missing)} already there`,
    );
  }
  return isWhole && differenceCount === 0 ? EXIT_CODE.done : EXIT_CODE.failed;
}

/** How far a consumer is, in both stores. */
interface ComparedConsumer {
  readonly here: ConsumerStatus;
  /** Undefined if the copy has no position of the consumer. */
  readonly there: ConsumerStatus | undefined;
}

async function compareConsumers(sql: Sql, copy: Sql): Promise<ComparedConsumer[]> {
  const { consumers } = await import("@messagedb/client/operate");
  const [here, there] = await Promise.all([consumers(sql), consumers(copy)]);
  const ofCopy = new Map(there.map((consumer) => [consumer.streamName, consumer]));
  return here.map((consumer) => ({ here: consumer, there: ofCopy.get(consumer.streamName) }));
}

function behindText(consumer: ConsumerStatus | undefined): string {
  if (consumer === undefined) return "no position";
  return `${countText(consumer.behind)}${consumer.isBehindMore ? "+" : ""}`;
}
