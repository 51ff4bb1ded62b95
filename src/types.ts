/**
 * The answer of a handle: the rows, or an object with the rows in `rows`.
 *
 * A row is an object whose members are in the order of the columns, or a list. Every column of this library's
 * statements is text or null, and the names of the columns may be changed.
 */
export type Rows = readonly unknown[] | { readonly rows: readonly unknown[] };

/**
 * The handle: any tagged-template function that sends a statement and resolves to its rows.
 *
 * The `sql` of postgres.js (also inside `sql.begin` and from `sql.reserve`), Bun's `SQL` and Neon's `neon()`
 * are handles as they are. PGlite's `sql` is a method, so its handle is `pg.sql.bind(pg)`. `fromQuery` makes
 * a handle of anything else. Every parameter that the library sends is a string or null.
 *
 * If you have a trigger on the table of messages, the trigger runs with Message DB's schema as its search
 * path. So name the schemas in the trigger's function, or set a search path for the function.
 */
export interface Sql {
  (strings: TemplateStringsArray, ...parameters: (string | null)[]): PromiseLike<Rows>;
}

/** A message's metadata: the keys that Eventide writes, and any keys of your own. */
export interface Metadata {
  /** The stream of the message that caused this message. */
  readonly causationMessageStreamName?: string | undefined;
  /** The position of the causing message in its stream. */
  readonly causationMessagePosition?: number | undefined;
  /** The global position of the causing message. */
  readonly causationMessageGlobalPosition?: number | undefined;
  /** The stream that the conversation started from. `readCategory` selects by it, in its `correlation`. */
  readonly correlationStreamName?: string | undefined;
  /** The stream to write a reply to. */
  readonly replyStreamName?: string | undefined;
  /** The version of the shape of `data`. */
  readonly schemaVersion?: string | undefined;
  /** Who acted. `follow` hands it on. */
  readonly userId?: unknown;
  /** The trace that the message is part of, as the W3C's Trace Context writes it. `follow` hands it on. */
  readonly traceparent?: string | undefined;
  /** What the vendors of tracing add to `traceparent`. `follow` hands it on. */
  readonly tracestate?: string | undefined;
  /** Anything else that JSON can hold. */
  readonly [key: string]: unknown;
}

/** A message to write. */
export interface MessageInput {
  /** What happened, or what is asked for: `"Deposited"`. The type is not empty. */
  readonly type: string;
  /**
   * The payload: anything that JSON can hold. Leave `data` out for no payload: `undefined` is refused.
   *
   * @default null
   */
  readonly data?: unknown;
  /**
   * Facts about the message, such as its cause.
   *
   * @default null
   */
  readonly metadata?: Metadata | null | undefined;
  /**
   * A UUID. A message whose id you chose is written once, however often you send it.
   *
   * @default a new UUID of version 7, which is ordered by time
   */
  readonly id?: string | undefined;
}

/**
 * A message as the store holds it.
 *
 * @typeParam Data The type that you know `data` to have; nothing checks it.
 */
export interface Message<Data = unknown> {
  /** The message's UUID, in lower case. */
  readonly id: string;
  /** The message's stream: `"account-123"`. */
  readonly streamName: string;
  /** What happened: `"Deposited"`. */
  readonly type: string;
  /** The message's place in its stream, from 0. */
  readonly position: number;
  /** The message's place in the whole store, from 1, with gaps. */
  readonly globalPosition: number;
  /** The payload, parsed. */
  readonly data: Data;
  /** The metadata, parsed; `null` if none was written. */
  readonly metadata: Metadata | null;
  /** When the message was written, to the millisecond. */
  readonly time: Date;
}

/** The direction to read in. `"backward"` starts at the end, unless a position is given. */
export type Direction = "forward" | "backward";

/** A process's share of a category: the streams whose cardinal ids hash to the process's number. */
export interface ConsumerGroup {
  /** The number of this member, from 0 to `size` - 1. */
  readonly member: number;
  /** How many members share the category, from 1 to 32767. */
  readonly size: number;
}
