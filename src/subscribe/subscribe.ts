import { invalid } from "../lib/invalid.ts";
import { abortable, onAbort } from "../lib/wait.ts";
import type { Parser } from "../messages/_parser.ts";
import { type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkFunction, checkOptions } from "../names/_check.ts";
import { checkStartAt } from "../read/_first_since.ts";
import type { Aggregated, AggregatedMessage } from "../read/reference.ts";
import type { StartAt } from "../read/start_at.ts";
import type { Message, Sql } from "../types.ts";
import { listenForMessages } from "./_bell.ts";
import { followPages } from "./_follow_pages.ts";
import { type CheckedFollowing, checkFollowing } from "./_following.ts";
import { type Reader, readerOf } from "./_reader.ts";
import type { FollowOptions } from "./follow_options.ts";
import type { Source } from "./source.ts";

/** Options of `subscribe`. */
export interface SubscribeOptions extends FollowOptions {
  /**
   * Where to start: a position, which is included (of a stream, in the stream; else global); `"end"`,
   * behind the last message that is there; a `Date`, at the first message that was written then or
   * later, which is looked for in all messages of the source (one that is yet to come is the end). Of
   * `"$all"`, what is being written at that moment and has a lower position than that does not come.
   *
   * @default "beginning"
   */
  readonly startAt?: StartAt | undefined;
  /** Ends the subscription, without an error. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called when all that was there has been taken: when that is so for the first time, and each time
   * that it is so again after more messages.
   */
  readonly onCaughtUp?: (() => void) | undefined;
}

/**
 * Follows a stream, a category, all streams or an aggregate: what is there, then what comes.
 *
 * A page is read when the one before is being taken, so at most two are held. Of `"$all"` it loses
 * nothing, as `readAll`; of a category, nothing that was written under Message DB's lock, as all of
 * this library's writes are. A lost connection is tried again, after longer and longer waits of up to
 * five seconds, once the first read has come through, and the subscription goes on where it was. It ends
 * when the signal aborts, or the loop is left. Only the signal ends a wait for a message: `return()`
 * waits with it.
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
 * @returns The messages; throws what the reads throw, other than a connection that was lost.
 * @throws {InvalidMessageError} If a message does not fit the catalogue that is given as `messages`, behind those that do.
 * @throws {TypeError} If the source is none, an option is of the wrong type or not for this source, or the handle cannot listen.
 * @throws {RangeError} If an option is out of range.
 */
export function subscribe<Output extends Message>(
  sql: Sql,
  source: { readonly aggregate: string },
  options: SubscribeOptions & Typed<Output>,
): AsyncGenerator<Aggregated<Output>, void, undefined>;
export function subscribe<Output extends Message>(
  sql: Sql,
  source: Source,
  options: SubscribeOptions & Typed<Output>,
): AsyncGenerator<Output, void, undefined>;
export function subscribe<Data = unknown>(
  sql: Sql,
  source: { readonly aggregate: string },
  options?: SubscribeOptions,
): AsyncGenerator<AggregatedMessage<Data>, void, undefined>;
export function subscribe<Data = unknown>(
  sql: Sql,
  source: string,
  options?: SubscribeOptions,
): AsyncGenerator<Message<Data>, void, undefined>;
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
  checkOptions(options);
  const { startAt = "beginning", signal, onCaughtUp } = options;
  checkStartAt(startAt);
  if (onCaughtUp !== undefined) checkFunction("onCaughtUp", onCaughtUp);
  if (signal !== undefined && typeof signal?.addEventListener !== "function") {
    throw invalid("signal", signal, "an AbortSignal");
  }
  const parser = parserOf(options);
  const types = options.types && (parser?.storedTypes(options.types) ?? options.types);
  const reader = readerOf(sql, source, { ...options, types });
  const following = checkFollowing(sql, options);
  return messagesOf(reader, { ...following, startAt, signal, onCaughtUp, parser });
}

interface Subscription extends CheckedFollowing {
  readonly startAt: StartAt;
  readonly signal: AbortSignal | undefined;
  readonly onCaughtUp: (() => void) | undefined;
  readonly parser: Parser | undefined;
}

async function* messagesOf(
  reader: Reader,
  { startAt, signal, onCaughtUp, listener, parser, ...following }: Subscription,
): AsyncGenerator<Message, void, undefined> {
  if (signal?.aborted) return;
  // Ends when the caller's does, and when the caller leaves the loop.
  const ending = new AbortController();
  const forget = signal && onAbort(signal, () => ending.abort());
  let bell;
  try {
    const start = await abortable(reader.start(startAt), ending.signal);
    if (listener) bell = await listenForMessages(listener, reader.category, ending.signal);
    let isNew = true;
    const pages = followPages(reader.read, start, { ...following, signal: ending.signal, bell });
    for await (const page of pages) {
      for (const message of page.messages) {
        isNew = true;
        const parsed = parser ? await parser.decode(message) : message;
        if (parsed === undefined) continue;
        yield parsed;
        if (ending.signal.aborted) return;
      }
      if (page.atEnd && page.isSettled !== false && isNew) {
        isNew = false;
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
