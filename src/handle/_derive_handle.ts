import type { Sql } from "../types.ts";
import { OWN_HANDLE, type OwnHandle } from "./_statement.ts";

/** The functions of a driver's handle that give a handle to work. */
const GIVES_HANDLE = /^(begin|beginDistributed|distributed|transaction|savepoint)$/;

/** Those that begin a transaction, and end it when the work is done. */
const BEGINS = /^(begin|transaction)$/;

/**
 * Makes a handle that does what the given one does, and keeps something for the statements of this library.
 * So do the handles that come of it: of its transactions, their savepoints and its reserved connections.
 *
 * @param keep Makes what a handle keeps, of the handle that it is made of.
 * @param inWords Translates what the driver's own statements fail by, such as BEGIN and COMMIT. What the work
 * of a transaction throws stays as it is.
 * @param around Makes another of the function that runs work in a transaction. It is for this handle alone.
 */
export function deriveHandle<Handle extends Sql>(
  sql: Handle,
  keep: (sql: Sql) => OwnHandle,
  inWords?: (error: unknown) => unknown,
  around?: (begin: (...args: unknown[]) => unknown) => (...args: unknown[]) => unknown,
): Handle {
  const derive = (handle: Sql) => deriveHandle(handle, keep, inWords);
  /** Calls a function of the driver that runs work with a handle. */
  const runWork = (run: (...args: unknown[]) => unknown, args: readonly unknown[]): unknown => {
    const thrown: unknown[] = [];
    const note = (error: unknown) => {
      thrown.push(error);
      throw error;
    };
    const inWork = (work: unknown) =>
      typeof work !== "function" ? work : (handle: Sql) => {
        const working = work(derive(handle));
        // Work may also answer a list of queries, which the driver sends.
        return inWords && working instanceof Promise ? working.then((it) => it, note) : working;
      };
    const running = run(...args.map(inWork));
    if (inWords === undefined || !(running instanceof Promise)) return running;
    return running.catch((error) => {
      throw thrown.includes(error) ? error : inWords(error);
    });
  };
  const own = keep(sql);
  return new Proxy(sql, {
    get: (target, key) => {
      if (key === OWN_HANDLE) return own;
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key === "reserve") {
        return async () => {
          try {
            return derive(await Reflect.apply(value, target, []) as Sql);
          } catch (error) {
            throw inWords ? inWords(error) : error;
          }
        };
      }
      if (GIVES_HANDLE.test(String(key))) {
        const run = (...args: unknown[]) => runWork(value.bind(target), args);
        return around && BEGINS.test(String(key)) ? around(run) : run;
      }
      // A function of the driver may have properties: postgres.js's `types` has a function for each type.
      return Object.assign(value.bind(target), value);
    },
  });
}
