import { ownOf } from "../handle/_statement.ts";
import { storeFor } from "../handle/_store_for.ts";
import { retryWhileUnavailable } from "../handle/_retry.ts";
import { withTimeLimit } from "../handle/_time_limit.ts";
import { abortableValue, endable } from "../lib/endable.ts";
import { onAbort } from "../lib/wait.ts";
import type { Parser } from "../messages/_parser.ts";
import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkFunction, checkOptions, checkSignal } from "../names/_check.ts";
import { checkStartAt } from "../read/_first_since.ts";
import type { Aggregated, AggregatedMessage } from "../read/reference.ts";
import type { StartAt } from "../read/start_at.ts";
import type { Message, Sql } from "../types.ts";
import { listenForMessages } from "./_bell.ts";
import { followPages } from "./_follow_pages.ts";
import { type CheckedFollowing, checkFollowing } from "./_following.ts";
import { checkSource, observedReader, type Reader, readerOf } from "./_reader.ts";
import type { FollowOptions } from "./follow_options.ts";
import type { Source } from "./source.ts";

/** Options of `subscribe`. */
export interface SubscribeOptions extends FollowOptions {
  /**
   * Where to start:
   * - a position, which is included: of a stream, the position in the stream; else a global position;
   * - `"end"`: behind the last message that is there;
   * - a `Date`: at the first message that was written at this time or later, or at the end if there is
   *   none yet. The search reads all messages of the source, also those that `types`, `correlation` and
   *   `consumerGroup` leave out.
   *
   * With `"$all"`, a message that is still being written at that moment does not come if its position is
   * lower than the start.
   *
   * @default "beginning"
   */
  readonly startAt?: StartAt | undefined;
  /** Ends the subscription, without an error. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called when the loop has taken all messages that were there: the first time, and again each time
   * that more messages have come and been taken.
   */
  readonly onCaughtUp?: (() => void) | undefined;
}

/**
 * Follows a stream, a category, all streams or an aggregate: gives the messages that are there, then each
 * new one.
 *
 * The next page is read while the loop takes the messages of a page, so at most two pages are held. With
 * `"$all"`, no message is lost, as with `readAll`. With a category, no message is lost that was written
 * under Message DB's lock, as all writes of this library are.
 *
 * If the first read fails, its error is thrown. After that, a lost connection is retried, after longer and
 * longer waits of up to five seconds, and the subscription goes on at its position.
 *
 * The subscription ends when the signal aborts, when the loop is left, or by `return()`: each of them ends a
 * wait for a message at once, and nothing more is read. So `ReadableStream.from(subscribe(…))` ends when its
 * reader cancels it. Only a generator of your own around a subscription cannot do that, because JavaScript
 * puts its `return()` behind its `next()`: end that one by the signal.
 *
 * @example
 * ```ts
 * import { subscribe } from "@messagedb/client";
 *
 * const signal = AbortSignal.timeout(500);
 * for await (const message of subscribe(sql, "account", { signal })) {
 *   console.log(message.streamName, message.type);
 * }
 * ```
 *
 * @typeParam Output The messages of the catalogue that is given as `messages`: a union that `type` tells apart.
 * @typeParam Data What you know `data` to be, without a catalogue; nothing checks it.
 * @param sql The handle.
 * @param source `"account-123"`, `"account"`, `"$all"` or `{ aggregate: "ledger" }`.
 * @param options Where to start, which messages, how to wait.
 * @returns The messages. The loop throws the errors of the reads, but not a lost connection that is retried.
 * @throws {InvalidMessageError} If a message does not fit the catalogue that is given as `messages`. The messages before it come first.
 * @throws {StoreWentBackError} If the store went back, or has no position before `startAt`: a standby that was behind was promoted, or a backup was restored.
 * @throws {ReplicaReadError} If `"$all"` is read from a replica, and `settle` does not run on the primary.
 * @throws {TypeError} If the source is none, an option is of the wrong type or not for this source, or the handle cannot listen.
 * @throws {RangeError} If an option is out of range.
 */
export function subscribe<Output extends Message>(
  sql: Sql,
  source: { readonly aggregate: string },
  options: SubscribeOptions & Typed<Output>,
): AsyncGenerator<Aggregated<Output>, void, undefined>;
/** Follows any source, and parses its messages by a catalogue. */
export function subscribe<Output extends Message>(
  sql: Sql,
  source: Source,
  options: SubscribeOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
/** Follows an aggregate, without a catalogue: each message has its `reference`. */
export function subscribe<Data = unknown>(
  sql: Sql,
  source: { readonly aggregate: string },
  options?: SubscribeOptions,
): AsyncGenerator<AggregatedMessage<Data>, void, undefined>;
/** Follows a stream, a category or `"$all"`, without a catalogue. */
export function subscribe<Data = unknown>(
  sql: Sql,
  source: string,
  options?: SubscribeOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
/** Follows a source of which the type is known only at run time, without a catalogue. */
export function subscribe<Data = unknown>(
  sql: Sql,
  source: Source,
  options?: SubscribeOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
export function subscribe(
  sql: Sql,
  source: Source,
  options: SubscribeOptions & MaybeTyped = {},
): AsyncGenerator<Message, void, undefined> {
  checkOptions(options, {
    startAt: true,
    signal: true,
    onCaughtUp: true,
    types: true,
    correlation: true,
    consumerGroup: true,
    batchSize: true,
    pollInterval: true,
    notify: true,
    answerTimeout: true,
    onRetry: true,
    messages: true,
  });
  const { startAt = "beginning", signal, onCaughtUp } = options;
  checkStartAt(startAt);
  if (onCaughtUp !== undefined) checkFunction("onCaughtUp", onCaughtUp);
  checkSignal(signal);
  const parser = parserOf(options);
  checkSource(source, options);
  const types = options.types && (parser?.storedTypes(options.types) ?? options.types);
  const checked = { ...options, startAt, types };
  const name = typeof source === "string" ? source : source.aggregate;
  const store = storeFor(sql, name);
  const following = checkFollowing(store, options);
  const limited = withTimeLimit(store, following.answerTimeout);
  const observer = ownOf(store)?.observe?.consumer({ name });
  const reader = observedReader(readerOf(limited, source, checked), observer);
  return endable((ending) => followMessages(limited, reader, parser, following, checked, ending));
}

async function* followMessages(
  sql: Sql,
  reader: Reader,
  parser: Parser | undefined,
  following: CheckedFollowing,
  { startAt, signal, onCaughtUp }: SubscribeOptions & { readonly startAt: StartAt },
  // Aborts when the caller's signal aborts, and when the caller ends the generator or leaves the loop.
  ending: AbortController,
): AsyncGenerator<Message, void, undefined> {
  if (signal?.aborted) return;
  const forget = signal && onAbort(signal, () => ending.abort());
  let bell;
  try {
    const first = { ...following, signal: ending.signal, isFirst: true };
    const start = await retryWhileUnavailable(() => reader.start(startAt), first);
    const { listener } = following;
    if (listener) bell = await listenForMessages(listener, reader.category, ending.signal);
    const pages = followPages(
      reader.read,
      { position: start, mark: reader.markAt(start) },
      { ...following, sql, watched: reader.watched, signal: ending.signal, bell },
    );
    let isCaughtUp = false;
    for await (const page of pages) {
      for (const message of page.messages()) {
        isCaughtUp = false;
        const parsed = parser
          ? await abortableValue(parser.decode(message), ending.signal)
          : message;
        if (parsed === undefined) continue;
        yield parsed;
        if (ending.signal.aborted) return;
      }
      if (!isCaughtUp && page.atEnd && page.isSettled !== false) {
        isCaughtUp = true;
        onCaughtUp?.();
      }
    }
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    forget?.();
    ending.abort();
    bell?.remove();
  }
}
