import type { Command } from "commander";
import { duration } from "../terminal/arguments.ts";
import { describeFailure } from "../terminal/failure.ts";
import { withPostgres } from "../terminal/run.ts";
import { spanText } from "../terminal/text.ts";

/** As `settle` has it by default, in milliseconds. */
const SHORTEST_INTERVAL = 100;

interface SettleCommandOptions {
  readonly interval?: number;
  readonly notify?: boolean;
}

export function defineSettle(program: Command): void {
  program.command("settle")
    .description("Record up to where all messages are settled, for replicas, until Ctrl-C")
    .option("--interval <span>", "the shortest time between two records (default: 100ms)", duration)
    .option("--notify", "listen for messages beside polling: see install --notify")
    .action(
      withPostgres(async (
        { sql, output, signal, address },
        { interval = SHORTEST_INTERVAL, notify }: SettleCommandOptions,
      ) => {
        const { partitions, settle } = await import("@messagedb/client");
        const failing = new AbortController();
        const all = partitions(sql);
        const told: string[] = [];
        const run = async (primary: typeof sql, number: number): Promise<void> => {
          await settle(primary, {
            interval,
            notify,
            signal: AbortSignal.any([signal, failing.signal]),
            onRetry: (error) => {
              const { text } = describeFailure(error, address);
              if (text !== told[number]) output.note(`Trying again: ${text}`);
              told[number] = text;
            },
          });
        };
        output.note(
          `Records what is settled at ${address}, at most every ${
            spanText(interval)
          }, until Ctrl-C`,
        );
        try {
          await Promise.all(all.map(run));
        } finally {
          failing.abort();
        }
      }),
    );
}
