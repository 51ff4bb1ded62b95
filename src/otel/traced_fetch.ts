import { context, isSpanContextValid, trace } from "@opentelemetry/api";
import type { FetchSqlOptions } from "../http/fetch_sql.ts";
import { checkFunction } from "../names/_check.ts";
import { carrierOf } from "./_trace_context.ts";

/**
 * Makes a `fetch` for `fetchSql` that tells a gateway of the active span, by the headers `traceparent` and
 * `tracestate`. The spans of the gateway are then part of the trace.
 *
 * It makes no span itself: `traced` makes one for each statement. Where the runtime's own `fetch` sends these
 * headers, it is not needed.
 *
 * @example
 * ```ts
 * import { fetchSql } from "@messagedb/client/fetch";
 * import { traced, tracedFetch } from "@messagedb/client/otel";
 *
 * const sql = traced(fetchSql("https://events.example.com/sql", { fetch: tracedFetch() }));
 * ```
 *
 * @param fetch The function that sends a request; by default, the runtime's own `fetch`.
 * @returns The function for the option `fetch`.
 * @throws {TypeError} If `fetch` is no function.
 */
export function tracedFetch(
  fetch: NonNullable<FetchSqlOptions["fetch"]> = (url, init) => globalThis.fetch(url, init),
): NonNullable<FetchSqlOptions["fetch"]> {
  checkFunction("fetch", fetch);
  return (url, init) => {
    const active = trace.getSpanContext(context.active());
    if (active === undefined || !isSpanContextValid(active)) return fetch(url, init);
    const headers = new Headers(init.headers);
    for (const [name, value] of Object.entries(carrierOf(active))) headers.set(name, value);
    return fetch(url, { ...init, headers });
  };
}
