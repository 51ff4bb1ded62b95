import type { Message, Sql } from "../types.ts";

/** Makes observers of the work with a handle. */
export interface Observe {
  /** The handle that is observed. */
  readonly given: Sql;
  /** Makes a handle whose work is observed as that of this one. */
  again(sql: Sql): Sql;
  /** Makes an observer of a consumer, of a member of its group, or of a subscription; undefined for none. */
  consumer(source: ObservedSource): ConsumerObserver | undefined;
  /** Makes an observer of a `groupCommit`; undefined for none. */
  group(): GroupObserver | undefined;
}

/** What is read, and by whom. */
export interface ObservedSource {
  /** The category, the stream, the aggregate's name, or `"$all"`. */
  readonly name: string;
  /** The consumer's name; undefined for a subscription. */
  readonly consumerId?: string | undefined;
  /** The member of the consumer's group. */
  readonly member?: number | undefined;
}

/** A page, as far as an observer looks at it. */
export interface ObservedPage {
  readonly length: number;
  readonly messages: () => Iterable<Message>;
}

/** A call of a handler. */
export interface Delivery {
  readonly messages: readonly Message[];
  /** Which attempt it is, from 1. */
  readonly attempt: number;
  /** Why a message comes that has come before; undefined if it has not. */
  readonly again?: "replay" | "rewind" | undefined;
}

/** Is told what a consumer or a subscription does. */
export interface ConsumerObserver {
  /** Does a read of a page. */
  receive<Page extends ObservedPage>(read: () => Promise<Page>): Promise<Page>;
  /** Calls a handler, and answers what it answers. */
  process<Answer>(delivery: Delivery, call: () => Answer): Answer;
  /** A message is to be handled again. */
  retry(): void;
}

/** A write of a group, with what its observer keeps of it. */
export interface ObservedWrite {
  readonly observed?: unknown;
}

/** Is told what a `groupCommit` does. */
export interface GroupObserver {
  /** Does a write, with its metadata as they are to be stored. */
  write<Write extends GroupedMessage>(
    message: Write,
    submit: (message: Write & ObservedWrite) => Promise<number>,
  ): Promise<number>;
  /** Sends the statement that carries these writes. */
  carry<Answer>(
    writes: readonly (GroupedMessage & ObservedWrite)[],
    send: () => Promise<Answer>,
  ): Promise<Answer>;
}

/** A message of a group, as an observer sees it. */
export interface GroupedMessage {
  readonly streamName: string;
  readonly id: string;
  readonly metadata: string | null;
}
