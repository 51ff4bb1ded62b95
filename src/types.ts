/**
 * What a handle's call resolves to: the rows, or an object that holds them under `rows`.
 *
 * Every statement of this library answers one row of one text column, so any row shape will do.
 */
export type Rows = readonly unknown[] | { readonly rows: readonly unknown[] };

/**
 * The handle: any tagged-template function that sends a statement and resolves to its rows.
 *
 * The `sql` of postgres.js (also inside `sql.begin` and from `sql.reserve`), Bun's `SQL` and Neon's
 * `neon()` are handles as they are, and so is PGlite's `pg.sql.bind(pg)`, which is a method;
 * `fromQuery` makes one of anything else.
 * Every parameter that the library sends is a string or null.
 *
 * A trigger of yours on the table of messages runs with Message DB's schema for a search path: name
 * the schemas in it, or set its own path.
 */
export interface Sql {
  (strings: TemplateStringsArray, ...parameters: (string | null)[]): PromiseLike<Rows>;
}

/**
 * A message's metadata: what Eventide writes there, by the same keys, and anything of your own.
 */
export interface Metadata {
  /** The stream of the message that this one was caused by. */
  readonly causationMessageStreamName?: string | undefined;
  /** The position of that message in its stream. */
  readonly causationMessagePosition?: number | undefined;
  /** The global position of that message. */
  readonly causationMessageGlobalPosition?: number | undefined;
  /** The stream that the conversation started from: `readCategory`'s `correlation` asks for it. */
  readonly correlationStreamName?: string | undefined;
  /** The stream that a reply is to be written to. */
  readonly replyStreamName?: string | undefined;
  /** The version of the shape that `data` has. */
  readonly schemaVersion?: string | undefined;
  /** Anything else that JSON can hold. */
  readonly [key: string]: unknown;
}

/** A message to write. */
export interface MessageInput {
  /** What happened, or what is asked for: `"Deposited"`. Not empty. */
  readonly type: string;
  /**
   * The payload: anything that JSON can hold. Left out for none: `undefined` is refused.
   *
   * @default null
   */
  readonly data?: unknown;
  /**
   * What is known about the message rather than said by it.
   *
   * @default null
   */
  readonly metadata?: Metadata | null | undefined;
  /**
   * A UUID. A message whose id you chose is written once, however often you send it.
   *
   * @default a new one, ordered by time (version 7)
   */
  readonly id?: string | undefined;
}

/**
 * A message as the store holds it.
 *
 * @typeParam Data What you know `data` to be; nothing checks it.
 */
export interface Message<Data = unknown> {
  /** The message's UUID, in lower case. */
  readonly id: string;
  /** The stream that it is in: `"account-123"`. */
  readonly streamName: string;
  /** What happened: `"Deposited"`. */
  readonly type: string;
  /** Its place in the stream, from 0. */
  readonly position: number;
  /** Its place in the whole store, from 1, with gaps. */
  readonly globalPosition: number;
  /** The payload, parsed. */
  readonly data: Data;
  /** The metadata, parsed; `null` where none was written. */
  readonly metadata: Metadata | null;
  /** When it was written, to the millisecond. */
  readonly time: Date;
}

/** Which way to read: `"backward"` starts at the end unless a position is given. */
export type Direction = "forward" | "backward";

/** One process's share of a category: the streams whose cardinal id hashes to its number. */
export interface ConsumerGroup {
  /** This member's number, from 0 to `size` - 1. */
  readonly member: number;
  /** How many members share the category, from 1 to 32767. */
  readonly size: number;
}
