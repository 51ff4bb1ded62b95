import type { MessageInput } from "@messagedb/client";
import type { Command } from "commander";
import { readArgument, versionOrExists } from "../terminal/arguments.ts";
import { badUse } from "../terminal/exit_code.ts";
import { keepToPartition } from "../terminal/keep_to_partition.ts";
import { withStore } from "../terminal/run.ts";

interface WriteBatchCommandOptions {
  readonly expectedVersion?: number;
}

export function defineWriteBatch(program: Command): void {
  program.command("write-batch")
    .description("Write the messages of a file together, and print the position of the last")
    .argument("<stream>", "the stream: account-123")
    .argument("<file>", "lines of JSON, each with a type, or - for standard input")
    .option(
      "--expected-version <version>",
      "the version of the stream, -1 for none, exists for any",
      versionOrExists,
    )
    .action(withStore(async (
      { sql, output, options },
      stream: string,
      file: string,
      { expectedVersion }: WriteBatchCommandOptions,
    ) => {
      const { writeBatch } = await import("@messagedb/client");
      const messages = parseLines(await readArgument(file === "-" ? file : `@${file}`), file);
      const own = await keepToPartition(sql, options, { output, stream });
      const position = await writeBatch(own, stream, messages, { expectedVersion });
      await (output.isJson
        ? output.json({ position, count: messages.length })
        : output.print(String(position)));
    }));
}

/** Messages as `read --json` prints them are taken too, without the places that they had. */
function parseLines(text: string, file: string): MessageInput[] {
  const messages: MessageInput[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const { type, id, data, metadata } = parseMessage(line, `line ${at + 1} of ${file}`);
    messages.push({
      type,
      ...id !== undefined && { id },
      ...data !== undefined && { data },
      ...metadata !== undefined && { metadata },
    });
  }
  if (messages.length === 0) throw badUse(`${file} has no messages: give a line of JSON for each`);
  return messages;
}

function parseMessage(line: string, place: string): MessageInput {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw badUse(`Cannot read ${place}: ${(error as Error).message}: nothing was written`);
  }
  if (typeof (value as Partial<MessageInput> | null)?.type !== "string") {
    throw badUse(`Cannot read ${place}: a message has a "type": nothing was written`);
  }
  return value as MessageInput;
}
