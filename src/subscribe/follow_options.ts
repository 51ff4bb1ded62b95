import type { SourceOptions } from "./source.ts";

/** How to wait for messages: options of `subscribe` and `consume`. */
export interface FollowOptions extends SourceOptions {
  /**
   * The longest pause between two reads that found no message, in milliseconds, from 1 to 2147483647. The
   * first pause is 25 ms. Each further pause is twice as long as the one before.
   *
   * @default 1000
   */
  readonly pollInterval?: number | undefined;
  /**
   * Whether to listen to PostgreSQL's notifications, so that a new message ends the pause. Run
   * `install(sql, { notify: true })` first: without its trigger, no notification comes. Polling goes on
   * beside the notifications. The handle must have `listen`, as postgres.js over TCP has, which opens a
   * connection for it.
   *
   * @default false
   */
  readonly notify?: boolean | undefined;
  /**
   * How long to wait for an answer of the database, in milliseconds, from 1. After that, the statement is
   * sent again, as after a lost connection: on another connection, if the handle has another. After each
   * such timeout in a row the time is twice as long, up to eight times. The statements of a handler have no
   * limit. A handle of `fetchSql` has its own.
   *
   * @default 30000
   */
  readonly answerTimeout?: number | undefined;
  /**
   * Called with each error that is retried: a lost connection, a timeout, a server that only reads, a
   * conflict. A consumer and an aggregate also call it with a `StoreWentBackError`, and go on from the stored
   * position. An error of the first read is thrown, unless it is a conflict. If this function throws,
   * everything ends with that error.
   */
  readonly onRetry?: ((error: unknown) => void) | undefined;
}
