import { sqlStateOf } from "../../handle/_driver_error.ts";
import { OWN_HANDLE, type OwnHandle, ownOf, takeRows } from "../../handle/_statement.ts";
import { templateOf, textOf } from "../../handle/_statement_text.ts";
import { answersMessages, COLUMN_NAMES } from "../../messages/_columns.ts";
import type { Sql } from "../../types.ts";
import { Refusal } from "./_problem.ts";

const TOO_LARGE = "ANSWER_TOO_LARGE";

/** Where the rows begin that a statement makes its JSON of, and where they end. */
const ROWS_BEGIN = /\bas json\s+from\s+/;
const ROWS_END = /(\n\) as complete)?$/;

/** How a statement ends that answers a number or two: what writes. */
const SMALL_END = /(?:as json from answer\) as complete|\n\) as answer)$/;

/** SQL for the bytes of a row. */
const ROW_BYTES = "pg_catalog.octet_length(pg_catalog.row_to_json(counted)::pg_catalog.text)";

const MESSAGE_NAMES = COLUMN_NAMES.map((name) => `"${name}"`).join(", ");

/** SQL for the bytes of a message. This is faster than the row as JSON, and counts what may be large. */
const MESSAGE_BYTES = `90 ${
  ["head", "streamName", "data", "metadata"].map((column) =>
    `operator(pg_catalog.+) coalesce(pg_catalog.octet_length("${column}"), 0)`
  ).join(" ")
}`;

/**
 * Makes a handle that refuses the statements whose answers would be larger.
 *
 * PostgreSQL counts the bytes row by row, and the statement fails with the first row that is too much, so that
 * no process has to hold them all.
 *
 * A handle of `fetchSql` sends to another gateway, which has a limit of its own and knows only the statements
 * as they are.
 */
export function limitAnswers(sql: Sql, maxAnswerBytes: number): Sql {
  const own = ownOf(sql);
  if (own?.retries) return sql;
  const limited = new WeakMap<TemplateStringsArray, TemplateStringsArray>();
  const handle: Sql = async (strings, ...parameters) => {
    let statement = limited.get(strings);
    if (statement === undefined) {
      limited.set(strings, statement = limitRows(strings, maxAnswerBytes));
    }
    try {
      return await takeRows(sql, statement, ...parameters);
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      throw answerTooLarge(maxAnswerBytes);
    }
  };
  return Object.assign(handle, {
    [OWN_HANDLE]: { ...own, ...limitPartitions(sql, own, maxAnswerBytes), send: undefined },
  });
}

function limitPartitions(
  sql: Sql,
  own: OwnHandle | undefined,
  maxAnswerBytes: number,
): Pick<OwnHandle, "partitions" | "storeOf"> | undefined {
  if (!own?.partitions) return undefined;
  const limited = new Map(own.partitions.map((it) => [it, limitAnswers(it, maxAnswerBytes)]));
  return {
    partitions: [...limited.values()],
    storeOf: (_, names) => limited.get(own.storeOf!(sql, names))!,
  };
}

export function answerTooLarge(maxAnswerBytes: number): Refusal {
  return new Refusal(
    422,
    `Cannot answer with more than ${maxAnswerBytes} bytes: read fewer messages at once`,
    { code: TOO_LARGE, maxAnswerBytes },
  );
}

export function isAnswerTooLarge(error: unknown): boolean {
  return error instanceof Refusal && error.members["code"] === TOO_LARGE;
}

/** Whether the cast of `TOO_LARGE` has failed. */
function isTooLarge(error: unknown): boolean {
  return sqlStateOf(error) === "22P02" &&
    String((error as Error).message).includes(`"${TOO_LARGE}"`);
}

/**
 * Puts a query around the rows of a statement, which counts their bytes. A statement that makes no JSON of rows
 * stays as it is.
 */
function limitRows(strings: TemplateStringsArray, maxBytes: number): TemplateStringsArray {
  const text = textOf(strings);
  if (answersMessages(text)) return limitMessages(strings, maxBytes);
  const parts = [...strings];
  const first = parts.findIndex((part) => ROWS_BEGIN.test(part));
  if (first === -1 || SMALL_END.test(text)) return strings;
  const rows = text.split(ROWS_BEGIN)[1]!.replace(ROWS_END, "");
  // What the JSON may call the rows: `page`, or `last` of `(select …) as last`.
  const name = /(?:^|\bas )(\w+)$/.exec(rows)?.[1] ?? "page";
  parts[first] = parts[first]!.replace(
    ROWS_BEGIN,
    `$&(\n${beforeCounted(ROW_BYTES)}(select * from `,
  );
  const last = parts.length - 1;
  parts[last] = parts[last]!.replace(ROWS_END, `) ${afterCounted(maxBytes)}\n) as ${name}$1`);
  return templateOf(parts);
}

/** Puts a query around a statement that answers messages, with the same columns. */
function limitMessages(strings: TemplateStringsArray, maxBytes: number): TemplateStringsArray {
  const parts = [...strings];
  parts[0] = `${beforeCounted(MESSAGE_BYTES, MESSAGE_NAMES)}(\n${parts[0]}`;
  parts[parts.length - 1] += `\n) ${afterCounted(maxBytes)}`;
  return templateOf(parts);
}

/** SQL before a subquery whose rows have so many bytes. */
function beforeCounted(bytes: string, columns = "*"): string {
  return `select ${columns}
from (
  select counted.*, pg_catalog.sum(${bytes}) over (rows unbounded preceding) as bytes_so_far
  from `;
}

/** SQL behind that subquery: the statement fails with the first row that is too much. */
function afterCounted(maxBytes: number): string {
  // The cast fails. concat() hides that from the planner, which would cast a constant beforehand.
  return `as counted
) as sized
where case
  when bytes_so_far operator(pg_catalog.>) ${maxBytes}
    then pg_catalog.concat('${TOO_LARGE}', pg_catalog.left(bytes_so_far::pg_catalog.text, 0))::boolean
  else true
end`;
}
