import type { Pruned } from "@messagedb/client/operate";
import type { Command } from "commander";
import { duration } from "../terminal/arguments.ts";
import { confirm, type ConfirmOptions } from "../terminal/confirm.ts";
import { withEachPostgres } from "../terminal/run.ts";
import { counted, countText, spanText } from "../terminal/text.ts";

const AN_HOUR_AGO = 3_600_000;

interface PruneCommandOptions extends ConfirmOptions {
  readonly olderThan?: number;
  readonly dryRun?: boolean;
}

const KIND_TEXTS: Readonly<Record<keyof Pruned, string>> = {
  positions: "positions of consumers, but the first and the last of each",
  aggregates: "positions of aggregates, but the last of each",
  snapshots: "snapshots of entities, but the last of each",
  claims: "questions for the positions of consumers",
  settled: "records of what is settled, but the last",
  waiting: "processes that have waited for a member of a group",
};

export function definePrune(program: Command): void {
  program.command("prune")
    .description("Delete old positions and snapshots, which nobody reads any more")
    .option("--older-than <span>", "only what is older: 7d (default: 1h)", duration)
    .option("--dry-run", "print how many messages would be deleted, and delete none")
    .option("--yes", "do not ask")
    .action(
      withEachPostgres(async (
        { sql, output, signal },
        { olderThan = AN_HOUR_AGO, dryRun, yes }: PruneCommandOptions,
      ) => {
        const { prune } = await import("@messagedb/client/operate");
        const onProgress = (verb: string) => (pruned: Pruned) => {
          signal.throwIfAborted();
          output.progress(`${countText(sum(pruned))} ${verb}`);
        };
        const print = async (pruned: Pruned) => {
          if (output.isJson) return await output.json(pruned);
          await output.table([
            { title: "messages", isNumber: true, of: ([, count]) => countText(count) },
            { title: "of", of: ([kind]) => KIND_TEXTS[kind] },
          ], Object.entries(pruned) as [keyof Pruned, number][]);
        };
        if (dryRun || !yes) {
          const counting = onProgress("to delete");
          const found = await prune(sql, { olderThan, dryRun: true, onProgress: counting });
          if (dryRun) {
            await print(found);
            if (!output.isJson) output.note("Nothing was deleted.");
            return;
          }
          const what = `${counted(sum(found), "message")} of bookkeeping`;
          await confirm(`Delete ${what}, older than ${spanText(olderThan)}?`, { yes }, {
            signal,
          });
        }
        await print(await prune(sql, { olderThan, onProgress: onProgress("deleted") }));
      }),
    );
}

function sum(pruned: Pruned): number {
  return Object.values(pruned).reduce((total, count) => total + count, 0);
}
