import type { StreamsOptions } from "@messagedb/client/operate";
import { type Command, Option } from "commander";
import { wholeNumber } from "../terminal/arguments.ts";
import { unlessInterrupted, withPostgres } from "../terminal/run.ts";
import { barText, countText, printable, shortened, timeText } from "../terminal/text.ts";

interface StreamsCommandOptions {
  readonly limit: number;
  readonly sort: NonNullable<StreamsOptions["sort"]>;
}

export function defineStreams(program: Command): void {
  program.command("streams")
    .description("List the streams of a category: how many messages, the first time and the last")
    .argument("<category>", "the category: account")
    .option("--limit <count>", "how many streams at most", wholeNumber(1), 20)
    .addOption(
      new Option("--sort <order>", "the latest first, the longest first, or by name")
        .choices(["last", "count", "name"]).default("last"),
    )
    .action(withPostgres(async (
      { sql, output, signal },
      category: string,
      { limit, sort }: StreamsCommandOptions,
    ) => {
      const { streams } = await import("@messagedb/client/operate");
      const page = await unlessInterrupted(streams(sql, category, { sort, limit }), signal);
      const rows = page.streams;
      if (rows.length === 0) {
        return output.note(`The category "${printable(category)}" has no messages`);
      }
      const most = Math.max(...rows.map(({ count }) => count));
      await output.table([
        { title: "stream", of: ({ streamName }) => shortened(printable(streamName)) },
        { title: "messages", of: ({ count }) => countText(count), isNumber: true },
        { title: "", of: ({ count }) => barText(count, most, 10) },
        { title: "first", of: ({ firstAt }) => timeText(firstAt) },
        { title: "last", of: ({ lastAt }) => timeText(lastAt) },
      ], rows);
      if (page.next) output.note("There are more streams: give a higher --limit");
      if (!page.isComplete) {
        output.note("There are too many streams to compare all: some long ones may be missing");
      }
    }));
}
