import { checkInteger, checkOptions } from "../names/_check.ts";
import { type Folded, foldOf, foldPage, pagesFrom, type ReadPage } from "./_fold.ts";
import type { Projection } from "./projection.ts";
import { readCategory } from "../read/read_category.ts";
import { readStream } from "../read/read_stream.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";

/** Options of `project`: how the state comes from messages, and which. */
export interface ProjectOptions<State, Output extends Message = Message>
  extends Projection<State, Output> {
  /**
   * The position to start at, which is included: `init` makes the state that is there before it.
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

/** What `project` has made. */
export interface Projected<State> {
  /** The state behind the last message. */
  readonly state: State;
  /**
   * The position of the last message, whether it changed the state or not: what to expect of a write, and
   * less by one than where to go on. One less than `from`, where there was none: `NO_STREAM` (-1) at the
   * beginning.
   */
  readonly version: number;
}

/**
 * Folds a stream into a state: from its first message, or any, to its last.
 *
 * Page by page, so the stream can be of any length.
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
 * @param options How the state comes from messages, and which.
 * @returns The state, and the version that it is of.
 * @throws {InvalidMessageError} If a message does not fit the catalogue, or has no handler and that is refused.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no stream's, an option is of the wrong type, or no state is returned.
 * @throws {RangeError} If `from`, `until` or the batch size is out of range.
 */
export async function project<State, Output extends Message = Message>(
  sql: Sql,
  streamName: string,
  options: ProjectOptions<State, Output>,
): Promise<Projected<State>> {
  const { state, last, before } = await foldAll(
    options,
    (page) => readStream(sql, streamName, page),
    (message) => message.position,
    0,
  );
  return { state, version: last?.position ?? before };
}

/** Options of `projectCategory`: those of `project`, with global positions, and whose messages. */
export interface ProjectCategoryOptions<State, Output extends Message = Message>
  extends ProjectOptions<State, Output> {
  /**
   * Only messages whose `correlationStreamName` is of this category.
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

/** What `projectCategory` has made. */
export interface ProjectedCategory<State> {
  /** The state behind the last message. */
  readonly state: State;
  /**
   * The global position of the last message, whether it changed the state or not: less by one than where
   * to go on. One less than `from`, where there was none.
   */
  readonly position: number;
}

/**
 * Folds all streams of a category into one state: a read model.
 *
 * Page by page, in the order of the global positions.
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
 * @param options How the state comes from messages, and which; `from` and `until` are global positions.
 * @returns The state, and the global position up to which it goes.
 * @throws {InvalidMessageError} If a message does not fit the catalogue, or has no handler and that is refused.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the name is no category's, an option is of the wrong type, or no state is returned.
 * @throws {RangeError} If an option is out of range.
 */
export async function projectCategory<State, Output extends Message = Message>(
  sql: Sql,
  category: string,
  options: ProjectCategoryOptions<State, Output>,
): Promise<ProjectedCategory<State>> {
  const { correlation, consumerGroup } = options ?? {};
  const { state, last, before } = await foldAll(
    options,
    (page) => readCategory(sql, category, { ...page, correlation, consumerGroup }),
    (message) => message.globalPosition,
    1,
  );
  return { state, position: last?.globalPosition ?? before };
}

async function foldAll<State, Type extends Message>(
  options: ProjectOptions<State, Type>,
  read: ReadPage,
  place: (message: Message) => number,
  beginning: number,
): Promise<{ state: State; last: Message | undefined; before: number }> {
  checkOptions(options);
  const { init, from = beginning, until = Infinity, batchSize = 1000 } = options;
  checkInteger("from", from, 0);
  if (until !== Infinity) checkInteger("until", until, 0);
  checkInteger("batchSize", batchSize, 1);
  const fold = foldOf(options);
  const folded: Folded = { state: init(), last: undefined };
  for await (const page of pagesFrom(read, place, from, batchSize, until)) {
    await foldPage(fold, folded, page.filter((message) => place(message) <= until));
  }
  const before = Math.max(from, beginning) - 1;
  return { state: folded.state as State, last: folded.last, before };
}
