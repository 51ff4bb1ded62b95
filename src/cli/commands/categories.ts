import type { CategoryStatus } from "@messagedb/client/operate";
import type { Command } from "commander";
import { partitionColumn } from "../terminal/consumer_name.ts";
import { unlessInterrupted, withPostgres } from "../terminal/run.ts";
import { barText, countText, printable, shortened, timeText } from "../terminal/text.ts";

/** A category, and the partition that has these messages of it: one that is misplaced is in several. */
interface CategoryIn extends CategoryStatus {
  readonly partition?: number;
}

export function defineCategories(program: Command): void {
  program.command("categories")
    .description("List the categories: how many messages, the first time and the last")
    .action(withPostgres(async ({ sql, output, signal }) => {
      const { storeStatus } = await import("@messagedb/client/operate");
      const { partitions } = await import("@messagedb/client");
      const stores = partitions(sql);
      const statuses = Promise.all(stores.map((store) => storeStatus(store)));
      const categories = (await unlessInterrupted(statuses, signal))
        .flatMap((status, partition): CategoryIn[] =>
          // One partition may be picked: then there is nothing to tell apart.
          stores.length === 1
            ? [...status.categories]
            : status.categories.map((it) => ({ partition, ...it }))
        )
        .sort((one, other) => one.category < other.category ? -1 : 1);
      if (categories.length === 0) return output.note("The store has no messages");
      const most = Math.max(...categories.map(({ count }) => count));
      await output.table([
        { title: "category", of: ({ category }) => shortened(printable(category)) },
        ...partitionColumn(categories),
        { title: "messages", of: estimateText, isNumber: true },
        { title: "", of: ({ count }) => barText(count, most, 10) },
        { title: "first", of: ({ firstAt }) => timeText(firstAt) },
        { title: "last", of: ({ lastAt }) => timeText(lastAt) },
      ], categories);
      if (categories.some(({ isEstimate }) => isEstimate)) {
        output.note('"~" is an estimate: "messagedb types CATEGORY" counts');
      }
    }));
}

function estimateText({ count, isEstimate }: CategoryStatus): string {
  return isEstimate ? `~${countText(Number(count.toPrecision(3)))}` : countText(count);
}
