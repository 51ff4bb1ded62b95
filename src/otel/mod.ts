/**
 * OpenTelemetry: traces and metrics of what a program does with its store. It needs `@opentelemetry/api`.
 *
 * @example Trace all that goes through a handle
 * ```ts
 * import { write } from "@messagedb/client";
 * import { traced } from "@messagedb/client/otel";
 *
 * await write(traced(sql), "account-123", { type: "Opened" });
 * ```
 *
 * @module
 */

export { traced, type TracedOptions } from "./traced.ts";
export { observeStore, type ObserveStoreOptions, type StoreObservation } from "./observe_store.ts";
export { tracedFetch } from "./traced_fetch.ts";
export { tracedHandler, type TracedHandlerOptions } from "./traced_handler.ts";

// What these take and return, from the core
export type { FetchSqlOptions } from "../http/fetch_sql.ts";
export type { Rows, Sql } from "../types.ts";
