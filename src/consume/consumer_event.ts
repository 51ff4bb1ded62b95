import type { Message } from "../types.ts";

/** Which consumer an event is about. */
export interface ConsumerEventSource {
  /** The category, or the aggregate's name, or `"$all"`. */
  readonly category: string;
  /** The consumer's name. */
  readonly consumerId: string;
  /** The member of the group; undefined without a group. */
  readonly member: number | undefined;
  /** The size of the group; undefined without a group. */
  readonly size: number | undefined;
}

/** What has happened in a consumer. */
export type ConsumerEventBody =
  /** A page was read that has messages, or had messages for others. */
  | {
    readonly type: "pageRead";
    /** How many messages of the page are still to be handled. */
    readonly count: number;
    /** The position from which the next page is read. */
    readonly next: number;
  }
  /** Messages were handled: one by `handle`, one or more by `handlePage`. In a transaction: it has committed. */
  | {
    readonly type: "handled";
    readonly messages: readonly Message[];
    /** Which attempt it was, from 1. */
    readonly attempt: number;
    /** How long the handler took, in milliseconds. */
    readonly duration: number;
  }
  /** A message was not handled, and is tried again. */
  | {
    readonly type: "retried";
    readonly message: Message;
    readonly attempt: number;
    /** What the handler threw; undefined if it answered "retry". */
    readonly error: unknown;
    /** How long the consumer waits before the next attempt, in milliseconds. */
    readonly delay: number;
  }
  /** A message was passed over by the policy, or parked. */
  | {
    readonly type: "skipped" | "parked";
    readonly message: Message;
    /** How many times it was tried. */
    readonly attempts: number;
    /** What the handler threw; undefined if it answered the verdict. */
    readonly error: unknown;
  }
  /** The position was stored. */
  | { readonly type: "positionStored"; readonly position: number }
  /** This process has taken the consumer, or the member. */
  | { readonly type: "claimTaken" }
  /** Another process has taken over. */
  | { readonly type: "claimLost" }
  /** All messages that were there are handled. */
  | { readonly type: "caughtUp"; readonly position: number }
  /** Trouble that is retried, as `onRetry` gets it, or the error that ends the consumer. */
  | { readonly type: "error"; readonly error: unknown };

/** An event of a consumer: see `onEvent`. */
export type ConsumerEvent = ConsumerEventSource & ConsumerEventBody;
