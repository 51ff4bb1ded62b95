import { sleep } from "../lib/wait.ts";
import type { Sql } from "../types.ts";
import { beforeDriversStatement } from "./_statement.ts";
import { timeLimitOf } from "./_time_limit.ts";

/** A handle with a `begin` that runs work in a transaction, as postgres.js has one. */
export interface SqlWithBegin extends Sql {
  begin(work: (sql: Sql) => Promise<void>): Promise<void>;
}

/**
 * Runs work in a transaction. When the transaction has ended, the handle that the work got sends nothing.
 *
 * BEGIN, and COMMIT or ROLLBACK, may take so many milliseconds, and the work as long as it likes.
 *
 * postgres.js does not ensure that. If the connection of a transaction is lost, postgres.js opens it again
 * and gives it to other callers, while the work still has its handle. A statement that the work sends then,
 * and the COMMIT or ROLLBACK after the work, would run in the session of such a caller.
 */
export async function runInTransaction(
  sql: SqlWithBegin,
  work: (sql: Sql) => Promise<void>,
  answerTimeout: number,
): Promise<void> {
  let isOver = false;
  const limit = timeLimitOf(answerTimeout);

  /** The handle, with a check before each call of the handle or of one of its functions. */
  function guard<T extends object>(handle: T): T {
    const checked = (call: (...args: unknown[]) => unknown) => (...args: unknown[]) => {
      if (isOver) throw new Error("Cannot use this handle: its transaction has ended");
      return call(...args.map((it) => typeof it === "function" ? guardWork(it) : it));
    };
    return new Proxy(handle, {
      apply: (target, self, args) =>
        checked((...args) => Reflect.apply(target as never, self, args))(...args),
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        // A function of the driver may have properties: postgres.js's `types` has a function for each type.
        return Object.assign(checked(value.bind(target)), value);
      },
    });
  }
  /** The work of a savepoint gets a handle of its own: guards that handle, too. */
  const guardWork = (work: unknown) => (handle: object) =>
    (work as typeof guardWork)(guard(handle));

  const transact = async (transaction: Sql): Promise<void> => {
    limit.stop();
    // BEGIN was answered after its time: this transaction is rolled back.
    if (isOver) return await limit.reached;
    try {
      await work(guard(transaction));
    } catch (error) {
      // If the connection was lost, the work's statement rejects before `sql.begin` does. So `isOver` is
      // known only after a turn of the event loop.
      await sleep(0);
      if (!isOver) throw error;
    } finally {
      if (!isOver) limit.start();
    }
    // Waits for ever, because postgres.js sends COMMIT or ROLLBACK when the work ends.
    if (isOver) await new Promise(() => {});
  };

  await beforeDriversStatement();
  try {
    limit.start();
    await Promise.race([sql.begin(transact), limit.reached]);
  } finally {
    isOver = true;
    limit.stop();
  }
}
