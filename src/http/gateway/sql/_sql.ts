import { storeFor } from "../../../handle/_store_for.ts";
import { isDatabaseUnavailable, sqlStateOf } from "../../../handle/_driver_error.ts";
import { inStockWords } from "../../../handle/_rename_schema.ts";
import { jsonTextOf, ownOf, takeRows } from "../../../handle/_statement.ts";
import { answersMessages, messageRowsOf, rowOf } from "../../../messages/_columns.ts";
import { checkContentType, readJson } from "../_body.ts";
import { checkAllowed } from "../_authorize.ts";
import type { Gateway } from "../_gateway.ts";
import { Refusal } from "../_problem.ts";
import type { Call, SentStatement } from "../_calls.ts";
import type { GatewayCall } from "../call.ts";
import type { Message, Sql } from "../../../types.ts";
import { recognize } from "./_statements.ts";
import { VERSION, VERSION_HEADER } from "../_version.ts";

/** `POST /sql`: runs one statement of an operation, in the shape of Neon's SQL over HTTP. */
export async function answerStatement(request: Request, gateway: Gateway): Promise<Response> {
  const { headers } = request;
  // Neon's driver sends no content type. A page needs a preflight to send this header of Neon's, too.
  if (!headers.has("neon-connection-string")) checkContentType(request);
  const { query, params } = statementIn(await readJson(request, gateway.maxBodyBytes));
  const recognized = await recognize(query, params, gateway.maxBatchSize);
  if (recognized === undefined) throw unknownStatement(headers.get(VERSION_HEADER));
  const { call, statement } = recognized;
  await checkAllowed(request, gateway, call.toAuthorize);

  let rows;
  try {
    rows = await rowsOfCall(gateway.sql, call, statement);
  } catch (error) {
    if (sqlStateOf(error) === undefined || isDatabaseUnavailable(error)) throw error;
    return Response.json(describeDatabaseError(error, ownOf(gateway.sql)?.schema), { status: 400 });
  }
  const isOfLists = headers.get("neon-array-mode") === "true";
  return Response.json({
    command: "SELECT",
    rowCount: rows.length,
    fields: Object.keys(rows[0] ?? {}).map((name) => ({ name, dataTypeID: 25 })),
    rows: isOfLists ? rows.map((row) => Object.values(row)) : rows,
  });
}

/** Runs the statement of a call in the store that the call is about, or the call where it asks several. */
async function rowsOfCall(
  sql: Sql,
  { toAuthorize, send, asksEach }: Call<unknown>,
  { strings, text, parameters }: SentStatement,
): Promise<readonly object[]> {
  const isOfMessages = answersMessages(text);
  if (asksEach && ownOf(sql)?.partitions) {
    const answer = await send(sql);
    return isOfMessages ? (answer as Message[]).map(rowOf) : [{ json: JSON.stringify(answer) }];
  }
  const store = storeFor(sql, ...toAuthorize.map(nameOfCall));
  const answer = await takeRows(store, strings, ...parameters);
  return isOfMessages ? messageRowsOf(answer) : [{ json: jsonTextOf(answer) }];
}

/** What a call is about: a stream, a category, or all messages. */
function nameOfCall({ streamName, category, aggregate, partition }: GatewayCall): string {
  return streamName ?? category ?? aggregate ?? partition ?? "$all";
}

function statementIn(
  body: unknown,
): { readonly query: string; readonly params: readonly (string | null)[] } {
  const { query, params = [] } = (body ?? {}) as { query?: unknown; params?: unknown };
  if (typeof query !== "string" || !isParameters(params)) {
    throw new Refusal(422, "Cannot run this: send one statement, its text as query and its params");
  }
  return { query, params };
}

/** Not by zod: this runs for every statement, and zod would report each wrong item of a long list. */
function isParameters(params: unknown): params is (string | null)[] {
  return Array.isArray(params) && params.every((it) => typeof it === "string" || it === null);
}

function unknownStatement(header: string | null): Refusal {
  const clientVersion = header !== null && /^[\w.+-]{1,40}$/.test(header) ? header : undefined;
  const detail = clientVersion === undefined || clientVersion === VERSION
    ? `Cannot run this statement: this gateway runs those of @messagedb/client ${VERSION}, and no other`
    : `Cannot run this statement: the client is @messagedb/client ${clientVersion}, and this ` +
      `gateway knows the statements of ${VERSION}: use one version for both`;
  return new Refusal(403, detail, {
    code: "UNKNOWN_STATEMENT",
    gatewayVersion: VERSION,
    clientVersion,
  });
}

/** The states of errors that may name the schema: what is missing or forbidden. */
const NAMES_SCHEMA = /^(3F000|42P01|42883|42501)$/;

/**
 * The fields that tell one error from another, under Neon's names. Fields that describe the statement or
 * the server are left out, and so is the schema of this gateway's store.
 */
function describeDatabaseError(
  thrown: unknown,
  schema = "message_store",
): Record<string, unknown> {
  const error = thrown as Record<string, unknown>;
  const code = sqlStateOf(error);
  const message = String(error["message"]);
  const named = error["schema_name"] ?? error["schema"];
  return {
    message: NAMES_SCHEMA.test(String(code)) ? inStockWords(message, schema) : message,
    code,
    severity: error["severity"],
    // A pooler's internal error has none: by that, a client tells a passing error from PostgreSQL's own.
    routine: error["routine"],
    detail: error["detail"],
    hint: error["hint"],
    schema: named === schema ? "message_store" : named,
    table: error["table_name"] ?? error["table"],
    column: error["column_name"] ?? error["column"],
    constraint: error["constraint_name"] ?? error["constraint"],
  };
}
