import type { MessageCatalogue } from "../messages/catalogue.ts";
import type { StartAt } from "../read/start_at.ts";
import type { FollowOptions } from "../subscribe/follow_options.ts";
import type { Message, MessageInput, Sql } from "../types.ts";

/** What becomes of a message that was not handled. */
export type Verdict =
  /** It is handled again, after a while. */
  | "retry"
  /** It is passed over. */
  | "skip"
  /** It is put aside, for `replayParked`, and passed over. */
  | "park"
  /** The consumer stops before it. */
  | "stop";

/** What a handler gets besides the message. */
export interface HandlerContext<Handle = Sql> {
  /** The transaction's handle where the consumer is `transactional`, else the consumer's own. */
  readonly sql: Handle;
  /**
   * Aborts when the handler should give up: when its time to finish after the consumer's end is over
   * (not when the end begins), or when another process has taken over the member. One signal for all
   * messages: take back what is added to it.
   */
  readonly signal: AbortSignal;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** As `follow`, of the message in hand: gives a message to write the metadata that says so. */
  follow<Input extends MessageInput | readonly MessageInput[] | null | undefined>(
    this: void,
    message: Input,
  ): Input;
}

/**
 * Handles a message. It is handled when the function is done, or its promise resolves, unless with one
 * of the four verdicts: that says what becomes of it, as the policy does when the function throws. What
 * else it answers says nothing; another text is an error.
 */
export type Handler<Handle = Sql, Handled extends Message = Message> = {
  // A method's parameters may be narrower: a handler says what data it takes.
  handle(
    message: Handled,
    context: HandlerContext<Handle>,
  ): Verdict | object | number | boolean | null | void;
}["handle"];

/** To try a message again, a number of times. */
export interface RetryPolicy {
  /** How many more attempts, from 1. */
  readonly retry: number;
  /**
   * How long to wait before the first of them, in milliseconds. Each wait is twice as long as the one
   * before, up to half a minute, less a part by chance.
   *
   * @default 100
   */
  readonly delay?: number | undefined;
  /**
   * What becomes of the message after the last.
   *
   * @default "stop"
   */
  readonly then?: Exclude<Verdict, "retry"> | undefined;
}

/** What becomes of a message whose handler throws. */
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

/** Which consumer it is: what names its position. */
export interface ConsumerIdentity {
  /** The category that it consumes, or `"$all"`. */
  readonly category?: string | undefined;
  /** The aggregate that it consumes, instead. */
  readonly aggregate?: string | undefined;
  /** Its name among the consumers of the category, without a `+`. */
  readonly consumerId: string;
  /**
   * The share of the category that this process consumes: `{ member, size }`, with a position of its
   * own, and no other process may have it; or `{ size }` alone, and each process takes free members, by
   * leases.
   */
  readonly consumerGroup?: GroupMembership | undefined;
}

/** A member of a consumer group, or any that are free. */
export interface GroupMembership {
  /**
   * The member's number, from 0 to `size` - 1.
   *
   * @default as many as are this process's share, of those that no other process has
   */
  readonly member?: number | undefined;
  /** How many members share the category, from 1 to 32767. */
  readonly size: number;
}

/** Handlers by the types of their messages. */
export type Handlers<Handle = Sql, Handled extends Message = Message> = {
  readonly [Type in Exclude<Handled["type"], "$unknown">]?: Handler<
    Handle,
    Extract<Handled, { readonly type: Type }>
  >;
};

/** What every consumer may say. */
export interface ConsumerOptions<Handle, Handled extends Message = Message>
  extends ConsumerIdentity, Omit<FollowOptions, "consumerGroup"> {
  /**
   * The catalogue that messages are parsed by. One that does not fit is as one whose handler throws: the
   * policy says what becomes of it.
   *
   * @default none: nothing is parsed
   */
  readonly messages?: MessageCatalogue<Handled> | undefined;
  /** Handles every message. Either this or `handlers`. */
  readonly handle?: Handler<Handle, NoInfer<Handled>> | undefined;
  /** Handles messages by their types; those of other types are passed over. */
  readonly handlers?: NoInfer<Handlers<Handle, Handled>> | undefined;
  /**
   * What becomes of a message whose handler throws: a verdict, a number of attempts and then a
   * verdict, or a function that decides.
   *
   * @default "stop"
   */
  readonly onError?: FailurePolicy<Handle> | undefined;
  /**
   * Where to start while no position is stored.
   *
   * @default "beginning"
   */
  readonly startAt?: StartAt | undefined;
  /**
   * After how many messages the position is stored at the latest, from 1. It also is after a second,
   * after a quarter of one where there is nothing to handle, and at the end. (A transactional consumer
   * stores it with each message.)
   *
   * @default 1000
   */
  readonly positionUpdateInterval?: number | undefined;
  /**
   * How long a member is this process's after it was last heard of, in milliseconds, from 100. That
   * is renewed three times in that span, by a message each: 8,640 a day and member by the default.
   *
   * @default 30000
   */
  readonly leaseDuration?: number | undefined;
  /**
   * How long what is in hand may go on at the end, in milliseconds, from 0.
   *
   * @default 10000
   */
  readonly shutdownTimeout?: number | undefined;
}

/** A consumer whose messages are handled at least once. */
export interface PlainConsumer<Handle = Sql, Handled extends Message = Message>
  extends ConsumerOptions<Handle, Handled> {
  readonly transactional?: false | undefined;
  /**
   * How many streams of a page (of an aggregate: partitions) are handled side by side. The messages of
   * one stream are handled one after another.
   *
   * @default 1
   */
  readonly concurrency?: number | undefined;
}

/** A consumer whose handler's work and position are one transaction: each message exactly once. */
export interface TransactionalConsumer<Handle = Sql, Handled extends Message = Message>
  extends ConsumerOptions<TransactionOf<Handle>, Handled> {
  /** Whether the handler gets a transaction, in which the position is stored too. */
  readonly transactional: true;
  readonly concurrency?: 1 | undefined;
}

/** A consumer: what it reads, what it does with it, and its name, under which its position is stored. */
export type Consumer<Handle = Sql, Handled extends Message = Message> =
  | PlainConsumer<Handle, Handled>
  | TransactionalConsumer<Handle, Handled>;

/** The handle that `begin` of a handle gives; of one that has none, itself. */
export type TransactionOf<Handle> = Handle extends
  { begin(options: string, work: (sql: infer Transaction) => unknown): unknown } ? Transaction
  : Handle extends { begin(work: (sql: infer Transaction) => unknown): unknown } ? Transaction
  : Handle;
