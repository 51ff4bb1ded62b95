/**
 * What an operator asks of a store and does to it, beside running programs.
 *
 * @example Which consumers there are, and how far behind
 * ```ts
 * import { consumers } from "@messagedb/client/operate";
 *
 * for (const { consumerId, behind } of await consumers(sql)) console.log(consumerId, behind);
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

// The words of the client that these use.
export type { ConsumerGroup, Rows, Sql } from "../types.ts";
