import type { PartitionedSql } from "../handle/partitioned.ts";
import type { MessageCatalogue } from "../messages/catalogue.ts";
import type { Followed, PropagateOptions } from "../messages/follow.ts";
import type { StartAt } from "../read/start_at.ts";
import type { FollowOptions } from "../subscribe/follow_options.ts";
import type { Message, MessageInput, Sql } from "../types.ts";
import type { ConsumerEvent } from "./consumer_event.ts";

/** What to do with a message that was not handled. */
export type Verdict =
  /** Handle the message again, after a delay. */
  | "retry"
  /** Skip the message. */
  | "skip"
  /** Park the message for `replayParked`, and go on. */
  | "park"
  /** Stop the consumer before the message. */
  | "stop";

/** The second argument of a handler. */
export interface HandlerContext<Handle = Sql> {
  /** The transaction's handle if the consumer is `transactional`, else the consumer's own handle. */
  readonly sql: Handle;
  /**
   * Aborts when the handler should give up: when `shutdownTimeout` is over after the consumer was told to
   * end (not when it is told so) or an operator has set the position, or when another process has taken over
   * the member. Messages share this signal: remove the listeners that you add.
   */
  readonly signal: AbortSignal;
  /** The number of this attempt, from 1. */
  readonly attempt: number;
  /** As `follow`, with the message in hand as the cause of the message to write. */
  follow<Input extends MessageInput | readonly MessageInput[] | null | undefined>(
    this: void,
    message: Input,
    options?: PropagateOptions,
  ): Followed<Input>;
}

/**
 * What a handler may answer: a verdict, or what its work has answered, such as rows.
 *
 * A text that is no verdict does not compile. At run time the message then counts as handled, but a text that is
 * nearly a verdict stops the consumer with a `TypeError`. So does an error, and what has not run: a function, a
 * generator, a stream, an observable, a query that is not executed.
 */
export type HandlerAnswer =
  | Verdict
  | object & Done
  | number
  | bigint
  | boolean
  | null
  | undefined
  | void;

/**
 * What is no error and no function, and has no method that would still have to be called.
 *
 * @internal
 */
interface Done {
  /** Promises: only the function itself may answer one. */
  readonly then?: NoFunction;
  /** Iterators, and what a generator function answers. */
  readonly next?: NoFunction;
  /** Observables. */
  readonly subscribe?: NoFunction;
  /** Streams and effects. */
  readonly pipe?: NoFunction;
  /** Query builders. */
  readonly execute?: NoFunction;
  /** Errors. */
  readonly stack?: undefined;
  /** Functions. */
  readonly bind?: undefined;
}

/** @internal */
type NoFunction =
  | object & { readonly bind?: undefined }
  | string
  | number
  | bigint
  | boolean
  | symbol
  | null
  | undefined;

/**
 * Handles a message. The message is handled when the function returns, or when its promise resolves, unless the
 * answer is a verdict. A verdict says what to do with the message, as the policy does if the function throws.
 * Every other answer means nothing.
 */
export type Handler<Handle = Sql, Handled extends Message = Message> = {
  // As a method, because the parameters of a method may be narrower: a handler may say what data it takes.
  handle(
    message: Handled,
    context: HandlerContext<Handle>,
  ): HandlerAnswer | PromiseLike<HandlerAnswer>;
}["handle"];

/** The second argument of a handler of pages. */
export type PageContext<Handle = Sql> = Omit<HandlerContext<Handle>, "follow">;

/**
 * Handles messages in their order: a page of them, or fewer. All are handled when the promise resolves. If the
 * function throws, or answers a verdict, the consumer narrows the page down to the message that is to blame:
 * it calls the function with parts of the page, and in the end with that message alone. Then the verdict, or
 * the policy, is for that message.
 */
export type PageHandler<Handle = Sql, Handled extends Message = Message> = {
  handlePage(
    messages: readonly Handled[],
    context: PageContext<Handle>,
  ): HandlerAnswer | PromiseLike<HandlerAnswer>;
}["handlePage"];

/** A policy that retries a message, a number of times. */
export interface RetryPolicy {
  /** How many times to retry, from 1. */
  readonly retry: number;
  /**
   * How long to wait before the first retry, in milliseconds. Each wait is twice as long as the one before,
   * up to half a minute, less a random part.
   *
   * @default 100
   */
  readonly delay?: number | undefined;
  /**
   * What to do with the message after the last retry.
   *
   * @default "stop"
   */
  readonly then?: Exclude<Verdict, "retry"> | undefined;
}

/** What to do with a message whose handler throws: a verdict, retries, or a function that decides. */
export type FailurePolicy<Handle = Sql> =
  | Exclude<Verdict, "retry">
  | RetryPolicy
  | {
    decide(
      error: unknown,
      message: Message,
      context: HandlerContext<Handle>,
    ): Promise<Verdict> | Verdict;
  }["decide"];

/** The identity of a consumer: what its position is stored under. */
export interface ConsumerIdentity {
  /** The category to consume, or `"$all"`. */
  readonly category?: string | undefined;
  /** The aggregate to consume, instead of a category. */
  readonly aggregate?: string | undefined;
  /** The consumer's name among the consumers of the category, without a `+`. */
  readonly consumerId: string;
  /**
   * The share of the category that this process consumes. `{ member, size }` is one member, with a position
   * of its own. With `{ size }` alone, each process takes its share of the members that are free.
   */
  readonly consumerGroup?: GroupMembership | undefined;
}

/** A member of a consumer group, or any free members. */
export interface GroupMembership {
  /**
   * The member's number, from 0 to `size` - 1.
   *
   * @default this process's share of the members that no other process has
   */
  readonly member?: number | undefined;
  /** How many members share the category, from 1 to 32767. */
  readonly size: number;
}

/**
 * Handlers, by the types of their messages. `$forgotten` gets the forgotten messages, of all types. Without it,
 * they are passed over.
 */
export type Handlers<Handle = Sql, Handled extends Message = Message> = {
  readonly [Type in Exclude<Handled["type"], "$unknown">]?: Handler<
    Handle,
    Extract<Handled, { readonly type: Type }>
  >;
};

/** The options of every consumer. */
export interface ConsumerOptions<
  Handle,
  Handled extends Message = Message,
  Transactional extends boolean = boolean,
> extends ConsumerIdentity, Omit<FollowOptions, "consumerGroup"> {
  /**
   * The catalogue that parses the messages. A message that does not fit is treated as one whose handler
   * throws: the policy says what to do with it.
   *
   * @default none: nothing is parsed
   */
  readonly messages?: MessageCatalogue<Handled> | undefined;
  /**
   * What to do with a message whose handler throws: a verdict, a number of retries and then a verdict, or
   * a function that decides.
   *
   * @default "stop"
   */
  readonly onError?: FailurePolicy<HandlerSql<Handle, Transactional>> | undefined;
  /**
   * Whether the handler gets a transaction, in which the position is stored too. Then the messages take effect
   * in the database exactly once. Without it, each message is handled at least once.
   *
   * @default false
   */
  readonly transactional?: Transactional | undefined;
  /**
   * How many streams of a page (of an aggregate: partitions) are handled at the same time. The messages of
   * one stream are handled one after another. 1 with `handlePage`, and with `transactional`, because a
   * transaction has one connection.
   *
   * @default 1
   */
  readonly concurrency?: (Transactional extends true ? 1 : number) | undefined;
  /**
   * Only with `transactional`: how long messages of a page are handled in one transaction before it commits, in
   * milliseconds, from 0. Its locks are held that long, and for the message in hand. With 0, each message has a
   * transaction of its own. If a handler throws, the transaction is rolled back: the messages before it are
   * handled again, and then it alone. `handlePage` has one transaction for each call.
   *
   * @default 100
   */
  readonly commitInterval?: (Transactional extends false ? undefined : number) | undefined;
  /**
   * Where to start if no position is stored.
   *
   * @default "beginning"
   */
  readonly startAt?: StartAt | undefined;
  /**
   * The handle of a replica, from which the pages are read: a standby, or a logical subscriber. Everything
   * else stays with the primary, which is the consumer's handle: the position, the claim, what is parked,
   * and the handler's `sql`. For `"$all"`, `settle` has to run on the primary. Each page is looked up
   * on the primary. A page that the primary does not have, because the replica follows another server, is read
   * from the primary, and so is one where the replica throws `ReplicaReadError`, which `onRetry` is told. While
   * the replica gives nothing, a page of the primary is read every 30 seconds; the last page of `drain` is the
   * primary's. The schema has to be that of the consumer's handle. Not with `notify`.
   *
   * @default the consumer's handle
   */
  readonly readFrom?: Sql | undefined;
  /**
   * After how many messages the position is stored at the latest, from 1. The position is also stored
   * after a second, after a quarter of a second if there is nothing to handle, and at the end. (A
   * transactional consumer stores it with each transaction.)
   *
   * @default 1000
   */
  readonly positionUpdateInterval?: number | undefined;
  /**
   * Whether one process at a time has the consumer (of a group: a member), by a claim that it writes to the
   * position stream. With false, each process that runs the consumer handles all messages (with
   * `transactional`, each message is handled by one of them), and the position that is stored, where a process
   * starts, is that of the process that is ahead. Not for `consumerGroup: { size }`.
   *
   * @default true
   */
  readonly exclusive?: boolean | undefined;
  /**
   * How long it takes at most until another process takes over from one that is gone, in milliseconds, from
   * 100, if there are messages to handle. So long a handler may keep the event loop busy. After a clean end
   * another process takes over within a second.
   *
   * @default 30000
   */
  readonly leaseDuration?: number | undefined;
  /**
   * How long the messages in hand may go on at the end, in milliseconds, from 0. So long they may go on, too,
   * when an operator has parked or skipped one of them, or has rewound the consumer, and when the server was restarted
   * or another one took over. Then the consumer goes on without waiting for a handler that hangs.
   *
   * @default 10000
   */
  readonly shutdownTimeout?: number | undefined;
  /**
   * Gets what happens in the consumer: see `ConsumerEvent`. What this function throws is ignored.
   *
   * @default none
   */
  readonly onEvent?: ((event: ConsumerEvent) => void) | undefined;
}

/** A consumer with a handler of pages. */
export interface PageConsumer<
  Handle = Sql,
  Handled extends Message = Message,
  Transactional extends boolean = boolean,
> extends ConsumerOptions<Handle, Handled, Transactional> {
  /**
   * Handles the messages of a page together: for a read model that is one statement a page. The page has up to
   * `batchSize` messages, of all types unless `types` says which. Give this, `handle` or `handlers`.
   */
  readonly handlePage: PageHandler<HandlerSql<Handle, Transactional>, NoInfer<Handled>>;
  /** Not beside `handlePage`. */
  readonly handlers?: undefined;
  /** Not beside `handlePage`. */
  readonly handle?: undefined;
}

/** A consumer with a handler for each type. */
export interface TypeConsumer<
  Handle = Sql,
  Handled extends Message = Message,
  Transactional extends boolean = boolean,
> extends ConsumerOptions<Handle, Handled, Transactional> {
  /** Handle messages by their types. Give this, `handle` or `handlePage`. */
  readonly handlers: NoInfer<Handlers<HandlerSql<Handle, Transactional>, Handled>>;
  /** Not beside `handlers`. */
  readonly handle?: undefined;
  /** Not beside `handlers`. */
  readonly handlePage?: undefined;
  /** Not beside `handlers`, which have types. */
  readonly types?: readonly never[] | undefined;
  /**
   * What happens to a message whose type has no handler: it is not read, or it is treated as one whose handler
   * throws an `InvalidMessageError`, and the policy says what to do with it.
   *
   * @default "skip"
   */
  readonly unknown?: "skip" | "refuse" | undefined;
}

/** A consumer with one handler for all messages. */
export interface MessageConsumer<
  Handle = Sql,
  Handled extends Message = Message,
  Transactional extends boolean = boolean,
> extends ConsumerOptions<Handle, Handled, Transactional> {
  /** Handles every message. Give this, `handlers` or `handlePage`. */
  readonly handle: Handler<HandlerSql<Handle, Transactional>, NoInfer<Handled>>;
  /** Not beside `handle`. */
  readonly handlers?: undefined;
  /** Not beside `handle`. */
  readonly handlePage?: undefined;
}

/** A consumer that is transactional, or is not, as the third type says: `consume` infers that. */
export type ConsumerOf<Handle, Handled extends Message, Transactional extends boolean> =
  | PageConsumer<Handle, Handled, Transactional>
  | TypeConsumer<Handle, Handled, Transactional>
  // The last one, because TypeScript names it in its errors.
  | MessageConsumer<Handle, Handled, Transactional>;

/** A consumer that handles each message at least once. */
export type PlainConsumer<Handle = Sql, Handled extends Message = Message> =
  & ConsumerOf<Handle, Handled, false>
  & { readonly transactional?: false | undefined };

/**
 * A consumer whose messages take effect in the database exactly once: the handler's work and the position
 * are one transaction.
 */
export type TransactionalConsumer<Handle = Sql, Handled extends Message = Message> =
  & ConsumerOf<Handle, Handled, true>
  & { readonly transactional: true };

/**
 * A consumer: what it reads, its handlers, and its name, under which its position is stored. It can be
 * transactional if the handle has `begin`. Over a partitioned store, a transactional consumer is a
 * `TransactionalConsumer`.
 */
export type Consumer<Handle = Sql, Handled extends Message = Message> = Handle extends
  { begin: unknown } ? TransactionalConsumer<Handle, Handled> | PlainConsumer<Handle, Handled>
  : PlainConsumer<Handle, Handled>;

/**
 * The handle that a handler gets.
 *
 * @internal
 */
type HandlerSql<Handle, Transactional extends boolean> = Transactional extends true
  ? TransactionOf<Handle>
  : Handle;

/**
 * The handle that `begin` of a handle gives, or of its partitions' handles; the handle itself if it has no
 * `begin`.
 */
export type TransactionOf<Handle> = Handle extends PartitionedSql<infer Each> ? TransactionOf<Each>
  : Handle extends { begin(options: string, work: (sql: infer Transaction) => unknown): unknown }
    ? Transaction
  : Handle extends { begin(work: (sql: infer Transaction) => unknown): unknown } ? Transaction
  : Handle;
