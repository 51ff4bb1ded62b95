import { type MaybeTyped, parserOf, toStored } from "../messages/_typed.ts";
import type { TypedInput } from "../messages/catalogue.ts";
import {
  checkExpectedVersion,
  checkInteger,
  checkOptions,
  checkWritableStreamName,
} from "../names/_check.ts";
import { isStatementRefused } from "../handle/_driver_error.ts";
import { type EncodedMessage, encodeMessage } from "../messages/_json.ts";
import { safeInteger } from "../messages/_columns.ts";
import { isPromise, whenReady } from "../lib/promise.ts";
import { isRetrying } from "../handle/_statement.ts";
import { lengthOfWrite, MAX_BATCH_LENGTH } from "./_batch_length.ts";
import { type EachWrite, writeEach, type WriteOutcome } from "./_write_each.ts";
import { DuplicateMessageError, WrongExpectedVersionError } from "../errors.ts";
import { category } from "../names/stream_name.ts";
import type { MessageInput, Sql } from "../types.ts";
import { writeNew } from "./_write_new.ts";
import { writeOnce } from "./_write_once.ts";
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

/** A write that waits for its turn, or its outcome. */
interface Waiting extends EachWrite {
  readonly resolve: (outcome: WriteOutcome) => void;
  readonly reject: (error: unknown) => void;
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

  /** By category, in the order in which they get their turns. */
  const lanes = new Map<string, Waiting[]>();
  /** Categories that have a statement under way. */
  const underWay = new Set<string>();
  /** Categories that somebody else was writing to: who waits for them, waits for nothing else. */
  const contended = new Set<string>();
  /** Of streams whose messages take time to be parsed: when the last of them is in its lane. */
  const arrivals = new Map<string, Promise<void>>();
  let inFlight = 0;
  let isCalled = false;

  function enter(write: Waiting): void {
    const name = categoryOf(write);
    const lane = lanes.get(name);
    if (lane) lane.push(write);
    else lanes.set(name, [write]);
    callForSending();
  }

  /** Whoever writes in this turn of the event loop goes along. */
  function callForSending(): void {
    if (isCalled) return;
    isCalled = true;
    queueMicrotask(() => {
      isCalled = false;
      send();
    });
  }

  function send(): void {
    while (inFlight < maxInFlight) {
      const batch = take();
      if (batch.length === 0) return;
      void commit(batch);
    }
  }

  function take(): Waiting[] {
    const free = [...lanes.keys()].filter((name) => !underWay.has(name));
    const single = free.find((name) => contended.delete(name));
    const batch: Waiting[] = [];
    const ids = new Set<string>();
    let length = 0;
    for (const name of single === undefined ? free : [single]) {
      const lane = lanes.get(name)!;
      const end = lane.findIndex((write) => {
        const { id } = write;
        length += lengthOfWrite(write);
        const isFull = ids.size === maxBatch || ids.size > 0 && length > MAX_BATCH_LENGTH;
        if (isFull || ids.has(id)) return true;
        ids.add(id);
        return false;
      });
      const taken = lane.splice(0, end === -1 ? lane.length : end);
      if (taken.length === 0) continue;
      for (const write of taken) batch.push(write);
      underWay.add(name);
      lanes.delete(name);
      if (lane.length > 0) lanes.set(name, lane);
    }
    return batch;
  }

  async function commit(batch: readonly Waiting[]): Promise<void> {
    inFlight++;
    try {
      putBack(await store(batch));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    for (const write of batch) underWay.delete(categoryOf(write));
    inFlight--;
    callForSending();
  }

  /** Writes a batch; resolves to what has to be sent again, since somebody else writes to its category. */
  async function store(batch: readonly Waiting[]): Promise<Waiting[]> {
    const [first] = batch;
    try {
      if (batch.length > 1) return resolveOutcomes(batch, await writeEach(sql, batch));
      if (first === undefined) return [];
      const { streamName, expectedVersion, mayBeKnown } = first;
      const one = mayBeKnown ? writeOnce : writeNew;
      first.resolve(await one(sql, streamName, first, expectedVersion));
    } catch (error) {
      if (!isStatementRefused(error)) throw error;
      if (batch.length > 1) return await storeHalves(batch);
      first?.reject(error);
    }
    return [];
  }

  async function storeHalves(batch: readonly Waiting[]): Promise<Waiting[]> {
    const half = batch.length >> 1;
    const postponed = await store(batch.slice(0, half));
    const names = new Set(postponed.map(categoryOf));
    // Not before those of their streams.
    const isPostponed = (write: Waiting) => names.has(categoryOf(write));
    const rest = batch.slice(half);
    return [
      ...postponed,
      ...rest.filter(isPostponed),
      ...await store(rest.filter((write) => !isPostponed(write))),
    ];
  }

  function putBack(postponed: readonly Waiting[]): void {
    for (const name of new Set(postponed.map(categoryOf))) {
      const first = postponed.filter((write) => categoryOf(write) === name);
      lanes.set(name, [...first, ...lanes.get(name) ?? []]);
      contended.add(name);
    }
  }

  return async (
    streamName: string,
    message: MessageInput,
    options: WriteOptions & MaybeTyped = {},
  ): Promise<number> => {
    checkWritableStreamName(streamName);
    const expectedVersion = checkExpectedVersion(options);
    // Before there is a promise, which must not be left to nobody.
    const mayBeKnown = message?.id !== undefined || isRetrying(sql);
    const storing = toStored([message], streamName, parserOf(options));
    const encoding = whenReady(storing, ([stored]) => encodeMessage(stored!));

    let position: Promise<number> | undefined;
    const arrive = (encoded: EncodedMessage) => {
      // V8 is slow to add to what it has spread.
      const write = { streamName, expectedVersion, mayBeKnown, ...encoded };
      position = new Promise<WriteOutcome>((resolve, reject) =>
        enter({ resolve, reject, ...write })
      )
        .then((outcome) => positionOrError(write, outcome));
    };
    const before = arrivals.get(streamName);
    if (before === undefined && !isPromise(encoding)) {
      arrive(encoding);
    } else {
      const arrival = Promise.allSettled([encoding, before]).then(([encoded]) => {
        if (encoded.status === "fulfilled") arrive(encoded.value);
        if (arrivals.get(streamName) === arrival) arrivals.delete(streamName);
      });
      arrivals.set(streamName, arrival);
      await arrival;
      await encoding;
    }
    return await position!;
  };
}

function categoryOf({ streamName }: Waiting): string {
  return category(streamName);
}

function resolveOutcomes(
  batch: readonly Waiting[],
  outcomes: readonly (WriteOutcome | "busy")[],
): Waiting[] {
  return batch.filter((write, at) => {
    const outcome = outcomes[at]!;
    if (outcome === "busy") return true;
    write.resolve(outcome);
    return false;
  });
}

function positionOrError(
  { id, streamName, expectedVersion }: EachWrite,
  outcome: WriteOutcome,
): number {
  if (outcome === "duplicate") throw new DuplicateMessageError(id);
  if (typeof outcome === "number") return safeInteger(outcome);
  throw new WrongExpectedVersionError(streamName, Number(expectedVersion), safeInteger(outcome[0]));
}
