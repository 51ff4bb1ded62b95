import { MessageDbError, NotInstalledError, PartitionError } from "../errors.ts";
import { fnv1a } from "../lib/fnv1a.ts";
import { invalid } from "../lib/invalid.ts";
import { checkFunction, checkMembers } from "../names/_check.ts";
import { entityName } from "../names/stream_name.ts";
import type { Sql } from "../types.ts";
import { deriveHandle } from "./_derive_handle.ts";
import { isDatabaseUnavailable, translateDriverError } from "./_driver_error.ts";
import { partitionOfMark, readPartitionMark } from "./_partition_mark.ts";
import { OWN_HANDLE, type OwnHandle, ownOf, takeRows } from "./_statement.ts";

/**
 * Says which partition a category is in.
 *
 * @param category The category without its types: `account` of `account:command`.
 * @param count How many partitions there are.
 * @returns The partition's number, from 0 to `count` - 1: the same for a category in all programs, for ever.
 */
export type PartitionOf = (category: string, count: number) => number;

/**
 * Says which partition a category is in, by its hash: what `partitioned` does by default. FNV-1a, 32 bits, over
 * the UTF-16 code units of the category, modulo the count.
 *
 * @example
 * ```ts
 * import { partitionByHash } from "@messagedb/client";
 *
 * partitionByHash("account", 16); // 12
 * ```
 *
 * @param category The category without its types: `account` of `account:command`.
 * @param count How many partitions there are, from 1.
 * @returns The partition's number, from 0 to `count` - 1.
 */
export function partitionByHash(category: string, count: number): number {
  return fnv1a(category) % count;
}

/** Options of `partitioned`. */
export interface PartitionedOptions {
  /**
   * Says which partition a category is in.
   *
   * @default partitionByHash
   */
  readonly partitionOf?: PartitionOf | undefined;
}

/** A handle of a store that is in several databases. */
export interface PartitionedSql<Handle extends Sql = Sql> extends Sql {
  /** The handles that it was made of. `partitions(sql)` gives those that check what goes through them. */
  readonly handles: readonly Handle[];
}

/**
 * Makes one handle of the handles of several stores, for a store that one PostgreSQL is not enough for.
 *
 * A category is whole in one partition, with the categories of its types: its commands, positions, snapshots
 * and parked messages. Everything that concerns one category works as on one store: writes, batches,
 * `groupCommit`, reads, consumers and their groups, entities. What concerns several works if they are in one
 * partition. What goes over all (`categories`, `readMessages`, `consumers`) asks all partitions.
 *
 * Nothing is one across databases. So these are refused, before anything is sent: `"$all"` of the whole (each
 * partition has its own), several partitions in one write or one decision, and a stream of another partition
 * in a transaction. Global positions are those of a partition.
 *
 * Each database says which partition it is, as `install(sql, { partition })` has marked it. A handle asks
 * before the first statement, and again after an error that tells of a lost connection: a handle that is
 * missing, extra or in another's place is an error. A database that is exchanged without such an error, as a
 * pooler can do, is not noticed. A partition that is down fails what is its own.
 *
 * The number of partitions is fixed, because the category's hash tells its partition. Begin with 16
 * databases on one server, and move whole databases to others later.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { partitionFor, partitioned, write } from "@messagedb/client";
 * import { install } from "@messagedb/client/install";
 *
 * const handles = [0, 1].map((number) => postgres(`postgres://postgres@localhost/store_${number}`));
 * for (const [number, sql] of handles.entries()) {
 *   await install(sql, { createDatabase: true, partition: { number, of: handles.length } });
 * }
 *
 * const sql = partitioned(handles);
 * await write(sql, "account-123", { type: "Opened" });
 * await partitionFor(sql, "account").begin(async (sql) => {
 *   await write(sql, "account-123", { type: "Deposited" });
 *   await write(sql, "account-456", { type: "Withdrawn" });
 * });
 * ```
 *
 * @typeParam Handle The type of the partitions' handles.
 * @param handles The handles, of the partitions 0, 1, … in their order: of one, two or more databases.
 * @param options Where a category is.
 * @returns The handle, which sends no SQL of your own: `partitionFor` and `partitions` give handles that do.
 * @throws {TypeError} If there is no handle, or one is none, or is partitioned itself.
 */
export function partitioned<Handle extends Sql>(
  handles: readonly Handle[],
  options: PartitionedOptions = {},
): PartitionedSql<Handle> {
  checkMembers("options", options, { partitionOf: true });
  const { partitionOf = partitionByHash } = options;
  checkFunction("partitionOf", partitionOf);
  const isHandle = (it: unknown) => typeof it === "function" && !ownOf(it as Sql)?.partitions;
  if (!Array.isArray(handles) || handles.length === 0 || !handles.every(isHandle)) {
    throw invalid("handles", handles, "an array of handles, one of each partition");
  }
  const count = handles.length;
  const numberOf = (name: string): number | undefined => {
    const base = entityName(name);
    if (base === "$all") return undefined;
    const number = partitionOf(base, count);
    if (Number.isInteger(number) && number >= 0 && number < count) return number;
    throw new RangeError(
      `Cannot find the partition of category "${base}": partitionOf answers ${number}, ` +
        `and not an integer from 0 to ${count - 1}`,
    );
  };
  const partitions = handles.map((handle, number) =>
    partitionHandle(handle, { number, count, numberOf })
  );
  const storeOf: OwnHandle["storeOf"] = (_, names) => {
    const numbers = names.map(numberOf);
    const [number] = numbers;
    if (number === undefined || numbers.includes(undefined)) throw allAtOnce(names);
    if (numbers.every((it) => it === number)) return partitions[number]!;
    throw new PartitionError(
      "several",
      `Cannot do this with several partitions at once: ${placesOf(names, numberOf)}`,
      { names, partitions: numbers as number[] },
    );
  };
  const whole: Sql = () => Promise.reject(allAtOnce([]));
  const own: OwnHandle = { storeOf, partitions };
  return Object.assign(whole, { handles, [OWN_HANDLE]: own });
}

/**
 * Gives the handles of all partitions, in their order. Each takes streams of its own partition alone, and
 * `"$all"`: all of its messages.
 *
 * @example
 * ```ts
 * import { iterateAll, partitions } from "@messagedb/client";
 *
 * for (const partition of partitions(sql)) {
 *   for await (const { streamName, globalPosition } of iterateAll(partition)) {
 *     console.log(streamName, globalPosition);
 *   }
 * }
 * ```
 *
 * @typeParam Handle The type of the partitions' handles.
 * @param sql The handle of `partitioned`, or any other.
 * @returns The handles; of a store that is not partitioned, the handle itself.
 */
export function partitions<Handle extends Sql>(sql: PartitionedSql<Handle>): readonly Handle[];
/** Gives the one handle of a store that is not partitioned. */
export function partitions<Handle extends Sql>(sql: Handle): readonly Handle[];
export function partitions(sql: Sql): readonly Sql[] {
  return ownOf(sql)?.partitions ?? [sql];
}

/**
 * Gives the handle of the partition that a stream or a category is in, for transactions and SQL of your own.
 *
 * @example
 * ```ts
 * import { partitionFor, write } from "@messagedb/client";
 *
 * await partitionFor(sql, "account").begin(async (sql) => {
 *   await write(sql, "account-123", { type: "Deposited" });
 * });
 * ```
 *
 * @typeParam Handle The type of the partitions' handles.
 * @param sql The handle of `partitioned`, or any other.
 * @param names The streams and categories, which are in one partition.
 * @returns The handle, which takes streams of that partition alone; of a store that is not partitioned, the
 * handle itself.
 * @throws {PartitionError} If they are in several partitions, or the name is `"$all"`.
 */
export function partitionFor<Handle extends Sql>(
  sql: PartitionedSql<Handle>,
  ...names: readonly [string, ...string[]]
): Handle;
/** Gives the one handle of a store that is not partitioned. */
export function partitionFor<Handle extends Sql>(
  sql: Handle,
  ...names: readonly [string, ...string[]]
): Handle;
export function partitionFor(sql: Sql, ...names: readonly string[]): Sql {
  return ownOf(sql)?.storeOf?.(sql, names) ?? sql;
}

/** A partition of a store. */
interface Partition {
  readonly number: number;
  readonly count: number;
  /** The number of the partition that a stream or category is in; undefined for those of `$all`. */
  numberOf(name: string): number | undefined;
}

/** What all handles of a partition know of its mark, those of its transactions too. */
interface KnownMark {
  /** How many lost connections have made the mark doubtful. */
  doubts: number;
  /** The highest number of doubts at a check that found the mark; -1 before the first. */
  checkedAt: number;
}

/** Makes a handle of a partition, which checks the mark before its first statement and after each lost connection. */
function partitionHandle<Handle extends Sql>(handle: Handle, partition: Partition): Handle {
  const { number, count, numberOf } = partition;
  const mark: KnownMark = { doubts: 0, checkedAt: -1 };
  const translate = (error: unknown): unknown => {
    // The connection that comes next may lead to another database.
    if (isDatabaseUnavailable(error)) mark.doubts++;
    return inWords(partition, error);
  };
  const keep = (given: Sql): OwnHandle => {
    const inner = ownOf(given);
    const pass = (sql: Sql, ...statement: Parameters<Sql>) =>
      inner?.send?.(sql, ...statement) ?? sql(...statement);
    /** The handle without this check. */
    const unchecked = (sql: Sql): Sql =>
      Object.assign((...statement: Parameters<Sql>) => pass(sql, ...statement), {
        [OWN_HANDLE]: { ...inner, send: undefined },
      });
    // Each statement waits for a check of its own: in a transaction that has failed the check fails, and
    // behind a pool whose connections are all taken it waits.
    const check = async (sql: Sql, doubts: number): Promise<void> => {
      await checkIsPartition(unchecked(sql), partition);
      // A check of an earlier doubt may be answered after one of a later doubt.
      mark.checkedAt = Math.max(mark.checkedAt, doubts);
    };
    return {
      ...inner,
      send: (sql, ...statement) => {
        const { doubts, checkedAt } = mark;
        if (checkedAt === doubts) return pass(sql, ...statement);
        return check(sql, doubts).then(() => takeRows(unchecked(sql), ...statement));
      },
      translate: (error) => translate((inner?.translate ?? translateDriverError)(error)),
      storeOf: (sql, names) => {
        const foreign = names.filter((name) => ![number, undefined].includes(numberOf(name)));
        if (foreign.length === 0) return sql;
        throw new PartitionError(
          "foreign",
          `Cannot do this with partition ${number} of ${count}, which the handle or its transaction is of: ` +
            placesOf(foreign, numberOf),
          { names: foreign, partitions: foreign.map((name) => numberOf(name)!) },
        );
      },
    };
  };
  return deriveHandle(handle, keep, translate);
}

/** Checks that a database is the partition that it was given as. */
async function checkIsPartition(sql: Sql, { number, count }: Partition): Promise<void> {
  const mark = await readPartitionMark(sql);
  const wanted = `partition ${number} of ${count}`;
  if (mark === wanted) return;
  const what = partitionOfMark(mark) !== null
    ? `it is ${mark}`
    : `it is not marked, which install(sql, { partition: { number: ${number}, of: ${count} } }) does`;
  throw new PartitionError("mark", `Cannot use this database as ${wanted}: ${what}`, {
    partitions: [number],
  });
}

/** Says in an error of the connection, or of a database without Message DB, which partition it is of. */
function inWords({ number, count }: Partition, error: unknown): unknown {
  if (error instanceof NotInstalledError) {
    error.message += ` (partition ${number} of ${count})`;
    return error;
  }
  if (!(error instanceof Error) || error instanceof MessageDbError) return error;
  if (!isDatabaseUnavailable(error)) return error;
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown };
  const message = `Cannot reach partition ${number} of ${count}: ${error.message}`;
  return Object.assign(new Error(message, { cause: error }), { code, severity });
}

function placesOf(names: readonly string[], numberOf: Partition["numberOf"]): string {
  return names.map((name) => `"${name}" is in partition ${numberOf(name)}`).join(", ");
}

function allAtOnce(names: readonly string[]): PartitionError {
  return new PartitionError(
    "all",
    "Cannot do this with all partitions at once: each has an order of its own, " +
      "so do it with each handle of partitions(sql)",
    { names },
  );
}
