import type { GatewayCall } from "./call.ts";

/** Options of `gateway`. */
export interface GatewayOptions {
  /**
   * Decides whether a call is allowed. The gateway makes the call if the answer is `true`, or a promise
   * of `true`. It refuses the call with 403 if the answer is anything else, or if this function throws.
   *
   * A request that writes to several streams is asked about once for each stream. A live read is asked
   * about when it begins; after five minutes it ends, and the client's next request is asked about
   * again. The request's body has been read already.
   */
  readonly authorize: (
    request: Request,
    call: GatewayCall,
  ) => boolean | PromiseLike<boolean>;
  /**
   * The path that all paths of the gateway begin with: `"/events"`.
   *
   * @default "", the root
   */
  readonly basePath?: string | undefined;
  /**
   * How many bytes a request's body may have, from 1.
   *
   * @default 1048576
   */
  readonly maxBodyBytes?: number | undefined;
  /**
   * How many messages one call may read or write, from 1. A call may name as many ids or streams.
   *
   * @default 1000
   */
  readonly maxBatchSize?: number | undefined;
  /**
   * How many bytes the messages or names of one answer may have, from 1. PostgreSQL counts them before it
   * puts the answer together. A larger answer is refused with status 422 and the code `"ANSWER_TOO_LARGE"`.
   * Each message counts with 150 bytes besides its texts. What the gateway holds in memory for one answer is
   * a few times as much.
   *
   * @default 16777216
   */
  readonly maxAnswerBytes?: number | undefined;
  /**
   * How many live reads there may be at a time, from 1. One more is refused with status 503.
   *
   * @default 1000
   */
  readonly maxFollowers?: number | undefined;
  /**
   * The origins whose pages may call the gateway, with cookies: `["https://app.example.com"]`. `"*"`
   * allows every origin, without cookies.
   *
   * @default none but the gateway's own
   */
  readonly cors?: "*" | readonly string[] | undefined;
  /**
   * Whether reads may have a `condition`. A condition is raw SQL: with it, a client can read whatever
   * the gateway's role can read.
   *
   * @default false
   */
  readonly allowConditions?: boolean | undefined;
  /**
   * When this signal aborts, all live reads end, so that the server can stop. Their clients connect
   * again, to another server.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Is told of each error that became a status of 500 or more, because the answer does not show it, and
   * of each error that `authorize` threw.
   *
   * @default console.error, with the request's method and path
   */
  readonly onError?: ((error: unknown, request: Request) => void) | undefined;
}
