import { InvalidMessageError } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { isPromise, whenReady } from "../lib/promise.ts";
import { readAhead } from "../lib/read_ahead.ts";
import type { Parser } from "../messages/_parser.ts";
import { checkTypesOf, parserOf, pickerOf } from "../messages/_typed.ts";
import { checkFunction, checkOneOf } from "../names/_check.ts";
import type { Message } from "../types.ts";
import type { Projection } from "./projection.ts";

/** Makes the next state. */
export interface Fold {
  /** From a message as it is stored. The result is a promise only if the parser returns one. */
  stored(state: unknown, message: Message): unknown;
  /** From a message as the catalogue reads it. */
  read(state: unknown, message: Message): unknown;
}

/** The state so far of a fold over pages. */
export interface Folded {
  state: unknown;
  /** The last message that was read, whether it changed the state or not. */
  last: Message | undefined;
}

/** Checks a projection, and makes its fold. */
export function foldOf<State, Output extends Message>(projection: Projection<State, Output>): Fold {
  const { evolve, handlers, unknown = "skip" } = projection as Projection<unknown>;
  const parser = parserOf(projection);
  checkEvolvers(projection as Projection<unknown>, parser);
  const evolverOf = pickerOf(parser, evolve, handlers);

  function read(state: unknown, message: Message): unknown {
    const evolver = evolverOf(message.type);
    if (evolver !== undefined) return checkState(evolver(state, message), message.type);
    if (unknown === "skip" || message.type === "$forgotten") return state;
    const type = parser?.typeOf(message.type) ?? message.type;
    const issue = { path: [], message: `the projection has no handler for the type "${type}"` };
    throw new InvalidMessageError(message, message.streamName, [issue]);
  }

  function stored(state: unknown, message: Message): unknown {
    if (evolverOf(message.type) && parser) {
      return whenReady(parser.decode(message), (it) => it === undefined ? state : read(state, it));
    }
    // What has no handler is not parsed, but it may be forgotten.
    if (!evolverOf("$forgotten")) return read(state, message);
    return whenReady(parser?.decodeForgotten?.(message), (it) => read(state, it ?? message));
  }

  return { stored, read };
}

function checkEvolvers(
  projection: Projection<unknown>,
  parser: Parser | undefined,
): void {
  const { init, evolve, handlers, unknown } = projection;
  checkFunction("init", init);
  checkOneOf("this projection", projection, "evolve", "handlers");
  if (handlers !== undefined && (typeof handlers !== "object" || Array.isArray(handlers))) {
    throw invalid("handlers", handlers, "an object with a function for each type");
  }
  if (unknown !== undefined) {
    if (handlers === undefined) {
      throw invalid(
        "unknown",
        unknown,
        'left out where there is "evolve", which gets all messages',
      );
    }
    if (unknown !== "skip" && unknown !== "refuse") {
      throw invalid("unknown", unknown, '"skip" or "refuse"');
    }
  }
  for (const [name, evolver] of Object.entries(handlers ?? { evolve })) {
    checkFunction(name, evolver);
  }
  if (parser && handlers) checkTypesOf(parser, handlers);
}

function checkState(state: unknown, type: string): unknown {
  if (state !== undefined && !isPromise(state)) return state;
  const what = state === undefined ? "nothing" : "a promise";
  // If this promise rejects, nobody else handles the rejection.
  Promise.resolve(state).catch(() => {});
  throw new TypeError(
    `Cannot go on after message "${type}": its evolve has returned ${what}, and must return the state`,
  );
}

/** Folds a page into `folded`. */
export async function foldPage(
  fold: Fold,
  folded: Folded,
  messages: readonly Message[],
): Promise<void> {
  for (const message of messages) {
    const next = fold.stored(folded.state, message);
    folded.state = isPromise(next) ? await next : next;
    folded.last = message;
  }
}

/** Reads a page. */
export type ReadPage = (
  page: { readonly position: number; readonly batchSize: number },
) => Promise<Message[]>;

/** Reads page after page: to the end, or to the page that reaches the place `until`. */
export function pagesFrom(
  read: ReadPage,
  place: (message: Message) => number,
  position: number,
  batchSize: number,
  until = Infinity,
): AsyncGenerator<readonly Message[], void, undefined> {
  return readAhead<readonly Message[], number>(
    (position) => read({ position, batchSize }),
    position,
    (messages) => {
      const last = messages.length < batchSize ? Infinity : place(messages.at(-1)!);
      return last >= until ? undefined : last + 1;
    },
  );
}
