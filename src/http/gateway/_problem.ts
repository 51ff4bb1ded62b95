import { sqlStateOf, troubleOf } from "../../handle/_driver_error.ts";
import {
  DuplicateMessageError,
  NotInstalledError,
  PartitionError,
  WrongExpectedVersionError,
} from "../../errors.ts";

const TITLES = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  412: "Precondition Failed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const;

/** Thrown to answer a request with a problem document. */
export class Refusal extends Error {
  override readonly name = "Refusal" as const;
  readonly status: keyof typeof TITLES;
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  /**
   * @param status The status of the answer.
   * @param detail What was wrong with this request, and what the client can do.
   * @param members Further members of the problem document.
   * @param headers Headers of the answer.
   */
  constructor(
    status: Refusal["status"],
    detail: string,
    members: Refusal["members"] = {},
    headers: Refusal["headers"] = {},
  ) {
    super(detail);
    this.status = status;
    this.members = members;
    this.headers = headers;
  }
}

/** The problem document (RFC 9457) of a refusal. */
export function problemDocumentOf({ status, message, members }: Refusal): Record<string, unknown> {
  return { type: "about:blank", title: TITLES[status], status, detail: message, ...members };
}

export function answerProblem(refusal: Refusal): Response {
  return new Response(JSON.stringify(problemDocumentOf(refusal)), {
    status: refusal.status,
    headers: { "content-type": "application/problem+json", ...refusal.headers },
  });
}

/**
 * The refusal that tells the client of an error. An error that says something about the gateway's own
 * database, role or code becomes 503 or 500, and its text is not shown.
 */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof WrongExpectedVersionError) {
    const { code, streamName, expectedVersion, actualVersion } = error;
    return new Refusal(409, error.message, { code, streamName, expectedVersion, actualVersion });
  }
  if (error instanceof DuplicateMessageError) {
    const { code, id } = error;
    return new Refusal(409, error.message, { code, id });
  }
  if (error instanceof PartitionError && !["mark", "unanswered"].includes(error.reason)) {
    const { code, reason, names, partitions } = error;
    return new Refusal(422, error.message, { code, reason, names, partitions });
  }
  if (error instanceof PartitionError && troubleOf(error) !== undefined) {
    const { code, reason, partitions } = error;
    const detail = `No answer of partition ${partitions.join(", ")} now: try again later`;
    return new Refusal(503, detail, { code, reason, partitions }, UNAVAILABLE.headers);
  }
  // Not 503, because a retry would not help.
  if (error instanceof NotInstalledError) return FAILED;
  const state = sqlStateOf(error);
  // A trigger raised this, or the values break a constraint or a limit of Postgres.
  if (state !== undefined && /^(22|23|54|P0)/.test(state)) {
    return new Refusal(422, `The database refused this: ${(error as Error).message}`);
  }
  return troubleOf(error) === undefined ? FAILED : UNAVAILABLE;
}

export const UNAVAILABLE: Refusal = new Refusal(
  503,
  "The message store does not answer now: try again later",
  {},
  {
    "retry-after": "1",
  },
);

export function tooManyFollowers(maxFollowers: number): Refusal {
  return new Refusal(
    503,
    `Cannot follow messages: ${maxFollowers} others do, which is the limit: try again later`,
    { code: "TOO_MANY_FOLLOWERS", maxFollowers },
    { "retry-after": "10" },
  );
}

export const FAILED: Refusal = new Refusal(500, "The gateway failed: its log says why");
