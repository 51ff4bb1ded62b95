import { storeFor } from "../handle/_store_for.ts";
import { ownOf } from "../handle/_statement.ts";
import { isPromise, whenReady } from "../lib/promise.ts";
import type { EncodedMessage } from "../messages/_json.ts";
import { encodeMessages, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import {
  checkExpectedVersion,
  checkInteger,
  checkOptions,
  checkWritableStreamName,
} from "../names/_check.ts";
import type { MessageInput, Sql } from "../types.ts";
import type { EachWrite } from "./_write_each.ts";
import { submit, type WriteGroup } from "./_write_group.ts";
import type { WriteOptions } from "./write.ts";

/** Options of `groupCommit`. */
export interface GroupCommitOptions {
  /**
   * How many writes share a commit at most, from 1. A batch also ends at about 300,000 characters
   * of JSON.
   *
   * @default 256
   */
  readonly maxBatch?: number | undefined;
  /**
   * How many statements are under way at most, from 1. Each statement takes a connection, and a
   * category has one statement at a time. If other writers lock this many categories for long, all
   * statements can wait for these locks, and then all writes wait.
   *
   * @default 4
   */
  readonly maxInFlight?: number | undefined;
}

/** `write` without its handle. */
export interface GroupedWrite {
  /** Writes a message of the catalogue in the option `messages`. */
  <Input extends MessageInput>(
    streamName: string,
    message: NoInfer<Input>,
    options: WriteOptions & TypedInput<Input>,
  ): Promise<number>;
  /** Writes a message of any type, with no catalogue in the options. */
  (streamName: string, message: MessageInput, options?: WriteOptions): Promise<number>;
}

/**
 * Makes a `write` whose concurrent calls share statements and commits.
 *
 * A category is locked until the commit is on the disk. So if each message has a commit of its own,
 * a category takes one message a disk write, however many connections there are. With
 * `groupCommit`, the writes that come while a statement of their category is under way go together
 * in the next statement. No write waits for a timer: a single write is sent at once, as `write`
 * sends it.
 *
 * Each write has its own expected version, id, outcome and error. A write that finds another
 * version, or that the database or a gateway refuses, fails alone. Writes to one stream are done in
 * the order of the calls.
 *
 * If a connection breaks, all writes that it carried reject with its error, whether they were
 * written or not. Send these writes again with the same ids, and each is written once.
 *
 * At most `maxBatch` × `maxInFlight` writes are under way. Further callers wait, and each of their
 * messages is held as JSON text. Make one `groupCommit` for each handle and process. Do not make it
 * with the handle of a transaction: the writes of a transaction have one commit anyway.
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
 * @param sql The handle; not the handle of a transaction.
 * @param options How many writes and statements are sent at once.
 * @returns `write` without the handle: the other arguments, the answers and the errors are the
 * same.
 * @throws {TypeError} If an option is not a number.
 * @throws {RangeError} If an option is not an integer from 1 up.
 */
export function groupCommit(sql: Sql, options: GroupCommitOptions = {}): GroupedWrite {
  checkOptions(options, { maxBatch: true, maxInFlight: true });
  const { maxBatch = 256, maxInFlight = 4 } = options;
  checkInteger("maxBatch", maxBatch, 1);
  checkInteger("maxInFlight", maxInFlight, 1);
  if (!ownOf(sql)?.storeOf) return groupStore(sql, maxBatch, maxInFlight);
  const groups = new Map<Sql, GroupedWrite>();
  return (async (streamName: string, ...rest: [MessageInput, WriteOptions?]): Promise<number> => {
    checkWritableStreamName(streamName);
    const store = storeFor(sql, streamName);
    let write = groups.get(store);
    if (write === undefined) groups.set(store, write = groupStore(store, maxBatch, maxInFlight));
    return await write(streamName, ...rest);
  }) as GroupedWrite;
}

/** Makes the `write` of one store. */
function groupStore(sql: Sql, maxBatch: number, maxInFlight: number): GroupedWrite {
  const observer = ownOf(sql)?.observe?.group();
  const group: WriteGroup = {
    sql,
    observer,
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
    checkOptions(options, { expectedVersion: true, messages: true });
    const expectedVersion = checkExpectedVersion(options);
    // This line may throw, so it comes before `encodeMessages`, which may make a promise: after
    // `encodeMessages`, a rejection of that promise would be unhandled.
    const mayBeKnown = message?.id !== undefined || ownOf(sql)?.retries || expectedVersion === "-4";
    const encodings = encodeMessages([message], streamName, parserOf(options));
    const encoding = whenReady(encodings, ([encoded]) => encoded!);

    // The spread is last: V8 is slow to add to an object that begins with a spread.
    const submitEncoded = (encoded: EncodedMessage) => {
      const write: EachWrite = { streamName, expectedVersion, mayBeKnown, ...encoded };
      return observer ? observer.write(write, (it) => submit(group, it)) : submit(group, write);
    };
    return await (isPromise(encoding) || turns.has(streamName)
      ? submitInTurn(turns, streamName, encoding, submitEncoded)
      : submitEncoded(encoding));
  };
}

/**
 * By stream: the turn of the last write whose message is still being parsed, or waits for an
 * earlier message to be parsed. A turn resolves when its message may be queued.
 */
type Turns = Map<string, Promise<PromiseSettledResult<EncodedMessage>>>;

/** Submits a message after the earlier messages of its stream, when it is parsed and encoded. */
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
  // The turn is deleted only now that the message is queued: a later write of the stream that finds
  // no turn is queued at once, and must not overtake this message.
  if (turns.get(streamName) === turn) turns.delete(streamName);
  return await position;
}
