import { DuplicateMessageError } from "../errors.ts";
import { isPromise, whenReady } from "../lib/promise.ts";
import { encodeMessage } from "../messages/_json.ts";
import { toStored } from "../messages/_typed.ts";
import {
  checkFunction,
  checkId,
  checkName,
  checkObject,
  checkOptions,
  checkTime,
} from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { lengthOfWrite, MAX_BATCH_LENGTH } from "./_batch_length.ts";
import { type EncodedImport, writeMissing } from "./_write_missing.ts";
import type { IdentifiedMessageInput } from "./synchronize.ts";

/** A message with its stream. A `Message` that was read from another store can be imported as it is. */
export interface ImportedMessage extends IdentifiedMessageInput {
  /**
   * The stream that the message is added to, after the messages that are there: `"account-123"`. Every name
   * that a store can have is taken, also one that `write` refuses.
   */
  readonly streamName: string;
  /**
   * When the message was written, in the years 1 to 9999.
   *
   * @default now
   */
  readonly time?: Date | undefined;
}

/** How far an import has come. */
export interface ImportProgress<Imported extends ImportedMessage = ImportedMessage> {
  /** How many of the source's messages are in the store by now, with those that were there before. */
  readonly count: number;
  /** The last of these messages; undefined if there are none. */
  readonly last: Imported | undefined;
}

/** Options of `importMessages`. */
export interface ImportOptions<Imported extends ImportedMessage = ImportedMessage> {
  /**
   * Called after each commit; the import waits for it. If you keep `last`, an import that is cut short can go
   * on from there.
   */
  readonly onProgress?:
    | ((progress: ImportProgress<Imported>) => unknown)
    | undefined;
}

/** How many messages a statement has at most. */
const MAX_COUNT = 1000;

/**
 * Writes any number of messages to many streams: a backfill, a copy of a store, a restored backup.
 *
 * The messages are written in the order in which the source yields them, up to a thousand a statement. The
 * next thousand are read meanwhile, and no more than these two thousand are held. Each statement is a commit
 * of its own.
 *
 * A message is skipped if its stream has the id already. So an import that was cut short can be done again,
 * from the beginning or from the last `onProgress`. Others can write meanwhile: a write to a category that
 * is in a statement waits until that statement is done.
 *
 * `importMessages(sql, iterateAll(other))` copies a store, the times to the millisecond.
 *
 * @example Lines of a file, with ids that are the same each time
 * ```ts
 * import { idFrom, importMessages } from "@messagedb/client";
 *
 * async function* payments() {
 *   for (const [line, amount] of [11, 25].entries()) {
 *     const id = await idFrom(`payments.csv ${line}`);
 *     yield { streamName: "account-123", type: "Deposited", data: { amount }, id };
 *   }
 * }
 * const onProgress = ({ count }: { count: number }) => console.log(count, "imported");
 * await importMessages(sql, payments(), { onProgress });
 * ```
 *
 * @typeParam Imported The messages that the source yields.
 * @param sql The handle.
 * @param source The messages, each with an id and its stream. The source has to end.
 * @param options The function to call when there is progress.
 * @returns How many messages there were, and the last message.
 * @throws {DuplicateMessageError} If another stream has a message of this id. No message of the same
 * statement is written.
 * @throws {WrongExpectedVersionError} If others write to the streams, and the isolation level of the
 * transaction is not READ COMMITTED and hides their messages.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {InvalidMessageError} If a message does not fit the catalogue that made it.
 * @throws {TypeError} If a message has no id or no stream name, or JSON cannot hold its data.
 */
export async function importMessages<Imported extends ImportedMessage>(
  sql: Sql,
  source: AsyncIterable<Imported> | Iterable<Imported>,
  options: ImportOptions<Imported> = {},
): Promise<ImportProgress<Imported>> {
  checkOptions(options);
  const { onProgress = () => {} } = options;
  checkFunction("onProgress", onProgress);
  let progress: ImportProgress<Imported> = { count: 0, last: undefined };
  const store = async ({ messages, encoded }: Chunk<Imported>): Promise<void> => {
    const refused = await writeMissing(sql, [...encoded.values()]);
    if (refused !== null) throw new DuplicateMessageError(messages[refused]!.id);
    progress = { count: progress.count + messages.length, last: messages.at(-1) };
    await onProgress(progress);
  };

  let storing = Promise.resolve();
  try {
    for await (const chunk of chunksOf(source)) {
      await storing;
      storing = store(chunk);
      // The error is thrown where `storing` is awaited. Until then it must not count as unhandled.
      storing.catch(() => {});
    }
  } finally {
    await storing;
  }
  return progress;
}

/** Messages that share a statement. */
interface Chunk<Imported> {
  readonly messages: Imported[];
  /** By id: no id is in a statement twice. */
  readonly encoded: Map<string, EncodedImport>;
}

async function* chunksOf<Imported extends ImportedMessage>(
  source: AsyncIterable<Imported> | Iterable<Imported>,
): AsyncGenerator<Chunk<Imported>, void, undefined> {
  let chunk: Chunk<Imported> = { messages: [], encoded: new Map() };
  let length = 0;
  let number = 0;
  for await (const message of source) {
    number++;
    let encoded: EncodedImport;
    try {
      const encoding = encodeImport(message);
      encoded = isPromise(encoding) ? await encoding : encoding;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new TypeError(`Cannot import message ${number}: ${error.message}`, { cause: error });
    }
    length += lengthOfWrite(encoded);
    const { size } = chunk.encoded;
    const isFull = size === MAX_COUNT || length > MAX_BATCH_LENGTH;
    if (size > 0 && (isFull || chunk.encoded.has(encoded.id))) {
      yield chunk;
      chunk = { messages: [], encoded: new Map() };
      length = lengthOfWrite(encoded);
    }
    chunk.messages.push(message);
    chunk.encoded.set(encoded.id, encoded);
  }
  if (chunk.encoded.size > 0) yield chunk;
}

function encodeImport(message: ImportedMessage): EncodedImport | Promise<EncodedImport> {
  checkObject("message", message, "an object with a streamName, an id and a type");
  const { streamName, time } = message;
  checkName("streamName", streamName);
  checkId(message.id);
  checkTime(time);
  // The spread is last: V8 is slow to add to an object that begins with a spread.
  return whenReady(toStored([message], streamName, undefined), ([stored]) => ({
    streamName,
    time: time?.toISOString() ?? null,
    ...encodeMessage(stored!),
  }));
}
