import { isRetrying } from "../handle/_statement.ts";
import { isPromise, whenReady } from "../lib/promise.ts";
import { type EncodedMessage, encodeMessage } from "../messages/_json.ts";
import { type MaybeTyped, parserOf, toStored } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import {
  checkExpectedVersion,
  checkInteger,
  checkOptions,
  checkWritableStreamName,
} from "../names/_check.ts";
import type { MessageInput, Sql } from "../types.ts";
import { submit, type WriteGroup } from "./_write_group.ts";
import type { WriteOptions } from "./write.ts";

/** Options of `groupCommit`. */
export interface GroupCommitOptions {
  /**
   * How many writes share a commit at most, from 1. A batch ends at 300,000 characters of JSON, too.
   *
   * @default 256
   */
  readonly maxBatch?: number | undefined;
  /**
   * How many statements are under way at most, each on a connection, from 1: one a category. Where
   * others hold as many categories for long, all writes wait.
   *
   * @default 4
   */
  readonly maxInFlight?: number | undefined;
}

/** `write`, less the handle. */
export interface GroupedWrite {
  /** Writes a message whose catalogue is given. */
  <Input extends MessageInput>(
    streamName: string,
    message: NoInfer<Input>,
    options: WriteOptions & TypedInput<Input>,
  ): Promise<number>;
  /** Writes a message. */
  (streamName: string, message: MessageInput, options?: WriteOptions): Promise<number>;
}

/**
 * Makes a `write` whose concurrent calls share statements and commits.
 *
 * A category's lock is held until a commit is on the disk, so that whoever writes one message a commit
 * writes one message a disk write, however many connections there are. Here, what is written while a
 * statement of its category is under way goes with the next one. Nothing waits for a timer: a write
 * alone goes at once, as `write` sends it.
 *
 * Each write has its own expected version, id, outcome and error. One that finds another version, or
 * that the database or a gateway refuses, fails alone. Writes to one stream are done in the order of the
 * calls. Where a connection breaks, all writes that it carried reject with its error, whether they were
 * written or not: send them again with the same ids, and they are written once.
 *
 * At most `maxBatch` × `maxInFlight` writes are on their way; beyond that, callers wait, each message held
 * as its JSON text. Make one for each handle and process, with a handle that is no transaction's: writes
 * of one transaction have one commit anyway.
 *
 * @example Many writers, one commit
 * ```ts
 * import { groupCommit } from "@messagedb/client";
 *
 * const write = groupCommit(sql);
 * const ids = ["123", "456", "789"];
 * await Promise.all(ids.map((id) => write(`account-${id}`, { type: "Opened" })));
 * ```
 *
 * @param sql The handle, no transaction's.
 * @param options How much is sent at once.
 * @returns `write` less the handle: same arguments, same answers, same errors.
 * @throws {TypeError} If an option is no number.
 * @throws {RangeError} If an option is no integer from 1.
 */
export function groupCommit(sql: Sql, options: GroupCommitOptions = {}): GroupedWrite {
  checkOptions(options);
  const { maxBatch = 256, maxInFlight = 4 } = options;
  checkInteger("maxBatch", maxBatch, 1);
  checkInteger("maxInFlight", maxInFlight, 1);
  const group: WriteGroup = {
    sql,
    maxBatch,
    slots: maxInFlight,
    isDue: false,
    lanes: new Map(),
    underWay: new Set(),
    busy: new Set(),
  };
  const turns: Turns = new Map();

  return async (
    streamName: string,
    message: MessageInput,
    options: WriteOptions & MaybeTyped = {},
  ): Promise<number> => {
    checkWritableStreamName(streamName);
    const expectedVersion = checkExpectedVersion(options);
    // Read before `toStored` makes a promise: an error here would leave a rejection of that promise unhandled.
    const mayBeKnown = message?.id !== undefined || isRetrying(sql);
    const storing = toStored([message], streamName, parserOf(options));
    const encoding = whenReady(storing, ([stored]) => encodeMessage(stored!));

    // The spread is last: V8 is slow to add to an object that begins with a spread.
    const submitEncoded = (encoded: EncodedMessage) =>
      submit(group, { streamName, expectedVersion, mayBeKnown, ...encoded });
    return await (isPromise(encoding) || turns.has(streamName)
      ? submitInTurn(turns, streamName, encoding, submitEncoded)
      : submitEncoded(encoding));
  };
}

/** The last write of each stream that waits until its message is parsed, and earlier writes are queued. */
type Turns = Map<string, Promise<PromiseSettledResult<EncodedMessage>>>;

/** Submits a message when it is encoded and all earlier messages of its stream are submitted or refused. */
async function submitInTurn(
  turns: Turns,
  streamName: string,
  encoding: EncodedMessage | Promise<EncodedMessage>,
  submitEncoded: (encoded: EncodedMessage) => Promise<number>,
): Promise<number> {
  const turn = Promise.allSettled([encoding, turns.get(streamName)]).then(([encoded]) => encoded);
  turns.set(streamName, turn);
  const encoded = await turn;
  const position = encoded.status === "fulfilled"
    ? submitEncoded(encoded.value)
    : Promise.reject(encoded.reason);
  // After the message is queued: a later write of the stream that finds no turn is queued at once.
  if (turns.get(streamName) === turn) turns.delete(streamName);
  return await position;
}
