import type { Command } from "commander";
import { CommandError } from "../terminal/exit_code.ts";
import { printMessage } from "../terminal/message_lines.ts";
import { withStore } from "../terminal/run.ts";

export function defineGet(program: Command): void {
  program.command("get")
    .description("Print the message of an id; exit with 1 if there is none")
    .argument("<id>", "the id of the message: a UUID")
    .action(withStore(async ({ sql, output }, id: string) => {
      const { readMessage } = await import("@messagedb/client");
      const message = await readMessage(sql, id);
      if (message === null) throw new CommandError(`The store has no message with the id ${id}`);
      await printMessage(output, message);
    }));
}
