/**
 * A page for looking into a store, as a function from `Request` to `Response`.
 *
 * @example For everyone who has logged in
 * ```ts
 * import { studio } from "@messagedb/client/studio";
 *
 * const handle = studio(sql, {
 *   authorize: (request) => request.headers.get("cookie")?.includes("session=") ?? false,
 *   basePath: "/studio",
 * });
 * const response = await handle(new Request("https://example.com/studio/"));
 * response.status; // 403
 * ```
 *
 * @module
 */
import type { Sql } from "../types.ts";
import { answerStudio } from "./_answer_studio.ts";
import type { StudioCall } from "./call.ts";
import { makeStudio } from "./_studio.ts";
import type { StudioOptions } from "./options.ts";

export type { StudioCall, StudioOptions };
export type { Sql };

// What these take, from the core
export type {
  Consumer,
  ConsumerIdentity,
  ConsumerOf,
  ConsumerOptions,
  FailurePolicy,
  GroupMembership,
  Handler,
  HandlerAnswer,
  HandlerContext,
  Handlers,
  MessageConsumer,
  PageConsumer,
  PageContext,
  PageHandler,
  PlainConsumer,
  RetryPolicy,
  TransactionalConsumer,
  TypeConsumer,
  Verdict,
} from "../consume/consumer.ts";
export type {
  ConsumerEvent,
  ConsumerEventBody,
  ConsumerEventSource,
} from "../consume/consumer_event.ts";
export type { Decided, DecideOptions, Decision } from "../decide/decision.ts";
export type { Entity, Fetched } from "../decide/entity.ts";
export type {
  EntityCache,
  EntityDefinition,
  SnapshotOptions,
} from "../decide/entity_definition.ts";
export type { Evolve, Evolvers, Projection } from "../decide/projection.ts";
export type { MessageCatalogue } from "../messages/catalogue.ts";
export type { Followed, PropagateOptions } from "../messages/follow.ts";
export type { StandardIssue, StandardResult, StandardSchema } from "../messages/schema.ts";
export type { StartAt } from "../read/start_at.ts";
export type { FollowOptions } from "../subscribe/follow_options.ts";
export type { SourceOptions } from "../subscribe/source.ts";
export type { ConsumerGroup, Message, MessageInput, Metadata, Rows } from "../types.ts";

/**
 * Makes the studio of a store: the page, and what the page asks.
 *
 * The studio is a function that answers a request of the Fetch API. `Deno.serve`, `Bun.serve`, a Worker's `fetch` and
 * Hono take such a function, and Node takes it with `@hono/node-server`. All that the page needs comes from this
 * function: it works without any other server.
 *
 * However many pages are open, they look at the store once, and an open page that nobody touches costs a small
 * statement a second at most. Requests of other sites are refused, and so is a page that shows the studio in a frame.
 *
 * @example
 * ```ts
 * import { studio } from "@messagedb/client/studio";
 *
 * const handle = studio(sql, { authorize: (_, { writes }) => !writes });
 * const response = await handle(new Request("http://localhost/"));
 * response.headers.get("content-type"); // "text/html; charset=utf-8"
 * ```
 *
 * @typeParam Handle The handle, which handlers of consumers get.
 * @param sql The handle that sends the statements. Not one of `fetchSql` to a gateway, which does not run them.
 * @param options Who may do what, and what the page is told of the program.
 * @returns A function that answers a request, and never rejects.
 * @throws {TypeError} If `authorize` is missing, or an option is of the wrong type.
 */
export function studio<Handle extends Sql>(
  sql: Handle,
  options: StudioOptions<Handle>,
): (request: Request) => Promise<Response> {
  const context = makeStudio(sql, options as unknown as StudioOptions);
  return (request) => answerStudio(request, context);
}
