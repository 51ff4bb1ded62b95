import { storeFor } from "../handle/_store_for.ts";
import { ConsumerBehindError } from "../errors.ts";
import { retryWhileUnavailable } from "../handle/_retry.ts";
import { abortable, sleep, unlessAborted } from "../lib/wait.ts";
import { checkInteger, checkMilliseconds, checkOptions, checkSignal } from "../names/_check.ts";
import { readCategory } from "../read/read_category.ts";
import { checkSource, type Reader, readerOf } from "../subscribe/_reader.ts";
import type { Sql } from "../types.ts";
import { checkIdentity, membersOf, selectionOf } from "./_checked_consumer.ts";
import { streamOf } from "./_find_position.ts";
import { readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import type { ConsumerIdentity } from "./consumer.ts";

/** Milliseconds. */
const FIRST_LOOK_PAUSE = 10;
const LONGEST_LOOK_PAUSE = 250;
/** A look at the positions may take so long, even if the timeout is shorter. */
const LOOK_TIME = 1000;

/** How many messages to look at once for one of the consumer's types. */
const LOOK_SIZE = 100;

/** Options of `waitFor`. */
export interface WaitForOptions {
  /** Ends the wait: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How long to wait at most, in milliseconds, from 0.
   *
   * @default 10000
   */
  readonly timeout?: number | undefined;
}

/**
 * Waits until a consumer has passed a global position: for example, the position of a message just
 * written, which `append` returns. After that, the effect of the message can be read.
 *
 * It reads the positions that the consumer has stored, wherever the consumer runs. So it learns of a
 * message when the position is stored: right after the handler if the consumer is `transactional` or its
 * `positionUpdateInterval` is 1, else within a second. If the first look fails, its error is thrown. After
 * that, a lost connection is retried until the time is over.
 *
 * A position that belongs to no message of the consumer's is passed when all of its messages before that are
 * passed. Which messages are its own: all of its category; given with its `handlers` or `types`, those that it
 * handles. For a consumer of an aggregate, give the position of the message, not of the reference to
 * it. A message that the aggregate has no reference to is never passed.
 *
 * Where the consumer reads from a replica (`readFrom`), it passes a message when the replica has it. What its
 * handler has written on the primary can be read there after that; another replica may still be behind.
 *
 * @example Read what was written
 * ```ts
 * import { append, drain, waitFor } from "@messagedb/client";
 *
 * const views = { category: "account", consumerId: "views" };
 * const { globalPosition } = await append(sql, "account-123", { type: "Closed" });
 * drain(sql, { ...views, handle: () => {} }); // as somebody else does
 * await waitFor(sql, views, globalPosition);
 * ```
 *
 * @param sql The handle.
 * @param consumer The consumer, or its names, and the size of its group if it has one.
 * @param globalPosition The position to pass.
 * @param options How long to wait.
 * @returns Nothing, when the consumer has passed the position.
 * @throws {ConsumerBehindError} If the consumer has not passed the position when the time is over.
 * @throws {StoreWentBackError} If the store has not given the position to any message.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer's names are invalid, or an option is of the wrong type.
 * @throws {RangeError} If the position or the timeout is out of range.
 */
export async function waitFor(
  sql: Sql,
  consumer: ConsumerIdentity,
  globalPosition: number,
  options: WaitForOptions = {},
): Promise<void> {
  const identity = checkIdentity(consumer);
  const store = storeFor(sql, identity.category);
  checkInteger("globalPosition", globalPosition, 0);
  checkOptions(options, { signal: true, timeout: true });
  const { signal, timeout = 10_000 } = options;
  checkSignal(signal);
  checkMilliseconds("timeout", timeout, 0);
  const { types, correlation } = selectionOf(consumer);
  const selection = { types, correlation, batchSize: types ? LOOK_SIZE : 1 };
  checkSource(identity.source, selection);
  const members = membersOf(identity);
  const streams = members.map((member) => streamOf(identity, member));
  const readers = members.map((consumerGroup) =>
    readerOf(store, identity.source, { ...selection, consumerGroup })
  );
  const findPlace = consumer.aggregate === undefined
    ? () => Promise.resolve(globalPosition)
    : findReferenceTo(store, consumer.aggregate, globalPosition);

  let lowest = 0;
  const look = async (): Promise<boolean> => {
    const last = await readLastMessages(store, streams);
    const stored = new Map(last.map((it) => [it.streamName, recordedPosition(it)]));
    const positions = streams.map((name) => stored.get(name) ?? 0);
    lowest = Math.min(...positions);
    const place = await findPlace();
    if (place === undefined) return false;
    const passed = readers.map((reader, at) => isPassed(reader, positions[at]!, place));
    return !(await Promise.all(passed)).includes(false);
  };

  const deadline = Date.now() + timeout;
  // If the database does not answer, the wait ends too, but not before the first look has had its time.
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), Math.max(timeout, LOOK_TIME));
  // Ends the retries of a look that nobody waits for any more.
  const ending = new AbortController();
  try {
    let isFirst = true;
    for (let pause = FIRST_LOOK_PAUSE;; pause = Math.min(pause * 2, LONGEST_LOOK_PAUSE)) {
      signal?.throwIfAborted();
      const looking = retryWhileUnavailable(look, { signal: ending.signal, isFirst });
      const hasPassed = await unlessAborted(abortable(looking, signal), late.signal);
      isFirst = false;
      if (hasPassed) return;
      if (hasPassed === undefined || Date.now() >= deadline) break;
      await sleep(Math.min(pause, deadline - Date.now()), signal);
    }
  } finally {
    clearTimeout(timer);
    ending.abort();
  }
  throw new ConsumerBehindError(identity.consumerId, globalPosition, lowest, timeout);
}

/** Whether a member has stored the place, or has no message of its own between its position and the place. */
async function isPassed(reader: Reader, position: number, place: number): Promise<boolean> {
  if (position >= place) return true;
  if (reader.category === null) return false;
  for (let from = position + 1; from <= place;) {
    const page = await reader.read(from, reader.markAt(place + 1));
    const [next] = page.messages();
    if (next) return reader.placeOf(next) > place;
    if (page.atEnd) break;
    // The messages of the page were left out: they are of other types.
    from = page.next;
  }
  return true;
}

/** Makes a search for an aggregate's reference to a message: undefined while there is none. */
function findReferenceTo(
  sql: Sql,
  name: string,
  globalPosition: number,
): () => Promise<number | undefined> {
  let place: number | undefined;
  // A reference has a higher global position than its message.
  let position = globalPosition + 1;
  return async () => {
    while (place === undefined) {
      const references = await readCategory(sql, name, { position });
      if (references.length === 0) return undefined;
      place = references
        .find(({ metadata }) => metadata?.causationMessageGlobalPosition === globalPosition)
        ?.globalPosition;
      position = references.at(-1)!.globalPosition + 1;
    }
    return place;
  };
}
