/** Writes, consumes and writes again, on any runtime, and answers which spans that made. */
import { drain, type Sql, write } from "@messagedb/client";
import { traced } from "@messagedb/client/otel";
import { startSdk, treeOf, within } from "./_sdk.ts";

export async function spansOfProgram(driver: Sql, category: string): Promise<string[]> {
  const sdk = startSdk();
  const sql = traced(driver, { tracer: sdk.tracer, meter: sdk.meter, parent: "sender" });
  await within(sdk.tracer, () => write(sql, `${category}-1`, { type: "Asked" }));
  await drain(sql, {
    category,
    consumerId: "it",
    handle: async (_, { sql }) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await write(sql, `${category}Done-1`, { type: "Done" });
    },
  });
  return treeOf(sdk.spans()).filter((it) => it.startsWith("INTERNAL work"));
}
