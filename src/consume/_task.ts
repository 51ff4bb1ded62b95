import type { Shutdown } from "../lib/shutdown.ts";
import type { Message } from "../types.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";
import type { KeptPosition } from "./_kept_position.ts";
import type { Report } from "./_report.ts";
import type { Thrown } from "./_thrown.ts";
import type { Handler } from "./consumer.ts";

/** A run of a consumer, or of a member of its group: what all its messages share. */
export interface Run extends Shutdown {
  readonly consumer: CheckedConsumer;
  readonly kept: KeptPosition;
  /** Aborts when somebody else has set the position: what is in hand does not count any more. */
  readonly moved: AbortSignal;
  readonly report: Report | undefined;
}

/** A message with its place in what is consumed. */
export interface Placed {
  readonly message: Message;
  /** The position that the consumer reaches by handling the message. */
  readonly place: number;
  /** The id of the parked message, if this is a replay of one. */
  readonly parkedAs?: string;
  /** Whether messages before this one are left: the position does not move. */
  readonly isOutOfTurn?: boolean;
}

/** What a handler has answered, or the promise of it. */
export interface Begun {
  readonly answer: ReturnType<Handler>;
}

/** A message in hand, with all that its attempts share. */
export interface Task {
  readonly run: Run;
  readonly placed: Placed;
  readonly handler: Handler;
  /** The handler's answer, if the handler was called before the first attempt. */
  begun: Begun | undefined;
  /** What the handler threw, if the work fails because of it. */
  failure?: Thrown | undefined;
  /** Whether the handler is done with the message, so that the commit alone is left. */
  isDone?: true | undefined;
  /** Whether the handler was called in the transaction that is under way. */
  isCalled?: true | undefined;
  /** When the handler was last called, by `performance.now()`. */
  calledAt?: number;
  /** How many times work for the message was done again, whatever the reason. */
  interruptions: number;
  /** How many times the connection was lost while the handler had the message. */
  losses: number;
  /** How many times the transaction with the handler's work was in a conflict, and the last conflict. */
  conflicts: number;
  lastConflict?: unknown;
  /** The streams that others write to so often that a transaction locks their categories first. */
  readonly contested: Set<string>;
}
