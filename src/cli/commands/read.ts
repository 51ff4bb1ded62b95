import type { Message, Sql } from "@messagedb/client";
import type { Command } from "commander";
import { collect, moment, wholeNumber } from "../terminal/arguments.ts";
import { badUse } from "../terminal/exit_code.ts";
import { printMessage } from "../terminal/message_lines.ts";
import { describeFailure } from "../terminal/failure.ts";
import { type Context, withStore } from "../terminal/run.ts";
import { printable } from "../terminal/text.ts";
import { HELD_BACK, rememberLast } from "../terminal/held_back.ts";

interface ReadCommandOptions {
  readonly from?: number;
  readonly since?: Date;
  readonly limit?: number;
  readonly backward?: boolean;
  readonly type?: readonly string[];
  readonly correlation?: string;
  readonly follow?: boolean;
}

type ReadContext = Context & { readonly sql: Sql };

export function defineRead(program: Command): void {
  program.command("read")
    .description("Print the messages of a stream, of a category, or of all ('$all')")
    .argument("<name>", "a stream (account-123), a category (account), or '$all'")
    .option("--from <position>", "the first position: global, or of the stream", wholeNumber(0))
    .option("--since <when>", "the first time: 2h ago, or 2026-01-31T12:00Z", moment)
    .option("--limit <count>", "how many messages at most", wholeNumber(1))
    .option("--backward", "from the last message back")
    .option("--type <type>", "only messages of this type; may be given again", collect)
    .option("--correlation <category>", "only messages that follow from this category")
    .option("--follow", "go on with new messages, until Ctrl-C")
    .action(withStore(async (context, name: string, options: ReadCommandOptions) => {
      const { from, since, backward, follow } = options;
      if (from !== undefined && since !== undefined && !backward) {
        throw badUse("--from and --since both say where to begin: give one of them");
      }
      if (backward && follow) {
        throw badUse("--backward ends at the first message: give it or --follow");
      }
      const print = follow ? printNew : backward ? printBackward : printForward;
      const count = await print(context, name, options);
      if (count > 0 || follow) return;
      context.output.note(`No message of "${printable(name)}" was read`);
    }));
}

/** Prints the messages that are asked for; answers how many, and the last that was read. */
async function printMessages(
  { output }: Context,
  messages: AsyncIterable<Message>,
  options: ReadCommandOptions,
): Promise<{ readonly count: number; readonly last: Message | undefined }> {
  const { limit = Infinity } = options;
  let count = 0;
  let last: Message | undefined;
  for await (const message of messages) {
    last = message;
    if (!isAskedFor(message, options)) continue;
    await printMessage(output, message);
    if (++count === limit) break;
  }
  return { count, last };
}

function isAskedFor(
  { type, time, metadata }: Message,
  { type: types, since, correlation }: ReadCommandOptions,
): boolean {
  const correlated = String(metadata?.["correlationStreamName"] ?? "");
  return (types === undefined || types.includes(type)) &&
    (since === undefined || time >= since) &&
    (correlation === undefined || correlated === correlation ||
      correlated.startsWith(`${correlation}-`));
}

async function printNew(
  context: ReadContext,
  name: string,
  options: ReadCommandOptions,
): Promise<number> {
  const { subscribe } = await import("@messagedb/client");
  const { from, since, type: types } = options;
  let told: string | undefined;
  const messages = subscribe(context.sql, name, {
    startAt: from ?? since ?? "beginning",
    types,
    signal: context.signal,
    onRetry: (error) => {
      const { text } = describeFailure(error, context.address);
      if (text !== told) context.output.note(`Trying again: ${text}`);
      told = text;
    },
  });
  return (await printMessages(context, messages, options)).count;
}

async function printBackward(
  context: ReadContext,
  name: string,
  options: ReadCommandOptions,
): Promise<number> {
  const messages = iterate(context, name, options, options.from);
  return (await printMessages(context, sinceTime(messages, options.since), options)).count;
}

async function* sinceTime(
  messages: AsyncIterable<Message>,
  since: Date | undefined,
): AsyncIterable<Message> {
  for await (const message of messages) {
    if (since !== undefined && message.time < since) return;
    yield message;
  }
}

async function printForward(
  context: ReadContext,
  name: string,
  options: ReadCommandOptions,
): Promise<number> {
  const { sql, output } = context;
  const { from, since, limit } = options;
  const position = since === undefined ? from : await findPositionSince(context, name, since);
  if (position === null) return 0;
  const isWhole = await rememberLast(sql, name);
  const messages = iterate(context, name, options, position);
  const { count, last } = await printMessages(context, messages, options);
  if (count !== limit && !await isWhole(last?.globalPosition ?? (position ?? 1) - 1)) {
    output.note(`Later messages are not read, ${HELD_BACK}`);
  }
  return count;
}

/** Where the first message of this time or later is; null if there is none. */
async function findPositionSince(
  { sql, signal }: ReadContext,
  name: string,
  since: Date,
): Promise<number | null> {
  const { isCategory, subscribe } = await import("@messagedb/client");
  const ending = new AbortController();
  const messages = subscribe(sql, name, {
    startAt: since,
    batchSize: 1,
    signal: AbortSignal.any([signal, ending.signal]),
    onCaughtUp: () => ending.abort(),
  });
  for await (const { position, globalPosition } of messages) {
    return name === "$all" || isCategory(name) ? globalPosition : position;
  }
  return null;
}

/** The messages up to the end; in a category, the database looks at the correlation. */
async function* iterate(
  { sql, signal }: ReadContext,
  name: string,
  { type, since, correlation, backward, limit = Infinity }: ReadCommandOptions,
  position: number | undefined,
): AsyncIterable<Message> {
  const { isCategory, iterateAll, iterateCategory, iterateStream } = await import(
    "@messagedb/client"
  );
  const isFiltered = type !== undefined || since !== undefined || correlation !== undefined;
  const page = {
    position,
    batchSize: isFiltered ? 1000 : Math.min(limit, 1000),
    direction: backward ? "backward" : "forward",
  } as const;
  const messages = name === "$all"
    ? iterateAll(sql, page)
    : isCategory(name)
    ? iterateCategory(sql, name, { ...page, correlation })
    : iterateStream(sql, name, page);
  for await (const message of messages) {
    signal.throwIfAborted();
    yield message;
  }
}
