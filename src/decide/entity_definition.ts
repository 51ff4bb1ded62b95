import type { MessageCatalogue } from "../messages/catalogue.ts";
import type { StandardSchema } from "../messages/schema.ts";
import type { Message, MessageInput } from "../types.ts";
import type { Projection } from "./projection.ts";

/** The definition of an entity: the category of its streams, and how messages make its state. */
export interface EntityDefinition<
  State,
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
> extends Projection<State, Output> {
  /** The category: `"account"`. The stream of the entity `"123"` is `account-123`. */
  readonly category: string;
  /**
   * The catalogue of the messages: those that are read are parsed by it, those that are written must fit it.
   *
   * @default none: nothing is parsed
   */
  readonly messages?: MessageCatalogue<Output, Input> | undefined;
  /**
   * How to keep states in the store, so that not all messages have to be read.
   *
   * @default no snapshots
   */
  readonly snapshot?: SnapshotOptions<NoInfer<State>> | undefined;
  /**
   * Where to keep states in memory, so that only newer messages have to be read: an `LRUCache` of
   * lru-cache, or any object with the same `get` and `set`. Cached states are frozen.
   *
   * @default no cache
   */
  readonly cache?: EntityCache | undefined;
  /**
   * How many messages to read at once, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}

/** How to keep states in the store, as snapshots. */
export interface SnapshotOptions<State> {
  /**
   * After how many messages a snapshot is written, from 1. The `fetch` or `decide` that has read so many
   * messages since the last snapshot writes the next one, to `account:snapshot-123`, as Eventide does.
   * (Eventide's EntityStore takes the last message of that stream for its own, whatever the type of the
   * message is. Let only one of the two keep the snapshots of a category.)
   *
   * No snapshot is written, and nobody waits, if somebody else holds the lock of the category
   * `account:snapshot`, if the transaction or the role can only read, or if the isolation level is
   * REPEATABLE READ or SERIALIZABLE, where the write could be a conflict. In a transaction of yours, the
   * snapshot is a write like any other: until the transaction ends, it holds up the readers of all streams.
   */
  readonly every: number;
  /**
   * The version of the state: snapshots of other versions are skipped. By default it is made of the text of
   * `init`, `evolve` and `handlers`: when you change one of them, or a bundler does, the state is made anew.
   * So two entities of one category do not read each other's snapshots. If you give a version, change it when
   * you change what the messages are folded into. Then, and if two entities differ only in variables that
   * their functions use, two entities of one category need two versions.
   *
   * @default made of the text of the functions
   */
  readonly version?: number | string | undefined;
  /**
   * Reads and writes a state that JSON does not bring back, with a `Date`, a `bigint` or a `Map` in it. It
   * works as the schema of a message.
   *
   * @default none: the state is JSON
   */
  readonly schema?: StandardSchema<unknown, State> | undefined;
}

/** Keeps states in memory. Only `entity` reads the values. */
export interface EntityCache {
  /** The value that was last set for a stream's name; undefined for none. */
  get(streamName: string): unknown;
  /** Keeps a value for a stream's name. It may drop the value at any time. */
  set(streamName: string, value: object): unknown;
}
