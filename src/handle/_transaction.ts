import { sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";

/** A handle that runs work in a transaction. */
export interface SqlWithBegin extends Sql {
  begin(work: (sql: Sql) => Promise<void>): Promise<void>;
}

/**
 * Runs work in a transaction, which nothing is sent for any more once it has ended.
 *
 * Where the connection of a transaction is lost, postgres.js opens it anew for others while the work
 * still has its handle: what that sends then, and the COMMIT or ROLLBACK behind it, would be theirs.
 */
export async function runInTransaction(
  sql: SqlWithBegin,
  work: (sql: Sql) => Promise<void>,
): Promise<void> {
  let isOver = false;

  function guard<T extends object>(handle: T): T {
    const checked = (call: (...args: unknown[]) => unknown) => (...args: unknown[]) => {
      if (isOver) throw new Error("Cannot use this handle: its transaction has ended");
      return call(...args.map((it) => typeof it === "function" ? within(it) : it));
    };
    return new Proxy(handle, {
      apply: (target, self, args) =>
        checked((...args) => Reflect.apply(target as never, self, args))(...args),
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        // A driver's functions may have some of their own: postgres.js's `types` have one for each.
        return Object.assign(checked(value.bind(target)), value);
      },
    });
  }
  /** A savepoint's work gets a handle too. */
  const within = (work: unknown) => (handle: object) => (work as typeof within)(guard(handle));

  try {
    await sql.begin(async (transaction) => {
      try {
        await work(guard(transaction));
      } catch (error) {
        // The statement knows first that the connection was lost.
        await sleep(0);
        if (!isOver) throw error;
      }
      if (isOver) await new Promise(() => {});
    });
  } finally {
    isOver = true;
  }
}
