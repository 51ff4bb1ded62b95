import type { Sql } from "../types.ts";
import { OWN_HANDLE, type OwnHandle } from "./_statement.ts";

/** The functions of a driver's handle that give a handle to work. */
const GIVES_HANDLE = /^(begin|beginDistributed|distributed|transaction|savepoint)$/;

/**
 * Makes a handle that does what the given one does, and keeps something for the statements of this library.
 * So do the handles that come of it: of its transactions, their savepoints and its reserved connections.
 *
 * @param keep Makes what a handle keeps, of the handle that it is made of.
 */
export function deriveHandle<Handle extends Sql>(
  sql: Handle,
  keep: (sql: Sql) => OwnHandle,
): Handle {
  const derive = (handle: Sql) => deriveHandle(handle, keep);
  const inWork = (work: unknown) =>
    typeof work === "function" ? (handle: Sql) => work(derive(handle)) : work;
  const own = keep(sql);
  return new Proxy(sql, {
    get: (target, key) => {
      if (key === OWN_HANDLE) return own;
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key === "reserve") {
        return async () => derive(await Reflect.apply(value, target, []) as Sql);
      }
      if (GIVES_HANDLE.test(String(key))) {
        return (...args: unknown[]) => Reflect.apply(value, target, args.map(inWork));
      }
      // A function of the driver may have properties: postgres.js's `types` has a function for each type.
      return Object.assign(value.bind(target), value);
    },
  });
}
