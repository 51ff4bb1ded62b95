import type { GatewayCall } from "./call.ts";

/** Options of `gateway`. */
export interface GatewayOptions {
  /**
   * Decides each call: it is made if this is, or resolves to, `true`, and refused with 403 if it is
   * anything else or throws. A call that writes to several streams is asked about once for each, and
   * what is followed live when that begins, and anew after five minutes. The request's body has been
   * read.
   */
  readonly authorize: (
    request: Request,
    call: GatewayCall,
  ) => boolean | PromiseLike<boolean>;
  /**
   * The path under which the gateway is: `"/events"`.
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
   * How many messages one call may read or write, from 1.
   *
   * @default 1000
   */
  readonly maxBatchSize?: number | undefined;
  /**
   * The origins whose pages may call: `["https://app.example.com"]`, with cookies; or `"*"` for all,
   * without.
   *
   * @default none but the gateway's own
   */
  readonly cors?: "*" | readonly string[] | undefined;
  /**
   * Whether reads may have a `condition`. It is raw SQL, with which a client can read whatever the
   * gateway's role can.
   *
   * @default false
   */
  readonly allowConditions?: boolean | undefined;
  /**
   * Ends the answers that are followed live, so that a server can stop: their clients come again, to
   * another.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Hears of what became a status of 500 or more, whose answer says nothing of it, and of what
   * `authorize` threw.
   *
   * @default console.error, with the request's method and path
   */
  readonly onError?: ((error: unknown, request: Request) => void) | undefined;
}
