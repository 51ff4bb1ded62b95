import { storeFor } from "../handle/_store_for.ts";
import { invalid } from "../lib/invalid.ts";
import { fromStored, type MaybeTyped, parserOf } from "../messages/_typed.ts";
import type { Typed } from "../messages/catalogue.ts";
import { checkAggregateName, partitionStream } from "../names/_aggregate_name.ts";
import { checkConsumerGroup, checkOptions, checkPage } from "../names/_check.ts";
import type { ConsumerGroup, Message, Sql } from "../types.ts";
import { fitting } from "./_fitting.ts";
import { readAggregatePage, readPartition } from "./_read_aggregate_page.ts";
import type { Aggregated, AggregatedMessage } from "./reference.ts";

/** Options of `readAggregate`. */
export interface ReadAggregateOptions {
  /**
   * The partition to read.
   *
   * @default all partitions
   */
  readonly partition?: number | string | undefined;
  /**
   * Where to start, which is included: in a partition the position in it, from 0; in all partitions
   * a reference's global position.
   *
   * @default the beginning
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at most, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
  /**
   * Reads only the partitions that are this member's share: those whose number, divided by `size`,
   * has the remainder `member`. A partition whose name is not a number counts by the hash of its
   * name. Not to be given together with a partition.
   */
  readonly consumerGroup?: ConsumerGroup | undefined;
}

/**
 * Reads an aggregate: the messages that it refers to, in the order of the references, in one round
 * trip.
 *
 * As depeche_db's `AggregatedStream.read` and its message store together. A message that was
 * deleted from the store by hand is left out.
 *
 * @example
 * ```ts
 * import { readAggregate } from "@messagedb/client";
 *
 * for (const { data, reference } of await readAggregate(sql, "ledger", { partition: 0 })) {
 *   console.log(reference.position, data);
 * }
 * ```
 *
 * @typeParam Output The messages of the catalogue in `messages`: a union that `type` tells apart.
 * @typeParam Data The type of `data`, if you read without a catalogue. Nothing checks it.
 * @param sql The handle.
 * @param name The aggregate's name, which is the category of its partitions: `"ledger"`.
 * @param options Which partition, where to start, how many, for which member.
 * @returns The messages; an empty array if there are none.
 * @throws {InvalidMessageError} If a message does not fit the catalogue in `messages`.
 * @throws {NotInstalledError} If the database has no Message DB, or the role may not use it.
 * @throws {TypeError} If the name is not an aggregate's, the partition is not a partition's, or an
 * option is of the wrong type.
 * @throws {RangeError} If the position, the batch size, the member or the group's size is out of
 * range.
 */
export function readAggregate<Output extends Message>(
  sql: Sql,
  name: string,
  options: ReadAggregateOptions & Typed<Output>,
): Promise<Aggregated<Output>[]>;
/** Reads an aggregate without a catalogue: nothing checks `data`. */
export function readAggregate<Data = unknown>(
  sql: Sql,
  name: string,
  options?: ReadAggregateOptions,
): Promise<AggregatedMessage<Data>[]>;
export async function readAggregate(
  sql: Sql,
  name: string,
  options: ReadAggregateOptions & MaybeTyped = {},
): Promise<AggregatedMessage[]> {
  checkAggregateName("name", name);
  checkOptions(options, {
    partition: true,
    position: true,
    batchSize: true,
    consumerGroup: true,
    messages: true,
  });
  const store = storeFor(sql, name);
  const { batchSize } = checkPage(options);
  const parser = parserOf(options);
  const { partition, position = 0, consumerGroup } = options;
  if (consumerGroup !== undefined) checkConsumerGroup(consumerGroup);
  if (partition !== undefined && consumerGroup !== undefined) {
    throw invalid("consumerGroup", consumerGroup, "left out where a partition is given");
  }
  const most = Number(batchSize);
  const stream = partition === undefined ? undefined : partitionStream(name, partition);
  let messages: readonly Message[] = [];
  const readPage = fitting(
    `aggregate "${name}"`,
    () => most - messages.length,
    (count, position: number) => {
      const wanted = { name, position, batchSize: count, consumerGroup };
      return stream === undefined
        ? readAggregatePage(store, wanted)
        : readPartition(store, { ...wanted, partition: stream });
    },
  );
  // More than one page only if the answer would be too large.
  for (let from = position;;) {
    const page = await readPage(from);
    messages = messages.concat(Array.from(page.messages()));
    if (page.atEnd || messages.length >= most) break;
    // The next position is a global one, also of a page of a partition.
    const last = messages.at(-1) as AggregatedMessage;
    from = stream === undefined ? page.next : last.reference.position + 1;
  }
  return await fromStored(messages, parser) as AggregatedMessage[];
}
