/** Words of SQL's grammar that a parenthesis may follow. */
const KEYWORDS = new Set(
  ("all and any array as by case coalesce else end exists filter from in join lateral limit materialized not offset on or " +
    "over repeatable select then when where with")
    .split(" "),
);

/** Types that the grammar finds in `pg_catalog` by itself. */
const GRAMMAR_TYPES = new Set(["bigint", "boolean", "int", "timestamp"]);

/** What uses an operator that the search path finds, and does not name it. */
const SILENT =
  /\b(in|between|like|ilike|similar|nullif|using(?!\s*¤)|natural|distinct from|interval|cast|case(?!\s+when))\b/g;

/**
 * Names in a statement that PostgreSQL would look for in the search path: of functions, operators, types,
 * collations and tables.
 */
export function unpinnedIn(statement: string): string[] {
  const sql = statement
    .replace(/'[^']*'/g, "''")
    .replace(/\boperator\(pg_catalog\.([-+*/<>=~!@#%^&|]+)\)/g, " ¤ ");
  const steps = new Set(
    [...sql.matchAll(/(\w+) as (?:not )?(?:materialized )?\(/g)].map((it) => it[1]!),
  );
  const tables = new Set([...steps, ...[...sql.matchAll(/\bas (\w+)/g)].map((it) => it[1]!)]);
  const calls = [...sql.matchAll(/(?<![\w.])(?<!\bas )(\w+)\s*\(/g)]
    .filter(([, name]) => !KEYWORDS.has(name!));
  const types = [...sql.matchAll(/::\s*(?!pg_catalog\.)(\w+)/g)]
    .filter(([, name]) => !GRAMMAR_TYPES.has(name!));
  // A minus sign before a number is part of it where nothing is subtracted from.
  const operators = sql
    .replace(/::|\$\d+/g, "")
    .replace(/(?<=[(,¤]\s*|\w\s+¤\s*)-(?=\d)/g, "")
    .replace(/(?<=\bselect\s+|\.|\()\*/g, "")
    .matchAll(/\S*[-+*/<>=~!@#%^&|]+\S*/g);
  const collations = sql.matchAll(/\bcollate (?!pg_catalog\.)\S+/g);
  const relations = [
    ...sql.matchAll(/\b(?:from|join|into) (?!lateral\b|rows\b)([a-z_]\w*)(?![\w.])/g),
  ]
    .filter(([, name]) => !tables.has(name!));
  return [...calls, ...types, ...operators, ...collations, ...relations, ...sql.matchAll(SILENT)]
    .map((it) => it[0]);
}
