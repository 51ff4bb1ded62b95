import { queryJson, type SendStatement, surround } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/**
 * Sends a statement with SQL before and after it, and parses the JSON that it answers.
 *
 * Statements that differ only in a middle part share the SQL around that part.
 */
export function querySurrounded<T>(sql: Sql, before: string, after: string): SendStatement<T> {
  return (strings, ...parameters) =>
    queryJson<T>(sql)(surround(strings, before, after), ...parameters);
}
