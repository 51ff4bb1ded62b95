/**
 * A server for `fetchSql`, for other languages and for curl: a function from `Request` to `Response`.
 *
 * @example Everyone may read, and nobody write
 * ```ts
 * import { gateway } from "@messagedb/client/gateway";
 *
 * const handle = gateway(sql, { authorize: (_, { writes }) => !writes });
 * const response = await handle(new Request("https://events.example.com/messages"));
 * response.status; // 200
 * ```
 *
 * @module
 */
import type { ConsumerGroup, Direction, MessageInput, Metadata, Rows, Sql } from "../types.ts";
import type { GatewayCall } from "./gateway/call.ts";
import { answerPreflight, shareWithOrigin } from "./gateway/_cors.ts";
import type { GatewayOptions } from "./gateway/options.ts";
import { makeGateway } from "./gateway/_gateway.ts";
import { answerProblem, refusalOf } from "./gateway/_problem.ts";
import { answerRequest } from "./_routes.ts";

export type { GatewayCall, GatewayOptions };
export type { ConsumerGroup, Direction, MessageInput, Metadata, Rows, Sql };

/**
 * Makes a server of a handle: for `fetchSql`, for other languages, and for people with curl.
 *
 * The server is a function that answers a request of the Fetch API. `Deno.serve`, `Bun.serve`, a
 * Worker's `fetch` and Hono take such a function, and Node takes it with `@hono/node-server`.
 *
 * `POST /sql` runs the statements that this package's operations send, and no other SQL. The other
 * paths are a JSON API, which `GET /openapi.json` describes. Every answer of 400 or more is a problem
 * document (RFC 9457). The one exception is a database error at `/sql`, which has the shape that Neon's
 * driver expects. The gateway keeps no state between requests, but for the live reads under way, so any number
 * of gateways can share one database.
 *
 * @example Let everyone read, and those who know a secret write orders
 * ```ts
 * import { gateway } from "@messagedb/client/gateway";
 *
 * const handle = gateway(sql, {
 *   authorize: (request, { writes, category }) =>
 *     !writes || (category === "order" && request.headers.get("authorization") === "Bearer a-token"),
 * });
 * const response = await handle(new Request("http://localhost/streams/order-1"));
 * await response.json(); // { "streamName": "order-1", "version": -1 }
 * ```
 *
 * @param sql The handle that sends the statements.
 * @param options Who may do what, and how much.
 * @returns A function that answers a request, and never rejects.
 * @throws {TypeError} If `authorize` is missing, or an option is of the wrong type.
 * @throws {RangeError} If a limit is not an integer from 1.
 */
export function gateway(
  sql: Sql,
  options: GatewayOptions,
): (request: Request) => Promise<Response> {
  const context = makeGateway(sql, options);
  return async (request) => {
    let response;
    try {
      response = answerPreflight(request, context) ?? await answerRequest(request, context);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal.status >= 500 && error !== refusal) context.onError(error, request);
      response = answerProblem(refusal);
    }
    if (!response.headers.has("cache-control")) response.headers.set("cache-control", "no-store");
    // A browser takes what a client wrote for what its type says, and for nothing else.
    response.headers.set("x-content-type-options", "nosniff");
    // An EventSource comes back over the connection that it has, and a server waits for open connections.
    if (context.signal?.aborted) response.headers.set("connection", "close");
    return shareWithOrigin(response, request, context);
  };
}
