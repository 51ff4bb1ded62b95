/**
 * The Message DB client: pure functions over a SQL handle that you pass in.
 *
 * @example Write to a stream and read it back
 * ```ts
 * import postgres from "postgres";
 * import { NO_STREAM, readStream, write } from "@messagedb/client";
 *
 * const sql = postgres("postgres://message_store@localhost/message_store");
 * const deposited = { type: "Deposited", data: { amount: 11 } };
 * await write(sql, "account-123", deposited, { expectedVersion: NO_STREAM });
 * for (const message of await readStream(sql, "account-123")) {
 *   console.log(message.position, message.data);
 * }
 * await sql.end();
 * ```
 *
 * @module
 */

// Write
export { NO_STREAM, write, type WriteOptions } from "./src/write.ts";
export { writeBatch } from "./src/write_batch.ts";
export { append, type Appended } from "./src/append.ts";
export { type StreamInput, writeStreams } from "./src/write_streams.ts";
export { groupCommit, type GroupCommitOptions, type GroupedWrite } from "./src/group_commit.ts";
export { type IdentifiedMessageInput, synchronize } from "./src/synchronize.ts";
export {
  type ImportedMessage,
  importMessages,
  type ImportOptions,
  type ImportProgress,
} from "./src/import_messages.ts";

// Define
export {
  defineMessages,
  type DefineMessagesOptions,
  type DetailedDefinition,
  type GuardedUpcast,
  type Lift,
  type MessageConstructor,
  type MessageConstructorOptions,
  type MessageDefinition,
  type MessageInputOf,
  type MessageOf,
  type Messages,
  type TypedMessage,
  type TypedMessageInput,
  type UnknownMessage,
  type UnknownTypes,
  type Upcast,
} from "./src/define_messages.ts";
export type { Codec, CodedMessage, MessageCatalogue, Typed, TypedInput } from "./src/_catalogue.ts";
export type { StandardIssue, StandardResult, StandardSchema } from "./src/_schema.ts";
export { correlate, follow } from "./src/follow.ts";
export { idFrom } from "./src/id_from.ts";

// Read
export { readStream, type ReadStreamOptions } from "./src/read_stream.ts";
export { readCategory, type ReadCategoryOptions } from "./src/read_category.ts";
export { readAll, type ReadAllOptions } from "./src/read_all.ts";
export { readMatching, type ReadMatchingOptions } from "./src/read_matching.ts";
export { read, type ReadOptions } from "./src/read.ts";
export { readLastMessage, type ReadLastMessageOptions } from "./src/read_last_message.ts";
export { readMessage, readMessages } from "./src/read_messages.ts";
export {
  iterateAll,
  iterateCategory,
  iterateMatching,
  type IterateOptions,
  iterateStream,
} from "./src/iterate.ts";

// Follow
export { type FollowOptions, subscribe, type SubscribeOptions } from "./src/subscribe.ts";
export type { Source, SourceOptions } from "./src/_source.ts";
export type { StartAt } from "./src/_start.ts";

// Consume
export { consume, type ConsumeOptions } from "./src/consume.ts";
export { drain, type Drained, type DrainOptions } from "./src/drain.ts";
export type {
  Consumer,
  ConsumerIdentity,
  ConsumerOptions,
  FailurePolicy,
  GroupMembership,
  Handler,
  HandlerContext,
  Handlers,
  PlainConsumer,
  RetryPolicy,
  TransactionalConsumer,
  TransactionOf,
  Verdict,
} from "./src/consumer.ts";
export type { Parked } from "./src/_park.ts";

export { type Replayed, replayParked, type ReplayParkedOptions } from "./src/replay_parked.ts";
export { waitFor, type WaitForOptions } from "./src/wait_for.ts";

// Aggregate
export { type Aggregate, aggregate, type AggregateOptions } from "./src/aggregate.ts";
export {
  type Aggregated,
  type AggregatedMessage,
  readAggregate,
  type ReadAggregateOptions,
  type Reference,
} from "./src/read_aggregate.ts";

// Project
export {
  project,
  projectCategory,
  type ProjectCategoryOptions,
  type Projected,
  type ProjectedCategory,
  type ProjectOptions,
} from "./src/project.ts";
export type { Evolve, Evolvers, Projection } from "./src/_fold.ts";

// Decide
export {
  type Entity,
  entity,
  type EntityCache,
  type EntityDefinition,
  type Fetched,
  type SnapshotOptions,
} from "./src/entity.ts";
export {
  decide,
  type Decided,
  type DecidedTogether,
  type DecideOptions,
  type Decision,
  type DecisionsOf,
  type Participant,
  type Participants,
  type StatesOf,
  type VersionsOf,
} from "./src/decide.ts";

// Look around
export { streamVersion } from "./src/stream_version.ts";
export { categories, entityIds, streamNames } from "./src/names.ts";
export { messageStoreVersion } from "./src/message_store_version.ts";

// Names
export { cardinalId, category, id, ids, isCategory, streamName, types } from "./src/stream_name.ts";

// Handles
export { fromQuery } from "./src/from_query.ts";
export type {
  ConsumerGroup,
  Direction,
  Message,
  MessageInput,
  Metadata,
  Rows,
  Sql,
} from "./src/types.ts";

// Errors
export {
  ConditionNotActivatedError,
  ConsumerBehindError,
  DuplicateMessageError,
  HandlerFailedError,
  InvalidMessageError,
  type Issue,
  MessageDbError,
  type MessageDbErrorCode,
  MessageMismatchError,
  NotInstalledError,
  WrongExpectedVersionError,
} from "./src/errors.ts";
