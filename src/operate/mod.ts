/**
 * What an operator asks of a store and does to it, beside running programs.
 *
 * @example A backup
 * ```ts
 * import { exportMessages } from "@messagedb/client/operate";
 *
 * for await (const line of exportMessages(sql, "$all")) console.log(line);
 * ```
 *
 * @module
 */

// What an operator asks.
export { consumers } from "./consumers.ts";
export type { ConsumerHealth, ConsumersOptions, ConsumerStatus } from "./consumers.ts";
export { storeStatus } from "./store_status.ts";
export type {
  CategoryStatus,
  IndexStatus,
  MessageCount,
  OpenTransaction,
  StoreSettings,
  StoreStatus,
} from "./status.ts";

// What an operator takes out of a store.
export { exportMessages } from "./export_messages.ts";
export type { ExportOptions } from "./export_messages.ts";

// What an operator checks.
export { verify } from "./verify.ts";
export type { Finding, VerifiedPage, VerifyOptions } from "./verify.ts";

// The words of the client that these use.
export type { ConsumerGroup, Rows, Sql } from "../types.ts";
// What an operator does to a consumer.
export { rewind } from "./rewind.ts";
export { remove } from "./remove.ts";
export { park } from "./park.ts";
export { skip } from "./skip.ts";
export type { PassOptions } from "./pass_options.ts";
export { parked, type ParkedMessage, type ParkedOptions } from "./parked.ts";
export { type DiscardOptions, discardParked } from "./discard_parked.ts";

// What an operator does to the store.
export { prune, type Pruned, type PruneOptions } from "./prune.ts";

// What these take and return.
export type { ConsumerIdentity, GroupMembership } from "../consume/consumer.ts";
export type { Parked } from "../consume/parked.ts";
export type { Reference } from "../read/reference.ts";
export type { StartAt } from "../read/start_at.ts";
export type { Rows, Sql } from "../types.ts";
