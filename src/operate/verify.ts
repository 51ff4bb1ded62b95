import { PartitionError } from "../errors.ts";
import { ownOf } from "../handle/_statement.ts";
import { storeFor } from "../handle/_store_for.ts";
import { categories } from "../read/names.ts";
import { checkCategory, checkInteger, checkOptions } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import { type Found, readVerifiedPage, type VerifiedColumns } from "./_read_verified_page.ts";

/** Options of `verify`. */
export interface VerifyOptions {
  /**
   * The category whose messages are verified.
   *
   * @default all messages
   */
  readonly category?: string | undefined;
  /**
   * The global position to start at, which is included: the `next` of a page.
   *
   * @default the first message
   */
  readonly position?: number | undefined;
  /**
   * How many messages a statement verifies, from 1.
   *
   * @default 10000
   */
  readonly batchSize?: number | undefined;
}

/** What is wrong with a store. */
export interface Finding {
  /**
   * - `"gap"`: positions of a stream were left out.
   * - `"deleted"`: positions of a stream are missing, and so are global positions, as where messages were deleted.
   * - `"order"`: a message comes before the one that it follows in its stream, by its global position.
   * - `"duplicate"`: two messages have one id, one place in a stream, or one global position.
   * - `"position"`: a position is below 0, or a global position below 1: nobody reads such a message.
   * - `"name"`: the name of a stream cannot be read back.
   * - `"reference"`: an aggregate refers to a message that is not there, or to another one.
   * - `"beyond"`: a consumer or an aggregate has recorded a position that no message had: it skips messages.
   * - `"sequence"`: the next global positions are taken already.
   * - `"index"`: an index of Message DB is missing, is not valid, or is not unique.
   * - `"partition"`: a partition has messages of a category that is in another partition.
   */
  readonly kind:
    | "gap"
    | "deleted"
    | "order"
    | "duplicate"
    | "position"
    | "name"
    | "reference"
    | "beyond"
    | "sequence"
    | "index"
    | "partition";
  /** The stream of the message with which it was found; null if it is of the whole store. */
  readonly streamName: string | null;
  /** The position of that message in its stream. */
  readonly position: number | null;
  /** The global position of that message. */
  readonly globalPosition: number | null;
  /** What is wrong, in a sentence. */
  readonly text: string;
}

/** Messages that were verified together. */
export interface VerifiedPage {
  /** What is wrong with them; the first page also has what is wrong with the whole store. */
  readonly findings: readonly Finding[];
  /** How many messages were verified by now, those of the pages before included. */
  readonly checked: number;
  /** The global position to go on at. */
  readonly next: number;
  /** The global position of the last message of the store; 0 if there is none. */
  readonly head: number;
}

/**
 * Verifies a store, page by page: whether what Message DB and this library rely on holds.
 *
 * Streams have every position from 0, once, in the order of the global positions; ids are there once; names
 * can be read back; the references of aggregates are to the messages that they name; no recorded position
 * is beyond the messages that there were; the sequence is not behind the table; the indexes are there.
 *
 * Writes nothing and locks nothing: others may write meanwhile, and are not reported. Each page is a
 * statement, so what was deleted or changed between two of them is seen as the later one finds it. A message
 * that is committed after later ones were verified is not verified.
 *
 * Missing positions are reported as deleted if as many global positions are missing between the messages
 * on both sides, or if these are more than 10,000 apart. Messages that were deleted from the end of a stream
 * leave no trace.
 *
 * A store of several partitions is verified partition by partition. There, `next` and `head` are those of the
 * page's partition, and a position to start at is one of a partition: verify each of `partitions(sql)` then.
 *
 * @example
 * ```ts
 * import { verify } from "@messagedb/client/operate";
 *
 * for await (const { findings, next, head } of verify(sql)) {
 *   for (const { kind, text } of findings) console.log(kind, text);
 *   console.log(`${next - 1} of ${head}`);
 * }
 * ```
 *
 * @param sql The handle.
 * @param options What to verify, where to start, and how many messages a page.
 * @returns The pages, at least one. The iteration throws what its statements throw.
 * @throws {TypeError} If an option is of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
export function verify(
  sql: Sql,
  options: VerifyOptions = {},
): AsyncGenerator<VerifiedPage, void, undefined> {
  checkOptions(options, { category: true, position: true, batchSize: true });
  const { category, position, batchSize = 10_000 } = options;
  if (category !== undefined) checkCategory("category", category);
  if (position !== undefined) checkInteger("position", position, 0);
  checkInteger("batchSize", batchSize, 1);
  const wanted = { category, position, batchSize };
  if (category === undefined && position === undefined) return verifiedStores(sql, wanted);
  return verifiedPages(storeFor(sql, category ?? "$all"), wanted);
}

/** Verifies each partition, and that the categories in it are its own. */
async function* verifiedStores(
  sql: Sql,
  wanted: VerifyOptions & { readonly batchSize: number },
): AsyncGenerator<VerifiedPage, void, undefined> {
  let checked = 0;
  for (const [number, store] of (ownOf(sql)?.partitions ?? [sql]).entries()) {
    const before = checked;
    const misplaced = await findMisplaced(store, number);
    for await (const page of verifiedPages(store, wanted)) {
      checked = before + page.checked;
      yield { ...page, checked, findings: [...misplaced.splice(0), ...page.findings] };
    }
  }
}

/** The categories of a partition that are in another one. */
async function findMisplaced(store: Sql, number: number): Promise<Finding[]> {
  if (!ownOf(store)?.storeOf) return [];
  return (await categories(store)).flatMap((category) => {
    try {
      storeFor(store, category);
      return [];
    } catch (error) {
      if (!(error instanceof PartitionError)) throw error;
      const text = `Partition ${number} has messages of "${category}", which is in partition ` +
        `${error.partitions[0]}: they are not read, and a handle of this database alone wrote them`;
      return [findingOfStore("partition", text)];
    }
  });
}

async function* verifiedPages(
  sql: Sql,
  { category, position, batchSize }: VerifyOptions & { readonly batchSize: number },
): AsyncGenerator<VerifiedPage, void, undefined> {
  let checked = 0;
  let next = position;
  for (;;) {
    const page = await readVerifiedPage(sql, { category, position: next, batchSize });
    const { count, last, head, found } = page;
    const findings = found.map(findingOf);
    if (checked === 0) findings.unshift(...findingsOfStore(page));
    checked += count;
    next = last === null ? next ?? 1 : last + 1;
    yield { findings, checked, next, head };
    if (count < batchSize) return;
  }
}

function findingsOfStore({ sequence, head, missingIndexes }: VerifiedColumns): Finding[] {
  const findings = missingIndexes.map((name) =>
    findingOfStore(
      "index",
      `The index "${name}" is missing, is not valid or is not unique: what it is for is not verified`,
    )
  );
  if (sequence !== null && sequence < head) {
    const text = `The sequence is at ${sequence}, and the table at ${head}: writes will fail`;
    findings.push(findingOfStore("sequence", text));
  }
  return findings;
}

function findingOfStore(kind: Finding["kind"], text: string): Finding {
  return { kind, streamName: null, position: null, globalPosition: null, text };
}

function findingOf([kind, streamName, position, globalPosition, ...about]: Found): Finding {
  const text = TEXTS[kind](`"${streamName}"`, position, globalPosition, about);
  return { kind, streamName, position, globalPosition, text };
}

type About = readonly [number | string | null, number | string | null];

const TEXTS: Record<
  Found[0],
  (stream: string, position: number, globalPosition: number, about: About) => string
> = {
  gap: (stream, _, __, [from, to]) =>
    `${stream} has no messages at the positions ${from} to ${to}, and nothing was deleted there`,
  deleted: (stream, _, __, [from, to]) =>
    `${stream} has no messages at the positions ${from} to ${to}: they seem to have been deleted`,
  order: (stream, position, globalPosition, [previous, previousGlobal]) =>
    `${stream} has position ${position} at the global position ${globalPosition}, ` +
    `before position ${previous} at ${previousGlobal}`,
  duplicate: (stream, position, globalPosition, [what, other]) =>
    `${stream} at position ${position}, at the global position ${globalPosition}, has the same ` +
    `${what} as the message at the global position ${other}`,
  position: (stream, position, globalPosition) =>
    `${stream} has a message that is not read, at position ${position}, at the global position ` +
    `${globalPosition}`,
  name: (stream) => `${stream} is a name that cannot be read back`,
  reference: (stream, position, _, [cause, why]) =>
    `${stream} refers at position ${position} to the global position ${cause}, ` +
    `where there is ${why} message`,
  beyond: (stream, _, __, [recorded, end]) =>
    `${stream} records the position ${recorded}, beyond ${end}, where messages ended when it was written`,
};
