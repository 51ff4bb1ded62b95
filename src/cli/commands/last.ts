import type { Command } from "commander";
import { CommandError } from "../terminal/exit_code.ts";
import { printMessage } from "../terminal/message_lines.ts";
import { withStore } from "../terminal/run.ts";

export function defineLast(program: Command): void {
  program.command("last")
    .description("Print the last message of a stream; exit with 1 if there is none")
    .argument("<stream>", "the stream: account-123")
    .option("--type <type>", "the last message of this type")
    .action(withStore(async ({ sql, output }, stream: string, { type }: { type?: string }) => {
      const { readLastMessage } = await import("@messagedb/client");
      const message = await readLastMessage(sql, stream, { type });
      if (message === null) {
        const what = type === undefined ? "no message" : `no message of type "${type}"`;
        throw new CommandError(`The stream "${stream}" has ${what}`);
      }
      await printMessage(output, message);
    }));
}
