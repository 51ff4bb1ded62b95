/**
 * What a statement names without a schema: a string, which names nothing; a type; a function; an operator.
 *
 * - `bigint`, `boolean`, `int` and `timestamp` are words of SQL's grammar, and so are `coalesce` and `array`.
 *   They mean the same everywhere.
 * - A `*` is an operator before a number, and means all columns elsewhere.
 * - What names `pg_catalog` already stays as it is.
 */
const NAMES =
  /'[^']*'|(?<=::)(?!bigint|boolean|int\b|timestamp\b|pg_catalog)\w+|(?<![\w.])(?!coalesce|array|operator)\w+(?=\()|(?<=\s)([-+=<>~|!]+|\*(?= \d))(?=\s)/g;

/**
 * Puts the schema `pg_catalog` before each type, function and operator that a statement names.
 *
 * PostgreSQL looks for a name in the schemas of the caller's search path, before the statement runs. There,
 * `public` may be open to everyone: `concat(text, text)` of a stranger fits a call better than PostgreSQL's
 * own `concat("any")`, and would run with the rights of the caller.
 *
 * The SQL of this library is written so that this is easy to do:
 * - A parenthesis right behind a name is a call; behind any other word there is a space: `exists (`.
 * - An operator has a space on either side: `data -> 'id'`. A `-1` is a number.
 * - `operator(pg_catalog.=)` and the like all bind equally, and from the left. So a sum on the right of a
 *   comparison is in parentheses: `a > (b + 1)`.
 * - What uses an operator without naming it is left out: `in`, `between`, `like` (write `~~`), `is distinct
 *   from`, `nullif`, `case x when`, `using (x)`. So are `x || y` of anything but text, which older versions
 *   of PostgreSQL run as SQL of its own, and keywords among the arguments, as of `extract(x from y)`.
 *
 * The functions of Message DB name PostgreSQL's functions in the same way, and they are as they are. Each of
 * them has to run under the search path of `SET_SETTINGS`, also `category`, `id` and `hash_64`, which
 * need no other function of Message DB.
 */
export function pinNames(sql: string): string {
  return sql.replace(
    NAMES,
    (name) =>
      /^\w/.test(name)
        ? `pg_catalog.${name}`
        : name[0] === "'"
        ? name
        : `operator(pg_catalog.${name})`,
  );
}
