import type { Message, Sql } from "@messagedb/client";
import type { Command } from "commander";
import { collect, moment, wholeNumber } from "../terminal/arguments.ts";
import { badUse } from "../terminal/exit_code.ts";
import { printMessage } from "../terminal/message_lines.ts";
import { withStore } from "../terminal/run.ts";

interface ReadCommandOptions {
  readonly from?: number;
  readonly since?: Date;
  readonly limit?: number;
  readonly backward?: boolean;
  readonly type?: readonly string[];
  readonly correlation?: string;
  readonly follow?: boolean;
}

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
    .action(
      withStore(async ({ sql, output, signal }, name: string, options: ReadCommandOptions) => {
        checkTogether(options);
        let left = options.limit ?? Infinity;
        for await (const message of await openRead(sql, name, options, signal)) {
          if (signal.aborted) break;
          if (!isAskedFor(message, options)) continue;
          await printMessage(output, message);
          if (--left === 0) break;
        }
        if (!options.follow) signal.throwIfAborted();
      }),
    );
}

function checkTogether({ from, since, backward, follow }: ReadCommandOptions): void {
  if (from !== undefined && since !== undefined && !backward) {
    throw badUse("--from and --since both say where to begin: give one of them");
  }
  if (backward && follow) throw badUse("--backward ends at the first message: give it or --follow");
}

/** Whether a message is asked for. The database looks at part of it already, but not for each way to read. */
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

async function openRead(
  sql: Sql,
  name: string,
  options: ReadCommandOptions,
  signal: AbortSignal,
): Promise<AsyncIterable<Message>> {
  const { isCategory, iterateAll, iterateCategory, iterateStream, subscribe } = await import(
    "@messagedb/client"
  );
  const { from, since, correlation, backward, follow, type: types, limit = Infinity } = options;
  if (follow) {
    return subscribe(sql, name, {
      startAt: from ?? since ?? "beginning",
      types,
      signal,
      ...(name === "$all" || isCategory(name)) && { correlation },
      onRetry: (error) => console.error(`retrying: ${(error as Error).message}`),
    });
  }
  const position = from ??
    (since === undefined || backward
      ? undefined
      : await findPositionSince(sql, name, since, signal));
  if (position === null) return noMessages();
  const isFiltered = types !== undefined || since !== undefined || correlation !== undefined;
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
  return backward && since !== undefined ? untilOlder(messages, since) : messages;
}

/** Where the first message of this time or later is; null if there is none. */
async function findPositionSince(
  sql: Sql,
  name: string,
  since: Date,
  signal: AbortSignal,
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

/** The messages, backward, to the first that is older. */
async function* untilOlder(messages: AsyncIterable<Message>, since: Date): AsyncIterable<Message> {
  for await (const message of messages) {
    if (message.time < since) return;
    yield message;
  }
}

async function* noMessages(): AsyncIterable<Message> {}
