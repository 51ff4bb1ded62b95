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
import type { Sql } from "../types.ts";
import type { GatewayCall } from "./gateway/call.ts";
import { answerPreflight, shareWithOrigin } from "./gateway/_cors.ts";
import type { GatewayOptions } from "./gateway/options.ts";
import { makeGateway } from "./gateway/_gateway.ts";
import { answerProblem, refusalOf } from "./gateway/_problem.ts";
import { answer } from "./_routes.ts";

export type { GatewayCall, GatewayOptions };

/**
 * Makes a server of a handle: for `fetchSql`, for other languages, and for people with curl.
 *
 * What comes back answers a request of the Fetch API, as `Deno.serve`, `Bun.serve`, a Worker's `fetch`
 * and Hono take it, and Node with `@hono/node-server`. `POST /sql` runs the statements that this
 * package's operations send, and no other SQL; the rest is a JSON API, which `GET /openapi.json`
 * describes. Every answer of 400 or more is a problem document (RFC 9457), but for a database's error
 * at `/sql`, which is as Neon's driver knows it. The gateway keeps nothing between requests: any number
 * of them can stand before one database.
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
 * @param sql The handle that the statements are sent by.
 * @param options Who may do what, and how much.
 * @returns Answers a request; it never rejects.
 * @throws {TypeError} If there is no `authorize`, or an option is of the wrong type.
 * @throws {RangeError} If a limit is no integer from 1.
 */
export function gateway(
  sql: Sql,
  options: GatewayOptions,
): (request: Request) => Promise<Response> {
  const made = makeGateway(sql, options);
  return async (request) => {
    let response;
    try {
      response = answerPreflight(request, made) ?? await answer(request, made);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal.status >= 500) made.onError(error, request);
      response = answerProblem(refusal);
    }
    response.headers.set("cache-control", "no-store");
    return shareWithOrigin(response, request, made);
  };
}
