import { InvalidMessageError } from "../errors.ts";
import type { CheckedEntity } from "../decide/_checked_entity.ts";
import { isPromise } from "../lib/promise.ts";
import { abortable } from "../lib/wait.ts";
import { category as categoryOf } from "../names/stream_name.ts";
import { readStream } from "../read/read_stream.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Message } from "../types.ts";
import type { StatesAnswer } from "./_api.ts";
import { jsonUpTo } from "./_json_up_to.ts";
import type { Studio } from "./_studio.ts";

/** How many messages of a stream are folded at most. */
const MOST_FOLDED = 10_000;
/** How many states are answered at most, and how many characters of each and of all. */
const MOST_STATES = 500;
const MOST_OF_A_STATE = 64_000;
const MOST_OF_ALL = 4_000_000;
/** How many messages are read at once: few, because each may be of megabytes. */
const READ_AT_ONCE = 50;

/** A state, on its way to JSON. */
type MadeState = Omit<StatesAnswer["states"][number], "time"> & { readonly time: Date | null };

/** What the fold has made, on its way to JSON. */
export interface MadeStates extends Omit<StatesAnswer, "states"> {
  readonly states: readonly MadeState[];
}

/** How states are made of messages. */
interface StateMaker {
  readonly by: StatesAnswer["by"];
  readonly init: () => unknown;
  readonly next: (state: unknown, message: Message) => unknown;
}

/**
 * Makes the states of a stream after each of its messages, from the first one on, and answers those around a position.
 *
 * A state is made into text at once, and only where it may be answered: a fold may change the state that it is given.
 */
export async function readStates(
  { sql, entities }: Studio,
  streamName: string,
  wanted: number | undefined,
  signal: AbortSignal,
): Promise<MadeStates> {
  const end = await abortable(streamVersion(sql, streamName), signal);
  const { by, init, next } = stateMakerOf(entities.get(categoryOf(streamName)));
  const last = Math.min(end, MOST_FOLDED - 1);
  const at = Math.min(wanted ?? last, last);
  const from = Math.max(0, Math.min(at - MOST_STATES / 2, last - MOST_STATES + 1));
  const made: MadeState[] = [];
  const seen: { first: number | null; last: number | null; error: string | null } = {
    first: null,
    last: null,
    error: null,
  };
  let state = init();
  for await (const message of messagesTo(last)) {
    try {
      const made = next(state, message);
      state = isPromise(made) ? await made : made;
    } catch (error) {
      seen.error = reasonOfEnd(error, message);
      break;
    }
    seen.first ??= message.position;
    seen.last = message.position;
    if (message.position >= from && made.length < MOST_STATES) {
      made.push(stateAfter(message, state));
    }
  }
  return { by, states: fittingAround(made, at), ...seen, isCut: end > last };

  async function* messagesTo(last: number): AsyncGenerator<Message, void, undefined> {
    for (let position = 0; position <= last;) {
      const batchSize = Math.min(READ_AT_ONCE, last - position + 1);
      const page = await abortable(readStream(sql, streamName, { position, batchSize }), signal);
      if (page.length === 0) return;
      yield* page;
      position = page.at(-1)!.position + 1;
    }
  }
}

function stateMakerOf(entity: CheckedEntity | undefined): StateMaker {
  if (entity === undefined) return { by: "merge", init: () => null, next: merge };
  return {
    by: "entity",
    init: entity.init,
    next: (state, message) => entity.fold.stored(state, message),
  };
}

/**
 * Merges data into a state, as RFC 7396 merges JSON: members replace members, and null takes a member out. What is no
 * object is a state by itself. The objects have no prototype, so that `__proto__` is a name like any other. The state
 * is changed: it is text already.
 */
function merge(state: unknown, { data }: Message): unknown {
  return data === null ? state : mergeInto(state, data);
}

function mergeInto(state: unknown, data: unknown): unknown {
  if (!isJsonObject(data)) return data;
  const next = isJsonObject(state) ? state : Object.create(null);
  for (const name of Object.keys(data)) {
    const value = data[name];
    if (value === null) delete next[name];
    else next[name] = mergeInto(next[name], value);
  }
  return next;
}

function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function stateAfter(
  { id, position, globalPosition, type, time }: Message,
  state: unknown,
): MadeState {
  const { text, isCut } = jsonUpTo(MOST_OF_A_STATE, state);
  return {
    id,
    position,
    globalPosition,
    type,
    time: isNaN(Number(time)) ? null : time,
    state: text,
    isCut,
  };
}

/** As many states as fit into an answer, those nearest to a position first. */
function fittingAround(states: readonly MadeState[], at: number): MadeState[] {
  const near = states.toSorted((a, b) => Math.abs(a.position - at) - Math.abs(b.position - at));
  let left = MOST_OF_ALL;
  const fitting = near.filter(({ state }) => (left -= state.length) >= 0);
  return fitting.sort((a, b) => a.position - b.position);
}

function reasonOfEnd(error: unknown, { type, position }: Message): string {
  const what = error instanceof InvalidMessageError
    ? error.message
    : `${(error as Error | null)?.name}: ${(error as Error | null)?.message}`;
  return `Cannot fold message "${type}" at position ${position}: ${what}`;
}
