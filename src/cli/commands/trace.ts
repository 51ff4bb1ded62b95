import type { TracedMessage } from "@messagedb/client/operate";
import type { Command } from "commander";
import { wholeNumber } from "../terminal/arguments.ts";
import { CommandError } from "../terminal/exit_code.ts";
import type { Colors } from "../terminal/output.ts";
import { withPostgres } from "../terminal/run.ts";
import { printable, spanText, timeText } from "../terminal/text.ts";

/** How many characters a line is indented at most: below that, its beginning is left out. */
const WIDEST_INDENT = 60;

export function defineTrace(program: Command): void {
  program.command("trace")
    .description("Draw what led to messages, and what followed from them, across all streams")
    .argument("<stream|id>", "a stream (account-123), or the id of a message: a UUID")
    .option("--limit <count>", "how many messages that follow at most", wholeNumber(1), 1000)
    .action(withPostgres(async (
      { sql, output, signal },
      name: string,
      { limit }: { readonly limit: number },
    ) => {
      const { trace } = await import("@messagedb/client/operate");
      const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name);
      output.progress("Looking for what followed …");
      const start = isId ? { id: name } : { streamName: name };
      const { messages, hasMore } = await trace(sql, start, { limit, signal });
      if (messages.length === 0) {
        throw new CommandError(
          isId
            ? `The store has no message with the id ${name}`
            : `The stream "${printable(name)}" has no message`,
        );
      }
      if (output.isJson) { for (const message of messages) await output.json(message); }
      else for (const line of treeLines(messages, isId, output.colors)) await output.print(line);
      if (hasMore) output.note("There are more messages: give a higher --limit");
      else if (!messages.some(({ role }) => role === "effect")) {
        output.note("Nothing followed: no later message names one of these as its cause");
      }
    }));
}

/** A message to draw, and what stands before it. */
interface Branch {
  readonly message: TracedMessage;
  /** The message that caused it, which is drawn above. */
  readonly above: TracedMessage | undefined;
  readonly isLast: boolean;
  readonly indent: string;
}

/** Draws each message below its cause. */
function* treeLines(
  messages: readonly TracedMessage[],
  marksStart: boolean,
  { bold, cyan, dim, yellow }: Colors,
): Generator<string> {
  const effects = new Map<number | null, TracedMessage[]>();
  for (const message of messages) {
    const siblings = effects.get(message.cause);
    if (siblings === undefined) effects.set(message.cause, [message]);
    else siblings.push(message);
  }
  // The next one to draw is the last of the list.
  const waiting = branchesOf(effects.get(null), undefined, "");
  for (let branch = waiting.pop(); branch !== undefined; branch = waiting.pop()) {
    const { message, above, isLast, indent } = branch;
    const { type, streamName, position, time, role, namedCause } = message;
    const isStart = role === "start";
    const place = `${printable(streamName)} ${position}`;
    const after = above?.time && time
      ? `+${spanText(time.getTime() - above.time.getTime())}`
      : timeText(time);
    yield [
      (above ? dim(shortIndent(indent) + (isLast ? "└─ " : "├─ ")) : "") +
      (isStart ? bold(printable(type)) : printable(type)),
      cyan(place),
      dim(after),
      ...!above && namedCause
        ? [dim(`caused by ${printable(namedCause.streamName)} ${namedCause.position}`)]
        : [],
      ...isStart && marksStart ? [yellow("←")] : [],
    ].join("  ");
    const below = above ? indent + (isLast ? "   " : "│  ") : indent;
    waiting.push(...branchesOf(effects.get(message.globalPosition), message, below));
  }
}

/** The branches of a list, in the reverse order. */
function branchesOf(
  messages: readonly TracedMessage[] = [],
  above: TracedMessage | undefined,
  indent: string,
): Branch[] {
  return messages.map((message, at) => ({
    message,
    above,
    indent,
    isLast: at === messages.length - 1,
  })).reverse();
}

function shortIndent(indent: string): string {
  return indent.length > WIDEST_INDENT ? `…${indent.slice(1 - WIDEST_INDENT)}` : indent;
}
