import type { TransactionSql } from "postgres";
import { renameSchema } from "../handle/_rename_schema.ts";
import type { Change } from "./_change.ts";

/** A transaction that puts the name of a schema in place of `message_store` in all SQL that it sends. */
export function renaming(tx: TransactionSql, schema: string): TransactionSql {
  return new Proxy(tx, {
    get: (target, key) => {
      const value = Reflect.get(target, key);
      if (key === "unsafe") {
        return (sql: string, ...rest: []) => target.unsafe(renameSchema(sql, schema), ...rest);
      }
      if (key === "savepoint") {
        return (work: (tx: TransactionSql) => Promise<unknown>) =>
          target.savepoint((sp) => work(renaming(sp, schema)));
      }
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The change of the store in a schema of another name, in SQL and in words. */
export function renameChange({ does, right, sql, searchPath }: Change, schema: string): Change {
  return {
    does: does.map((it) => renameSchema(it, schema)),
    // The name of the database comes after that, and may be the same.
    right: right.replace(/^.*?(?= in database "|$)/, (it) => renameSchema(it, schema)),
    sql: renameSchema(sql, schema),
    searchPath: renameSchema(searchPath, schema),
  };
}
