import { PartitionError } from "../errors.ts";
import type { Sql } from "../types.ts";
import { ownOf } from "./_statement.ts";

/**
 * Finds the handle of the store that all of these streams and categories are in: one of the partitions, if
 * the handle has any.
 *
 * @throws {PartitionError} If they are in several partitions, or not in the one that the handle is of.
 */
export function storeFor<Handle extends Sql>(sql: Handle, ...names: readonly string[]): Handle {
  return (ownOf(sql)?.storeOf?.(sql, names) ?? sql) as Handle;
}

/**
 * Asks each partition; resolves to the answers in the order of the partitions.
 *
 * @throws {PartitionError} If one does not answer.
 */
export async function askStores<T>(sql: Sql, ask: (store: Sql) => Promise<T>): Promise<T[]> {
  const stores = ownOf(sql)?.partitions;
  if (stores === undefined) return [await ask(sql)];
  const answers = await Promise.allSettled(stores.map(ask));
  const failures = answers.flatMap((it, number) =>
    it.status === "rejected" ? [{ number, reason: it.reason }] : []
  );
  if (failures.length > 0) throw unanswered(failures, stores.length);
  return answers.map((it) => (it as PromiseFulfilledResult<T>).value);
}

/** The error of partitions that did not answer, with why the first of them did not. */
export function unanswered(
  failures: readonly { readonly number: number; readonly reason: unknown }[],
  count: number,
): PartitionError {
  const [first] = failures;
  const partitions = failures.map(({ number }) => number);
  return new PartitionError(
    "unanswered",
    `Cannot ask all ${count} partitions: no answer of ${partitions.join(", ")} (${
      (first?.reason as Error)?.message
    })`,
    { partitions },
    { cause: first?.reason },
  );
}
