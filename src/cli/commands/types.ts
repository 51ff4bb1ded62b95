import type { Command } from "commander";
import { unlessInterrupted, withPostgres } from "../terminal/run.ts";
import { barText, countText, printable, shortened, timeText } from "../terminal/text.ts";

export function defineTypes(program: Command): void {
  program.command("types")
    .description("List the types of the messages: how many, the first time and the last")
    .argument("[category]", "the category: account (default: all messages, which takes longer)")
    .action(withPostgres(async ({ sql, output, signal }, category: string | undefined) => {
      const { messageTypes } = await import("@messagedb/client/operate");
      output.progress("Counting the messages …");
      const counted = await unlessInterrupted(messageTypes(sql, { category }), signal);
      const { types, scanned, isComplete } = counted;
      if (types.length === 0) {
        const what = category === undefined ? "store" : `category "${printable(category)}"`;
        return output.note(`The ${what} has no messages`);
      }
      const most = types[0]!.count;
      await output.table([
        { title: "type", of: ({ type }) => shortened(printable(type)) },
        { title: "messages", of: ({ count }) => countText(count), isNumber: true },
        { title: "", of: ({ count }) => barText(count, most, 10) },
        { title: "first", of: ({ firstAt }) => timeText(firstAt) },
        { title: "last", of: ({ lastAt }) => timeText(lastAt) },
      ], types);
      if (!isComplete) output.note(`Counted in the last ${countText(scanned)} messages`);
    }));
}
