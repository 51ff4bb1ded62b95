import type { Metadata } from "@messagedb/client";
import type { Command } from "commander";
import { parseArgument, versionOrExists } from "../terminal/arguments.ts";
import { badUse } from "../terminal/exit_code.ts";
import { keepToPartition } from "../terminal/keep_to_partition.ts";
import { withStore } from "../terminal/run.ts";

interface WriteCommandOptions {
  readonly metadata?: string;
  readonly id?: string;
  readonly expectedVersion?: number;
}

export function defineWrite(program: Command): void {
  program.command("write")
    .description("Write a message, and print its position in the stream")
    .argument("<stream>", "the stream: account-123")
    .argument("<type>", "the type of the message: Deposited")
    .argument("[data]", "the data: '{\"amount\":11}', @FILE, or - for standard input")
    .option("--metadata <json>", "the metadata, as the data is given")
    .option("--id <uuid>", "the id: a message that is written again is there once")
    .option(
      "--expected-version <version>",
      "the version of the stream, -1 for none, exists for any",
      versionOrExists,
    )
    .action(withStore(async (
      { sql, output, options: store },
      stream: string,
      type: string,
      given: string | undefined,
      { id, expectedVersion, ...options }: WriteCommandOptions,
    ) => {
      if (given === "-" && options.metadata === "-") {
        throw badUse("Standard input holds the data or the metadata, not both");
      }
      const { write } = await import("@messagedb/client");
      const message = {
        type,
        ...id !== undefined && { id },
        ...given !== undefined && { data: await parseArgument(given, "data") },
        ...options.metadata !== undefined &&
          { metadata: await parseArgument(options.metadata, "metadata") as Metadata },
      };
      const own = await keepToPartition(sql, store, { output, stream });
      const position = await write(own, stream, message, { expectedVersion });
      await (output.isJson ? output.json({ position }) : output.print(String(position)));
    }));
}
