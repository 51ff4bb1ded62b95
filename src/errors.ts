import { wordsOf } from "./lib/words.ts";
import type { Message, MessageInput } from "./types.ts";

/** The `code` of every error class of this library. */
export type MessageDbErrorCode =
  | "WRONG_EXPECTED_VERSION"
  | "DUPLICATE_MESSAGE"
  | "MESSAGE_MISMATCH"
  | "NOT_INSTALLED"
  | "CONDITION_NOT_ACTIVATED"
  | "FETCH_FAILED"
  | "HANDLER_FAILED"
  | "CONSUMER_BEHIND"
  | "STORE_WENT_BACK"
  | "REPLICA_READ"
  | "PARTITION"
  | "INVALID_MESSAGE";

/**
 * The base of every error class of this library.
 *
 * A bad argument is a built-in `TypeError` or `RangeError`. An error of the database or the driver that this
 * library does not know is thrown as it is.
 */
export abstract class MessageDbError extends Error {
  /** The name of the error's class. */
  override readonly name: string = "MessageDbError";
  /** Tells which error it is. The code is the same in every bundle and version; the class object is not. */
  abstract readonly code: MessageDbErrorCode;
}

/** The stream is not at the version that the write expected. Read the stream again, and decide again. */
export class WrongExpectedVersionError extends MessageDbError {
  /** Always `"WrongExpectedVersionError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "WrongExpectedVersionError" as const;
  /** Always `"WRONG_EXPECTED_VERSION"`: tells this error apart from the others. */
  override readonly code = "WRONG_EXPECTED_VERSION" as const;
  /** The stream that was written to. */
  declare readonly streamName: string;
  /**
   * The version that the write expected; `NO_STREAM` (-1) for a stream without messages, `STREAM_EXISTS` (-4)
   * for a stream that has one. Under REPEATABLE READ and SERIALIZABLE it can be the version that the
   * transaction's snapshot shows.
   */
  declare readonly expectedVersion: number;
  /**
   * The version that the stream is at. Under REPEATABLE READ and SERIALIZABLE the transaction may not see
   * this version. Then this is the lowest version that the stream can be at.
   */
  declare readonly actualVersion: number;

  /** Made by the operations that write. */
  constructor(
    streamName: string,
    expectedVersion: number,
    actualVersion: number,
    options?: ErrorOptions,
  ) {
    super(
      `Cannot write to stream "${streamName}" at expected version ` +
        `${expectedVersion === -4 ? "STREAM_EXISTS" : expectedVersion}: ` +
        (actualVersion === -1
          ? "the stream has no message"
          : `the stream is at version ${actualVersion}`),
      options,
    );
    this.streamName = streamName;
    this.expectedVersion = expectedVersion;
    this.actualVersion = actualVersion;
  }
}

/**
 * The store has a message with this id already: in another stream, or without the rest of its batch.
 *
 * It is no error to send a message again to the stream that has it: the answer is its first position. The
 * exception is a REPEATABLE READ or SERIALIZABLE transaction whose snapshot is older than that message. Such
 * a transaction cannot see the message, and gets this error: run the transaction again.
 */
export class DuplicateMessageError extends MessageDbError {
  /** Always `"DuplicateMessageError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "DuplicateMessageError" as const;
  /** Always `"DUPLICATE_MESSAGE"`: tells this error apart from the others. */
  override readonly code = "DUPLICATE_MESSAGE" as const;
  /** The id that the store has already. */
  declare readonly id: string;

  /** Made by the operations that write. */
  constructor(id: string, options?: ErrorOptions & { readonly message?: string }) {
    super(
      options?.message ??
        `Cannot write message "${id}": its id is in the store already, in another stream, ` +
          "without the rest of its batch, or since the transaction's snapshot",
      options,
    );
    this.id = id;
  }
}

/** The stream holds another message at the place of a message that `synchronize` was given. */
export class MessageMismatchError extends MessageDbError {
  /** Always `"MessageMismatchError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "MessageMismatchError" as const;
  /** Always `"MESSAGE_MISMATCH"`: tells this error apart from the others. */
  override readonly code = "MESSAGE_MISMATCH" as const;
  /** The stream that was to be synchronized. */
  declare readonly streamName: string;
  /** The first position at which the stream holds another message. */
  declare readonly position: number;
  /** The id of the message that was given for this position. */
  declare readonly id: string;
  /** The id of the message that the stream holds at this position. */
  declare readonly actualId: string;

  /** Made by `synchronize`. */
  constructor(
    streamName: string,
    position: number,
    id: string,
    actualId: string,
  ) {
    super(
      `Cannot synchronize stream "${streamName}" with message "${id}" at position ${position}: ` +
        `the stream holds message "${actualId}" there`,
    );
    this.streamName = streamName;
    this.position = position;
    this.id = id;
    this.actualId = actualId;
  }
}

/** The database has no Message DB that can be used: it is missing, forbidden, or its sequence is behind. */
export class NotInstalledError extends MessageDbError {
  /** Always `"NotInstalledError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "NotInstalledError" as const;
  /** Always `"NOT_INSTALLED"`: tells this error apart from the others. */
  override readonly code = "NOT_INSTALLED" as const;
  /**
   * - `"missing"`: there is no Message DB 1.3 or newer.
   * - `"forbidden"`: the role may not use Message DB.
   * - `"behind"`: the sequence of global positions is behind the messages, as after a switchover by logical
   *   replication. `install` moves it on.
   */
  declare readonly reason: "missing" | "forbidden" | "behind";

  /** Made by every operation. */
  constructor(
    reason: NotInstalledError["reason"],
    options?: ErrorOptions & { readonly message?: string },
  ) {
    super(
      options?.message ??
        (reason === "missing"
          ? "Cannot find Message DB 1.3 in this database: connect to the database that has it, " +
            'or install it with install(sql) of "@messagedb/client/install"'
          : "Cannot use the Message DB of this database: " +
            (reason === "behind"
              ? "its sequence is behind its messages, which install(sql) mends"
              : 'this role lacks the rights, which "grant message_store to <role>" gives')),
      options,
    );
    this.reason = reason;
  }
}

/** The option `condition` was used on a server that does not allow it. */
export class ConditionNotActivatedError extends MessageDbError {
  /** Always `"ConditionNotActivatedError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "ConditionNotActivatedError" as const;
  /** Always `"CONDITION_NOT_ACTIVATED"`: tells this error apart from the others. */
  override readonly code = "CONDITION_NOT_ACTIVATED" as const;

  /** Made by the reads that take a `condition`. */
  constructor(options?: ErrorOptions) {
    super(
      "Cannot read with a SQL condition: it is not activated, " +
        "which the server setting message_store.sql_condition = on does",
      options,
    );
  }
}

/**
 * `fetchSql` got neither rows nor an error of the database. The cause is the network, the address, a right or
 * a limit. Whether the statement ran is not known, unless the status tells.
 */
export class FetchSqlError extends MessageDbError {
  /** Always `"FetchSqlError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "FetchSqlError" as const;
  /** Always `"FETCH_FAILED"`: tells this error apart from the others. */
  override readonly code = "FETCH_FAILED" as const;
  /** The address that the statement was sent to, without its query string. */
  declare readonly url: string;
  /**
   * - `"network"`: there was no connection, or the connection broke.
   * - `"timeout"`: no answer came in time.
   * - `"status"`: the status of the answer is not 2xx.
   * - `"body"`: the answer is not rows in JSON.
   */
  declare readonly reason: "network" | "timeout" | "status" | "body";
  /** The status of the answer, 403 if the gateway does not allow the statement. Null for another reason. */
  declare readonly status: number | null;
  /**
   * How many seconds the server asks to wait; null if it does not ask. To wait for more than 30 seconds is up
   * to you.
   */
  declare readonly retryAfter: number | null;
  /**
   * The code of the gateway's problem document: `"ANSWER_TOO_LARGE"` if the answer would have more bytes than
   * the gateway allows, `"UNKNOWN_STATEMENT"` if the gateway is of another version. Null if there is none.
   */
  declare readonly problem: string | null;

  /** Made by the handle of `fetchSql`. */
  constructor(
    url: string,
    reason: FetchSqlError["reason"],
    what: string,
    options: ErrorOptions & {
      readonly status?: number;
      readonly retryAfter?: number | null;
      readonly problem?: string | null;
    } = {},
  ) {
    super(`Cannot get rows from ${url}: ${what}`, options);
    this.url = url;
    this.reason = reason;
    this.status = options.status ?? null;
    this.retryAfter = options.retryAfter ?? null;
    this.problem = options.problem ?? null;
  }
}

/** A consumer stopped before a message, because its handler threw or answered "stop". */
export class HandlerFailedError extends MessageDbError {
  /** Always `"HandlerFailedError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "HandlerFailedError" as const;
  /** Always `"HANDLER_FAILED"`: tells this error apart from the others. */
  override readonly code = "HANDLER_FAILED" as const;
  /** The consumer that stopped. Its position is stored, so it starts with this message again. */
  declare readonly consumerId: string;
  /** The message that was not handled. */
  declare readonly failedMessage: Message;
  /** How many times the message was tried. */
  declare readonly attempts: number;

  /** Made by `consume`, `drain` and `replayParked`. The cause is the error that the handler threw. */
  constructor(
    consumerId: string,
    failedMessage: Message,
    attempts: number,
    options?: ErrorOptions,
  ) {
    const { type, streamName, position } = failedMessage;
    const what = options === undefined ? 'it answered "stop"' : wordsOf(options.cause);
    super(
      `Cannot go on with consumer "${consumerId}": its handler failed with message "${type}" ` +
        `at position ${position} of stream "${streamName}" (attempt ${attempts}): ${what}`,
      options,
    );
    this.consumerId = consumerId;
    this.failedMessage = failedMessage;
    this.attempts = attempts;
  }
}

/** The consumer has not passed the global position within the timeout of `waitFor`. */
export class ConsumerBehindError extends MessageDbError {
  /** Always `"ConsumerBehindError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "ConsumerBehindError" as const;
  /** Always `"CONSUMER_BEHIND"`: tells this error apart from the others. */
  override readonly code = "CONSUMER_BEHIND" as const;
  /** The consumer that was waited for. */
  declare readonly consumerId: string;
  /** The global position that the consumer was to pass. */
  declare readonly globalPosition: number;
  /**
   * The position that the consumer has stored; 0 if it has stored none. For a consumer group, the lowest
   * position of its members. For an aggregate, the position of a reference.
   */
  declare readonly position: number;

  /** Made by `waitFor`. */
  constructor(consumerId: string, globalPosition: number, position: number, timeout: number) {
    super(
      `Cannot see consumer "${consumerId}" pass global position ${globalPosition}: ` +
        `it is at ${position} after ${timeout} ms`,
    );
    this.consumerId = consumerId;
    this.globalPosition = globalPosition;
    this.position = position;
  }
}

/**
 * The store went back: messages that were read are gone, and new messages get their positions. A standby
 * that was behind was promoted, or a backup was restored.
 *
 * A consumer reports this error to `onRetry`, and goes on from the position that is stored. A loop ends with
 * this error, because it cannot know which messages are new: make what the messages made once more.
 */
export class StoreWentBackError extends MessageDbError {
  /** Always `"StoreWentBackError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "StoreWentBackError" as const;
  /** Always `"STORE_WENT_BACK"`: tells this error apart from the others. */
  override readonly code = "STORE_WENT_BACK" as const;
  /** The global position that was read, or was to be in the store; of a position stream, what it recorded. */
  declare readonly position: number;

  /** Made by the operations that follow or iterate. */
  constructor(position: number) {
    super(
      `Cannot go on after position ${position}: the store went back to an earlier state, ` +
        "without the messages up to there: rebuild what was made of the lost messages",
    );
    this.position = position;
  }
}

/**
 * All streams were to be read from a replica that cannot tell whether a message is missing: a standby, or the
 * subscriber of a logical replication. Run `settle` on the primary, or read from the primary. Streams and
 * categories can be read here.
 */
export class ReplicaReadError extends MessageDbError {
  /** Always `"ReplicaReadError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "ReplicaReadError" as const;
  /** Always `"REPLICA_READ"`: tells this error apart from the others. */
  override readonly code = "REPLICA_READ" as const;
  /** `"standby"`: the server is in recovery. `"subscriber"`: a subscription writes the messages. */
  declare readonly reason: "standby" | "subscriber";

  /** Made by the reads of all streams, and of those that match a pattern; by `settle` on a replica. */
  constructor(reason: "standby" | "subscriber", what: string) {
    super(what);
    this.reason = reason;
  }
}

/**
 * A store of several partitions cannot do this, because nothing is one across databases: or a database is not
 * the partition that it was given as, or does not answer. What was refused was not sent to any of them.
 */
export class PartitionError extends MessageDbError {
  /** Always `"PartitionError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "PartitionError" as const;
  /** Always `"PARTITION"`: tells this error apart from the others. */
  override readonly code = "PARTITION" as const;
  /**
   * - `"several"`: the streams are of several partitions, and were to be written or read as one.
   * - `"all"`: all streams were to be read in one order. Each partition has its own: see `partitions`.
   * - `"foreign"`: the handle is of one partition, or of its transaction, and the stream of another.
   * - `"mark"`: the database is another partition, or none.
   * - `"unanswered"`: all partitions were asked, and these did not answer.
   */
  declare readonly reason: "several" | "all" | "foreign" | "mark" | "unanswered";
  /** The streams and categories that were named; empty if none was. */
  declare readonly names: readonly string[];
  /** The partitions of the names, or those that the error is about: numbers from 0. */
  declare readonly partitions: readonly number[];

  /** Made by the handle of `partitioned`. */
  constructor(
    reason: PartitionError["reason"],
    message: string,
    about: { readonly names?: readonly string[]; readonly partitions?: readonly number[] },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.reason = reason;
    this.names = about.names ?? [];
    this.partitions = about.partitions ?? [];
  }
}

/** A thing that is wrong with a message. */
export interface Issue {
  /** A sentence that says what is wrong. */
  readonly message: string;
  /** The place: the keys from `data` down; no keys for `data` as a whole. */
  readonly path: readonly PropertyKey[];
}

/**
 * A message does not fit its catalogue: a message that was to be made or written, which is not written, or a
 * stored message.
 */
export class InvalidMessageError extends MessageDbError {
  /** Always `"InvalidMessageError"`, also if a bundler has shortened the name of the class. */
  override readonly name = "InvalidMessageError" as const;
  /** Always `"INVALID_MESSAGE"`: tells this error apart from the others. */
  override readonly code = "INVALID_MESSAGE" as const;
  /** The message as it was made or given to be written, or as it is stored. */
  declare readonly invalidMessage: Message | MessageInput;
  /** What is wrong with the message, and where in its data. */
  declare readonly issues: readonly Issue[];

  /** Made by a catalogue, by operations with the option `messages`, and by writes of messages that a catalogue made. */
  constructor(
    invalidMessage: Message | MessageInput,
    streamName: string | undefined,
    issues: readonly Issue[],
    options?: ErrorOptions,
  ) {
    const { type, position } = invalidMessage as Message;
    const what = streamName === undefined
      ? `Cannot make message "${type}"`
      : position === undefined
      ? `Cannot write message "${type}" to stream "${streamName}"`
      : `Cannot read message "${type}" at position ${position} of stream "${streamName}"`;
    const told = issues.slice(0, 3).map(({ path, message }) => {
      return path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`;
    });
    const more = issues.length > 3 ? [`${issues.length - 3} more`] : [];
    super(`${what}: ${[...told, ...more].join("; ")}`, options);
    this.invalidMessage = invalidMessage;
    this.issues = issues;
  }
}
