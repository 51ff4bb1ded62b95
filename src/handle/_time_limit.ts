import type { Sql } from "../types.ts";
import { OWN_HANDLE, ownOf, takeRows } from "./_statement.ts";

/** A limit on the time that an answer takes. */
export interface TimeLimit {
  /** Rejects when the limit is reached. */
  readonly reached: Promise<never>;
  start(): void;
  stop(): void;
}

/** Makes a time limit, in milliseconds, which has not started. */
export function timeLimitOf(milliseconds: number): TimeLimit {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reach: () => void;
  const reached = new Promise<never>((_, reject) => {
    reach = () => reject(silence(milliseconds));
  });
  // A limit may be reached when nobody waits any more.
  reached.catch(() => {});
  return {
    reached,
    start: () => {
      timer = setTimeout(reach, milliseconds);
    },
    stop: () => clearTimeout(timer),
  };
}

function silence(milliseconds: number): Error {
  const message = `Cannot tell what the database did: no answer came within ${milliseconds} ms, ` +
    'as "answerTimeout" says: the connection is silent, or the statement needs more time';
  return Object.assign(new Error(message), { code: "ANSWER_TIMEOUT" });
}

/** After timeouts in a row, a limit becomes so many times as long at most. */
const LONGEST = 8;

/** The handles with limits, by the handle without. What is known of a handle must be known of these, too. */
const limited = new WeakMap<Sql, Map<number, Sql>>();
/** The handle without a limit, by the handle with one. */
const unlimited = new WeakMap<Sql, Sql>();

/** The handle that a handle with a time limit was made of; any other handle itself. */
export function withoutTimeLimit(sql: Sql): Sql {
  return unlimited.get(sql) ?? sql;
}

/**
 * Makes a handle whose statements reject if no answer comes within so many milliseconds.
 *
 * The statement that got no answer may still be done, so only what may be sent twice may go through it. After
 * each timeout the limit is twice as long, until an answer comes: a page that takes long is read in the end.
 * A handle that sends again by itself has a limit of its own, and is returned as it is.
 */
export function withTimeLimit(sql: Sql, milliseconds: number): Sql {
  if (typeof sql !== "function" || ownOf(sql)?.retries) return sql;
  const known = limited.get(sql) ?? new Map<number, Sql>();
  limited.set(sql, known);
  let handle = known.get(milliseconds);
  if (handle === undefined) {
    handle = makeLimited(sql, milliseconds);
    known.set(milliseconds, handle);
    // A limit on a handle that has the limit would be the same limit.
    limited.set(handle, new Map([[milliseconds, handle]]));
    unlimited.set(handle, withoutTimeLimit(sql));
  }
  return handle;
}

function makeLimited(sql: Sql, milliseconds: number): Sql {
  let factor = 1;
  const handle: Sql = async (strings, ...parameters) => {
    const { reached, start, stop } = timeLimitOf(milliseconds * factor);
    start();
    try {
      const answer = await Promise.race([takeRows(sql, strings, ...parameters), reached]);
      factor = 1;
      return answer;
    } catch (error) {
      const isSilent = (error as { code?: unknown } | undefined)?.code === "ANSWER_TIMEOUT";
      factor = isSilent ? Math.min(factor * 2, LONGEST) : 1;
      throw error;
    } finally {
      stop();
    }
  };
  return Object.assign(handle, { [OWN_HANDLE]: { ...ownOf(sql), send: undefined } });
}
