import { parserOf } from "../messages/_typed.ts";
import type { MessageCatalogue } from "../messages/catalogue.ts";
import { checkFunction } from "../names/_check.ts";
import { streamName } from "../names/stream_name.ts";
import type { Message, MessageInput, Sql } from "../types.ts";
import { type CheckedEntity, checkEntity, DEFINITION } from "./_checked_entity.ts";
import { decideAll } from "./_decide_all.ts";
import { fetchEntity } from "./_fetch_entity.ts";
import { foldMessages } from "./_fold_messages.ts";
import type { Decided, DecideOptions, Decision } from "./decision.ts";
import type { EntityDefinition } from "./entity_definition.ts";

/** The result of an entity's `fetch`. */
export interface Fetched<State> {
  /** The state. If the entity has no message, it is what `init` returns. */
  readonly state: State;
  /** The position of the last message; `NO_STREAM` (-1) for none. */
  readonly version: number;
}

/** The entities of a category. */
export interface Entity<State, Input extends MessageInput = MessageInput> {
  /** The category of their streams. */
  readonly category: string;
  /** The catalogue of their messages, if they have one. */
  readonly messages: MessageCatalogue | undefined;
  /**
   * The definition. Not for callers.
   *
   * @internal
   */
  readonly [DEFINITION]: CheckedEntity;
  /**
   * Reads an entity. If its state is in the cache or in a snapshot, only newer messages are read.
   *
   * @param sql The handle.
   * @param id The entity's id: `"123"`.
   * @returns The state, and its version.
   * @throws {InvalidMessageError} If a message does not fit the catalogue, or has no handler and `unknown` is `"refuse"`.
   * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
   * @throws {TypeError} If the id is empty, `evolve` returns no state, or the state is more than JSON and its snapshots have no schema.
   */
  fetch(this: void, sql: Sql, id: string): Promise<Fetched<State>>;
  /**
   * Folds messages into a state, without a database: for tests, and for messages from anywhere. A message
   * that a constructor of the catalogue has made is folded as it would be read after a write. Any other is
   * taken as the store holds it: the catalogue lifts and parses it.
   *
   * @example
   * ```ts
   * import { defineMessages, entity } from "@messagedb/client";
   * import * as z from "zod";
   *
   * const { Deposited, ...messages } = defineMessages({ Deposited: z.object({ amount: z.number() }) });
   * const account = entity({
   *   category: "account",
   *   messages,
   *   init: () => 0,
   *   handlers: { Deposited: (balance, { data }) => balance + data.amount },
   * });
   * await account.fold([Deposited({ amount: 5 }), Deposited({ amount: 6 })]); // 11
   * ```
   *
   * @param messages The messages, in their order. What one lacks of a stored message is made up: a position
   * from 0, a time of 1970, and so on.
   * @param from The state before them; `init()` if left out.
   * @returns The state after them.
   * @throws {InvalidMessageError} If a message does not fit the catalogue, or has no handler and `unknown` is
   * `"refuse"`.
   * @throws {TypeError} If a message is no object with a type, or `evolve` returns no state. What `evolve` throws
   * is thrown as it is.
   */
  fold(this: void, messages: readonly MessageInput[], from?: State): Promise<State>;
  /**
   * Reads an entity, calls `decision` with its state, and writes the messages that `decision` returns.
   *
   * If somebody else has written to the entity since it was read, nothing is written: it is read again,
   * and `decision` is called again. In a transaction of yours, such a conflict is thrown at once: run the
   * transaction again.
   *
   * @param sql The handle; inside a transaction, the transaction's.
   * @param id The entity's id: `"123"`.
   * @param decision Returns what to write: a message, several, or none. It gets the state and its version, and may be called more than once.
   * @param options How often to try again after a conflict, and the command that is decided once.
   * @returns The entity's state and version after that, and the global position of the last message.
   * @throws {WrongExpectedVersionError} If every attempt was a conflict.
   * @throws {DuplicateMessageError} If only some of the messages are in the store already, or if they are in another place, or if the command was decided over another entity.
   * @throws {InvalidMessageError} If a message does not fit the catalogue, or cannot be folded: nothing is written.
   * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
   * @throws {TypeError} As `fetch`, or if JSON cannot hold the data, or if `decision` returns something that is no message: nothing is written.
   * @throws {RangeError} If `retries` is no integer from 0.
   */
  decide(
    this: void,
    sql: Sql,
    id: string,
    decision: (state: State, version: number) => Decision<Input> | Promise<Decision<Input>>,
    options?: DecideOptions,
  ): Promise<Decided<State>>;
}

/**
 * Defines the entities of a category: what their messages are folded into, and where states are kept.
 *
 * Nothing is read or kept until `fetch` or `decide` is called, so an entity can be a constant of a module.
 * `evolve` must make a new state and leave the old one as it is. A snapshot or a cached state is used only
 * if its last message is in the stream. Otherwise the state is made anew: for example after a transaction
 * that was rolled back, or in another database.
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
 * @param definition The category, how messages make the state, and where to keep states.
 * @returns `fetch`, `decide` and `fold`.
 * @throws {TypeError} If the definition is invalid, or its first state is more than JSON and its snapshots have no schema.
 * @throws {RangeError} If `snapshot.every` is no integer from 1.
 */
export function entity<
  State,
  Output extends Message = Message,
  Input extends MessageInput = MessageInput,
>(
  definition: EntityDefinition<State, Output, Input>,
): Entity<State, Input> {
  const checked = checkEntity(definition);
  const { category } = checked;
  const self: Entity<State, Input> = {
    category,
    messages: definition.messages,
    [DEFINITION]: checked,
    fetch: (sql, id) => fetchEntity(sql, checked, id) as Promise<Fetched<State>>,
    fold(messages, from = checked.init() as State) {
      const parser = parserOf(definition);
      return foldMessages(checked.fold, parser, category, messages, from) as Promise<State>;
    },
    async decide(sql, id, decision, options) {
      checkFunction("decision", decision);
      const { states, versions, globalPosition } = await decideAll(
        sql,
        [{ entity: self, id, streamName: streamName(category, id) }],
        async ([state], [version]) => [await decision(state as State, version!)],
        options,
      );
      return { state: states[0] as State, version: versions[0]!, globalPosition };
    },
  };
  return self;
}
