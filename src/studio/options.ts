import type { Consumer } from "../consume/consumer.ts";
import type { Entity } from "../decide/entity.ts";
import type { EntityDefinition } from "../decide/entity_definition.ts";
import type { Sql } from "../types.ts";
import type { StudioCall } from "./call.ts";

/**
 * Options of `studio`.
 *
 * @typeParam Handle The handle, which handlers of consumers get.
 */
export interface StudioOptions<Handle extends Sql = Sql> {
  /**
   * Decides whether a call is allowed. The studio makes the call if the answer is `true`, or a promise of `true`. A
   * `Response` is sent to the browser in place of the page or the answer: a redirect to a log-in, or a 401. The call is
   * refused with 403 if the answer is anything else, or if this function throws.
   */
  readonly authorize: (
    request: Request,
    call: StudioCall,
  ) => boolean | Response | PromiseLike<boolean | Response>;
  /**
   * The path that all paths of the studio begin with: `"/studio"`.
   *
   * @default "/", the root
   */
  readonly basePath?: string | undefined;
  /**
   * Whether operations that write are refused. `authorize` is asked about them only with false.
   *
   * @default true
   */
  readonly readOnly?: boolean | undefined;
  /**
   * Entities, or their definitions, one for each category: the page shows their states after each message. Neither
   * their snapshots nor their caches are used.
   *
   * @default none: the page shows a merge of the data
   */
  // Whatever the state of an entity is, it is only shown.
  // deno-lint-ignore no-explicit-any
  readonly entities?: readonly (Entity<any, any> | EntityDefinition<any, any, any>)[] | undefined;
  /**
   * Consumers with their handlers, as for `consume`: the page can replay what these consumers have parked.
   *
   * @default none
   */
  // Whatever the handlers of a consumer take, its catalogue parses.
  // deno-lint-ignore no-explicit-any
  readonly consumers?: readonly Consumer<Handle, any>[] | undefined;
  /** When this signal aborts, searches and replays end, so that the server can stop. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Is told of each error that became a status of 500 or more, because the answer does not show it, and of each error
   * that `authorize` threw.
   *
   * @default console.error, with the request's method and path
   */
  readonly onError?: ((error: unknown, request: Request) => void) | undefined;
}
