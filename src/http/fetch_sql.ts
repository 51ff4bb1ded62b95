/**
 * A handle for where there is fetch and no socket: edge functions, service workers, pages.
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
import { checkInteger, checkOptions } from "../names/_check.ts";
import { SQLSTATE } from "../handle/_driver_error.ts";
import { REPEATABLE } from "../handle/_statement.ts";
import { FetchSqlError } from "../errors.ts";
import { fromQuery } from "../handle/from_query.ts";
import type { Rows, Sql } from "../types.ts";
import { VERSION, VERSION_HEADER } from "./gateway/_version.ts";

export { FetchSqlError };

/** Options of `fetchSql`. */
export interface FetchSqlOptions {
  /** What each request carries besides: `authorization`, say. */
  readonly headers?: RequestInit["headers"];
  /**
   * What sends a request and resolves to its response.
   *
   * @default the runtime's own `fetch`
   */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Ends what is under way, and refuses what comes after; its reason is what is thrown. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many milliseconds one request may take, the whole answer included, from 1.
   *
   * @default 15000
   */
  readonly timeout?: number | undefined;
}

/** Statuses of a server that did not come to answer, and may the next time. */
const PASSING = /408|425|429|50[234]/;

/** How often a statement is sent again at most. */
const RETRIES = 5;

/** Milliseconds: a server that asks for more is not waited for. */
const LONGEST_WAIT = 30_000;

/**
 * Makes a handle of an address that takes statements by HTTP: a gateway of this package, or Neon's.
 *
 * Each statement is one POST, in the shape that Neon's serverless driver sends. Redirects are not
 * followed. A database error is the same as through any driver. There are no transactions.
 *
 * The statements of this package's operations are sent again, up to five times, where the network
 * fails, no answer comes in time, or the status is 408, 425, 429, 502, 503 or 504. The wait between
 * doubles and varies, and comes to about three seconds; where `Retry-After` asks for more, it is that,
 * up to 30 seconds each time. Nothing is written twice: a message has an id, and one whose answer was
 * lost answers its first position. Any other statement is sent once.
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
 * @param url Where to send statements; in a page or a worker of one, relative to it.
 * @param options What requests carry, who sends them, how long they may take.
 * @returns The handle. What it is used for rejects with `FetchSqlError` where no rows come, and with the
 * signal's reason where that ends it.
 * @throws {TypeError} If the address is none of http or https, or an option is of the wrong type.
 * @throws {RangeError} If the timeout is no integer from 1.
 */
export function fetchSql(url: string | URL, options: FetchSqlOptions = {}): Sql {
  checkOptions(options);
  const { timeout = 15_000, signal } = options;
  checkInteger("timeout", timeout, 1, 2 ** 31 - 1);
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

  const once = fromQuery((query, params) => send(server, { query, params }, 0));
  const repeatable = fromQuery((query, params) => send(server, { query, params }, RETRIES));
  return Object.assign(once, { [REPEATABLE]: repeatable });
}

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

interface Server {
  readonly url: URL;
  readonly fetch: Fetch;
  readonly headers: Headers;
  readonly signal: AbortSignal | undefined;
  readonly timeout: number;
  /** What the signal ends: one listener for all of it, as long as there is any. */
  readonly running: Set<AbortController>;
  readonly abort: () => void;
}

interface StatementBody {
  readonly query: string;
  readonly params: readonly (string | null)[];
}

/** The value is not shown: what is mistaken for an address may hold a password. */
function addressOf(url: string | URL): URL {
  let address;
  try {
    address = new URL(url, globalThis.location?.href);
  } catch {
    // As wrong as any other.
  }
  if (!address || !/^https?:$/.test(address.protocol) || address.username || address.password) {
    throw new TypeError(
      'Cannot use this "url": it must be an address of http or https, without a password in it',
    );
  }
  return address;
}

/** Sends a statement, and again where that may help. */
async function send(server: Server, statement: StatementBody, retries: number): Promise<Rows> {
  const body = JSON.stringify(statement);
  for (let attempt = 0;; attempt++) {
    try {
      return await request(server, body);
    } catch (error) {
      if (!(error instanceof FetchSqlError) || attempt === retries) throw error;
      const { status, retryAfter } = error;
      if (status !== null ? !PASSING.test(String(status)) : error.reason === "body") throw error;
      const wait = (retryAfter ?? 0) * 1000;
      if (wait > LONGEST_WAIT) throw error;
      await pause(server, wait + (0.5 + Math.random()) * 100 * 2 ** attempt);
    }
  }
}

async function request(server: Server, body: string): Promise<Rows> {
  const { url, timeout } = server;
  const failed = (
    reason: FetchSqlError["reason"],
    what: string,
    options?: ConstructorParameters<typeof FetchSqlError>[3],
  ) => new FetchSqlError(url.origin + url.pathname, reason, what, options);

  let answered;
  try {
    answered = await limited(server, timeout, async (signal) => {
      const { headers } = server;
      // Another address would get the headers, and what they tell, too.
      const init = { method: "POST", headers, body, signal, redirect: "manual" } as const;
      const response = await server.fetch(url.href, init);
      return { response, text: await response.text() };
    });
  } catch (cause) {
    server.signal?.throwIfAborted();
    throw cause === LATE
      ? failed("timeout", `no answer came within ${timeout} ms`)
      : failed("network", `the network failed (${messageOf(cause)})`, { cause });
  }

  const { response, text } = answered;
  const answer = parseAnswer(text);
  if (response.ok) {
    if (Array.isArray(answer?.rows)) return answer.rows;
    throw failed("body", "the answer was something else than rows in JSON");
  }
  const { status, statusText } = response;
  if (status === 400 && SQLSTATE.test(answer?.code)) throw errorOfDatabase(answer);
  const why = answer?.detail ?? answer?.message ?? statusText;
  const retryAfter = secondsOf(response.headers.get("retry-after"));
  // In a page, a redirect is 0.
  const what = status < 400 ? "a redirect, which is not followed" : `${status}${why && `, ${why}`}`;
  throw failed("status", `the answer was ${what}`, { status, retryAfter });
}

/** What JSON the answer is; undefined where it is no object. */
// deno-lint-ignore no-explicit-any -- any server may have made it: what is used is looked at first
function parseAnswer(text: string): any {
  try {
    const answer = JSON.parse(text);
    return typeof answer === "object" && answer !== null ? answer : undefined;
  } catch {
    return undefined;
  }
}

/** An error as a driver would throw it: with the SQLSTATE and what Postgres says besides. */
function errorOfDatabase(answer: { readonly message?: string }): Error {
  return Object.assign(new Error(answer.message), answer, { name: "PostgresError" });
}

/** Runtimes say "fetch failed", and why in the error's cause. */
function messageOf(error: unknown): string {
  const { message, cause } = (error ?? {}) as { message?: unknown; cause?: { message?: unknown } };
  return String(cause?.message || message || error);
}

/** `Retry-After` is seconds or a date. */
function secondsOf(retryAfter: string | null): number | null {
  if (retryAfter === null) return null;
  const seconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter)
    : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(seconds, 0);
}

/** Waits, unless the handle's signal aborts before. */
async function pause(server: Server, milliseconds: number): Promise<void> {
  const never = () => new Promise<never>(() => {});
  await limited(server, milliseconds, never).catch((error) => {
    if (error !== LATE) throw error;
  });
}

const LATE = new Error("Late");

/** Does the work; when its time is over, or the handle's signal aborts, does not wait for it any more. */
async function limited<T>(
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
