import type { Command } from "commander";
import { confirm, type ConfirmOptions } from "../terminal/confirm.ts";
import { CONSUMER_HELP, consumerText, findConsumer } from "../terminal/consumer_name.ts";
import { badUse } from "../terminal/exit_code.ts";
import { withPostgres } from "../terminal/run.ts";
import { counted } from "../terminal/text.ts";

interface RemoveOptions extends ConfirmOptions {
  readonly dryRun?: boolean;
}

export function defineRemove(program: Command): void {
  program.command("remove")
    .description(
      "Delete a consumer's positions and what it has parked; one of its name begins anew",
    )
    .argument("<consumer>", CONSUMER_HELP)
    .option("--dry-run", "print what would be removed, and remove nothing")
    .option("--yes", "do not ask")
    .action(
      withPostgres(async (
        { sql: whole, output, signal },
        name: string,
        { dryRun, yes }: RemoveOptions,
      ) => {
        const { remove } = await import("@messagedb/client/operate");
        const { identity, positions, streamName, store: sql } = await findConsumer(whole, name);
        if (name !== streamName && name !== identity.consumerId) {
          throw badUse(`A consumer is removed as a whole: name it, ${streamName}`);
        }
        const consumer = consumerText(identity);
        const parked = positions[0]?.parked ?? 0;
        if (dryRun && output.isJson) {
          return await output.json({ streamName, positions: positions.length, parked });
        }
        const what = `${consumer}: ${counted(positions.length, "position")}, ${
          counted(parked, "parked message")
        }`;
        if (dryRun) {
          await output.print(`Would remove ${what}`);
          return output.note("Nothing was removed.");
        }
        await confirm(`Remove ${what}?`, { yes }, { signal });
        const removed = await remove(sql, identity);
        await (output.isJson ? output.json({ removed }) : output.print(`Removed ${consumer}`));
      }),
    );
}
