import { InvalidMessageError } from "../errors.ts";
import type { CheckedEntity } from "../decide/_checked_entity.ts";
import { isPromise } from "../lib/promise.ts";
import { abortable } from "../lib/wait.ts";
import { category as categoryOf } from "../names/stream_name.ts";
import { findMessages, type FoundMessages } from "../operate/find_messages.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Message } from "../types.ts";
import type { StatesAnswer } from "./_api.ts";
import { jsonUpTo } from "./_json_up_to.ts";
import { parseKeepingNumbers } from "./_kept_numbers.ts";
import type { Studio } from "./_studio.ts";

/** How many messages of a stream are folded at most. */
const MOST_FOLDED = 100_000;
/** How many states are answered at most, and how many characters of each and of all. */
const MOST_STATES = 500;
const MOST_OF_A_STATE = 64_000;
const MOST_OF_ALL = 4_000_000;
/** How many messages are read at once. A page ends at 16 MB, too. */
const READ_AT_ONCE = 500;

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
  readonly parse: (json: string) => unknown;
  readonly next: (state: unknown, message: Message) => unknown;
}

/**
 * Makes the states of a stream after each of its messages, from the first one on, and answers those around a position.
 *
 * A state is made into text at once, and only where it may be answered: a fold may change the state that it is given. If
 * the fold ends before, because a message does not fit it, the states around that message are made in a second run.
 */
export async function readStates(
  { sql, entities }: Studio,
  streamName: string,
  wanted: number | undefined,
  signal: AbortSignal,
): Promise<MadeStates> {
  const maker = stateMakerOf(entities.get(categoryOf(streamName)));
  const end = await abortable(streamVersion(sql, streamName), signal);
  const made = await foldAround(wanted ?? end);
  if (made.states.length > 0 || made.error === null || made.last === null) return made;
  return await foldAround(made.last);

  async function foldAround(around: number): Promise<MadeStates> {
    const { by, init, next } = maker;
    const made: MadeState[] = [];
    const seen: { first: number | null; last: number | null; error: string | null } = {
      first: null,
      last: null,
      error: null,
    };
    let [state, at, from] = [init(), 0, 0];
    let isCut = false;
    for await (const message of eachMessage()) {
      const { position } = message;
      seen.first ??= position;
      const last = Math.min(end, seen.first + MOST_FOLDED - 1);
      isCut = end > last;
      if (position > last) break;
      at = Math.min(around, last);
      from = Math.max(0, Math.min(at - MOST_STATES / 2, last - MOST_STATES + 1));
      try {
        const made = next(state, message);
        state = isPromise(made) ? await made : made;
      } catch (error) {
        seen.error = reasonOfEnd(error, message);
        break;
      }
      seen.last = position;
      if (position >= from && made.length < MOST_STATES) made.push(stateAfter(message, state));
    }
    if (seen.last === null) seen.first = null;
    return { by, states: fittingAround(made, at), ...seen, isCut };
  }

  /** As texts: so an infinite time can be read, and a number is as the store has it. */
  async function* eachMessage(): AsyncGenerator<Message, void, undefined> {
    for (let startAt: number | null = 0; startAt !== null;) {
      signal.throwIfAborted();
      const options = { startAt, limit: READ_AT_ONCE, textLength: 1_000_000_000 };
      const page: FoundMessages = await abortable(findMessages(sql, streamName, options), signal);
      for (const { size: _, isCut: __, data, metadata, time, ...message } of page.messages) {
        yield {
          ...message,
          data: data === null ? null : maker.parse(data),
          metadata: metadata === null ? null : JSON.parse(metadata),
          time: time ?? new Date(NaN),
        };
      }
      startAt = page.next;
    }
  }
}

function stateMakerOf(entity: CheckedEntity | undefined): StateMaker {
  if (entity === undefined) {
    return { by: "merge", init: () => null, parse: parseKeepingNumbers, next: merge };
  }
  return {
    by: "entity",
    init: entity.init,
    parse: JSON.parse,
    next: (state, message) => entity.fold.stored(state, message),
  };
}

/**
 * Merges data into a state, as RFC 7396 merges JSON: members replace members, and null takes a member out. What is no
 * object is a state by itself. The objects have no prototype, so that `__proto__` is a name like any other. The state
 * is changed: it is text already.
 */
function merge(state: unknown, { data }: Message): unknown {
  if (data === null) return state;
  if (!isJsonObject(data)) return data;
  const merged = jsonObjectOf(state);
  // Without recursion: data may be deeper than the stack.
  const pairs: [Record<string, unknown>, Record<string, unknown>][] = [[merged, data]];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [next, changes] = pair;
    for (const name of Object.keys(changes)) {
      const value = changes[name];
      if (value === null) delete next[name];
      else if (isJsonObject(value)) {
        const inner = jsonObjectOf(next[name]);
        next[name] = inner;
        pairs.push([inner, value]);
      } else next[name] = value;
    }
  }
  return merged;
}

function jsonObjectOf(value: unknown): Record<string, unknown> {
  return isJsonObject(value) ? value : Object.create(null);
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
