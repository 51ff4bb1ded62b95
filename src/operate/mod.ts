/**
 * What an operator asks of a store and does to it, beside running programs.
 *
 * @example Which consumers there are, and how far behind
 * ```ts
 * import { consumers } from "@messagedb/client/operate";
 *
 * for (const { streamName, health, behind } of await consumers(sql)) {
 *   console.log(streamName, health, behind);
 * }
 * ```
 *
 * @module
 */

// Look
export { type ConsumerHealth, consumers } from "./consumers.ts";
export type { ConsumersOptions, ConsumerStatus } from "./consumers.ts";
export { nextMessage, type NextMessageOptions } from "./next_message.ts";
export { storeStatus } from "./store_status.ts";
export type {
  CategoryStatus,
  IndexStatus,
  MessageCount,
  OpenTransaction,
  StoreSettings,
  StoreStatus,
} from "./status.ts";
export { streams, type StreamsOptions, type StreamsPage, type StreamStatus } from "./streams.ts";
export {
  type MessageTypes,
  messageTypes,
  type MessageTypesOptions,
  type TypeStatus,
} from "./message_types.ts";
export { findMessages, type FindMessagesOptions, type FoundMessages } from "./find_messages.ts";
export type { FoundMessage } from "./found_message.ts";
export { inspectMessage, type InspectOptions } from "./inspect_message.ts";
export { activity, type ActivityBucket, type ActivityOptions } from "./activity.ts";
export { trace } from "./trace.ts";
export type { Trace, TracedMessage, TraceOptions, TraceStart } from "./trace.ts";
export { diagnose } from "./diagnose.ts";
export type { Diagnosis, DiagnosisName } from "./diagnosis.ts";
export { type Finding, type VerifiedPage, verify, type VerifyOptions } from "./verify.ts";

// Copy and compare
export { exportMessages, type ExportOptions } from "./export_messages.ts";
export { type CheckedLine, checkLines } from "./check_lines.ts";
export { compareCopy } from "./compare_copy.ts";
export type { ComparedPage, CompareOptions, Difference } from "./compare_copy.ts";
export { isSameStore } from "./is_same_store.ts";

// Change a consumer
export {
  type PlannedMember,
  planRewind,
  type PlanRewindOptions,
  type RewindPlan,
} from "./plan_rewind.ts";
export { rewind } from "./rewind.ts";
export { skip } from "./skip.ts";
export { park } from "./park.ts";
export type { PassOptions } from "./pass_options.ts";
export { parked, type ParkedMessage, type ParkedOptions } from "./parked.ts";
export { type DiscardOptions, discardParked } from "./discard_parked.ts";
export { remove } from "./remove.ts";

// Keep the store
export { prune, type Pruned, type PruneOptions } from "./prune.ts";

// What these take and return, from the core
export type { ConsumerIdentity, GroupMembership } from "../consume/consumer.ts";
export type { Parked } from "../consume/parked.ts";
export type { Reference } from "../read/reference.ts";
export type { StartAt } from "../read/start_at.ts";
export type { ImportedMessage } from "../write/imported_message.ts";
export type { IdentifiedMessageInput } from "../write/synchronize.ts";
export type {
  ConsumerGroup,
  Direction,
  Message,
  MessageInput,
  Metadata,
  Rows,
  Sql,
} from "../types.ts";
