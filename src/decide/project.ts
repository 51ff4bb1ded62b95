import { checkInteger, checkOptions, type Members } from "../names/_check.ts";
import { type Folded, foldOf, foldPage, pagesFrom, type ReadPage } from "./_fold.ts";
import type { EntityDefinition } from "./entity_definition.ts";
import type { Projection } from "./projection.ts";
import { readCategory } from "../read/read_category.ts";
import { readStream } from "../read/read_stream.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";

/** Options of `project`: how messages make the state, and which messages. */
export interface ProjectOptions<State, Output extends Message = Message>
  extends Projection<State, Output> {
  /**
   * The position to start at, which is included. `init` makes the state before this position.
   *
   * @default the beginning
   */
  readonly from?: number | undefined;
  /**
   * The position to end at, which is included.
   *
   * @default the end
   */
  readonly until?: number | undefined;
  /**
   * How many messages to read at once, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}

/** The result of `project`. */
export interface Projected<State> {
  /** The state after the last message. */
  readonly state: State;
  /**
   * The position of the last message, whether it changed the state or not. Use it as the expected version
   * of a write; to go on, use `version + 1` as `from`. If there was no message, it is `from` - 1, which is
   * `NO_STREAM` (-1) at the beginning.
   */
  readonly version: number;
}

/**
 * Folds the messages of a stream into a state, by default from the first message to the last.
 *
 * The stream is read page by page, so it can be of any length.
 *
 * @example
 * ```ts
 * import { type Message, project } from "@messagedb/client";
 *
 * const { state, version } = await project(sql, "account-123", {
 *   init: () => ({ balance: 0 }),
 *   handlers: {
 *     Deposited: (state, { data }: Message<{ amount: number }>) => {
 *       return { balance: state.balance + data.amount };
 *     },
 *   },
 * });
 * ```
 *
 * @typeParam State What the messages are folded into.
 * @typeParam Output The messages, as the catalogue reads them.
 * @param sql The handle.
 * @param streamName The stream: `"account-123"`.
 * @param options How messages make the state, and which messages.
 * @returns The state, and its version.
 * @throws {InvalidMessageError} If a message does not fit the catalogue, or has no handler and `unknown` is `"refuse"`.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no stream's, an option is of the wrong type, or `evolve` returns no state.
 * @throws {RangeError} If `from`, `until` or the batch size is out of range.
 */
export async function project<State, Output extends Message = Message>(
  sql: Sql,
  streamName: string,
  options: ProjectOptions<State, Output>,
): Promise<Projected<State>> {
  checkOptions<Foldable>(options, FOLDABLE);
  const { state, position } = await foldAll(
    options,
    (page) => readStream(sql, streamName, page),
    (message) => message.position,
    0,
  );
  return { state, version: position };
}

/** Options of `projectCategory`: those of `project`, with global positions, and a choice of streams. */
export interface ProjectCategoryOptions<State, Output extends Message = Message>
  extends ProjectOptions<State, Output> {
  /**
   * Only messages whose `correlationStreamName` is in this category.
   *
   * @default all
   */
  readonly correlation?: string | undefined;
  /**
   * Only the streams that are this member's share.
   *
   * @default all
   */
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/** The result of `projectCategory`. */
export interface ProjectedCategory<State> {
  /** The state after the last message. */
  readonly state: State;
  /**
   * The global position of the last message, whether it changed the state or not. To go on, use
   * `position + 1` as `from`. If there was no message, it is `from` - 1.
   */
  readonly position: number;
}

/**
 * Folds all streams of a category into one state: a read model.
 *
 * The category is read page by page, in the order of the global positions.
 *
 * @example How much there is in all accounts
 * ```ts
 * import { type Message, projectCategory } from "@messagedb/client";
 *
 * const { state } = await projectCategory(sql, "account", {
 *   init: () => new Map<string, number>(),
 *   handlers: {
 *     Deposited: (balances, { streamName, data }: Message<{ amount: number }>) =>
 *       balances.set(streamName, (balances.get(streamName) ?? 0) + data.amount),
 *   },
 * });
 * ```
 *
 * @typeParam State What the messages are folded into.
 * @typeParam Output The messages, as the catalogue reads them.
 * @param sql The handle.
 * @param category The category: `"account"`.
 * @param options How messages make the state, and which messages; `from` and `until` are global positions.
 * @returns The state, and the global position of its last message.
 * @throws {InvalidMessageError} If a message does not fit the catalogue, or has no handler and `unknown` is `"refuse"`.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no category's, an option is of the wrong type, or `evolve` returns no state.
 * @throws {RangeError} If an option is out of range.
 */
export async function projectCategory<State, Output extends Message = Message>(
  sql: Sql,
  category: string,
  options: ProjectCategoryOptions<State, Output>,
): Promise<ProjectedCategory<State>> {
  checkOptions<Foldable & ProjectCategoryOptions<unknown>>(options, {
    ...FOLDABLE,
    correlation: true,
    consumerGroup: true,
  });
  const { correlation, consumerGroup } = options;
  return await foldAll(
    options,
    (page) => readCategory(sql, category, { ...page, correlation, consumerGroup }),
    (message) => message.globalPosition,
    1,
  );
}

/** Options, and what only an entity needs: a projection may be an entity's definition. */
type Foldable = ProjectOptions<unknown> & Partial<EntityDefinition<unknown>>;

const FOLDABLE: Members<Foldable> = {
  init: true,
  evolve: true,
  handlers: true,
  unknown: true,
  messages: true,
  from: true,
  until: true,
  batchSize: true,
  category: true,
  snapshot: true,
  cache: true,
};

async function foldAll<State, Type extends Message>(
  options: ProjectOptions<State, Type>,
  read: ReadPage,
  place: (message: Message) => number,
  beginning: number,
): Promise<ProjectedCategory<State>> {
  const { init, from = beginning, until = Infinity, batchSize = 1000 } = options;
  checkInteger("from", from, 0);
  if (until !== Infinity) checkInteger("until", until, 0);
  checkInteger("batchSize", batchSize, 1);
  const fold = foldOf(options);
  const folded: Folded = { state: init(), last: undefined };
  for await (const page of pagesFrom(read, place, from, batchSize, until)) {
    await foldPage(fold, folded, page.filter((message) => place(message) <= until));
  }
  const { state, last } = folded;
  return { state: state as State, position: last ? place(last) : Math.max(from, beginning) - 1 };
}
