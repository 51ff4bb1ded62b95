import type { Members } from "../names/_check.ts";
import type { OperationName, StudioApi } from "./_api.ts";
import type { CallPlace } from "./_arguments.ts";
import type { AskedAgain } from "./_shared_reads.ts";
import type { Studio } from "./_studio.ts";

/** What an operation takes. */
export type ArgumentsOf<Name extends OperationName> = StudioApi[Name]["arguments"];
/** What an operation answers. */
export type AnswerOf<Name extends OperationName> = StudioApi[Name]["answer"];

/** A Date, where the answer on the wire has text. */
export type Unwired<T> = T extends string ? string | Date
  : T extends readonly (infer Item)[] ? readonly Unwired<Item>[]
  : T extends object ? { readonly [Key in keyof T]: Unwired<T[Key]> }
  : T;

/** What an operation is: how its arguments are checked, what `authorize` is told of it, and what it does. */
export interface OperationOf<Name extends OperationName> {
  readonly writes: boolean;
  /** What the repeated calls of a page cost; undefined if no page repeats the call. */
  readonly again?: AskedAgain;
  readonly members: Members<ArgumentsOf<Name>>;
  /** Checks the arguments, and says what they are about. */
  readonly place: (given: ArgumentsOf<Name>) => CallPlace;
  readonly run: (
    studio: Studio,
    given: ArgumentsOf<Name>,
    signal: AbortSignal,
    request: Request,
  ) => Promise<Unwired<AnswerOf<Name>>>;
}

/** An operation, with arguments that fit it. */
export interface AnyOperation {
  readonly writes: boolean;
  readonly again: AskedAgain | undefined;
  place(given: object): CallPlace;
  run(studio: Studio, given: object, signal: AbortSignal, request: Request): Promise<unknown>;
}

/** Some of the operations. */
export type Operations<Name extends OperationName> = { readonly [Each in Name]: OperationOf<Each> };

/** Says of an operation that it is about the whole store. */
export function nowhere(): CallPlace {
  return {};
}
