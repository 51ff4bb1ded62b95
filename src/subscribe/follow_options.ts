import type { SourceOptions } from "./source.ts";

/** How to wait for messages: what `subscribe` and `consume` share. */
export interface FollowOptions extends SourceOptions {
  /**
   * How long to wait at most between two reads that found nothing, in milliseconds, from 1 to
   * 2147483647. The first
   * wait is 25 ms; each is twice as long as the one before.
   *
   * @default 1000
   */
  readonly pollInterval?: number | undefined;
  /**
   * Whether to be woken by PostgreSQL's notifications, which `install(sql, { notify: true })` sets up;
   * without that, none come. Polling goes on beneath them. The handle has to have `listen`, as
   * postgres.js over TCP has, which opens a connection for it.
   *
   * @default false
   */
  readonly notify?: boolean | undefined;
  /**
   * Told of each error after which it is tried again: the database could not be reached, or had the
   * transaction lose a deadlock. Not of the first read's, which is thrown. What it throws ends all.
   */
  readonly onRetry?: ((error: unknown) => void) | undefined;
}
