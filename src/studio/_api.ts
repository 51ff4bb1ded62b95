/**
 * What the page asks the server, and what the server answers: types alone. An operation is
 * `POST {basePath}/api/{operation}`, with its arguments as JSON.
 */
import type { ConsumerIdentity } from "../consume/consumer.ts";
import type { Replayed } from "../consume/replay_parked.ts";
import type { ConsumerStatus } from "../operate/consumers.ts";
import type { Diagnosis } from "../operate/diagnosis.ts";
import type { MessageTypes } from "../operate/message_types.ts";
import type { ParkedMessage } from "../operate/parked.ts";
import type { RewindPlan } from "../operate/plan_rewind.ts";
import type { StoreStatus } from "../operate/status.ts";
import type { StreamsPage, StreamStatus } from "../operate/streams.ts";
import type { Trace } from "../operate/trace.ts";
import type { Reference } from "../read/reference.ts";

/** A value as JSON has it: a Date is an ISO string. */
export type Wire<T> = T extends Date ? string
  : T extends readonly (infer Item)[] ? readonly Wire<Item>[]
  : T extends object ? { readonly [Name in keyof T]: Wire<T[Name]> }
  : T;

/** Each operation, with its arguments and its answer. */
export interface StudioApi {
  // Reads
  readonly open: Exchange<NoArguments, Opened>;
  readonly pulse: Exchange<NoArguments, Pulse>;
  readonly storeStatus: Exchange<NoArguments, StoresAnswer>;
  readonly activity: Exchange<ActivityArguments, ActivityAnswer>;
  readonly consumers: Exchange<NoArguments, ConsumersAnswer>;
  readonly diagnose: Exchange<NoArguments, readonly StoreFinding[]>;
  readonly streams: Exchange<StreamsArguments, Wire<StreamsPage>>;
  readonly messageTypes: Exchange<TypesArguments, Wire<MessageTypes>>;
  readonly findMessages: Exchange<FindArguments, FoundAnswer>;
  readonly readMessage: Exchange<MessageArguments, WholeMessage | null>;
  readonly trace: Exchange<TraceArguments, Wire<Trace>>;
  readonly states: Exchange<StatesArguments, StatesAnswer>;
  readonly parked: Exchange<ParkedArguments, readonly Wire<ParkedMessage>[]>;
  readonly planRewind: Exchange<RewindArguments, Wire<RewindPlan>>;
  readonly nextMessage: Exchange<ConsumerArguments, ListedMessage | null>;
  readonly readAggregate: Exchange<AggregateArguments, readonly ReferredMessage[]>;
  // Writes
  readonly replayParked: Exchange<ReplayArguments, Wire<Replayed>>;
  readonly discardParked: Exchange<DiscardArguments, { readonly discarded: number }>;
  readonly rewind: Exchange<RewindArguments, { readonly position: number }>;
  readonly skip: Exchange<PassArguments, Record<string, never>>;
  readonly park: Exchange<PassArguments, Record<string, never>>;
  readonly write: Exchange<MessageToWrite, { readonly position: number }>;
}

/** What an operation takes and answers. */
export interface Exchange<Arguments, Answer> {
  readonly arguments: Arguments;
  readonly answer: Answer;
}

/** The name of an operation. */
export type OperationName = keyof StudioApi;

/** The name of an operation that writes. */
export type ChangeName =
  | "replayParked"
  | "discardParked"
  | "rewind"
  | "skip"
  | "park"
  | "write";

export type NoArguments = Readonly<Record<string, never>>;

/** What the studio is. */
export interface Opened {
  /** The version of this package. */
  readonly version: string;
  /** Whether operations that write are refused. */
  readonly readOnly: boolean;
  /** The operations that write and that `authorize` allows, asked without names. */
  readonly may: readonly ChangeName[];
  /** The categories whose entities the server folds. */
  readonly entities: readonly string[];
  /** The consumers whose parked messages the studio can replay. */
  readonly consumers: readonly StudioConsumer[];
  /** The schema of Message DB: `"message_store"`. */
  readonly schema: string;
  /** How many partitions the store has; 1 for a plain store. With more, there is no `"$all"`. */
  readonly partitions: number;
  /** The names of the databases, one for each partition; empty if the store does not answer. */
  readonly databases: readonly string[];
}

/** What was found out of a store, or of one of its partitions. */
export interface StoreFinding extends Wire<Diagnosis> {
  /** The number of the partition; null for a plain store. */
  readonly partition: number | null;
}

/** The names of a consumer. */
export interface StudioConsumer {
  readonly category?: string;
  readonly aggregate?: string;
  readonly consumerId: string;
}

/** The head of the store. It is read at most once a second for all pages. */
export interface Pulse {
  /**
   * The global position of the last message of each partition, by its number; of a plain store, one. 0 for no message,
   * null if the partition did not answer.
   */
  readonly heads: readonly (number | null)[];
  /** The time of the last message; null for none. */
  readonly time: string | null;
  /** The clock of the studio's server. */
  readonly serverTime: string;
  /** Says which partitions do not answer; null if all do. What they have is in no answer then. */
  readonly silence: string | null;
}

/** The status of a store, or of one of its partitions. */
export interface NumberedStatus extends Wire<StoreStatus> {
  /** The number of the partition; null for a plain store. */
  readonly number: number | null;
}

/** The status of each partition that has answered; of a plain store, one. */
export interface StoresAnswer {
  readonly stores: readonly NumberedStatus[];
  /** When it was read. */
  readonly at: string;
}

export interface ConsumersAnswer {
  readonly consumers: readonly Wire<ConsumerStatus>[];
  /** When they were read, by the clock of the studio's server. */
  readonly at: string;
}

export interface ActivityArguments {
  /** ISO time. */
  readonly since: string;
  /** ISO time; the time of the request if left out. */
  readonly until?: string;
  /** From 1 to 120. 60 if left out. */
  readonly buckets?: number;
}

export interface ActivityAnswer {
  readonly buckets: readonly {
    readonly from: string;
    readonly to: string;
    readonly count: number;
  }[];
}

export interface StreamsArguments {
  readonly category: string;
  /** `"last"` if left out. */
  readonly sort?: "last" | "count" | "name";
  /** From 1 to 1000. 100 if left out. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly after?: Partial<Wire<StreamStatus>>;
}

export interface TypesArguments {
  readonly category?: string;
}

export interface FindArguments {
  /** `"$all"`, a category or a stream. */
  readonly source: string;
  /** `"forward"` if left out. */
  readonly direction?: "forward" | "backward";
  /** A position (of `"$all"` and of a category a global one), "beginning", "end" or an ISO time. */
  readonly startAt?: number | "beginning" | "end" | string;
  /** From 1 to 500. 100 if left out. */
  readonly limit?: number;
  readonly types?: readonly string[];
  /** A text that the data contain, in capitals or not. */
  readonly text?: string;
  /** The stream that is the correlation of the messages, or its category. */
  readonly correlation?: string;
  /** ISO time, included. */
  readonly since?: string;
  /** ISO time, not included. */
  readonly until?: string;
  /** Whether to answer what this library writes for itself. True if left out. */
  readonly own?: boolean;
}

export interface FoundAnswer {
  readonly messages: readonly ListedMessage[];
  /** Where to go on: the `startAt` of the next page; null at the end. */
  readonly next: number | null;
  /** How many messages were looked at. */
  readonly scanned: number;
  /** The number of the partition that the messages are in; 0 for a plain store. */
  readonly partition: number;
}

/** What a message is to this library, by its stream and its type. */
export type MessageKind =
  | "message"
  | "command"
  | "position"
  | "group"
  | "claim"
  | "parked"
  | "snapshot"
  | "aggregate"
  | "reference"
  | "settled";

/** A message in a list. */
export interface ListedMessage {
  readonly id: string;
  readonly streamName: string;
  readonly type: string;
  readonly position: number;
  readonly globalPosition: number;
  /** ISO time; null if it is beyond what a Date can be. */
  readonly time: string | null;
  /** JSON text as the store has it, the first 2,000 characters; null for none. */
  readonly data: string | null;
  /** JSON text as the store has it, the first 2,000 characters; null for none. */
  readonly metadata: string | null;
  /** Whether data or metadata are longer. */
  readonly isCut: boolean;
  /** The bytes of data and metadata together. */
  readonly size: number;
  readonly kind: MessageKind;
}

export interface MessageArguments {
  readonly id: string;
}

/**
 * A message with up to 1,000,000 characters of its data and of its metadata. If it is cut,
 * `GET {basePath}/api/messages/{id}` has the whole message, as a file.
 */
export type WholeMessage = ListedMessage;

export interface TraceArguments {
  readonly id?: string;
  readonly streamName?: string;
  /** From 1 to 1000. 200 if left out. */
  readonly limit?: number;
}

export interface StatesArguments {
  readonly streamName: string;
  /** The position around which states are answered; the end of the stream if left out. */
  readonly position?: number;
}

export interface StatesAnswer {
  /** Whether an entity that the studio was given has made the states, or a merge of the data. */
  readonly by: "entity" | "merge";
  /** States of neighbouring positions, in their order: at most 500. */
  readonly states: readonly EntityState[];
  /** The position of the first message of the stream, and of the last that can be shown; null for none. */
  readonly first: number | null;
  readonly last: number | null;
  /** Whether the stream has messages after `last`, which are more than the studio folds. */
  readonly isCut: boolean;
  /** Why the fold ended at `last`, if a message did not fit it. */
  readonly error: string | null;
}

/** The state after a message. */
export interface EntityState {
  readonly id: string;
  readonly position: number;
  readonly globalPosition: number;
  readonly type: string;
  readonly time: string | null;
  /** JSON text, cut if `isCut`. What JSON does not have is shown as text. */
  readonly state: string;
  readonly isCut: boolean;
}

/** A consumer, and of a group the size; `nextMessage` needs the member too. */
export interface ConsumerArguments {
  readonly consumer: Pick<
    ConsumerIdentity,
    "category" | "aggregate" | "consumerId" | "consumerGroup"
  >;
  /** The number of the partition that has the consumer's position. Of `"$all"`, each partition has a consumer of its own. */
  readonly partition?: number;
}

export interface ParkedArguments extends ConsumerArguments {
  /** The first position in the stream of parked messages. 0 if left out. */
  readonly position?: number;
  /** From 1 to 1000. 100 if left out. */
  readonly batchSize?: number;
}

export interface RewindArguments extends ConsumerArguments {
  /** A global position, "beginning", "end" or an ISO time. */
  readonly position: number | "beginning" | "end" | string;
}

export interface AggregateArguments {
  readonly name: string;
  readonly partition?: string | number;
  /** In a partition its own position, else a global one. The beginning if left out. */
  readonly position?: number;
  /** From 1 to 500. 100 if left out. */
  readonly batchSize?: number;
}

/** A message that an aggregate refers to. */
export interface ReferredMessage extends ListedMessage {
  readonly reference: Reference;
}

export interface ReplayArguments extends ConsumerArguments {
  /** The ids of the messages that were parked; all if left out. */
  readonly ids?: readonly string[];
  readonly types?: readonly string[];
  /** From 1 to 1000. 1000 if left out. */
  readonly limit?: number;
}

export interface DiscardArguments extends ConsumerArguments {
  /** The ids of the messages that were parked, at most 1000. */
  readonly ids: readonly string[];
  readonly reason: string;
}

export interface PassArguments extends ConsumerArguments {
  readonly id: string;
  readonly reason: string;
  readonly types?: readonly string[];
}

export interface MessageToWrite {
  readonly streamName: string;
  readonly type: string;
  /** Any JSON value. */
  readonly data?: unknown;
  readonly metadata?: Readonly<Record<string, unknown>> | null;
  readonly id?: string;
  readonly expectedVersion?: number;
}

/** What an answer of 400 or more is: `application/problem+json`. */
export interface StudioProblem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code?: string;
}
