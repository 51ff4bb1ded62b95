import { retryWhileUnavailable } from "../handle/_retry.ts";
import { invalid } from "../lib/invalid.ts";
import { checkFunction, checkInteger, checkOptions } from "../names/_check.ts";
import { categories } from "../read/names.ts";
import type { Sql } from "../types.ts";
import { checkMayDelete } from "./_session.ts";
import {
  countSuperseded,
  deleteSuperseded,
  type SupersededBatch,
  type SupersededQuery,
} from "./_superseded.ts";

/** How many messages a statement looks at. */
const PRUNE_BATCH = 2000;
/** In milliseconds. */
const AN_HOUR = 3_600_000;
/** How many times a statement is tried while the database is unavailable. */
const PRUNE_TRIES = 5;

/** Options of `prune`. */
export interface PruneOptions {
  /**
   * Which messages may go: those that were written before a `Date`, or so many milliseconds ago, by the
   * server's clock.
   *
   * @default an hour: 3600000
   */
  readonly olderThan?: Date | number | undefined;
  /**
   * Whether to count only. The role needs no right to delete for that.
   *
   * @default false
   */
  readonly dryRun?: boolean | undefined;
  /** Called after each statement, with the counts so far. An error that it throws ends the prune. */
  readonly onProgress?: ((pruned: Pruned) => void) | undefined;
}

/** How many messages `prune` has taken out, by kind; with `dryRun`, how many it would. */
export interface Pruned {
  /**
   * Positions of consumers, of their members and of `replayParked`, but the first and the last of each, and
   * those that tell since when the position and its owner are what they are.
   */
  readonly positions: number;
  /** Positions of aggregates, but the last of each, and the one that tells since when. */
  readonly aggregates: number;
  /** Snapshots of entities, but the last of each version of each entity. */
  readonly snapshots: number;
  /** Questions for the positions of consumers, but the last of each. */
  readonly claims: number;
  /** Records of what is settled, but the last. */
  readonly settled: number;
  /** Processes that have waited for a member of a group, and do not any more. */
  readonly waiting: number;
}

/** The kinds, by the last type of the category. */
const KINDS: Readonly<Record<string, keyof Pruned>> = {
  position: "positions",
  aggregate: "aggregates",
  snapshot: "snapshots",
  claim: "claims",
  settled: "settled",
  group: "waiting",
};

/**
 * Takes out of the store what this library has written for itself, and nobody reads any more: for example all
 * positions that a consumer has recorded, but the first and the last.
 *
 * No message of an application goes: what is bookkeeping is known by the stream, the type and the shape of the
 * data together, and not by the name. The last message of a stream stays, and with it the stream's version.
 * What is parked stays too, and what became of it.
 *
 * Consumers, entities and aggregates may run meanwhile, and a second `prune`. No category is locked. Each
 * statement looks at 2,000 messages of bookkeeping, so `prune` takes as long as there are many of them; run it
 * by a timer. PostgreSQL's autovacuum makes the space free.
 *
 * @example What there is to take out, and then take it out
 * ```ts
 * import { prune } from "@messagedb/client/operate";
 * import postgres from "postgres";
 *
 * const sql = postgres("postgres://postgres@localhost/message_store");
 * console.log(await prune(sql, { dryRun: true }));
 * await prune(sql);
 * ```
 *
 * @param sql The handle, of a role that may delete: `grant delete on message_store.messages to operator`.
 * @param options Which messages may go, and whether to count only.
 * @returns How many messages were taken out, by kind.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {Error} If the role may not delete.
 * @throws {TypeError} If an option is of the wrong type.
 * @throws {RangeError} If `olderThan` is a number below 0.
 */
export async function prune(sql: Sql, options: PruneOptions = {}): Promise<Pruned> {
  checkOptions(options, { olderThan: true, dryRun: true, onProgress: true });
  const { olderThan = AN_HOUR, dryRun = false, onProgress } = options;
  const before = boundOf(olderThan);
  if (typeof dryRun !== "boolean") throw invalid("dryRun", dryRun, "true or false");
  if (onProgress !== undefined) checkFunction("onProgress", onProgress);
  if (!dryRun) await checkMayDelete(sql, "prune the store");
  const judge = dryRun ? countSuperseded : deleteSuperseded;
  const pruned = { positions: 0, aggregates: 0, snapshots: 0, claims: 0, settled: 0, waiting: 0 };
  for (const category of await categories(sql)) {
    const kind = KINDS[/[:+](\w+)$/.exec(category)?.[1] ?? ""];
    if (kind === undefined) continue;
    for (let after: number | null = 0; after !== null;) {
      const query: SupersededQuery = { category, after, batchSize: PRUNE_BATCH, before };
      const batch: SupersededBatch = await retryWhileUnavailable(() => judge(sql, query), {
        tries: PRUNE_TRIES,
      });
      pruned[kind] += batch.superseded;
      after = batch.count < PRUNE_BATCH ? null : batch.last;
      onProgress?.({ ...pruned });
    }
  }
  return pruned;
}

function boundOf(olderThan: unknown): SupersededQuery["before"] {
  if (typeof olderThan === "number") {
    checkInteger("olderThan", olderThan, 0);
    return { age: olderThan };
  }
  const isDate = Object.prototype.toString.call(olderThan) === "[object Date]";
  const time = isDate ? Number(olderThan) : NaN;
  if (Number.isNaN(time)) {
    throw invalid("olderThan", olderThan, "a valid Date, or a number of milliseconds");
  }
  return { time };
}
