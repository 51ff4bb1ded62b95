import { parserOf } from "../messages/_typed.ts";
import type { MessageCatalogue } from "../messages/catalogue.ts";
import { invalid } from "../lib/invalid.ts";
import { checkCategory, checkFunction, checkInteger, checkName } from "../names/_check.ts";
import { type Folded, foldOf, foldPage, pagesFrom, type ReadPage } from "./_fold.ts";
import type { Projection } from "./projection.ts";
import { freeze } from "../lib/freeze.ts";
import { isSchema } from "../messages/_shape.ts";
import type { StandardSchema } from "../messages/schema.ts";
import {
  checkRestorable,
  readSnapshot,
  type Snapshots,
  type StateAt,
  writeSnapshot,
} from "./_snapshot.ts";
import { decideAll } from "./_decide_all.ts";
import type { Decided, DecideOptions, Decision } from "./decision.ts";
import { readStream } from "../read/read_stream.ts";
import { streamName } from "../names/stream_name.ts";
import type { Message, MessageInput, Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";

/** What an entity is: the category of its streams, and how its state comes from their messages. */
export interface EntityDefinition<
  State,
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
> extends Projection<State, Output> {
  /** The category: `"account"`. The stream of the entity `"123"` is `account-123`. */
  readonly category: string;
  /**
   * The catalogue that messages are parsed by, and that those to write have to be of.
   *
   * @default none: nothing is parsed
   */
  readonly messages?: MessageCatalogue<Output, Input> | undefined;
  /**
   * How to keep states in the store, so that not all messages have to be read.
   *
   * @default not at all
   */
  readonly snapshot?: SnapshotOptions<NoInfer<State>> | undefined;
  /**
   * Where to keep states in memory, so that only what is newer has to be read: an `LRUCache` of
   * lru-cache, or what has its `get` and `set`. States that it keeps are frozen.
   *
   * @default nowhere
   */
  readonly cache?: EntityCache | undefined;
  /**
   * How many messages to read at once, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}

/** How to keep states in the store. */
export interface SnapshotOptions<State> {
  /**
   * After how many messages a state is written, from 1: by the `fetch`, or `decide`, that has read so many
   * more than the last snapshot has. To `account:snapshot-123`, as Eventide does. (Eventide's EntityStore
   * takes the last message there for its own, whatever its type: let one of the two keep snapshots of a
   * category.) Left out, without waiting, where somebody else has that category's lock, where the
   * transaction or the role only reads, and under REPEATABLE READ and SERIALIZABLE, where it could be a
   * conflict. In a transaction of yours it is a write like any other, and holds up readers of all streams
   * until that ends.
   */
  readonly every: number;
  /**
   * The version of the state's shape: change it when you change what the messages are folded into, and
   * snapshots of other versions are passed over. Two entities of one category need two.
   *
   * @default 1
   */
  readonly version?: number | string | undefined;
  /**
   * Reads and writes a state that is more than JSON: with a `Date`, a `bigint` or a `Map` in it. As a
   * message's schema.
   *
   * @default none: the state is JSON
   */
  readonly schema?: StandardSchema<unknown, State> | undefined;
}

/** Where states are kept in memory. The values are for `entity` alone. */
export interface EntityCache {
  /** The value that was set for a stream's name last; undefined for none. */
  get(streamName: string): unknown;
  /** Keeps a value for a stream's name, as long as there is room. */
  set(streamName: string, value: object): unknown;
}

/** What `fetch` has found. */
export interface Fetched<State> {
  /** The state; as `init` makes it, where the entity has no message. */
  readonly state: State;
  /** The position of the last message, `NO_STREAM` (-1) for none. */
  readonly version: number;
}

/** Entities of a category. */
export interface Entity<State, Input extends MessageInput = MessageInput> {
  /** The category of their streams. */
  readonly category: string;
  /** The catalogue of their messages, if they have one. */
  readonly messages: MessageCatalogue | undefined;
  /**
   * Reads an entity: from the cache or the last snapshot on, where there are such.
   *
   * @param sql The handle.
   * @param id The entity's id: `"123"`.
   * @returns The state, and the version that it is of.
   * @throws {InvalidMessageError} If a message does not fit the catalogue, or has no handler and that is refused.
   * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
   * @throws {TypeError} If the id is empty, no state is returned, or the state is more than JSON and there is no schema for it.
   */
  fetch(this: void, sql: Sql, id: string): Promise<Fetched<State>>;
  /**
   * Reads an entity, asks what is to be written, and writes that if the entity is still what was read;
   * else reads again and asks again.
   *
   * In a transaction of yours, a conflict is thrown at once: run the transaction again.
   *
   * @param sql The handle; inside a transaction, the transaction's.
   * @param id The entity's id: `"123"`.
   * @param decision Tells by the state, and its version, what to write: a message, several, or none. May be asked more than once.
   * @param options How often to ask.
   * @returns The version after that, and where the last message is.
   * @throws {WrongExpectedVersionError} If somebody else was faster, every time.
   * @throws {DuplicateMessageError} If some of the messages are in the store, or are there in another place.
   * @throws {InvalidMessageError} If a message does not fit the catalogue.
   * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
   * @throws {TypeError} As `fetch`, or if JSON cannot hold the data, or what is decided is no message.
   * @throws {RangeError} If `retries` is no integer from 0.
   */
  decide(
    this: void,
    sql: Sql,
    id: string,
    decision: (state: State, version: number) => Decision<Input> | Promise<Decision<Input>>,
    options?: DecideOptions,
  ): Promise<Decided>;
}

/** What there is to start from: nothing, or a state and the message that it is the state after. */
interface Basis extends Partial<StateAt> {
  /** The last snapshot that was seen, and the version that it is of. */
  readonly snapshot: { readonly id: string | null; readonly version: number };
}

/** What is in the cache. */
interface Cached extends Basis {
  /** Whose it is: a cache may be shared. */
  readonly owner: object;
}

/**
 * Defines the entities of a category: what messages are folded into, and where to keep that.
 *
 * Nothing is read or kept until its functions are called, so it can be a constant of a module. `evolve`
 * makes a new state and leaves the old one as it is. A snapshot or a cached state is used only while the
 * last message that it is of is there: one of a transaction that was rolled back, or of another
 * database, is made anew.
 *
 * @example
 * ```ts
 * import { defineMessages, entity } from "@messagedb/client";
 * import * as z from "zod";
 *
 * const account = entity({
 *   category: "account",
 *   messages: defineMessages({
 *     Deposited: z.object({ amount: z.number() }),
 *     Withdrawn: z.object({ amount: z.number() }),
 *   }),
 *   init: () => ({ balance: 0 }),
 *   handlers: {
 *     Deposited: (state, { data }) => ({ balance: state.balance + data.amount }),
 *     Withdrawn: (state, { data }) => ({ balance: state.balance - data.amount }),
 *   },
 *   snapshot: { every: 100 },
 * });
 *
 * await account.decide(sql, "123", () => ({ type: "Deposited", data: { amount: 11 } }));
 * await account.decide(sql, "123", ({ balance }) => {
 *   if (balance < 5) throw new Error("There is not enough in account 123");
 *   return { type: "Withdrawn", data: { amount: 5 } };
 * });
 * const { state } = await account.fetch(sql, "123");
 * state.balance; // 6
 * ```
 *
 * @typeParam State What the messages are folded into.
 * @typeParam Output The messages, as the catalogue reads them.
 * @typeParam Input The messages, as the catalogue writes them.
 * @param definition The category, how the state comes from messages, and where to keep it.
 * @returns `fetch` and `decide`.
 * @throws {TypeError} If the definition is none, or its first state is more than JSON and snapshots have no schema.
 * @throws {RangeError} If `snapshot.every` is no integer from 1.
 */
export function entity<
  State,
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
>(
  definition: EntityDefinition<State, Output, Input>,
): Entity<State, Input> {
  if (typeof definition !== "object" || definition === null) {
    throw invalid("definition", definition, "an object with a category");
  }
  const fold = foldOf(definition);
  const { category, messages, init, snapshot, cache, batchSize = 1000 } = definition;
  checkInteger("batchSize", batchSize, 1);
  checkCategory("category", category);
  const snapshots = snapshot === undefined ? undefined : checkSnapshot(definition, snapshot);
  if (cache !== undefined) {
    checkFunction("cache.get", cache?.get);
    checkFunction("cache.set", cache?.set);
  }
  const owner = {};

  /** What there is to start from, the best first. */
  async function* bases(sql: Sql, id: string, name: string): AsyncGenerator<Basis> {
    const cached = cache?.get(name) as Cached | undefined;
    if (cached?.owner === owner) yield cached;
    const last = snapshots ? await readSnapshot(sql, snapshots, id) : { id: null };
    if (last.said) yield { ...last.said, snapshot: { id: last.id, version: last.said.version } };
    yield { state: init(), snapshot: { id: last.id, version: NO_STREAM } };
  }

  /** Folds what is newer; undefined where the message that the basis is of is not there. */
  async function foldFrom(
    sql: Sql,
    name: string,
    { state, version, messageId, messageGlobalPosition }: Basis,
  ): Promise<Folded | undefined> {
    const folded: Folded = { state, last: undefined };
    const read: ReadPage = (page) => readStream(sql, name, page);
    const pages = pagesFrom(read, (message) => message.position, version ?? 0, batchSize);
    for await (const page of pages) {
      const isOfBasis = version !== undefined && folded.last === undefined;
      const [first] = page;
      const isThere = first?.id === messageId && first?.globalPosition === messageGlobalPosition;
      if (isOfBasis && !isThere) return undefined;
      if (isOfBasis) folded.last = first;
      await foldPage(fold, folded, isOfBasis ? page.slice(1) : page);
    }
    return folded;
  }

  async function fetch(sql: Sql, id: string): Promise<Fetched<State>> {
    const name = streamName(category, id);
    for await (const basis of bases(sql, id, name)) {
      const folded = await foldFrom(sql, name, basis);
      if (folded === undefined) continue;
      const { state, last } = folded;
      if (last === undefined) return { state: state as State, version: NO_STREAM };
      const { position: version, id: messageId, globalPosition: messageGlobalPosition } = last;
      const now = { state, version, messageId, messageGlobalPosition };
      let seen = basis.snapshot;
      if (snapshots && version - seen.version >= snapshots.every) {
        const written = await writeSnapshot(sql, snapshots, id, now, seen.id);
        seen = { id: written === undefined ? seen.id : written, version };
      }
      cache?.set(name, { ...now, state: freeze(state), owner, snapshot: seen });
      return { state: state as State, version };
    }
    throw new Error("unreachable");
  }

  const self: Entity<State, Input> = {
    category,
    messages,
    fetch,
    async decide(sql, id, decision, options) {
      checkFunction("decision", decision);
      const { versions, globalPosition } = await decideAll(
        sql,
        [{ entity: self, id, streamName: streamName(category, id) }],
        async ([state], [version]) => [await decision(state as State, version!)],
        options,
      );
      return { version: versions[0]!, globalPosition };
    },
  };
  return self;
}

function checkSnapshot(
  definition: Pick<EntityDefinition<unknown>, "category" | "init" | "messages">,
  snapshot: SnapshotOptions<unknown>,
): Snapshots {
  const { every, version = 1, schema } = snapshot ?? {};
  checkInteger("snapshot.every", every, 1);
  if (typeof version === "number") checkInteger("snapshot.version", version, 0);
  else checkName("snapshot.version", version);
  if (schema === undefined) checkRestorable(definition.init());
  else if (!isSchema(schema)) {
    throw invalid("snapshot.schema", schema, "a schema, of zod for instance");
  }
  const { category } = definition;
  return { category, every, version, schema, codec: parserOf(definition)?.codec };
}
