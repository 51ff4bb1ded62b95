import { retryUntilAborted, retryWhileUnavailable } from "../handle/_retry.ts";
import { invalid } from "../lib/invalid.ts";
import { randomUuid } from "../lib/random_uuid.ts";
import { shutdownOn } from "../lib/shutdown.ts";
import { checkInteger, checkName, checkOptions, checkSignal } from "../names/_check.ts";
import { claimStream, isOwnMessage, parkedStream, replayStream } from "../names/_own_streams.ts";
import { idFrom } from "../names/id_from.ts";
import { isCategory } from "../names/stream_name.ts";
import type { Mark } from "../read/_mark.ts";
import type { Page } from "../read/_page.ts";
import { readMessage, readMessages } from "../read/read_messages.ts";
import { readStream } from "../read/read_stream.ts";
import { streamVersion } from "../read/stream_version.ts";
import { readerOf } from "../subscribe/_reader.ts";
import type { Message, Sql } from "../types.ts";
import { NO_STREAM, write } from "../write/write.ts";
import { verdictIn } from "./_answer.ts";
import { type Beginning, checkConsumer, type CheckedConsumer } from "./_checked_consumer.ts";
import { claimablesOf, ClaimLostError, holderOf, ownerOf } from "./_claim.ts";
import { renewInTime } from "./_drain_members.ts";
import { type HandledOutcome, handleMessage } from "./_handle_message.ts";
import { keepPosition, type KeptPosition, passTo } from "./_kept_position.ts";
import { dealtWith } from "./_park.ts";
import { readLastMessages, recordedPosition } from "./_read_last_messages.ts";
import { isConflict } from "./_record_position.ts";
import { reporterOf, reportingRetries } from "./_report.ts";
import { closePosition, renewClaim, storePosition, takeInHand } from "./_store_position.ts";
import type { Run } from "./_task.ts";
import type { ConsumerOf, Handler } from "./consumer.ts";
import type { Parked } from "./parked.ts";

/** Options of `replayParked`. */
export interface ReplayParkedOptions {
  /** Ends the replay before the next message. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How many parked messages to take at most, from 1.
   *
   * @default all messages that are parked when the replay begins
   */
  readonly limit?: number | undefined;
  /**
   * Take the messages with these ids only: the ids of the messages that were parked.
   *
   * @default all
   */
  readonly ids?: readonly string[] | undefined;
  /**
   * Take the messages of these types only, as they are stored.
   *
   * @default all
   */
  readonly types?: readonly string[] | undefined;
  /**
   * Take the messages only that were parked before this time.
   *
   * @default all
   */
  readonly until?: Date | undefined;
}

/** The result of `replayParked`. */
export interface Replayed {
  /** How many parked messages were taken. */
  readonly replayed: number;
  /** How many of them were parked again. */
  readonly parked: number;
  /** Whether messages were left to another process, which replays them now. */
  readonly busy: boolean;
}

/**
 * Handles the parked messages of a consumer once more, in the order in which they were parked.
 *
 * The handlers and the policy are those of `consume`: a message that fails is retried, skipped, parked
 * again, or stops the replay. The position of the replay is stored in the stream
 * `{category}:position-{consumerId}+parked`, with a claim, as that of `drain`. So each parked message is taken
 * once, by one process at a time, and with `transactional` it is handled exactly once. A message that is
 * taken out of turn, by `ids`, `types` or `until`, is noted in the stream of parked messages, as `Replayed`.
 *
 * The replay can run beside the consumer. A parked message can then take effect after later messages of
 * its stream: to park a message means to let later messages go first.
 *
 * @example
 * ```ts
 * import { replayParked } from "@messagedb/client";
 *
 * const { replayed, parked } = await replayParked(sql, {
 *   category: "account",
 *   consumerId: "letters",
 *   handle: (message) => console.log(message.type),
 *   onError: "park",
 * });
 * ```
 *
 * @param sql The handle; for `transactional`, one that has `begin`.
 * @param consumer The consumer that has parked the messages.
 * @param options When to end.
 * @returns How many parked messages were taken, and how many of them were parked again.
 * @throws {HandlerFailedError} If a message was not handled and the verdict is to stop.
 * @throws {StoreWentBackError} If the store has lost parked messages: after a failover, for instance.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {TypeError} If the consumer is invalid, or needs something that the handle does not have, or if a handler
 * answers an error, or what has not run: see `HandlerAnswer`.
 * @throws {RangeError} If an option is out of range.
 */
export async function replayParked<
  Handle extends Sql,
  Handled extends Message = Message,
  Transactional extends boolean = false,
>(
  sql: Handle & Beginning<Transactional>,
  consumer: ConsumerOf<NoInfer<Handle>, Handled, Transactional>,
  options: ReplayParkedOptions = {},
): Promise<Replayed> {
  const { signal, limit = Infinity } = checkReplay(options);
  const given = checkConsumer(sql, consumer);
  const report = reporterOf(given, undefined);
  const checked = { ...reportingRetries(given, report), tries: 5 };
  const { kept, claim } = await openReplay(checked);
  const shutdown = shutdownOn([signal], checked.shutdownTimeout);
  const moved = kept.moved.signal;
  const run: Run = { ...shutdown, consumer: checked, kept, moved, report };
  const renewing = renewInTime(checked, kept, shutdown);
  const result = { replayed: 0, parked: 0, busy: false };
  try {
    for await (const message of openMessages(run, options)) {
      if (run.stopping.aborted || result.replayed >= limit) break;
      if (!await claim()) {
        result.busy = true;
        break;
      }
      const outcome = message.position === kept.position
        ? await replayInTurn(run, message)
        : await replayOutOfTurn(run, message);
      if (outcome === "ended") break;
      result.replayed++;
      if (outcome === "parked") result.parked++;
    }
    await retryWhileUnavailable(() => closePosition(kept), checked);
    renewing.end();
  } catch (error) {
    if (!(error instanceof ClaimLostError)) {
      await closePosition(kept).catch(() => {});
      throw error;
    }
    result.busy = true;
  } finally {
    clearInterval(renewing.timer);
    shutdown.dispose();
  }
  return result;
}

function checkReplay(options: ReplayParkedOptions): ReplayParkedOptions {
  checkOptions(options, { signal: true, limit: true, ids: true, types: true, until: true });
  const { signal, limit, ids, types, until } = options;
  checkSignal(signal);
  if (limit !== undefined && limit !== Infinity) checkInteger("limit", limit, 1);
  for (const [name, list] of Object.entries({ ids, types })) {
    if (list === undefined) continue;
    if (!Array.isArray(list)) throw invalid(name, list, "an array of texts");
    for (const it of list) checkName(name, it);
  }
  if (until !== undefined && !(until instanceof Date && !Number.isNaN(Number(until)))) {
    throw invalid("until", until, "a valid Date");
  }
  return options;
}

/** Finds where the replay goes on, and how to claim it. */
async function openReplay(
  consumer: CheckedConsumer,
): Promise<{ readonly kept: KeptPosition; claim(): Promise<boolean> }> {
  const { sql, exclusive, leaseDuration } = consumer;
  const name = replayStream(consumer);
  const find = () => readLastMessages(sql, [name, claimStream(name)]);
  const lasts = await retryWhileUnavailable(find, { ...consumer, isFirst: true });
  const { last, question } = claimablesOf(lasts, [name])[0]!;
  // This position is the number of messages that were taken: 0 means none, as for a global position.
  const position = last ? recordedPosition(last) : 0;
  const version = last?.version ?? NO_STREAM;
  const versionId = last?.id ?? null;
  const claim = exclusive ? { owner: randomUuid(), leaseDuration } : undefined;
  const kept = keepPosition(
    consumer,
    name,
    { position, stored: position, version, versionId },
    claim,
  );
  return {
    kept,
    claim: async () => {
      if (claim === undefined || kept.isClaimed) return true;
      if (holderOf(last, question) !== undefined) return false;
      try {
        await retryWhileUnavailable(() => renewClaim(kept), consumer);
        return true;
      } catch (error) {
        if (!isConflict(kept, error)) throw error;
        // The claim may be there, and its answer was lost.
        const [now] = await retryWhileUnavailable(() => readLastMessages(sql, [name]), consumer);
        if (ownerOf(now) !== claim.owner) return false;
        Object.assign(kept, { isClaimed: true, version: now!.version, versionId: now!.id });
        return true;
      }
    },
  };
}

/** The parked messages that are open, and wanted. The kept position passes those that are not open. */
async function* openMessages(
  run: Run,
  { ids, types, until }: ReplayParkedOptions,
): AsyncGenerator<Message<Parked>, void, undefined> {
  const { consumer, kept } = run;
  const end = await retryWhileUnavailable(
    () => streamVersion(consumer.sql, parkedStream(consumer)),
    consumer,
  ) + 1;
  const done = new Set<number | undefined>();
  for await (const entry of parkedStreamFrom(run, kept.position, end)) done.add(dealtWith(entry));
  for await (const entry of parkedStreamFrom(run, kept.position, end)) {
    const { type, position, time, data } = entry;
    if (type !== "Parked" || !isOwnMessage(entry) || done.has(position)) {
      if (position === kept.position) passTo(kept, position + 1);
      continue;
    }
    const { message } = data as Parked;
    const isWanted = (ids?.includes(message.id) ?? true) &&
      (types?.includes(message.type) ?? true) &&
      (until === undefined || time < until);
    if (isWanted) yield entry as Message<Parked>;
  }
}

/** The messages of the stream of parked messages, page by page, each page in hand. */
async function* parkedStreamFrom(
  { consumer, kept }: Run,
  position: number,
  end: number,
): AsyncGenerator<Message, void, undefined> {
  const { read } = readerOf(consumer.sql, parkedStream(consumer), { batchSize: 100 });
  let mark: Mark | null = null;
  while (position < end) {
    const page: Page = await retryWhileUnavailable(() => read(position, mark), consumer);
    if (page.length === 0) return;
    await takeInHand(kept, page, read);
    for (const message of page.messages()) {
      if (message.position < end) yield message;
    }
    position = page.next;
    mark = page.mark ?? null;
  }
}

/** Handles the message that a parked message refers to; it is skipped if it was deleted by hand. */
async function replay(
  run: Run,
  { id: parkedAs, position, data: { message: origin, reference } }: Message<Parked>,
): Promise<HandledOutcome> {
  const { consumer, kept } = run;
  const { sql, observer } = consumer;
  const { id, streamName, position: originAt } = origin;
  const readOrigin = async () => {
    // A stream whose name is a category cannot be read as a stream.
    const messages =
      await (isCategory(streamName)
        ? readMessages(sql, [id])
        : readStream(sql, streamName, { position: originAt, batchSize: 1 }));
    return { length: messages.length, messages: () => messages };
  };
  const received = await retryWhileUnavailable(
    () => observer ? observer.receive(readOrigin) : readOrigin(),
    consumer,
  );
  const [stored] = received.messages();
  if (stored?.id !== id) return "skipped";
  const message = reference ? { ...stored, reference } : stored;
  const placed = { message, place: position + 1, parkedAs, isOutOfTurn: position > kept.position };
  return await handleMessage(run, placed);
}

async function replayInTurn(run: Run, parked: Message<Parked>): Promise<HandledOutcome> {
  const { consumer, kept, givingUp } = run;
  const outcome = await replay(run, parked);
  if (outcome === "ended") return outcome;
  passTo(kept, parked.position + 1);
  await retryUntilAborted(() => storePosition(kept), { ...consumer, signal: givingUp });
  return outcome;
}

/**
 * Replays a message while others before it stay parked. The position that counts them does not move: what
 * became of the message is noted beside it, in the transaction of the handler if there is one.
 */
async function replayOutOfTurn(run: Run, parked: Message<Parked>): Promise<HandledOutcome> {
  const { consumer } = run;
  const name = parkedStream(consumer);
  const { position } = parked;
  const id = await idFrom(`${name} ${position} Replayed`);
  const note = (sql: Sql) => write(sql, name, { id, type: "Replayed", data: { position } });
  const handlerOf = (message: Message): Handler | undefined => {
    const handler = consumer.handlerOf(message);
    return handler && (async (message, context) => {
      // The answer to the commit may have been lost.
      if (await readMessage(consumer.begin ? context.sql : consumer.sql, id) !== null) return;
      const verdict = verdictIn(await handler(message, context), message.type);
      if (verdict === undefined && consumer.begin) await note(context.sql);
      return verdict;
    });
  };
  const outcome = await replay({ ...run, consumer: { ...consumer, handlerOf } }, parked);
  if (outcome === "ended") return outcome;
  await retryWhileUnavailable(async () => {
    // After a failover, another message may be parked at this position.
    if (await readMessage(consumer.sql, parked.id) !== null) await note(consumer.sql);
  }, consumer);
  return outcome;
}
