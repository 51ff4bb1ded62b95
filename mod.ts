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
export { NO_STREAM, STREAM_EXISTS, write, type WriteOptions } from "./src/write/write.ts";
export { writeBatch } from "./src/write/write_batch.ts";
export { reply } from "./src/write/reply.ts";
export { append, type Appended } from "./src/write/append.ts";
export type { StreamInput } from "./src/write/stream_input.ts";
export { writeStreams } from "./src/write/write_streams.ts";
export {
  groupCommit,
  type GroupCommitOptions,
  type GroupedWrite,
} from "./src/write/group_commit.ts";
export { type IdentifiedMessageInput, synchronize } from "./src/write/synchronize.ts";
export {
  importMessages,
  type ImportOptions,
  type ImportProgress,
} from "./src/write/import_messages.ts";
export type { ImportedMessage } from "./src/write/imported_message.ts";

// Define
export type {
  DefineMessagesOptions,
  DetailedDefinition,
  ForgottenMessage,
  ForgottenMessages,
  GuardedUpcast,
  Lift,
  MessageConstructor,
  MessageConstructorOptions,
  MessageDefinition,
  TypedMessage,
  TypedMessageInput,
  UnknownMessage,
  UnknownTypes,
  Upcast,
} from "./src/messages/definition.ts";
export {
  defineMessages,
  type MessageInputOf,
  type MessageOf,
  type Messages,
} from "./src/messages/define_messages.ts";
export { type Codec, type CodedMessage, FORGOTTEN } from "./src/messages/codec.ts";
export type { MessageParser, ParseResult } from "./src/messages/message_parser.ts";
export type { MessageCatalogue, Typed, TypedInput } from "./src/messages/catalogue.ts";
export type { StandardIssue, StandardResult, StandardSchema } from "./src/messages/schema.ts";
export { correlate, follow, type Followed, type PropagateOptions } from "./src/messages/follow.ts";
export { isFollowing } from "./src/messages/is_following.ts";
export { idFrom } from "./src/names/id_from.ts";

// Read
export { readStream } from "./src/read/read_stream.ts";
export { readCategory } from "./src/read/read_category.ts";
export type { ReadCategoryOptions, ReadStreamOptions } from "./src/read/read_options.ts";
export { readAll, type ReadAllOptions } from "./src/read/read_all.ts";
export { readMatching, type ReadMatchingOptions } from "./src/read/read_matching.ts";
export { read, type ReadOptions } from "./src/read/read.ts";
export { readLastMessage, type ReadLastMessageOptions } from "./src/read/read_last_message.ts";
export { readMessage, readMessages } from "./src/read/read_messages.ts";
export {
  iterateAll,
  iterateCategory,
  iterateMatching,
  type IterateOptions,
  iterateStream,
} from "./src/read/iterate.ts";

// Follow
export type { FollowOptions } from "./src/subscribe/follow_options.ts";
export { subscribe, type SubscribeOptions } from "./src/subscribe/subscribe.ts";
export { settle, type SettleOptions } from "./src/subscribe/settle.ts";
export type { Source, SourceOptions } from "./src/subscribe/source.ts";
export type { StartAt } from "./src/read/start_at.ts";

// Consume
export { consume, type ConsumeOptions } from "./src/consume/consume.ts";
export { drain, type Drained, type DrainOptions } from "./src/consume/drain.ts";
export type {
  Consumer,
  ConsumerIdentity,
  ConsumerOf,
  ConsumerOptions,
  FailurePolicy,
  GroupMembership,
  Handler,
  HandlerAnswer,
  HandlerContext,
  Handlers,
  MessageConsumer,
  PageConsumer,
  PageContext,
  PageHandler,
  PlainConsumer,
  RetryPolicy,
  TransactionalConsumer,
  TransactionOf,
  TypeConsumer,
  Verdict,
} from "./src/consume/consumer.ts";
export type {
  ConsumerEvent,
  ConsumerEventBody,
  ConsumerEventSource,
} from "./src/consume/consumer_event.ts";
export type { Parked } from "./src/consume/parked.ts";
export {
  type Replayed,
  replayParked,
  type ReplayParkedOptions,
} from "./src/consume/replay_parked.ts";
export { waitFor, type WaitForOptions } from "./src/consume/wait_for.ts";

// Aggregate
export { type Aggregate, aggregate, type AggregateOptions } from "./src/consume/aggregate.ts";
export type { Aggregated, AggregatedMessage, Reference } from "./src/read/reference.ts";
export { readAggregate, type ReadAggregateOptions } from "./src/read/read_aggregate.ts";

// Project
export {
  project,
  projectCategory,
  type ProjectCategoryOptions,
  type Projected,
  type ProjectedCategory,
  type ProjectOptions,
} from "./src/decide/project.ts";
export type { Evolve, Evolvers, Projection } from "./src/decide/projection.ts";

// Decide
export type {
  EntityCache,
  EntityDefinition,
  SnapshotOptions,
} from "./src/decide/entity_definition.ts";
export { type Entity, entity, type Fetched } from "./src/decide/entity.ts";
export {
  decide,
  type DecidedTogether,
  type Decisions,
  type DecisionsOf,
  type Participant,
  type Participants,
  type StatesOf,
  type VersionsOf,
} from "./src/decide/decide.ts";
export type { Decided, DecideOptions, Decision } from "./src/decide/decision.ts";

// Look around
export { streamVersion } from "./src/read/stream_version.ts";
export { categories, entityIds, streamNames } from "./src/read/names.ts";
export { messageStoreVersion } from "./src/read/message_store_version.ts";

// Names
export {
  cardinalId,
  category,
  categoryName,
  entityName,
  id,
  ids,
  isCategory,
  streamName,
  types,
} from "./src/names/stream_name.ts";

// Handles
export { fromQuery } from "./src/handle/from_query.ts";
export { inSchema } from "./src/handle/in_schema.ts";
export {
  partitionByHash,
  partitioned,
  type PartitionedOptions,
  type PartitionedSql,
  partitionFor,
  type PartitionOf,
  partitions,
} from "./src/handle/partitioned.ts";
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
  PartitionError,
  ReplicaReadError,
  StoreWentBackError,
  WrongExpectedVersionError,
} from "./src/errors.ts";
