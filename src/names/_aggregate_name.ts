import { invalid } from "../lib/invalid.ts";
import { checkInteger } from "./_check.ts";
import { isCategory, streamName } from "./stream_name.ts";

export function checkAggregateName(option: string, name: unknown): asserts name is string {
  if (typeof name !== "string" || !isCategory(name) || !/^[^$:]/.test(name) || /:/.test(name)) {
    throw invalid(option, name, "a category without a type, which is the aggregate's own: ledger");
  }
}

export function checkPartition(partition: unknown): asserts partition is number | string {
  if (typeof partition === "number") checkInteger("partition", partition, 0);
  else if (typeof partition !== "string") throw invalid("partition", partition, "a number or text");
}

/** The name of a partition's stream. */
export function partitionStream(name: string, partition: unknown): string {
  checkPartition(partition);
  return streamName(name, String(partition));
}
