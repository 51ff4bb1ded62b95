import type { PartitionedSql } from "../handle/partitioned.ts";
import type { ConsumerObserver } from "../handle/_observe.ts";
import { ownOf } from "../handle/_statement.ts";
import { storeFor } from "../handle/_store_for.ts";
import { InvalidMessageError } from "../errors.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { runInTransaction, type SqlWithBegin } from "../handle/_transaction.ts";
import { invalid } from "../lib/invalid.ts";
import { whenReady } from "../lib/promise.ts";
import type { Parser } from "../messages/_parser.ts";
import { checkTypesOf, parserOf, pickerOf } from "../messages/_typed.ts";
import { checkAggregateName } from "../names/_aggregate_name.ts";
import {
  checkCategory,
  checkFunction,
  checkInteger,
  checkMembers,
  checkMilliseconds,
  checkName,
  checkOneOf,
} from "../names/_check.ts";
import { checkStartAt } from "../read/_first_since.ts";
import type { StartAt } from "../read/start_at.ts";
import { type CheckedFollowing, checkFollowing } from "../subscribe/_following.ts";
import { checkSource, checkTypes } from "../subscribe/_reader.ts";
import type { Source } from "../subscribe/source.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";
import { VERDICTS } from "./_answer.ts";
import type {
  ConsumerIdentity,
  ConsumerOf,
  FailurePolicy,
  GroupMembership,
  Handler,
  PageHandler,
  PlainConsumer,
  RetryPolicy,
  TypeConsumer,
} from "./consumer.ts";
import type { ConsumerEvent } from "./consumer_event.ts";

/**
 * What the handle needs besides, if it is known that the consumer is transactional.
 *
 * @internal
 */
export type Beginning<Transactional extends boolean> = [Transactional] extends [true]
  ? SqlWithBegin | PartitionedSql<SqlWithBegin>
  : unknown;

/** A consumer, checked, with its defaults. */
export interface CheckedConsumer extends CheckedFollowing {
  /** The handle for the consumer's own statements. */
  readonly sql: Sql;
  /** The handle for the pages; undefined if it is `sql`. */
  readonly readFrom: Sql | undefined;
  /** Whether the consumer ends where the primary has no more messages. */
  readonly isDrained?: boolean;
  /** The handle as the caller gave it, for the handlers: it may be of several partitions. */
  readonly handlerSql: Sql;
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
  /** Does work in a transaction; undefined if the consumer is not transactional. */
  readonly begin: ((work: (sql: Sql) => Promise<void>) => Promise<void>) | undefined;
  /** Handles messages together; undefined if each is handled alone. */
  readonly pageHandler: PageHandler | undefined;
  /** Parses a stored message for `pageHandler`; undefined without a catalogue. */
  readonly decode: Parser["decode"] | undefined;
  readonly onEvent: ((event: ConsumerEvent) => void) | undefined;
  /** Is told what the consumer does, or the member of its group; undefined if the handle has none. */
  readonly observer: ConsumerObserver | undefined;
  readonly exclusive: boolean;
  /** In milliseconds. */
  readonly commitInterval: number;
  readonly concurrency: number;
  readonly positionUpdateInterval: number;
  readonly leaseDuration: number;
  readonly shutdownTimeout: number;
  /** How many times a statement is tried at most while the database is unavailable. */
  readonly tries?: number;
}

/** The members of the consumer's group that a process may have; without a group, the consumer as a whole. */
export function membersOf(
  { group }: Pick<CheckedConsumer, "group">,
): (ConsumerGroup | undefined)[] {
  if (group === undefined) return [undefined];
  const { member, size } = group;
  return member === undefined
    ? Array.from({ length: size }, (_, member) => ({ member, size }))
    : [{ member, size }];
}

/** Checks the names of a consumer, and its membership of a group. */
export function checkIdentity(
  consumer: ConsumerIdentity,
): Pick<CheckedConsumer, "category" | "consumerId" | "group" | "source"> {
  // The name of a consumer may come as all that its handlers need, too.
  type Whole = PlainConsumer & Partial<TypeConsumer>;
  checkMembers<Whole>("consumer", consumer as Whole, {
    category: true,
    aggregate: true,
    consumerId: true,
    consumerGroup: true,
    messages: true,
    handle: true,
    handlers: true,
    handlePage: true,
    unknown: true,
    types: true,
    correlation: true,
    batchSize: true,
    startAt: true,
    readFrom: true,
    onError: true,
    transactional: true,
    concurrency: true,
    exclusive: true,
    commitInterval: true,
    positionUpdateInterval: true,
    leaseDuration: true,
    shutdownTimeout: true,
    onEvent: true,
    pollInterval: true,
    notify: true,
    answerTimeout: true,
    onRetry: true,
  });
  const { category, aggregate, consumerId, consumerGroup: group } = consumer;
  checkOneOf("this consumer", consumer, "category", "aggregate");
  if (aggregate !== undefined) checkAggregateName("aggregate", aggregate);
  else if (category !== "$all") checkCategory("category", category);
  checkName("consumerId", consumerId);
  if (consumerId.includes("+")) throw invalid("consumerId", consumerId, 'a name without "+"');
  if (group !== undefined) {
    checkMembers("consumerGroup", group, { member: true, size: true }, "an object with a size");
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

/** Which messages a consumer handles, if it is given with its handlers or types: by its names alone, all. */
export function selectionOf(
  consumer: ConsumerIdentity,
): Pick<CheckedConsumer, "types" | "correlation"> {
  const { handle, handlers, handlePage, types, correlation } = consumer as PlainConsumer;
  const isNamed = [handle, handlers, handlePage].every((it) => it === undefined);
  return { types: isNamed ? types : checkHandlers(consumer as PlainConsumer).types, correlation };
}

/** Checks a consumer and its handle, before anything is sent. */
export function checkConsumer<Handled extends Message, Transactional extends boolean>(
  sql: Sql,
  consumer: ConsumerOf<never, Handled, Transactional>,
): CheckedConsumer {
  const identity = checkIdentity(consumer);
  const options = consumer as unknown as PlainConsumer;
  const { correlation, batchSize, startAt = "beginning", onError = "stop" } = options;
  const { types, ...handling } = checkHandlers(options);
  const selection = { types, correlation, batchSize };
  checkSource(identity.source, selection);
  checkStartAt(startAt);
  checkPolicy(onError);
  const store = storeFor(sql, identity.category);
  const following = checkFollowing(store, consumer);
  const { readFrom } = options;
  if (readFrom !== undefined) {
    checkFunction("readFrom", readFrom);
    if (options.notify) throw invalid("notify", true, 'left out where there is "readFrom"');
  }
  const replica = readFrom && storeFor(readFrom, identity.category);
  if (replica) checkSchemas(store, replica);
  return {
    ...identity,
    ...selection,
    ...checkPace(options),
    begin: checkTransactional(store, options, following.answerTimeout),
    ...following,
    sql: withTimeLimit(store, following.answerTimeout),
    readFrom: replica && withTimeLimit(replica, following.answerTimeout),
    handlerSql: sql,
    startAt,
    ...handling,
    onError,
    exclusive: checkExclusive(options),
    onEvent: options.onEvent,
    observer: observerOf(store, identity),
  };
}

/** Makes the observer of a consumer, or of a member of its group. */
export function observerOf(
  sql: Sql,
  { category, consumerId }: Pick<CheckedConsumer, "category" | "consumerId">,
  member?: number,
): ConsumerObserver | undefined {
  return ownOf(sql)?.observe?.consumer({ name: category, consumerId, member });
}

/** Checks that both are handles of one schema. Which one a gateway serves is not known here. */
function checkSchemas(sql: Sql, replica: Sql): void {
  const [own, other] = [ownOf(sql), ownOf(replica)];
  const { schema = "message_store" } = own ?? {};
  if (own?.retries || other?.retries || schema === (other?.schema ?? "message_store")) return;
  throw invalid("readFrom", replica, `of the schema "${schema}": inSchema(replica, "${schema}")`);
}

function checkExclusive({ exclusive = true, consumerGroup: group }: PlainConsumer): boolean {
  if (typeof exclusive !== "boolean") throw invalid("exclusive", exclusive, "true or false");
  if (!exclusive && group && group.member === undefined) {
    throw invalid("exclusive", exclusive, "true for a consumerGroup without a member");
  }
  return exclusive;
}

/**
 * Checks the handlers.
 *
 * @returns The stored types that are handled, and a function that finds a stored message's handler.
 */
function checkHandlers(
  consumer: PlainConsumer,
): Pick<CheckedConsumer, "types" | "handlerOf" | "pageHandler" | "decode"> {
  const { handle, handlers, handlePage, types, onEvent } = consumer;
  const parser = parserOf(consumer);
  checkOneOf("this consumer", consumer, "handle", "handlers", "handlePage");
  for (
    const [name, handler] of Object.entries(
      handlers ?? { [handlePage === undefined ? "handle" : "handlePage"]: handle ?? handlePage },
    )
  ) {
    checkFunction(name, handler);
  }
  if (onEvent !== undefined) checkFunction("onEvent", onEvent);
  if (types !== undefined) checkTypes(types);
  if (handlers !== undefined && types !== undefined) {
    throw invalid("types", types, 'left out where there are "handlers", which have types');
  }
  if (handlers !== undefined && Object.keys(handlers).length === 0) {
    throw invalid("handlers", handlers, "an object with at least one function");
  }
  if (parser && handlers) checkTypesOf(parser, handlers);
  const isStrict = checkUnknown(consumer);
  const all: Handler | undefined = handlePage
    ? (message, context) => handlePage([message], context)
    : handle;
  const pick = pickerOf(parser, all, handlers);
  const ofForgotten = pick("$forgotten");
  const named = handlers === undefined || isStrict ? types : Object.keys(handlers);
  // A message of any type can be forgotten.
  const wanted = parser && handlers && ofForgotten && !isStrict ? parser.definedTypes : named;
  return {
    types: wanted && (parser?.storedTypes(wanted) ?? wanted),
    pageHandler: handlePage as PageHandler | undefined,
    decode: parser?.decode,
    handlerOf: ({ type }) => {
      const handler = pick(type);
      if (handler === undefined && isStrict) return refusing(parser, ofForgotten);
      return parser && (handler || ofForgotten) ? parsing(parser, handler, ofForgotten) : handler;
    },
  };
}

/** Whether messages of types without a handler are refused, and not only passed over. */
function checkUnknown(consumer: object): boolean {
  const { handlers, unknown } = consumer as Partial<TypeConsumer>;
  if (unknown !== undefined && handlers === undefined) {
    throw invalid("unknown", unknown, 'left out unless there are "handlers"');
  }
  if (![undefined, "skip", "refuse"].includes(unknown)) {
    throw invalid("unknown", unknown, '"skip" or "refuse"');
  }
  return unknown === "refuse";
}

/** Makes a handler of stored messages whose type has none: it refuses them, but for those that are forgotten. */
function refusing(parser: Parser | undefined, ofForgotten: Handler | undefined): Handler {
  return (message, context) =>
    whenReady<Message | undefined, unknown>(parser?.decodeForgotten?.(message), (forgotten) => {
      if (forgotten) return ofForgotten?.(forgotten, context);
      const issue = { path: [], message: "the consumer has no handler for this type" };
      throw new InvalidMessageError(message, message.streamName, [issue]);
    }) as ReturnType<Handler>;
}

type Pace =
  | "commitInterval"
  | "concurrency"
  | "positionUpdateInterval"
  | "leaseDuration"
  | "shutdownTimeout";

function checkPace(consumer: PlainConsumer): Pick<CheckedConsumer, Pace> {
  const {
    concurrency = 1,
    positionUpdateInterval = 1000,
    leaseDuration = 30_000,
    shutdownTimeout = 10_000,
    transactional,
    handlePage,
  } = consumer;
  const { commitInterval = 100 }: { readonly commitInterval?: number | undefined } = consumer;
  checkInteger("concurrency", concurrency, 1);
  if (handlePage !== undefined && concurrency !== 1) {
    throw invalid("concurrency", concurrency, 'left out where there is "handlePage"');
  }
  checkMilliseconds("commitInterval", commitInterval, 0);
  if (!transactional && consumer.commitInterval !== undefined) {
    throw invalid(
      "commitInterval",
      commitInterval,
      "left out unless the consumer is transactional",
    );
  }
  checkInteger("positionUpdateInterval", positionUpdateInterval, 1);
  checkMilliseconds("leaseDuration", leaseDuration, 100);
  checkMilliseconds("shutdownTimeout", shutdownTimeout, 0);
  return { commitInterval, concurrency, positionUpdateInterval, leaseDuration, shutdownTimeout };
}

/**
 * Checks that the handle can begin transactions, if the consumer is transactional.
 *
 * @returns The function that does work in a transaction; undefined if the consumer is not
 * transactional.
 */
function checkTransactional(
  sql: Sql,
  { transactional = false, concurrency = 1 }: Pick<PlainConsumer, "concurrency"> & {
    readonly transactional?: boolean | undefined;
  },
  answerTimeout: number,
): CheckedConsumer["begin"] {
  if (typeof transactional !== "boolean") {
    throw invalid("transactional", transactional, "true or false");
  }
  if (!transactional) return undefined;
  if (concurrency !== 1) {
    throw invalid("concurrency", concurrency, "1 for a transactional consumer");
  }
  if (typeof (sql as { begin?: unknown }).begin !== "function") {
    throw invalid("transactional", true, "false for this handle, which has no begin()");
  }
  return (work) => runInTransaction(sql as SqlWithBegin, work, answerTimeout);
}

/**
 * Makes a handler of stored messages, which parses each message for a handler of parsed messages, or for that
 * of forgotten messages. Of a message without a handler, only the codec is asked.
 */
function parsing(
  parser: Parser,
  handler: Handler | undefined,
  ofForgotten: Handler | undefined,
): Handler {
  return (message, context) =>
    whenReady<Message | undefined, unknown>(
      handler ? parser.decode(message) : parser.decodeForgotten?.(message),
      (parsed) => {
        const picked = parsed?.type === "$forgotten" ? ofForgotten : handler;
        return parsed && picked?.(parsed, context);
      },
    ) as ReturnType<Handler>;
}

function checkPolicy(policy: unknown): asserts policy is FailurePolicy {
  const verdicts: unknown[] = VERDICTS.slice(1);
  if (typeof policy === "function" || verdicts.includes(policy)) return;
  checkMembers(
    "onError",
    policy as RetryPolicy,
    { retry: true, delay: true, then: true },
    '"stop", "skip", "park", an object with retry, or a function',
  );
  const { retry, delay = 100, then = "stop" } = policy as RetryPolicy;
  checkInteger("onError.retry", retry, 1);
  checkMilliseconds("onError.delay", delay, 0);
  if (!verdicts.includes(then)) throw invalid("onError.then", then, '"stop", "skip" or "park"');
}
