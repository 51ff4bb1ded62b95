import type { Sql } from "@messagedb/client";
import { CommandError, EXIT_CODE } from "./exit_code.ts";
import type { Output } from "./output.ts";
import { isOneDatabase, type PartitionPlace, type StoreOptions } from "./store.ts";

/** What is to be written, and where it is warned of. */
interface Writing {
  readonly output: Output;
  /** The stream; undefined if the streams are not known yet. */
  readonly stream?: string;
  /** The partition that the messages come from: what is in it is right in another database of the same mark. */
  readonly from?: PartitionPlace | undefined;
}

/**
 * Gives a handle that keeps what it writes to the partition that the database is marked as, where the database's
 * address is given alone: nobody else would notice a category of another partition.
 *
 * By the hash. A program may have a `partitionOf` of its own, which is not known here: a category that the database
 * has already is written with a warning.
 *
 * @throws {CommandError} By each write, if the category is in another partition, and the database has none of it.
 */
export async function keepToPartition(
  sql: Sql,
  options: StoreOptions,
  { output, stream, from }: Writing,
): Promise<Sql> {
  if (!isOneDatabase(options)) return sql;
  const { categories, entityName, partitionByHash, partitioned, partitions } = await import(
    "@messagedb/client"
  );
  const place = await readPlace(sql);
  if (place === undefined) return sql;
  const { number: own, of } = place;
  if (from?.number === own && from.of === of) return sql;
  if (stream !== undefined && partitionByHash(entityName(stream), of) === own) return sql;
  const here = new Set((await categories(sql)).map(entityName));
  const warned = new Set<string>();
  const partitionOf = (category: string): number => {
    const number = partitionByHash(category, of);
    if (number === own) return own;
    const text = `"${category}" is in partition ${number} by its hash, and this database is ` +
      `partition ${own} of ${of}`;
    if (!here.has(category)) {
      const exitCode = stream === undefined ? EXIT_CODE.failed : EXIT_CODE.badUse;
      throw new CommandError(`Cannot write here: ${text}: ${ADVICE}`, exitCode);
    }
    if (!warned.has(category)) {
      output.note(
        `warning: ${text}. It has messages of "${category}" already, so it is written here. ` +
          `To be sure, ${ADVICE}`,
      );
    }
    warned.add(category);
    return own;
  };
  // What is not refused is in this place: the others are never used.
  const handles = Array.from({ length: of }, () => sql);
  return partitions(partitioned(handles, { partitionOf }))[own]!;
}

const ADVICE = "give the addresses of all partitions in their order, and --partition-of if your " +
  "programs have a partitionOf";

/** The partition that a database is marked as; undefined if it is no partition. */
export async function readPlace(sql: Sql): Promise<PartitionPlace | undefined> {
  const { messageStoreVersion, partitioned, PartitionError, partitions } = await import(
    "@messagedb/client"
  );
  try {
    // As the only partition, a marked database is refused by what it is.
    await messageStoreVersion(partitions(partitioned([sql]))[0]!);
    return { number: 0, of: 1 };
  } catch (error) {
    if (!(error instanceof PartitionError)) throw error;
    const [, number, of] = /it is partition (\d+) of (\d+)$/.exec(error.message) ?? [];
    return number === undefined ? undefined : { number: Number(number), of: Number(of) };
  }
}
