import { checkIdentity } from "../consume/_checked_consumer.ts";
import type { ConsumerIdentity } from "../consume/consumer.ts";
import { invalid } from "../lib/invalid.ts";
import { checkId, checkInteger, checkMembers, checkName } from "../names/_check.ts";
import { category as categoryOf } from "../names/stream_name.ts";
import { checkStartAt } from "../read/_first_since.ts";
import type { StartAt } from "../read/start_at.ts";
import type { ConsumerArguments } from "./_api.ts";
import type { StudioCall } from "./call.ts";
import { isoTime } from "./_iso_time.ts";

/** Reads a time of a page: ISO text, or left out. */
export function timeIn(name: string, value: unknown): Date | undefined {
  if (value === undefined) return undefined;
  const time = typeof value === "string" ? isoTime(value) : undefined;
  if (time === undefined) throw invalid(name, value, TIME);
  return time;
}

const TIME = "an ISO time of the years 1 to 9999";

/** Reads where to start: as a `StartAt`, but a time is ISO text. */
export function startIn(name: string, value: unknown): StartAt {
  const start = typeof value === "string" ? isoTime(value) ?? value : value;
  if (typeof start === "string" && start !== "beginning" && start !== "end") {
    throw invalid(name, value, `a position, "beginning", "end" or ${TIME}`);
  }
  checkStartAt(start, name);
  return start;
}

/** Checks a list of texts that may be left out. */
export function checkTexts(name: string, value: unknown, most = 1000): void {
  if (value === undefined) return;
  if (!Array.isArray(value)) throw invalid(name, value, "an array of texts");
  checkInteger(`${name}.length`, value.length, 0, most);
  for (const it of value) checkName(name, it);
}

/** Checks a list of ids that may be left out. */
export function checkIds(ids: unknown): void {
  if (ids === undefined) return;
  if (!Array.isArray(ids)) throw invalid("ids", ids, "an array of UUIDs");
  checkInteger("ids.length", ids.length, 0, 1000);
  ids.forEach(checkId);
}

/** A call without what the operation says of itself. */
export type CallPlace = Omit<StudioCall, "operation" | "writes">;

/** Where a stream is. */
export function placeOfStream(streamName: string): CallPlace {
  return { streamName, category: categoryOf(streamName) };
}

/** Checks the names of a consumer, and says what it reads. */
export function placeOfConsumer({ consumer, partition }: ConsumerArguments): CallPlace {
  checkMembers("consumer", consumer, {
    category: true,
    aggregate: true,
    consumerId: true,
    consumerGroup: true,
  });
  checkIdentity(consumer as ConsumerIdentity);
  if (partition !== undefined) checkInteger("partition", partition, 0);
  const { category, aggregate, consumerId, consumerGroup } = consumer;
  return { category, aggregate, consumerId, partition, consumerGroup };
}
