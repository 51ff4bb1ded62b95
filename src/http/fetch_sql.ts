/**
 * A handle for runtimes that have fetch and no socket: edge functions, service workers, pages.
 *
 * @example Write from a page
 * ```ts
 * import { write } from "@messagedb/client";
 * import { fetchSql } from "@messagedb/client/fetch";
 *
 * const sql = fetchSql("https://events.example.com/sql");
 * await write(sql, "visit-1", { type: "Visited" });
 * ```
 *
 * @module
 */
import { checkInteger, checkOptions, checkSignal } from "../names/_check.ts";
import { SQLSTATE } from "../handle/_driver_error.ts";
import { OWN_HANDLE, type OwnHandle } from "../handle/_statement.ts";
import { FetchSqlError, type MessageDbError, type MessageDbErrorCode } from "../errors.ts";
import { fromQuery } from "../handle/from_query.ts";
import type { Rows, Sql } from "../types.ts";
import { VERSION, VERSION_HEADER } from "./gateway/_version.ts";

export { FetchSqlError };
export type { MessageDbError, MessageDbErrorCode, Rows, Sql };

/** Options of `fetchSql`. */
export interface FetchSqlOptions {
  /** Further headers of each request: `authorization`, for example. */
  readonly headers?: RequestInit["headers"];
  /**
   * The function that sends a request and resolves to its response.
   *
   * @default the runtime's own `fetch`
   */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /**
   * When this signal aborts, the requests under way end and later requests are refused. Both reject
   * with the signal's reason.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many milliseconds one request may take, until its whole answer is there: from 1.
   *
   * @default 15000
   */
  readonly timeout?: number | undefined;
}

/** Statuses of a server that cannot answer now, and may answer later. */
const PASSING_STATUS = /408|425|429|50[234]/;

/** How many times a statement is sent again, at most. */
const RETRIES = 5;

/** In milliseconds. A statement is not retried if `Retry-After` asks for more. */
const LONGEST_RETRY_AFTER = 30_000;

/**
 * Makes a handle that sends statements by HTTP: to a gateway of this package, or to Neon's.
 *
 * Each statement is one POST, in the shape that Neon's serverless driver sends. Redirects are not
 * followed. A database error is the same as through any driver. There are no transactions.
 *
 * The handle retries the statements of this package's operations, up to five times: if the network
 * fails, if no answer comes in time, or if the status is 408, 425, 429, 502, 503 or 504. The pauses
 * double and vary, and come to about three seconds. `Retry-After` makes a pause longer; if it asks for
 * more than 30 seconds, the handle does not retry. A retry writes nothing twice, because each message
 * has an id: if the message is there already, the answer is its first position. Any other statement is
 * sent once.
 *
 * @example Write and read where there is nothing but fetch
 * ```ts
 * import { readStream, write } from "@messagedb/client";
 * import { fetchSql } from "@messagedb/client/fetch";
 *
 * const sql = fetchSql("https://events.example.com/sql", {
 *   headers: { authorization: "Bearer a-token" },
 * });
 * await write(sql, "account-123", { type: "Deposited", data: { amount: 11 } });
 * await readStream(sql, "account-123");
 * ```
 *
 * @param url The address to send statements to. In a page or its worker, it may be relative.
 * @param options The headers of the requests, the function that sends them, and how long one may take.
 * @returns The handle. Its statements reject with `FetchSqlError` if no rows come, and with the signal's
 * reason if the signal aborts.
 * @throws {TypeError} If the address is not of http or https, or an option is of the wrong type.
 * @throws {RangeError} If the timeout is not an integer from 1.
 */
export function fetchSql(url: string | URL, options: FetchSqlOptions = {}): Sql {
  checkOptions(options, { headers: true, fetch: true, signal: true, timeout: true });
  const { timeout = 15_000, signal } = options;
  checkInteger("timeout", timeout, 1, 2 ** 31 - 1);
  checkSignal(signal);
  const server: Server = {
    url: addressOf(url),
    fetch: options.fetch ?? ((url, init) => fetch(url, init)),
    headers: new Headers(options.headers),
    signal,
    timeout,
    running: new Set(),
    abort: () => server.running.forEach((controller) => controller.abort(signal!.reason)),
  };
  server.headers.set("content-type", "application/json");
  server.headers.set(VERSION_HEADER, VERSION);

  const handleWithRetries = (retries: number): Sql =>
    fromQuery((query, params) => sendWithRetries(server, { query, params }, retries));
  const retrying = handleWithRetries(RETRIES);
  const own: OwnHandle = { send: (_, ...statement) => retrying(...statement), retries: true };
  return Object.assign(handleWithRetries(0), { [OWN_HANDLE]: own });
}

/** The server of one handle, and how to reach it. */
interface Server {
  readonly url: URL;
  readonly fetch: NonNullable<FetchSqlOptions["fetch"]>;
  readonly headers: Headers;
  readonly signal: AbortSignal | undefined;
  readonly timeout: number;
  /** The requests and pauses under way. */
  readonly running: Set<AbortController>;
  /**
   * The only listener on the signal. It is added with the first request under way, and removed with the
   * last.
   */
  readonly abort: () => void;
}

interface StatementBody {
  readonly query: string;
  readonly params: readonly (string | null)[];
}

/** The error does not show the value, because the value may hold a password. */
function addressOf(url: string | URL): URL {
  let address;
  try {
    address = new URL(url, globalThis.location?.href);
  } catch {
    // Refused below, as any other wrong address.
  }
  if (!address || !/^https?:$/.test(address.protocol) || address.username || address.password) {
    throw new TypeError(
      'Cannot use this "url": it must be an address of http or https, without a password in it',
    );
  }
  return address;
}

/** Sends a statement, and sends it again if that may help. */
async function sendWithRetries(
  server: Server,
  statement: StatementBody,
  retries: number,
): Promise<Rows> {
  const body = JSON.stringify(statement);
  for (let attempt = 0;; attempt++) {
    try {
      return await sendOnce(server, body);
    } catch (error) {
      if (!(error instanceof FetchSqlError) || attempt === retries) throw error;
      const { status, retryAfter } = error;
      if (status !== null ? !PASSING_STATUS.test(String(status)) : error.reason === "body") {
        throw error;
      }
      const wait = (retryAfter ?? 0) * 1000;
      if (wait > LONGEST_RETRY_AFTER) throw error;
      await pause(server, wait + (0.5 + Math.random()) * 100 * 2 ** attempt);
    }
  }
}

/** Sends a statement once, and resolves to its rows. */
async function sendOnce(server: Server, body: string): Promise<Rows> {
  const { url, headers, timeout } = server;
  let answered;
  try {
    answered = await withTimeout(server, timeout, async (signal) => {
      // Redirects are not followed: another address would get the headers, and with them the token.
      const init = { method: "POST", headers, body, signal, redirect: "manual" } as const;
      const response = await server.fetch(url.href, init);
      return { response, text: await response.text() };
    });
  } catch (cause) {
    server.signal?.throwIfAborted();
    throw cause === LATE
      ? fetchError(server, "timeout", `no answer came within ${timeout} ms`)
      : fetchError(server, "network", `the network failed (${messageOf(cause)})`, { cause });
  }
  return rowsOf(server, answered.response, answered.text);
}

/** The rows of a response. A response without rows is thrown as an error. */
function rowsOf(server: Server, response: Response, text: string): Rows {
  const answer = parseAnswer(text);
  if (response.ok) {
    if (Array.isArray(answer?.rows)) return answer.rows;
    throw fetchError(server, "body", "the answer was something else than rows in JSON");
  }
  const { status, statusText } = response;
  if (status === 400 && SQLSTATE.test(answer?.code)) throw databaseError(answer);
  const why = answer?.detail ?? answer?.message ?? statusText;
  const retryAfter = secondsOf(response.headers.get("retry-after"));
  // A page sees the status of a redirect as 0.
  const what = status < 400 ? "a redirect, which is not followed" : `${status}${why && `, ${why}`}`;
  const problem = answer?.code;
  throw fetchError(server, "status", `the answer was ${what}`, { status, retryAfter, problem });
}

function fetchError(
  { url }: Server,
  reason: FetchSqlError["reason"],
  what: string,
  options?: ConstructorParameters<typeof FetchSqlError>[3],
): FetchSqlError {
  return new FetchSqlError(url.origin + url.pathname, reason, what, options);
}

/** The JSON value of the answer; undefined if the answer is not JSON. */
// deno-lint-ignore no-explicit-any -- any server may have made the answer: each field is checked before use
function parseAnswer(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** An error as a driver would throw it: with the SQLSTATE, and Postgres's other fields. */
function databaseError(answer: { readonly message?: string }): Error {
  return Object.assign(new Error(answer.message), answer, { name: "PostgresError" });
}

/** Runtimes say "fetch failed", and the reason is in the error's cause. */
function messageOf(error: unknown): string {
  const { message, cause } = (error ?? {}) as { message?: unknown; cause?: { message?: unknown } };
  return String(cause?.message || message || error);
}

/** `Retry-After` is a number of seconds or a date. */
function secondsOf(retryAfter: string | null): number | null {
  if (retryAfter === null) return null;
  const seconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter)
    : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(seconds, 0);
}

/** Waits; rejects if the handle's signal aborts meanwhile. */
async function pause(server: Server, milliseconds: number): Promise<void> {
  const never = () => new Promise<never>(() => {});
  await withTimeout(server, milliseconds, never).catch((error) => {
    if (error !== LATE) throw error;
  });
}

const LATE = new Error("Late");

/**
 * Does the work, and stops waiting for it when its time is over, or when the handle's signal aborts:
 * a `fetch` of the caller's may not look at the signal that it is given.
 */
async function withTimeout<T>(
  { signal, running, abort }: Server,
  milliseconds: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason));
  });
  const timer = setTimeout(() => controller.abort(LATE), milliseconds);
  if (running.size === 0) signal?.addEventListener("abort", abort);
  running.add(controller);
  try {
    return await Promise.race([work(controller.signal), aborted]);
  } finally {
    clearTimeout(timer);
    running.delete(controller);
    if (running.size === 0) signal?.removeEventListener("abort", abort);
  }
}
