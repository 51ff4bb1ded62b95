import { isUnavailable, sqlStateOf } from "../../../handle/_driver_error.ts";
import { valueOf } from "../../../handle/_statement.ts";
import { checkJson, readJson } from "../_body.ts";
import type { Gateway } from "../_gateway.ts";
import { Refusal } from "../_problem.ts";
import { recognize } from "./_statements.ts";
import { VERSION, VERSION_HEADER } from "../_version.ts";

/** `POST /sql`: runs one statement of an operation, in the shape of Neon's SQL over HTTP. */
export async function answerStatement(request: Request, gateway: Gateway): Promise<Response> {
  const { headers } = request;
  // Neon's driver names no content type; a page cannot send this header without being asked, either.
  if (!headers.has("neon-connection-string")) checkJson(request);
  const { query, params = [] } = (await readJson(request, gateway.maxBodyBytes) ?? {}) as Body;
  if (typeof query !== "string" || !isParameters(params)) {
    throw new Refusal(422, "Cannot run this: send one statement, its text as query and its params");
  }
  const permissible = await recognize(query, params, gateway.maxBatchSize);
  if (permissible === undefined) throw unknownStatement(headers.get(VERSION_HEADER));
  const { questions, statement } = permissible;
  await gateway.permit(request, questions);

  let value;
  try {
    value = valueOf(await gateway.sql(statement.strings, ...statement.parameters));
  } catch (error) {
    if (sqlStateOf(error) === undefined || isUnavailable(error)) throw error;
    return Response.json(describeDatabaseError(error as Record<string, unknown>), { status: 400 });
  }
  return Response.json({
    command: "SELECT",
    rowCount: 1,
    fields: [{ name: "json", dataTypeID: 25 }],
    rows: [headers.get("neon-array-mode") === "true" ? [value] : { json: value }],
  });
}

interface Body {
  readonly query?: unknown;
  readonly params?: unknown;
}

/** By hand: it is in the way of every statement, and a million numbers would be a million complaints. */
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

/** What tells the error apart, under Neon's names, and nothing of the statement or the server. */
function describeDatabaseError(error: Record<string, unknown>): Record<string, unknown> {
  return {
    message: error["message"],
    code: sqlStateOf(error),
    severity: error["severity"],
    detail: error["detail"],
    hint: error["hint"],
    schema: error["schema_name"] ?? error["schema"],
    table: error["table_name"] ?? error["table"],
    column: error["column_name"] ?? error["column"],
    constraint: error["constraint_name"] ?? error["constraint"],
  };
}
