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
  | "INVALID_MESSAGE";

/**
 * What every error class of this library extends.
 *
 * Bad arguments are the built-in `TypeError` and `RangeError`; an error of the database or the
 * driver that is none of these passes through untouched.
 */
export abstract class MessageDbError extends Error {
  override readonly name: string = "MessageDbError";
  /** Which error it is: the same in every version and every bundle, unlike the class's identity. */
  abstract readonly code: MessageDbErrorCode;
}

/** The stream is not at the version that the write expected: read again, decide again. */
export class WrongExpectedVersionError extends MessageDbError {
  override readonly name = "WrongExpectedVersionError" as const;
  override readonly code = "WRONG_EXPECTED_VERSION" as const;
  /** The stream that was written to. */
  declare readonly streamName: string;
  /**
   * The version that the write asked for; `NO_STREAM` (-1) is a stream with no message. Under
   * REPEATABLE READ and SERIALIZABLE it can be the one that the transaction's snapshot shows.
   */
  declare readonly expectedVersion: number;
  /**
   * The version that the stream is at. Under REPEATABLE READ and SERIALIZABLE the transaction
   * cannot see it, and this is the lowest that it can be.
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
      `Cannot write to stream "${streamName}" at expected version ${expectedVersion}: ` +
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
 * The id was used before: by a message of another stream, or by a part of the batch only.
 *
 * A message sent again to the stream that has it is no error: it answers its first position. Only a
 * REPEATABLE READ or SERIALIZABLE transaction whose snapshot is older than that message cannot see
 * it, and gets this error: run the transaction again.
 */
export class DuplicateMessageError extends MessageDbError {
  override readonly name = "DuplicateMessageError" as const;
  override readonly code = "DUPLICATE_MESSAGE" as const;
  /** The id that the store has already. */
  declare readonly id: string;

  /** Made by the operations that write. */
  constructor(id: string, options?: ErrorOptions) {
    super(
      `Cannot write message "${id}": its id is in the store already, in another stream, ` +
        "without the rest of its batch, or since the transaction's snapshot",
      options,
    );
    this.id = id;
  }
}

/** `synchronize` found another message where one of those that it was given should be. */
export class MessageMismatchError extends MessageDbError {
  override readonly name = "MessageMismatchError" as const;
  override readonly code = "MESSAGE_MISMATCH" as const;
  /** The stream that was to be synchronized. */
  declare readonly streamName: string;
  /** The first position at which the stream holds another message. */
  declare readonly position: number;
  /** The id of the message that was given for this position. */
  declare readonly id: string;
  /** The id of the message that the stream holds there. */
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

/** This database has no Message DB, or this role has no right to use it. */
export class NotInstalledError extends MessageDbError {
  override readonly name = "NotInstalledError" as const;
  override readonly code = "NOT_INSTALLED" as const;
  /** `"missing"`: there is no Message DB of 1.3 or newer; `"forbidden"`: the role may not use it. */
  declare readonly reason: "missing" | "forbidden";

  /** Made by every operation. */
  constructor(reason: "missing" | "forbidden", options?: ErrorOptions) {
    super(
      reason === "missing"
        ? "Cannot find Message DB 1.3 in this database: connect to the database that has it, " +
          'or install it with install(sql) of "@messagedb/client/install"'
        : "Cannot use the Message DB of this database: this role lacks the rights, " +
          'which "grant message_store to <role>" gives',
      options,
    );
    this.reason = reason;
  }
}

/** `condition` was used on a server that does not allow it. */
export class ConditionNotActivatedError extends MessageDbError {
  override readonly name = "ConditionNotActivatedError" as const;
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
 * `fetchSql` got no rows, and no error of the database: the network, the address, a right or a limit
 * stood between. Whether a statement ran is not known, unless the status tells.
 */
export class FetchSqlError extends MessageDbError {
  override readonly name = "FetchSqlError" as const;
  override readonly code = "FETCH_FAILED" as const;
  /** Where the statement was sent, without the query of the address. */
  declare readonly url: string;
  /**
   * `"network"`: no connection, or one that broke; `"timeout"`: no answer in time; `"status"`: an
   * answer of another status than 2xx; `"body"`: an answer that is not rows in JSON.
   */
  declare readonly reason: "network" | "timeout" | "status" | "body";
  /** The status of the answer: 403 where the gateway does not allow it. Null for another reason. */
  declare readonly status: number | null;
  /** How many seconds the server asks to wait, which for more than 30 is up to you; null for none. */
  declare readonly retryAfter: number | null;

  /** Made by the handle of `fetchSql`. */
  constructor(
    url: string,
    reason: FetchSqlError["reason"],
    what: string,
    options: ErrorOptions & {
      readonly status?: number;
      readonly retryAfter?: number | null;
    } = {},
  ) {
    super(`Cannot get rows from ${url}: ${what}`, options);
    this.url = url;
    this.reason = reason;
    this.status = options.status ?? null;
    this.retryAfter = options.retryAfter ?? null;
  }
}

/** A consumer has stopped before a message: its handler threw, or answered "stop". */
export class HandlerFailedError extends MessageDbError {
  override readonly name = "HandlerFailedError" as const;
  override readonly code = "HANDLER_FAILED" as const;
  /** The consumer that has stopped. Its position is stored: it starts with this message again. */
  declare readonly consumerId: string;
  /** The message that was not handled. */
  declare readonly failedMessage: Message;
  /** How many times it was tried. */
  declare readonly attempts: number;

  /** Made by `consume`, `drain` and `replayParked`. What the handler threw is the cause. */
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

/** `waitFor` has waited as long as it may, and the consumer has not come so far. */
export class ConsumerBehindError extends MessageDbError {
  override readonly name = "ConsumerBehindError" as const;
  override readonly code = "CONSUMER_BEHIND" as const;
  /** The consumer that was waited for. */
  declare readonly consumerId: string;
  /** The global position that it was to pass. */
  declare readonly globalPosition: number;
  /**
   * How far it has come: what it has stored (of an aggregate, a reference's position), of a group the
   * lowest; 0 for nothing.
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

/** One thing that is wrong with a message. */
export interface Issue {
  /** What is wrong, in words. */
  readonly message: string;
  /** Where: the keys from `data` down, none for all of it. */
  readonly path: readonly PropertyKey[];
}

/** A message does not fit what its catalogue defines: it is not written, or not what was read. */
export class InvalidMessageError extends MessageDbError {
  override readonly name = "InvalidMessageError" as const;
  override readonly code = "INVALID_MESSAGE" as const;
  /** The message as it was to be written, or as it is stored. */
  declare readonly invalidMessage: Message | MessageInput;
  /** What is wrong with it, and where in its data. */
  declare readonly issues: readonly Issue[];

  /** Made by what takes `messages`, and by writes of what a catalogue has made. */
  constructor(
    invalidMessage: Message | MessageInput,
    streamName: string,
    issues: readonly Issue[],
    options?: ErrorOptions,
  ) {
    const { type, position } = invalidMessage as Message;
    const what = position === undefined
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
