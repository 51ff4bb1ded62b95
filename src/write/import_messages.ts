import { storeFor } from "../handle/_store_for.ts";
import { ownOf } from "../handle/_statement.ts";
import { DuplicateMessageError, PartitionError } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { isPromise } from "../lib/promise.ts";
import { checkFunction, checkOptions } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { lengthOfWrite, MAX_BATCH_LENGTH } from "./_batch_length.ts";
import { parseLine } from "./_import_line.ts";
import { encodeRow, type ImportRow, placedError } from "./_import_row.ts";
import { addPlace, type CopiedPlaces, findPlace, noPlaces } from "./_places.ts";
import { disordered, isPointing, LEAVE_OUT, translate, type Translation } from "./_translate.ts";
import { type EncodedImport, type ImportRefusal, writeMissing } from "./_write_missing.ts";
import { writeMissingPlain } from "./_write_missing_plain.ts";
import type { ImportedMessage } from "./imported_message.ts";

/** How far an import has come. */
export interface ImportProgress<Imported extends ImportedMessage = ImportedMessage> {
  /** How many of the source's messages are done by now, with those that were there before. */
  readonly count: number;
  /** How many of these messages the import has written: not those that were there, or were left out. */
  readonly written: number;
  /** The last of these messages; undefined if there are none. */
  readonly last: Imported | undefined;
}

/** Options of `importMessages`. */
export interface ImportOptions<Imported extends ImportedMessage = ImportedMessage> {
  /** Called after each commit; the import waits for it. */
  readonly onProgress?:
    | ((progress: ImportProgress<Imported>) => unknown)
    | undefined;
  /**
   * What becomes of the positions of consumers, aggregates, parked messages, snapshots and causes, in
   * messages that were read from another store. `"translate"` makes them positions of this store. `"omit"`
   * leaves them out: consumers, aggregates and entities of the copy start from the beginning.
   *
   * @default "translate"
   */
  readonly positions?: "translate" | "omit" | undefined;
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
 * A message is skipped if its stream has the id already. So an import that was cut short can be done again
 * from its beginning. Others can write meanwhile: a write to a category that is in a statement waits until
 * that statement is done.
 *
 * `importMessages(sql, iterateAll(other))` copies a store, the times to the millisecond, and
 * `importMessages(sql, lines)` takes the lines of `exportMessages`. The copy has global positions of its own:
 *
 * - Consumers and aggregates go on after the messages that they have handled. Their positions are
 *   translated, and so are the references of aggregates, parked messages, snapshots, and causes
 *   (`causationMessageGlobalPosition`). A cause that is not among the messages before is left out.
 * - Nobody holds a position in the copy: claims are left out.
 * - A position that has no meaning in the copy is refused: if the store has messages of the consumer's
 *   category, or a position of the consumer, from elsewhere; or if the messages do not come in the order of
 *   their global positions, from the first on. `positions: "omit"` leaves all positions out.
 *
 * For this the import remembers where the messages went: about 32 bytes for each gap in the positions. Let
 * no consumer run on the copy, and nobody else write to its categories, before the import has ended.
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
 * @param source The messages, each with an id and its stream; or lines of NDJSON, each such a message. The
 * source has to end.
 * @param options What becomes of positions, and the function to call when there is progress.
 * @returns How many messages there were, how many of them were written, and the last message.
 * @throws {DuplicateMessageError} If another stream has a message of this id. No message of the same
 * statement is written.
 * @throws {WrongExpectedVersionError} If others write to the streams, and the isolation level of the
 * transaction is not READ COMMITTED and hides their messages.
 * @throws {NotInstalledError} If the database has no Message DB, or the role has no right to use it.
 * @throws {InvalidMessageError} If a message does not fit the catalogue that made it.
 * @throws {TypeError} If a message has no id or no stream name, JSON cannot hold its data, or its positions
 * cannot be translated. No message of the same statement is written. The error names the place in the source,
 * counted from 1: `message 17`, or `line 17` with blank lines counted.
 * @throws {RangeError} If a position is no integer from 0 up.
 */
export function importMessages<Imported extends ImportedMessage>(
  sql: Sql,
  source: AsyncIterable<Imported> | Iterable<Imported>,
  options?: ImportOptions<Imported>,
): Promise<ImportProgress<Imported>>;
/** Writes the messages of lines that `exportMessages` has made. */
export function importMessages(
  sql: Sql,
  source: AsyncIterable<string> | Iterable<string>,
  options?: ImportOptions,
): Promise<ImportProgress>;
export async function importMessages(
  sql: Sql,
  source: AsyncIterable<ImportedMessage | string> | Iterable<ImportedMessage | string>,
  options: ImportOptions = {},
): Promise<ImportProgress> {
  checkOptions(options, { onProgress: true, positions: true });
  const { onProgress = () => {}, positions = "translate" } = options;
  checkFunction("onProgress", onProgress);
  if (positions !== "translate" && positions !== "omit") {
    throw invalid("positions", positions, '"translate" or "omit"');
  }
  const copiedByStore = new Map<Sql, Copied>();
  let progress: ImportProgress = { count: 0, written: 0, last: undefined };
  const storeChunk = async (chunk: Chunk): Promise<void> => {
    let written = 0;
    for (const [store, rows] of rowsByStore(sql, chunk)) {
      const copied = copiedByStore.get(store) ??
        { places: noPlaces(), origin: undefined, first: null, last: null };
      copiedByStore.set(store, copied);
      written += await storeRows(store, rows, copied);
    }
    const { count, last } = chunk;
    progress = { count: progress.count + count, written: progress.written + written, last };
    await onProgress(progress);
  };

  let storing = Promise.resolve();
  try {
    for await (const chunk of chunksOf(source, positions === "omit")) {
      await storing;
      storing = storeChunk(chunk);
      // The error is thrown where `storing` is awaited. Until then it must not count as unhandled.
      storing.catch(() => {});
    }
  } finally {
    await storing;
  }
  return progress;
}

/** What is known of the messages that were read from another store, and are stored. */
interface Copied {
  readonly places: CopiedPlaces;
  /** The global position in the source of the first of them. */
  origin: number | undefined;
  /** The global position here of the first of them. */
  first: number | null;
  /** The highest global position here of them. */
  last: number | null;
}

/** Messages that share a statement. */
interface Chunk {
  /** How many messages of the source, with those that are left out. */
  count: number;
  last: ImportedMessage | undefined;
  readonly rows: ImportRow[];
  readonly ids: Set<string>;
  length: number;
}

/** The rows, by the store that their streams are in. */
function rowsByStore(sql: Sql, { rows }: Chunk): ReadonlyMap<Sql, readonly ImportRow[]> {
  if (!ownOf(sql)?.storeOf) return new Map([[sql, rows]]);
  const byStore = new Map<Sql, ImportRow[]>();
  for (const row of rows) {
    const store = storeOfRow(sql, row);
    const inStore = byStore.get(store) ?? [];
    inStore.push(row);
    byStore.set(store, inStore);
  }
  return byStore;
}

function storeOfRow(sql: Sql, { place, encoded: { streamName } }: ImportRow): Sql {
  try {
    return storeFor(sql, streamName);
  } catch (error) {
    if (!(error instanceof PartitionError)) throw error;
    throw placedError(
      place,
      error.reason === "all"
        ? new TypeError(`"${streamName}" is of all messages, which no partition has: ${LEAVE_OUT}`)
        : error,
    );
  }
}

/** Writes what is missing; returns how many messages that was. */
async function storeRows(
  sql: Sql,
  given: readonly ImportRow[],
  copied: Copied,
): Promise<number> {
  const { rows, messages } = translateRows(given, copied);
  if (messages.length === 0) return 0;
  const isPlain = rows.every(({ source }) => source === undefined);
  const { refusal, written, places } = isPlain
    ? await writeMissingPlain(sql, messages)
    : await writeMissing(sql, messages, copied);
  if (refusal !== null) throw refused(rows[refusal.at]!, refusal);
  for (const [at, { source }] of rows.entries()) {
    if (source === undefined) continue;
    const [globalPosition, position] = places[at]!;
    const { globalPosition: origin, position: originAt = position } = source;
    addPlace(copied.places, { origin, globalPosition, shift: position - originAt });
    copied.origin ??= origin;
    copied.first ??= globalPosition;
    copied.last = Math.max(copied.last ?? 0, globalPosition);
  }
  return written;
}

/** Replaces the positions of the source. */
function translateRows(
  given: readonly ImportRow[],
  { places, origin }: Copied,
): { readonly rows: ImportRow[]; readonly messages: EncodedImport[] } {
  const rows: ImportRow[] = [];
  const messages: EncodedImport[] = [];
  const origins: number[] = [];
  const rowsOfOrigins: number[] = [];
  let next = places.origins.length === 0 ? 0 : places.origins.at(-1)! + places.lengths.at(-1)!;
  for (const row of given) {
    const { source, encoded } = row;
    let message: EncodedImport | undefined = encoded;
    if (source !== undefined && isPointing(source)) {
      const first = origin ?? origins[0] ?? source.globalPosition;
      const translation: Translation = { places, first, origins, rows: rowsOfOrigins };
      try {
        message = translate(source, encoded, translation);
      } catch (error) {
        throw placedError(row.place, error);
      }
      if (message === undefined) continue;
    }
    rows.push(row);
    messages.push(message);
    if (source === undefined) continue;
    if (source.globalPosition >= next) {
      origins.push(source.globalPosition);
      rowsOfOrigins.push(rows.length);
      next = source.globalPosition + 1;
    } else noteRepeated(places, source.globalPosition);
  }
  return { rows, messages };
}

/** Notes the order of the source if a message comes late, and is not one that came before. */
function noteRepeated(places: CopiedPlaces, origin: number): void {
  if (findPlace(places, origin)?.origin !== origin) places.isOrdered = false;
}

function refused({ place, encoded }: ImportRow, { reason }: ImportRefusal): unknown {
  const { id, streamName } = encoded;
  if (reason === "elsewhere") {
    const cause = placedError(place, new TypeError("another stream has its id"));
    return new DuplicateMessageError(id, { cause });
  }
  return placedError(
    place,
    reason === "disordered" ? disordered(streamName) : reason === "misplaced"
      ? new TypeError(
        `"${streamName}" has other messages here, or lacks some that it had in the source: ` +
          `import into a store that has no such stream, or ${LEAVE_OUT}`,
      )
      : new TypeError(
        `"${streamName}" has positions of the source, and the store has messages from before the ` +
          `import: begin the source at its beginning, if it was cut short, or ${LEAVE_OUT}`,
      ),
  );
}

async function* chunksOf(
  source: AsyncIterable<ImportedMessage | string> | Iterable<ImportedMessage | string>,
  withoutPositions: boolean,
): AsyncGenerator<Chunk, void, undefined> {
  let chunk = emptyChunk();
  let number = 0;
  /** Adds a message, to a new chunk if this one is full. Returns the full one. */
  const add = (message: ImportedMessage, row: ImportRow | undefined): Chunk | undefined => {
    const full = row !== undefined && isFull(chunk, row) ? chunk : undefined;
    if (full) chunk = emptyChunk();
    if (row !== undefined) {
      chunk.rows.push(row);
      chunk.ids.add(row.encoded.id);
      chunk.length += lengthOfWrite(row.encoded);
    }
    chunk.count++;
    chunk.last = message;
    return full;
  };
  const take = (item: ImportedMessage | string): Chunk | undefined | Promise<Chunk | undefined> => {
    number++;
    const isLine = typeof item === "string";
    if (isLine && item.trim() === "") return undefined;
    const place = `${isLine ? "line" : "message"} ${number}`;
    const fail = (error: unknown): never => {
      throw placedError(place, error);
    };
    try {
      const message = isLine ? parseLine(item) as ImportedMessage : item;
      const encoding = encodeRow(place, message, withoutPositions);
      return isPromise(encoding)
        ? encoding.then((row) => add(message, row), fail)
        : add(message, encoding);
    } catch (error) {
      return fail(error);
    }
  };

  if (Symbol.asyncIterator in Object(source)) {
    for await (const item of source) {
      const full = await take(item);
      if (full) yield full;
    }
  } else {
    // What is there is not waited for: that would be a sixth of what the client does for a message.
    for (const item of source as Iterable<ImportedMessage | string>) {
      const taken = take(isPromise(item) ? await item as ImportedMessage : item);
      const full = isPromise(taken) ? await taken : taken;
      if (full) yield full;
    }
  }
  if (chunk.count > 0) yield chunk;
}

/** Whether a message has to be in another statement than those of the chunk. */
function isFull({ rows, ids, length }: Chunk, row: ImportRow): boolean {
  if (rows.length === 0) return false;
  return rows.length === MAX_COUNT || length + lengthOfWrite(row.encoded) > MAX_BATCH_LENGTH ||
    ids.has(row.encoded.id) || isParkedReference(row);
}

function emptyChunk(): Chunk {
  return { count: 0, last: undefined, rows: [], ids: new Set(), length: 0 };
}

/**
 * Whether the message names two others, by their places: then these are not to be in the same statement.
 */
function isParkedReference({ encoded: { type }, source }: ImportRow): boolean {
  return source?.kind === "parked" && type === "Parked" &&
    Boolean((source.message.data as { readonly reference?: unknown }).reference);
}
