import { invalid } from "../lib/invalid.ts";
import { checkInteger, checkName, checkOptions } from "../names/_check.ts";
import { readMessages } from "../read/read_messages.ts";
import { readStream } from "../read/read_stream.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Message, Sql } from "../types.ts";
import { isClaim, isPositional, kindOf } from "../write/_translate.ts";
import { iterateSelection } from "./_iterate_selection.ts";

/** Options of `compareCopy`. */
export interface CompareOptions {
  /**
   * The global position of the last message of the source that is compared: the last one that was copied.
   *
   * @default the end
   */
  readonly upTo?: number | undefined;
  /**
   * What became of positions in the copy: as the option of `importMessages`.
   *
   * @default "translate"
   */
  readonly positions?: "translate" | "omit" | undefined;
  /**
   * How many messages of each store are read at once, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}

/** What is different in a copy. */
export interface Difference {
  /**
   * - `"missing"`: the copy lacks a message.
   * - `"changed"`: the copy has a message otherwise: in another stream, at another position of it, or with another
   *   type, data, metadata or time.
   * - `"added"`: a stream of the copy has a message that the source lacks.
   */
  readonly kind: "missing" | "changed" | "added";
  /** The id of the message. */
  readonly id: string;
  /** The stream of the message; that of the source if the message is there. */
  readonly streamName: string;
  /** The position of the message in that stream. */
  readonly position: number;
  /** What is different, in a sentence. */
  readonly text: string;
}

/** Messages that were compared together. */
export interface ComparedPage {
  /** What is different. */
  readonly differences: readonly Difference[];
  /** How many messages of the source were compared by now, those of the pages before included. */
  readonly compared: number;
  /**
   * The global position of the last message of the source that was compared by now; 0 if none was. A comparison of
   * `"$all"` ends before a position that an open transaction may fill, as `readAll` does: later messages are not
   * compared.
   */
  readonly globalPosition: number;
  /** How many messages the copy has by now in streams that the source lacks. */
  readonly others: number;
}

/**
 * Compares a copy with its source, message by message: whether `importMessages` has copied everything, once, and
 * nobody has changed it since.
 *
 * Both stores are read from the beginning, page by page, and no more than a few pages are held. Streams have to be
 * equal: messages, positions, types, data, metadata and times. The copy may have other streams besides, and lower
 * positions where the source has gaps, which an import closes.
 *
 * What an import translates is not compared: global positions, causes, and what the messages of consumers,
 * aggregates, parked messages and snapshots hold. Nor is what an import leaves out. See `consumers` for how far
 * those of the copy are.
 *
 * Writes nothing and locks nothing. A message that was committed late, or is written meanwhile, is a difference:
 * import and compare again.
 *
 * @example
 * ```ts
 * import { compareCopy } from "@messagedb/client/operate";
 *
 * const copy = sql;
 * for await (const { differences } of compareCopy(sql, copy, "$all")) {
 *   for (const { kind, text } of differences) console.log(kind, text);
 * }
 * ```
 *
 * @param source The handle of the store that was copied.
 * @param copy The handle of the copy.
 * @param selection What was copied: all messages (`"$all"`), a category (`"account"`) or a stream
 * (`"account-123"`).
 * @param options How far to compare, what became of positions, and how many messages a page.
 * @returns The pages. The iteration throws what `readAll`, `readCategory`, `readStream` and `readMessages` throw.
 * @throws {TypeError} If the selection is no name, or an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export function compareCopy(
  source: Sql,
  copy: Sql,
  selection: string,
  options: CompareOptions = {},
): AsyncGenerator<ComparedPage, void, undefined> {
  checkName("selection", selection);
  checkOptions(options, { upTo: true, positions: true, batchSize: true });
  const { upTo = Infinity, positions = "translate", batchSize = 1000 } = options;
  if (upTo !== Infinity) checkInteger("upTo", upTo, 0);
  checkInteger("batchSize", batchSize, 1);
  if (positions !== "translate" && positions !== "omit") {
    throw invalid("positions", positions, '"translate" or "omit"');
  }
  return comparedPages(source, copy, selection, { upTo, positions, batchSize });
}

interface Comparing {
  readonly upTo: number;
  readonly positions: "translate" | "omit";
  readonly batchSize: number;
}

/** Messages of both stores that have not met their counterpart yet, by their ids. */
interface Unmet {
  readonly source: Map<string, Message>;
  readonly copy: Map<string, Message>;
}

/** By how much positions are lower in the copy, in streams of the source that have gaps. */
interface Gaps {
  readonly sql: Sql;
  readonly shifts: Map<string, number>;
}

async function* comparedPages(
  source: Sql,
  copy: Sql,
  selection: string,
  { upTo, positions, batchSize }: Comparing,
): AsyncGenerator<ComparedPage, void, undefined> {
  const unmet: Unmet = { source: new Map(), copy: new Map() };
  const gaps: Gaps = { sql: source, shifts: new Map() };
  const originals = iterateSelection(source, selection, { batchSize });
  const copies = iterateSelection(copy, selection, { batchSize });
  let compared = 0;
  let globalPosition = 0;
  let others = 0;
  try {
    for (let isAtEnd = false; !isAtEnd;) {
      const [some, counterparts] = await Promise.all([
        takePage(originals, batchSize, upTo),
        takePage(copies, batchSize, Infinity),
      ]);
      isAtEnd = some.length + counterparts.length === 0;
      const differences = await matchMessages(some, counterparts, unmet, gaps);
      // What is in the other order in the copy, or missing, is looked up before it is too much to hold.
      const most = isAtEnd ? 0 : 2 * batchSize;
      while (unmet.source.size > most) {
        const pulled = pull(unmet.source, batchSize);
        differences.push(...await findCopies(copy, pulled, positions, gaps));
      }
      while (unmet.copy.size > most) {
        const found = await findAdded(source, pull(unmet.copy, batchSize));
        differences.push(...found.differences);
        others += found.others;
      }
      compared += some.length;
      globalPosition = some.at(-1)?.globalPosition ?? globalPosition;
      yield { differences, compared, globalPosition, others };
    }
  } finally {
    await Promise.all([originals.return(), copies.return()]);
  }
}

async function takePage(
  messages: AsyncGenerator<Message, void, undefined>,
  count: number,
  upTo: number,
): Promise<Message[]> {
  const taken: Message[] = [];
  while (taken.length < count) {
    const { done, value } = await messages.next();
    if (done) break;
    if (value.globalPosition <= upTo) taken.push(value);
    // To read on would be to wait for a transaction that holds back later messages.
    if (value.globalPosition >= upTo) {
      await messages.return();
      break;
    }
  }
  return taken;
}

/** Compares the messages whose counterpart has come, and keeps the others. */
async function matchMessages(
  originals: readonly Message[],
  copies: readonly Message[],
  unmet: Unmet,
  gaps: Gaps,
): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (const message of copies) unmet.copy.set(message.id, message);
  for (const [id, message] of [...unmet.source, ...originals.map((it) => [it.id, it] as const)]) {
    const counterpart = unmet.copy.get(id);
    if (counterpart === undefined) {
      unmet.source.set(id, message);
      continue;
    }
    unmet.source.delete(id);
    unmet.copy.delete(id);
    differences.push(...await compareMessages(message, counterpart, gaps));
  }
  return differences;
}

/** Takes the oldest messages out. */
function pull(messages: Map<string, Message>, count: number): Message[] {
  const pulled = [...messages.values()].slice(0, count);
  for (const { id } of pulled) messages.delete(id);
  return pulled;
}

async function findCopies(
  copy: Sql,
  originals: readonly Message[],
  positions: "translate" | "omit",
  gaps: Gaps,
): Promise<Difference[]> {
  const found = await readMessages(copy, originals.map(({ id }) => id));
  const copies = new Map(found.map((it) => [it.id, it]));
  const isLeftOut = positions === "omit" ? isPositional : isClaim;
  const differences: Difference[] = [];
  for (const message of originals) {
    const counterpart = copies.get(message.id);
    if (counterpart !== undefined) {
      differences.push(...await compareMessages(message, counterpart, gaps));
      continue;
    }
    const kind = kindOf(message.streamName, message);
    if (isLeftOut({ ...message, message, kind })) continue;
    differences.push(differenceOf("missing", message, "is missing in the copy"));
  }
  return differences;
}

async function findAdded(
  source: Sql,
  copies: readonly Message[],
): Promise<{ readonly differences: Difference[]; readonly others: number }> {
  const known = new Set(
    (await readMessages(source, copies.map(({ id }) => id))).map(({ id }) => id),
  );
  const versions = new Map<string, number>();
  const differences: Difference[] = [];
  let others = 0;
  for (const message of copies) {
    const { id, streamName } = message;
    if (known.has(id)) continue;
    if (!versions.has(streamName)) {
      versions.set(streamName, await streamVersion(source, streamName));
    }
    if (versions.get(streamName) === -1 || kindOf(streamName, message) !== undefined) others++;
    else differences.push(differenceOf("added", message, "is in the copy, and not in the source"));
  }
  return { differences, others };
}

async function compareMessages(
  original: Message,
  copied: Message,
  gaps: Gaps,
): Promise<Difference[]> {
  const isOwn = kindOf(original.streamName, original) !== undefined;
  const changed: string[] = [];
  if (original.streamName !== copied.streamName) changed.push("streamName");
  if (original.type !== copied.type) changed.push("type");
  if (original.time.getTime() !== copied.time.getTime()) changed.push("time");
  // Where claims were left out, positions of bookkeeping are lower.
  if (!isOwn) {
    const shift = original.position - copied.position;
    const isExpected = shift === (gaps.shifts.get(original.streamName) ?? 0);
    if (!isExpected && !await isBehindGap(original, shift, gaps)) changed.push("position");
    if (!isEqualJson(original.data, copied.data)) changed.push("data");
    const isCaused = typeof original.metadata?.causationMessageGlobalPosition === "number";
    const metadataOf = isCaused ? untranslated : ({ metadata }: Message) => metadata;
    if (!isEqualJson(metadataOf(original), metadataOf(copied))) changed.push("metadata");
  }
  if (changed.length === 0) return [];
  return [differenceOf("changed", original, `has another ${changed.join(", ")} in the copy`)];
}

/** Whether the source lacks the messages before this one in its stream, so that the copy closes the gap. */
async function isBehindGap(
  { streamName, position }: Message,
  shift: number,
  { sql, shifts }: Gaps,
): Promise<boolean> {
  if (shift <= (shifts.get(streamName) ?? 0)) return false;
  const [before] = await readStream(sql, streamName, { position: position - 1, batchSize: 1 });
  if (before?.position !== position) return false;
  shifts.set(streamName, shift);
  return true;
}

/** The metadata without what an import translates. */
function untranslated(message: Message): unknown {
  const { causationMessagePosition: _, causationMessageGlobalPosition: _1, ...rest } =
    message.metadata ?? {};
  return rest;
}

/** Both are of a jsonb column, which has an order of members of its own. */
function isEqualJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function differenceOf(
  kind: Difference["kind"],
  { id, streamName, position }: Message,
  what: string,
): Difference {
  const text = `The message ${id}, "${streamName}" at position ${position}, ${what}`;
  return { kind, id, streamName, position, text };
}
