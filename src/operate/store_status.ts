import { partitionOfMark } from "../handle/_partition_mark.ts";
import { safeInteger } from "../messages/_columns.ts";
import type { Sql } from "../types.ts";
import { dateOrNull } from "./_date_or_null.ts";
import { readStatus } from "./_read_status.ts";
import type { StoreStatus } from "./status.ts";

/** How long a transaction is open at least to be told of, in milliseconds. */
const SHORTEST_AGE = 1000;

/**
 * Tells how a store is: its size, its categories, its indexes, the settings that matter, and who holds it up.
 *
 * It is one statement, for any role that may read messages. What the role has no right to see is null. Of a large
 * table, a part of 16 MB is read to estimate how many messages there are.
 *
 * Transactions are those that are open for a second at least, and those whose age the role may not see. The caller's
 * own is not among them.
 *
 * @example
 * ```ts
 * import { storeStatus } from "@messagedb/client/operate";
 *
 * const { messages, categories, transactions } = await storeStatus(sql);
 * console.log(messages.count, categories.length);
 * for (const { pid, age, categories } of transactions) console.log(pid, age, categories);
 * ```
 *
 * @param sql The handle. A gateway refuses the statement.
 * @returns The status.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 */
export async function storeStatus(sql: Sql): Promise<StoreStatus> {
  const { messages, categories, transactions, sequence, mark, ...status } = await readStatus(sql);
  return {
    ...status,
    messages: {
      ...messages,
      lastGlobalPosition: safeInteger(messages.lastGlobalPosition),
      firstAt: dateOrNull(messages.firstAt),
      lastAt: dateOrNull(messages.lastAt),
    },
    categories: categories.map(({ firstAt, lastAt, ...category }) => ({
      ...category,
      firstAt: dateOrNull(firstAt),
      lastAt: dateOrNull(lastAt),
    })),
    partition: partitionOfMark(mark),
    transactions: transactions.filter(({ age }) => age === null || age >= SHORTEST_AGE),
    sequence: sequence && { ...sequence, last: safeInteger(sequence.last) },
  };
}
