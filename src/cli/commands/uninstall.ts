import type { Sql } from "@messagedb/client";
import type { Command } from "commander";
import { confirm } from "../terminal/confirm.ts";
import { CommandError } from "../terminal/exit_code.ts";
import { withServer } from "../terminal/run.ts";
import { countText } from "../terminal/text.ts";

interface UninstallCommandOptions {
  readonly deleteMessages?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

export function defineUninstall(program: Command): void {
  program.command("uninstall")
    .description("Drop Message DB and all that depends on it; roles and the database stay")
    .option(
      "--delete-messages",
      "delete the messages too: a store that has some is kept without it",
    )
    .option("--yes", "do not ask")
    .option("--dry-run", "say what would be dropped, and change nothing")
    .action(withServer(async (context, options: UninstallCommandOptions) => {
      const { sql, output, address } = context;
      const { deleteMessages, dryRun } = options;
      const { install, uninstall } = await import("@messagedb/client/install");
      const { changes } = await install(sql, { dryRun: true });
      if (changes.some((it) => it.startsWith("create the schema "))) {
        output.note(`There is no Message DB in ${address}: nothing was left to do`);
        return;
      }
      const messages = await countMessages(sql);
      const print = (text: string) =>
        output.isJson ? output.json({ address, messages: messages.count }) : output.print(text);
      if (messages.count !== 0 && !deleteMessages) {
        throw new CommandError(
          `Cannot uninstall Message DB from ${address}: it has ${messages.text}, ` +
            "which --delete-messages deletes",
        );
      }
      if (dryRun) {
        await print(`Would drop Message DB from ${address}, with ${messages.text}`);
        return output.note("Nothing was changed.");
      }
      await confirm(`Drop Message DB from ${address}, with ${messages.text}?`, options, context);
      await uninstall(sql, { deleteMessages });
      await print(`Message DB is dropped from ${address}, with ${messages.text}`);
    }));
}

interface CountedMessages {
  /** Undefined if they cannot be counted. */
  readonly count: number | undefined;
  readonly text: string;
}

async function countMessages(sql: Sql): Promise<CountedMessages> {
  const { storeStatus } = await import("@messagedb/client/operate");
  try {
    const { messages: { count, isEstimate } } = await storeStatus(sql);
    const about = isEstimate ? "about " : "";
    const noun = count === 1 ? "message" : "messages";
    return { count, text: count === 0 ? "no message" : `${about}${countText(count)} ${noun}` };
  } catch (error) {
    // What is left of a store that is not whole.
    if ((error as { code?: string }).code !== "NOT_INSTALLED") throw error;
    return { count: undefined, text: "messages that could not be counted" };
  }
}
