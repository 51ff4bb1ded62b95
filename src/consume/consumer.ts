import {
  checkTypesOf,
  type MessageCatalogue,
  type Parser,
  parserOf,
  pickerOf,
} from "../messages/catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import { checkCategory, checkInteger, checkName } from "../names/_check.ts";
import { onceThere } from "../lib/promise.ts";
import { readerOf, type Source } from "../subscribe/source.ts";
import { checkStartAt, type StartAt } from "../read/start_at.ts";
import { type BeginningSql, transact } from "../handle/_transaction.ts";
import { checkAggregateName } from "../read/read_aggregate.ts";
import {
  type CheckedFollowing,
  checkFollowing,
  type FollowOptions,
} from "../subscribe/subscribe.ts";
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

export const VERDICTS: readonly Verdict[] = ["retry", "skip", "park", "stop"];

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

/** A consumer, checked, with its defaults. */
export interface CheckedConsumer extends CheckedFollowing {
  readonly sql: Sql;
  readonly category: string;
  readonly consumerId: string;
  readonly group: GroupMembership | undefined;
  readonly source: Source;
  readonly types: readonly string[] | undefined;
  readonly correlation: string | undefined;
  readonly batchSize: number | undefined;
  readonly startAt: StartAt;
  readonly handlerOf: (message: Message) => Handler | undefined;
  readonly onError: FailurePolicy;
  /** Runs work in a transaction; undefined where the consumer is not transactional. */
  readonly begin: ((work: (sql: Sql) => Promise<void>) => Promise<void>) | undefined;
  readonly concurrency: number;
  readonly positionUpdateInterval: number;
  readonly leaseDuration: number;
  readonly shutdownTimeout: number;
  /** How often what was lost is tried at most. */
  readonly attempts?: number;
}

export function checkIdentity(
  consumer: ConsumerIdentity,
): Pick<CheckedConsumer, "category" | "consumerId" | "group" | "source"> {
  if (typeof consumer !== "object" || consumer === null) {
    throw invalid("consumer", consumer, "an object");
  }
  const { category, aggregate, consumerId, consumerGroup: group } = consumer;
  if ((category === undefined) === (aggregate === undefined)) {
    throw invalid("category", category, 'given where "aggregate" is not, and only there');
  }
  if (aggregate !== undefined) checkAggregateName("aggregate", aggregate);
  else if (category !== "$all") checkCategory("category", category);
  checkName("consumerId", consumerId);
  if (consumerId.includes("+")) throw invalid("consumerId", consumerId, 'a name without "+"');
  if (group !== undefined) {
    if (typeof group !== "object" || group === null) {
      throw invalid("consumerGroup", group, "an object with a size");
    }
    checkInteger("consumerGroup.size", group.size, 1, 32767);
    if (group.member !== undefined) {
      checkInteger("consumerGroup.member", group.member, 0, group.size - 1);
    }
    if (category === "$all") throw invalid("consumerGroup", group, 'left out for "$all"');
  }
  return {
    category: category ?? aggregate!,
    consumerId,
    group,
    source: aggregate === undefined ? category! : { aggregate },
  };
}

export function checkConsumer<Handle extends Sql, Handled extends Message>(
  sql: Handle,
  consumer: Consumer<Handle, Handled>,
): CheckedConsumer {
  const identity = checkIdentity(consumer);
  const {
    handle,
    handlers,
    types,
    correlation,
    batchSize,
    startAt = "beginning",
    onError = "stop",
    transactional = false,
    concurrency = 1,
    positionUpdateInterval = 1000,
    leaseDuration = 30_000,
    shutdownTimeout = 10_000,
  } = consumer as unknown as PlainConsumer;
  const parser = parserOf(consumer);
  if ((handle === undefined) === (handlers === undefined)) {
    throw invalid("handle", handle, 'given where "handlers" is not, and only there');
  }
  for (const [name, handler] of Object.entries(handlers ?? { handle })) {
    if (typeof handler !== "function") throw invalid(name, handler, "a function");
  }
  if (handlers !== undefined && types !== undefined) {
    throw invalid("types", types, 'left out where there are "handlers", which have types');
  }
  if (handlers !== undefined && Object.keys(handlers).length === 0) {
    throw invalid("handlers", handlers, "an object with at least one function");
  }
  if (parser && handlers) checkTypesOf(parser, handlers);
  const pick = pickerOf(parser, handle, handlers);
  const wanted = handlers === undefined ? types : Object.keys(handlers);
  const selection = {
    types: wanted && (parser?.storedTypes(wanted) ?? wanted),
    correlation,
    batchSize,
  };
  readerOf(sql, identity.source, selection);
  checkStartAt(startAt);
  checkPolicy(onError);
  checkInteger("concurrency", concurrency, 1);
  checkInteger("positionUpdateInterval", positionUpdateInterval, 1);
  checkInteger("leaseDuration", leaseDuration, 100, 2 ** 31 - 1);
  checkInteger("shutdownTimeout", shutdownTimeout, 0, 2 ** 31 - 1);
  if (typeof transactional !== "boolean") {
    throw invalid("transactional", transactional, "true or false");
  }
  if (transactional && concurrency !== 1) {
    throw invalid("concurrency", concurrency, "1 for a transactional consumer");
  }
  if (transactional && typeof (sql as { begin?: unknown }).begin !== "function") {
    throw invalid("transactional", true, "false for this handle, which has no begin()");
  }
  const beginning = sql as unknown as BeginningSql;
  return {
    ...identity,
    ...selection,
    ...checkFollowing(sql, consumer),
    sql,
    startAt,
    handlerOf: ({ type }) => {
      const handler = pick(type);
      return parser && handler ? parsing(parser, handler) : handler;
    },
    onError,
    begin: transactional ? (work) => transact(beginning, work) : undefined,
    concurrency,
    positionUpdateInterval,
    leaseDuration,
    shutdownTimeout,
  };
}

/** A handler of messages as they are stored. */
function parsing(parser: Parser, handler: Handler): Handler {
  return (message, context) =>
    onceThere<Message | undefined, unknown>(
      parser.decode(message),
      (parsed) => parsed && handler(parsed, context),
    ) as ReturnType<Handler>;
}

function checkPolicy(policy: unknown): asserts policy is FailurePolicy {
  const verdicts: unknown[] = VERDICTS.slice(1);
  if (typeof policy === "function" || verdicts.includes(policy)) return;
  if (typeof policy !== "object" || policy === null) {
    throw invalid("onError", policy, '"stop", "skip", "park", an object with retry, or a function');
  }
  const { retry, delay = 100, then = "stop" } = policy as RetryPolicy;
  checkInteger("onError.retry", retry, 1);
  checkInteger("onError.delay", delay, 0, 2 ** 31 - 1);
  if (!verdicts.includes(then)) throw invalid("onError.then", then, '"stop", "skip" or "park"');
}
